"""Adds epochs up: a trial's record as its metrics have it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cifar_ray.records import EpochMetrics, TrialRecord


def with_epoch(trial: TrialRecord, line: EpochMetrics, accelerators: float) -> TrialRecord:
    """`trial` after one epoch more, which must not be in it yet; `accelerators` are the trial's or its cohort's."""
    trial = replace(
        trial,
        num_epochs=max(trial.num_epochs, line.epoch),
        seconds=trial.seconds + line.seconds,
        accelerator_seconds=trial.accelerator_seconds + line.share_s * accelerators,
    )
    best = trial.best_validation_accuracy
    if line.is_finite and (best is None or line.validation_accuracy > best):
        return replace(trial, best_epoch=line.epoch, best_validation_accuracy=line.validation_accuracy)
    return trial


def recounted(trial: TrialRecord, metrics: Iterable[EpochMetrics], accelerators: float) -> TrialRecord:
    """`trial` with the epochs that `metrics` hold of it, whatever its record counted."""
    fresh = replace(
        trial,
        num_epochs=0,
        best_epoch=None,
        best_validation_accuracy=None,
        seconds=0.0,
        accelerator_seconds=0.0,
    )
    for line in metrics:
        if line.trial_id == trial.trial_id:
            fresh = with_epoch(fresh, line, accelerators)
    return fresh
