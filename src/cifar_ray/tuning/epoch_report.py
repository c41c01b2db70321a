"""How a trial tells Ray Tune of an epoch, whoever trains it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray import tune

from cifar_ray.records import EpochMetrics
from cifar_ray.tuning.standing import Standing

TIME_ATTRIBUTE = "epoch"
METRIC = "validation_accuracy"
METRICS_KEY = "metrics"
"""Under which the whole EpochMetrics travel, as plain values; Ray Tune has a `trial_id` of its own beside."""
PASS_KEY = "pass"
"""Under which the standings of all trials of a cohort's pass travel, where the epoch was made in one."""


def report_epoch(metrics: EpochMetrics, standings: Sequence[Standing] = ()) -> None:
    """Blocks until Ray Tune wants the next epoch; raises SystemExit where it stops the trial.

    `standings` are those of all trials of a cohort's pass, which the scheduler hears of one by one.
    """
    tune.report(to_result(metrics, standings))


def to_result(metrics: EpochMetrics, standings: Sequence[Standing] = ()) -> dict[str, Any]:
    """What Ray Tune is given."""
    return {
        PASS_KEY: list(standings),
        TIME_ATTRIBUTE: metrics.epoch,
        METRIC: metrics.validation_accuracy,
        METRICS_KEY: asdict(metrics),
    }


def from_result(result: Mapping[str, Any]) -> EpochMetrics:
    """The epoch in what Ray Tune passes on: nested to schedulers and callbacks, flat to searchers."""
    prefix = f"{METRICS_KEY}/"
    flat = {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
    return EpochMetrics(**result.get(METRICS_KEY, flat))
