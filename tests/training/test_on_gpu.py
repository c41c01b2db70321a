"""What only a GPU can do gives what plain steps give there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch

from cifar_ray.models import build_model
from cifar_ray.settings import read_settings
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.compilation import compiled_step
from cifar_ray.training.fused_group import FusedGroup
from cifar_ray.training.learner import Learner, Trial
from cifar_ray.training.objective import Objective, differentiate

pytestmark = [
    pytest.mark.gpu,
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
def test_a_compiled_training_is_a_plain_one(model: str) -> None:
    """Two trials after one another, of two optimisers."""
    device = torch.device("cuda")
    for seed, optimizer in ((1, torch.optim.SGD), (2, torch.optim.Adam)):
        config = replace(CONFIG, model=model, seed=seed)
        with compiled_step(config, device, "32-true", read_settings()) as step:
            assert step is not None
            sides = []
            for network, run in (
                (step.place(build_model(config), config), step.differentiate),
                (build_model(config).to(device), differentiate),
            ):
                stepper = optimizer(network.parameters(), lr=0.001, fused=True)
                objective, losses = Objective(config, seed=0), []
                for images, labels in draw_batches(device):
                    stepper.zero_grad(set_to_none=True)
                    loss, _ = run(network, objective.prepare(images, labels))
                    stepper.step()
                    losses.append(loss.detach().clone())
                sides.append(torch.stack(losses))
        assert torch.allclose(*sides, rtol=1e-2, atol=1e-3)


def test_a_recorded_pass_is_a_plain_one(runs: RunStore) -> None:
    device = torch.device("cuda")
    settings = ({}, {"optimizer": "adam", "learning_rate": 0.001}, {"schedule": "cosine"}, {"dropout": 0.5})
    means = []
    with ThreadPoolExecutor(1) as executor:
        for records in (False, True):
            learners = []
            for index, each in enumerate(settings):
                store = CheckpointStore(runs.objects, f"cnn-{records}", f"t{index:04d}")
                trial = Trial(trial_id=f"t{index:04d}", config=replace(CONFIG, **each), checkpoints=store)  # type: ignore[arg-type]  # the test's own settings
                learners.append(Learner(trial, device=device, steps_per_epoch=NUM_BATCHES, executor=executor))
            group = FusedGroup(learners, device, "32-true", records=records)
            for images, labels in draw_batches(device):
                group.train(images, labels)
            group.end_pass(NUM_BATCHES)
            means.append([loss for loss, _ in group.train_tally.means()])
    assert means[1] == pytest.approx(means[0], rel=1e-3)
