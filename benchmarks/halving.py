"""Successive halving over a cohort, in place of Ray Tune's ASHA where there is no Ray.

The same grace period, reduction factor and most epochs. It differs in waiting: all trials of a rung are compared at
once (Jamieson and Talwalkar 2016), while ASHA decides each as it comes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from benchmarks.ours import make_trial
from cifar_ray.progress.asha import milestones
from cifar_ray.records import EpochMetrics
from cifar_ray.studies import Budget, TrialConfig
from cifar_ray.training.learner import Trial


class Trainer(Protocol):
    """What a cohort does."""

    def add(self, trial: Trial) -> object:
        """Take a trial in."""

    def train_epoch(self, trial_ids: Sequence[str]) -> list[EpochMetrics]:
        """An epoch of each of them."""

    def remove(self, trial_id: str) -> None:
        """Let a trial go."""


@dataclass(frozen=True, kw_only=True)
class HalvingRun:
    """How it went."""

    num_epochs: int
    """Over all trials."""
    best_validation_accuracy: float


def choose_survivors(accuracies: Mapping[str, float], reduction_factor: int) -> list[str]:
    """The best of each so many, at least one of any."""
    num_kept = math.ceil(len(accuracies) / reduction_factor)
    return sorted(accuracies, key=lambda trial_id: (-accuracies[trial_id], trial_id))[:num_kept]


def run_halving(cohort: Trainer, configs: Sequence[TrialConfig], budget: Budget) -> HalvingRun:
    """Train the configurations as the budget says; one that diverges leaves at once."""
    alive = []
    for index, config in enumerate(configs):
        trial = make_trial(config, index=index)
        cohort.add(trial)
        alive.append(trial.trial_id)
    num_epochs, best, epoch = 0, 0.0, 0
    for rung in (*milestones(budget), budget.max_epochs):
        latest: dict[str, float] = {}
        while epoch < rung and alive:
            lines = cohort.train_epoch(alive)
            epoch += 1
            num_epochs += len(lines)
            latest = {line.trial_id: line.validation_accuracy for line in lines if line.is_finite}
            best = max([best, *latest.values()])
            alive = _keep(cohort, alive, list(latest))
        if epoch < budget.max_epochs:
            alive = _keep(cohort, alive, choose_survivors(latest, budget.reduction_factor))
    _keep(cohort, alive, [])
    return HalvingRun(num_epochs=num_epochs, best_validation_accuracy=best)


def _keep(cohort: Trainer, alive: Sequence[str], kept: Sequence[str]) -> list[str]:
    """`kept`, once the others have left."""
    for trial_id in sorted(set(alive) - set(kept)):
        cohort.remove(trial_id)
    return list(kept)
