"""A trial's step: its gradients lie where a recorded graph writes them."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch

from cifar_ray.models import build_model
from cifar_ray.settings import read_settings
from cifar_ray.studies import TrialConfig
from cifar_ray.training import trial_step
from cifar_ray.training.objective import Example, Objective, evaluate
from cifar_ray.training.optimization import build_optimizer
from cifar_ray.training.trial_step import TrialStep

CPU = torch.device("cpu")
CONFIG = TrialConfig(
    model="classic_cnn",
    max_epochs=1,
    learning_rate=0.01,
    optimizer="sgd",
    weight_decay=0.001,
    dropout=0.0,
    batch_size=16,
    batch_norm=True,
)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is compiled elsewhere is plain code here, which takes no compiler."""
    monkeypatch.setattr(trial_step, "compiled_evaluate", lambda device, settings: evaluate)


def example(config: TrialConfig, size: int, side: int = 32) -> Example:
    images = torch.randn(size, 3, side, side, generator=torch.Generator().manual_seed(size))
    return Objective(config, seed=0).prepare(images, torch.arange(size) % 10)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "muon"])
def test_gradients_stay_where_a_graph_writes_them(
    uncompiled: None, optimizer: Literal["sgd", "adam", "adamw", "muon"]
) -> None:
    """After a step of the optimiser, clipping, and a smaller batch."""
    config = replace(CONFIG, optimizer=optimizer, gradient_clipping=0.1, filter_rate=0.1)
    network = build_model(config)
    step, stepper = TrialStep(network, config, CPU, read_settings()), build_optimizer(config, network)
    step(example(config, config.batch_size))
    kept = [each.grad for each in network.parameters()]
    stepper.step()
    step(example(config, 5))
    stepper.step()
    assert all(each.grad is grad for each, grad in zip(network.parameters(), kept, strict=True))


def test_a_smaller_batch_has_gradients_of_its_own_alone(uncompiled: None) -> None:
    gradients = []
    for sizes in ((16, 5), (5,)):
        network = build_model(replace(CONFIG, batch_norm=False))
        step = TrialStep(network, CONFIG, CPU, read_settings())
        for size in sizes:
            step(example(CONFIG, size))
        gradients.append(torch.cat([each.grad.flatten() for each in network.parameters() if each.grad is not None]))
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-7)


def test_code_that_cannot_be_compiled_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Running statistics included; the next trial tries anew."""

    def fail(network: torch.nn.Module, images: torch.Tensor, *_: object) -> None:
        network(images)
        raise ValueError("no compiler\nand more")

    networks = [build_model(CONFIG) for _ in range(2)]
    plain = TrialStep(networks[0], CONFIG, CPU, read_settings({}))
    monkeypatch.setattr(trial_step, "compiled_evaluate", lambda device, settings: fail)
    failing = TrialStep(networks[1], CONFIG, CPU, read_settings({}))
    with caplog.at_level(logging.WARNING):
        losses = [[step(example(CONFIG, 16))[0] for _ in range(2)] for step in (plain, failing)]
    assert losses[0] == losses[1]
    for one, other in zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True):
        assert torch.equal(one, other)
    assert [record.message for record in caplog.records] == [
        "training goes on without compilation, which failed: no compiler"
    ]


def test_code_that_cannot_be_compiled_for_larger_images(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail_at_32(network: torch.nn.Module, images: torch.Tensor, *others: Any) -> object:
        if images.shape[-1] == 32:
            raise ValueError("no compiler")
        return evaluate(network, images, *others)

    config = replace(CONFIG, model="speed_net", widening=0.5)
    monkeypatch.setattr(trial_step, "compiled_evaluate", lambda device, settings: fail_at_32)
    step = TrialStep(build_model(config), config, CPU, read_settings({}))
    for side in (24, 24, 32, 32):
        loss, _ = step(example(config, config.batch_size, side))
        assert loss.isfinite()
    assert len(caplog.records) == 1


def test_want_of_memory_is_no_want_of_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(trial_step, "compiled_evaluate", lambda device, settings: fail)
    with pytest.raises(torch.OutOfMemoryError):
        TrialStep(build_model(CONFIG), CONFIG, CPU, read_settings())(example(CONFIG, 16))
