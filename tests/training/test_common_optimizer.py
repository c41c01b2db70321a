"""One optimiser for all members keeps them apart; its steps are compared in test_cohort.py."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from trials import make_trial

from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig
from cifar_ray.training.fused_group import FusedGroup
from cifar_ray.training.learner import Learner

CPU = torch.device("cpu")
IMAGES = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(8)


def make_learners(runs: RunStore, executor: ThreadPoolExecutor, sweep_id: str, rate: float) -> list[Learner]:
    """Two, of which the second has that rate."""
    learners = []
    for index, each in enumerate((0.01, rate)):
        config = TrialConfig(
            model="classic_cnn",
            max_epochs=1,
            learning_rate=each,
            optimizer="sgd" if index else "adam",
            weight_decay=0.01,
            dropout=0.1,
        )
        trial = make_trial(runs, config, f"t{index:04d}", sweep_id)
        learners.append(Learner(trial, device=CPU, steps_per_epoch=3, executor=executor))
    return learners


@pytest.mark.parametrize("steps_as_one", [False, True], ids=["many", "one"])
def test_a_member_that_diverges_touches_no_other(runs: RunStore, steps_as_one: bool) -> None:
    found = []
    with ThreadPoolExecutor(1) as executor:
        for sweep_id, rate in (("wild", 1e30), ("tame", 0.01)):
            learners = make_learners(runs, executor, sweep_id, rate)
            group = FusedGroup(learners, CPU, "32-true", steps_as_one=steps_as_one)
            for _ in range(3):
                group.train(IMAGES, LABELS)
            group.end_pass()
            found.append(learners)
    (first, wild), (same, _) = found
    assert not all(each.isfinite().all() for each in wild.network.parameters())
    for one, other in zip(first.network.parameters(), same.network.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(first.optimizer.state[one]["exp_avg"], same.optimizer.state[other]["exp_avg"])
        assert first.optimizer.state[one]["step"] == 3
