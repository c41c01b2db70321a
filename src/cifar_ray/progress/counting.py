"""Derives the counts in a trial's record from its epochs' metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from cifar_ray.records import EpochMetrics, TrialRecord


def with_epoch(trial: TrialRecord, line: EpochMetrics, accelerators: float) -> TrialRecord:
    """`trial` with one more epoch, not counted yet; `accelerators` are those that the trial or its cohort holds."""
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
    """`trial` recounted from its epochs in `metrics`, whatever its record says."""
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
