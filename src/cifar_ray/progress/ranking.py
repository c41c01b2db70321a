"""Orders trials, the best first."""

from __future__ import annotations

from collections.abc import Iterable

from cifar_ray.records import TrialRecord


def best_first(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Sort by best validation accuracy, then by trial id; trials without an accuracy come last."""
    return sorted(trials, key=_place)


def best_of(trials: Iterable[TrialRecord]) -> TrialRecord | None:
    """The best trial; None where none has a validation accuracy."""
    return min((each for each in trials if each.best_validation_accuracy is not None), key=_place, default=None)


def rank_key(accuracy: float | None, trial_id: str) -> tuple[bool, float, str]:
    """Sorts trials, best first: one without an accuracy comes last; of equal ones, the lower id comes first."""
    return accuracy is None, -(accuracy or 0.0), trial_id


def _place(trial: TrialRecord) -> tuple[bool, float, str]:
    return rank_key(trial.best_validation_accuracy, trial.trial_id)
