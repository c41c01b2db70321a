"""What only a GPU can do gives what plain steps give there."""

from __future__ import annotations

import gc
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from trials import make_trial, train

from benchmarks.peaks import Convolution, convolution_rate, product_rate
from cifar_ray.cifar10 import CLASSES
from cifar_ray.data.image_set import ImageSet
from cifar_ray.data.split import TrainingData, split
from cifar_ray.models import build_model
from cifar_ray.settings import read_settings
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES, TrialConfig
from cifar_ray.studies.trial_config import Averaging
from cifar_ray.training import cohort
from cifar_ray.training.clipping import clip_gradients, clipped_parameters
from cifar_ray.training.feeds import image_size, training_feed
from cifar_ray.training.fused_group import FusedGroup
from cifar_ray.training.learner import Learner
from cifar_ray.training.muon import Muon
from cifar_ray.training.objective import Objective
from cifar_ray.training.trial_step import TrialStep

pytestmark = [
    pytest.mark.gpu,
    # torch's own, of its own
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*"),
    pytest.mark.filterwarnings("ignore::FutureWarning:torch.*"),
    # its advice on float32 products, which as an error would leave networks uncompiled
    pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores:UserWarning"),
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]
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
NUM_BATCHES = 8


def draw_batches(device: torch.device) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The last is smaller."""
    generator = torch.Generator().manual_seed(0)
    sizes = [CONFIG.batch_size] * (NUM_BATCHES - 1) + [5]
    return [
        (
            torch.randn(size, 3, 32, 32, generator=generator).to(device, memory_format=torch.channels_last),
            torch.randint(10, (size,), generator=generator).to(device),
        )
        for size in sizes
    ]


@pytest.mark.parametrize("model", ["classic_cnn", "resnet"])
@pytest.mark.parametrize("mixup", [0.0, 0.2])
def test_a_compiled_training_is_a_plain_one(model: str, mixup: float) -> None:
    """Two trials after one another, of two optimisers; each goes on to batches after a smaller one."""
    device = torch.device("cuda")
    for seed, optimizer in ((1, torch.optim.SGD), (2, torch.optim.Adam)):
        config = replace(CONFIG, model=model, seed=seed, mixup=mixup)
        sides = []
        for switch in ("on", "off"):
            network = build_model(config).to(device)
            step = TrialStep(network, config, device, read_settings({"CIFAR_RAY_COMPILE": switch}))
            stepper = optimizer(network.parameters(), lr=0.001, fused=True)
            objective, losses = Objective(config, seed=0), []
            batches = [*draw_batches(device), *draw_batches(device)]
            if model == "resnet":
                # the first images of a training may be smaller
                smaller = [(functional.avg_pool2d(images, 2), labels) for images, labels in draw_batches(device)]
                batches = [*smaller, *batches]
            for images, labels in batches:
                loss, _ = step(objective.prepare(images, labels))
                stepper.step()
                losses.append(loss.clone())
            if switch == "on":
                # each size of images is recorded
                assert step._recorded is not None
                assert step._recorded._batch[0].shape[-1] == 32
            sides.append(torch.stack(losses))
        assert torch.allclose(*sides, rtol=1e-2, atol=1e-3)


def test_a_recorded_pass_is_a_plain_one(runs: RunStore) -> None:
    device = torch.device("cuda")
    settings = (
        {"averaging": "ema"},
        {"optimizer": "adam", "learning_rate": 0.001},
        {"schedule": "cosine"},
        {"dropout": 0.5},
        # which writes into the weights that the graph reads
        {"averaging": "lookahead"},
    )
    means, averages = [], []
    with ThreadPoolExecutor(1) as executor:
        for records in (False, True):
            learners = []
            for index, each in enumerate(settings):
                trial = make_trial(runs, replace(CONFIG, **each), f"t{index:04d}", f"cnn-{records:d}")  # type: ignore[arg-type]  # the test's own settings
                learners.append(Learner(trial, device=device, steps_per_epoch=NUM_BATCHES, executor=executor))
            group = FusedGroup(learners, device, "32-true", records=records)
            for images, labels in draw_batches(device):
                group.train(images, labels)
            group.end_pass()
            means.append([loss for loss, _ in group.train_tally.means()])
            averages.append([each.average.average for each in learners if each.average is not None])
    for plain, recorded in zip(*averages, strict=True):
        for name, values in plain.items():
            assert torch.allclose(values, recorded[name], rtol=1e-3, atol=1e-5), name
    assert means[1] == pytest.approx(means[0], rel=1e-3)


@pytest.fixture(scope="module")
def gpu_data() -> TrainingData:
    """4,096 random images whose class is their brightness: seven of any study's largest batches, and a rest."""
    rng = np.random.default_rng(0)
    labels = np.arange(4096, dtype=np.int64) % 10
    images = rng.integers(0, 20, (4096, 3, 32, 32)) + labels[:, None, None, None] * 23
    return split(ImageSet(source="r", name="r", images=images.astype(np.uint8), labels=labels, classes=CLASSES), seed=0)


def test_batches_are_those_of_a_cpu(gpu_data: TrainingData) -> None:
    """Smaller images of `fast`: moved, blanked, normalised, shrunk."""
    config = STUDIES["fast"].sample(0)[0]
    feeds = [training_feed(gpu_data, config, torch.device(name), data_seed=3) for name in ("cpu", "cuda")]
    for epoch in (1, config.max_epochs):
        for feed in feeds:
            feed.set_epoch(epoch, image_size(config, epoch))
        here, there = (list(chain.from_iterable(feed)) for feed in feeds)
        assert [len(labels) for _, labels in here] == [len(labels) for _, labels in there]
        for (images, labels), (others, other_labels) in zip(here, there, strict=True):
            assert others.is_contiguous(memory_format=torch.channels_last)
            assert torch.equal(labels, other_labels.cpu())
            assert torch.allclose(images, others.cpu(), atol=1e-4)


def test_the_mirrored_speed_net_is_that_of_a_cpu() -> None:
    torch.manual_seed(0)
    images, labels = torch.randn(32, 3, 24, 24), torch.randint(10, (32,))
    config = replace(CONFIG, model="speed_net", flip_equivariant=True, block_depth=3)
    logits, gradients = [], []
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for name in ("cpu", "cuda"):
            network = build_model(config)
            network.whiten(images)
            network = network.to(name)
            logits.append(network(images.to(name, memory_format=torch.channels_last)))
            functional.cross_entropy(logits[-1], labels.to(name)).backward()
            gradients.append([each.grad.cpu() for each in network.parameters() if each.grad is not None])
    assert torch.allclose(logits[0], logits[1].cpu(), rtol=1e-3, atol=1e-3)
    for here, there in zip(*gradients, strict=True):
        assert (here - there).norm() < 1e-2 * here.norm()


def test_muon_steps_as_on_a_cpu() -> None:
    """There filters of one shape are made orthogonal together."""
    torch.manual_seed(0)
    shapes = [(64, 32, 3, 3), (64, 32, 3, 3), (32, 64, 3, 3), (64, 32, 3, 3)]
    weights, gradients = ([torch.randn(shape) for shape in shapes] for _ in range(2))
    sides = []
    for name in ("cpu", "cuda"):
        parameters = [nn.Parameter(each.to(name, copy=True)) for each in weights]
        muon = Muon([{"params": parameters, "is_orthogonal": True}], lr=0.1, momentum=0.9, nesterov=True)
        for _ in range(3):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.to(name, copy=True)
            muon.step()
        sides.append([each.detach().cpu() for each in parameters])
    for here, there in zip(*sides, strict=True):
        assert (here - there).norm() < 2e-2 * here.norm()


def test_gradients_are_clipped_as_on_a_cpu() -> None:
    config = replace(CONFIG, model="nf_resnet")
    sides = []
    for name in ("cpu", "cuda"):
        network, generator = build_model(config).to(name), torch.Generator().manual_seed(0)
        for each in network.parameters():
            each.grad = (torch.randn(each.shape, generator=generator) * 0.05).to(each)
        clip_gradients(clipped_parameters(network), 0.04)
        sides.append([each.grad.cpu() for each in network.parameters() if each.grad is not None])
    for here, there in zip(*sides, strict=True):
        assert torch.allclose(here, there, rtol=1e-4)


def test_trials_of_one_process_hold_no_more_than_one_does(runs: RunStore, gpu_data: TrainingData) -> None:
    held = []
    gc.disable()
    try:
        for index in range(3):
            train(make_trial(runs, replace(CONFIG, model="resnet"), sweep_id=f"cnn-{index}"), gpu_data)
            held.append(torch.cuda.memory_allocated())
    finally:
        gc.enable()
    assert held == pytest.approx([held[0]] * 3, rel=0.1)


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_every_study_trains_and_goes_on(
    name: str, runs: RunStore, gpu_data: TrainingData, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Compiled as in plain code; and a training that was stopped ends as one that was not."""
    caplog.set_level(logging.WARNING)
    drawn = STUDIES[name].sample(0)[0]
    # with small rates, so that rounding does not grow from step to step
    rates = {"learning_rate": drawn.learning_rate / 20, "filter_rate": drawn.filter_rate / 20}
    config = replace(drawn, max_epochs=3, dropout=0.0, **rates)
    compiled = train(make_trial(runs, config, sweep_id="whole"), gpu_data)
    assert not [record for record in caplog.records if record.name.startswith("cifar_ray")]
    train(make_trial(runs, config, sweep_id="parts"), gpu_data, until=2)
    continued = train(make_trial(runs, config, sweep_id="parts"), gpu_data)
    monkeypatch.setenv("CIFAR_RAY_COMPILE", "off")
    plain = train(make_trial(runs, config, sweep_id="plain"), gpu_data)
    assert len(compiled) == len(continued) == len(plain) == config.max_epochs
    losses = [[line.train_loss for line in each] for each in (plain, compiled)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1, abs=0.05)
    for loss in ("train_loss", "validation_loss"):
        before, last, again = (getattr(line, loss) for line in (*compiled[-2:], continued[-1]))
        # an epoch that began with other weights, or another average of them, would be further away
        assert abs(again - last) < max(0.01, abs(before - last) / 4), loss


def test_streams_change_nothing(runs: RunStore, gpu_data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four shapes beside each other learn what they learn one after another. What goes wrong does so by chance."""
    losses: list[list[tuple[float, float]]] = []
    averages: tuple[Averaging, ...] = ("none", "ema", "lookahead")
    for turn, num_streams in enumerate((1, *[cohort.NUM_STREAMS] * 4)):
        monkeypatch.setattr(cohort, "NUM_STREAMS", num_streams)
        members = cohort.Cohort(gpu_data, data_seed=0)
        for index in range(8):
            config = replace(
                CONFIG,
                max_epochs=2,
                batch_norm=bool(index & 1),
                augmentation=bool(index & 2),
                dropout=0.1 * (index % 3),
                averaging=averages[index % 3],
            )
            members.add(make_trial(runs, config, f"t{index:04d}", f"turn-{turn}"))
        lines = [line for _ in range(2) for line in members.train_epoch([f"t{index:04d}" for index in range(8)])]
        members.close()
        losses.append([(line.train_loss, line.validation_loss) for line in lines])
    assert losses == [losses[0]] * len(losses)


def test_a_convolution_reaches_what_a_product_does() -> None:
    """About: without cuDNN it is a hundredth."""
    device = torch.device("cuda")
    shape = Convolution(num_channels=128, size=16, batch_size=512)
    convolution = convolution_rate(device, torch.bfloat16, shape, budget_s=0.1)
    assert convolution > 0.2 * product_rate(device, torch.bfloat16, 4096, budget_s=0.1)
