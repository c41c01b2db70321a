"""The counted ASHA decides as Ray Tune's own does."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import ASHAScheduler

from cifar_ray.planning.counted_asha import CountedASHA, CountedRung
from cifar_ray.studies import Budget
from cifar_ray.tuning.epoch_report import asha_settings
from cifar_ray.tuning.pass_asha import PassASHA
from cifar_ray.tuning.standing import Standing

CONTROLLER = SimpleNamespace(_actor_manager=SimpleNamespace(_actor_task_failed=None), _trial_task_failure=None)


@given(
    counts=st.lists(st.integers(0, 50), min_size=1, max_size=40),
    percentage=st.one_of(st.floats(0, 100), st.sampled_from([50.0, (1 - 1 / 3) * 100, 75.0])),
)
@settings(max_examples=300)
def test_a_percentile_is_numpys_to_the_last_bit(counts: list[int], percentage: float) -> None:
    rung = CountedRung(50)
    for index, count in enumerate(counts):
        rung[str(index)] = count / 50
    assert rung.percentile(percentage) == np.nanpercentile([count / 50 for count in counts], percentage)


def decisions(scheduler: Any, budget: Budget, num_images: int, seed: int) -> list[tuple[str, int, str]]:
    """Of a random run with 12 trials at once: trial, epoch, answer."""
    rng, made, running, next_trial = random.Random(seed), [], {}, 0
    while running or next_trial < budget.num_trials:
        while len(running) < 12 and next_trial < budget.num_trials:
            name, next_trial = f"t{next_trial}", next_trial + 1
            scheduler.on_trial_add(None, SimpleNamespace(trial_id=name))
            running[name] = (0, rng.random())
        name = rng.choice(list(running))
        trial, epoch, quality = SimpleNamespace(trial_id=name), running[name][0] + 1, running[name][1]
        accuracy = round(min(1.0, quality * epoch / (epoch + 2) + rng.random() / 5) * num_images) / num_images
        result = {"epoch": epoch, "validation_accuracy": accuracy}
        answer = scheduler.on_trial_result(None, trial, result)
        made.append((name, epoch, answer))
        running[name] = (epoch, quality)
        if answer == "STOP":
            scheduler.on_trial_complete(None, trial, result)
            del running[name]
    return made


@pytest.mark.parametrize(
    ("max_epochs", "grace_period", "reduction_factor", "num_images"),
    [(30, 1, 4, 5000), (30, 1, 4, 20), (16, 2, 2, 100), (9, 1, 3, 7), (50, 3, 4, 1000), (1, 1, 2, 10)],
)
def test_its_decisions_are_ray_tunes_own(
    max_epochs: int, grace_period: int, reduction_factor: int, num_images: int
) -> None:
    budget = Budget(num_trials=200, max_epochs=max_epochs, grace_period=grace_period, reduction_factor=reduction_factor)
    for seed in range(3):
        ours = decisions(CountedASHA(budget, num_images), budget, num_images, seed)
        assert ours == decisions(ASHAScheduler(**asha_settings(budget)), budget, num_images, seed)
        assert max_epochs == 1 or {answer for *_, answer in ours} == {"STOP", "CONTINUE"}


def decisions_of_passes(scheduler: Any, budget: Budget, num_images: int, seed: int) -> list[tuple[str, int, str]]:
    """Of a random sweep in a cohort of 12, by Ray Tune's own scheduler of sweeps or by that of plans."""
    rng, made, running, next_trial = random.Random(seed), [], {}, 0
    while running or next_trial < budget.num_trials:
        while len(running) < 12 and next_trial < budget.num_trials:
            trial = SimpleNamespace(trial_id=f"ray{next_trial}", config={"trial_id": f"t{next_trial:04d}"})
            scheduler.on_trial_add(CONTROLLER, trial)
            running[f"t{next_trial:04d}"], next_trial = (trial, 1, rng.random()), next_trial + 1
        standings = [
            Standing(
                name, epoch, round(min(1.0, quality * epoch / (epoch + 2) + rng.random() / 5) * num_images) / num_images
            )
            for name, (_, epoch, quality) in running.items()
        ]
        if isinstance(scheduler, CountedASHA):
            for name, epoch, accuracy in standings:
                scheduler.announce(running[name][0].trial_id, epoch, accuracy)
        for name, epoch, accuracy in standings:
            trial, _, quality = running[name]
            result = {"epoch": epoch, "validation_accuracy": accuracy, "pass": standings}
            answer = scheduler.on_trial_result(CONTROLLER, trial, result)
            made.append((name, epoch, answer))
            running[name] = (trial, epoch + 1, quality)
            if answer == "STOP":
                scheduler.on_trial_complete(CONTROLLER, trial, result)
                del running[name]
    return made


@pytest.mark.parametrize(("max_epochs", "grace_period", "num_images"), [(30, 1, 5000), (30, 3, 5000), (9, 1, 7)])
def test_its_decisions_on_a_cohorts_passes_are_a_sweeps(max_epochs: int, grace_period: int, num_images: int) -> None:
    budget = Budget(num_trials=100, max_epochs=max_epochs, grace_period=grace_period, reduction_factor=4)
    for seed in range(3):
        ours = decisions_of_passes(CountedASHA(budget, num_images), budget, num_images, seed)
        assert ours == decisions_of_passes(PassASHA(**asha_settings(budget)), budget, num_images, seed)


@pytest.mark.parametrize("run", [decisions, decisions_of_passes])
def test_of_trials_that_have_ended_nothing_is_kept_but_their_counts(run: Callable[..., object]) -> None:
    budget = Budget(num_trials=500, max_epochs=9, reduction_factor=3)
    scheduler = CountedASHA(budget, 100)
    run(scheduler, budget, 100, 0)
    assert not scheduler._trial_info
    assert not any(scheduler._rungs.values())
    assert scheduler._rungs[1].num_recorded == 500
