"""Synchronous successive halving over a cohort (Jamieson and Talwalkar 2016), where there is no Ray for ASHA.

Budgets and rungs are those of ASHA, which does not wait for all trials of a rung.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.ours import make_trial
from cifar_ray.progress.asha import milestones
from cifar_ray.studies import Budget, TrialConfig
from cifar_ray.training.cohort import Cohort


def choose_survivors(accuracies: Mapping[str, float], reduction_factor: int) -> list[str]:
    """The best 1 / `reduction_factor`, rounded up."""
    num_kept = math.ceil(len(accuracies) / reduction_factor)
    return sorted(accuracies, key=lambda trial_id: (-accuracies[trial_id], trial_id))[:num_kept]


def run_halving(cohort: Cohort, configs: Sequence[TrialConfig], budget: Budget) -> int:
    """Train the configurations within the budget, dropping diverged ones; the number of epochs over all trials."""
    alive = []
    for index, config in enumerate(configs):
        trial = make_trial(config, index=index)
        cohort.add(trial)
        alive.append(trial.trial_id)
    num_epochs = epoch = 0
    for rung in (*milestones(budget), budget.max_epochs):
        latest: dict[str, float] = {}
        while epoch < rung and alive:
            lines = cohort.train_epoch(alive)
            epoch += 1
            num_epochs += len(lines)
            latest = {line.trial_id: line.validation_accuracy for line in lines if line.is_finite}
            alive = _keep(cohort, alive, list(latest))
        if epoch < budget.max_epochs:
            alive = _keep(cohort, alive, choose_survivors(latest, budget.reduction_factor))
    _keep(cohort, alive, [])
    return num_epochs


def _keep(cohort: Cohort, alive: Sequence[str], kept: Sequence[str]) -> list[str]:
    """Remove all others from the cohort; returns `kept`."""
    for trial_id in sorted(set(alive) - set(kept)):
        cohort.remove(trial_id)
    return list(kept)
