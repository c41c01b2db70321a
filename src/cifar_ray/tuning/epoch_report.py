"""How a trial tells Ray Tune of an epoch, whoever trains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ray import tune

from cifar_ray.records import EpochMetrics

TIME_ATTRIBUTE = "epoch"
METRIC = "validation_accuracy"
METRICS_KEY = "metrics"
"""Under which the whole EpochMetrics travel, as plain values; Ray Tune has a `trial_id` of its own beside."""


def report_epoch(metrics: EpochMetrics) -> None:
    """Blocks until Ray Tune wants the next epoch; raises SystemExit where it stops the trial."""
    tune.report(to_result(metrics))


def to_result(metrics: EpochMetrics) -> dict[str, Any]:
    """What Ray Tune is given."""
    return {
        TIME_ATTRIBUTE: metrics.epoch,
        METRIC: metrics.validation_accuracy,
        METRICS_KEY: asdict(metrics),
    }


def from_result(result: Mapping[str, Any]) -> EpochMetrics:
    """The epoch in what Ray Tune passes on: nested to schedulers and callbacks, flat to searchers."""
    prefix = f"{METRICS_KEY}/"
    flat = {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
    return EpochMetrics(**result.get(METRICS_KEY, flat))
