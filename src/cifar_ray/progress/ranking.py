"""Orders trials, the best first."""

from __future__ import annotations

from collections.abc import Iterable

from cifar_ray.records import TrialRecord


def best_first(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """By best validation accuracy, of equal ones by trial id; those without one last."""
    return sorted(trials, key=lambda trial: (-(trial.best_validation_accuracy or 0.0), trial.trial_id))
