"""An epoch as Ray Tune is told of it, whether the trial trains by itself or in a cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from ray import tune
from ray.tune.result import TRAINING_ITERATION

from cifar_ray.records import EpochMetrics
from cifar_ray.studies import Budget
from cifar_ray.tuning.standing import Standing

TIME_ATTRIBUTE = "epoch"
METRIC = "validation_accuracy"
METRICS_KEY = "metrics"
"""Key of the whole EpochMetrics, as plain values; nested, since Ray Tune adds a `trial_id` of its own."""
PASS_KEY = "pass"
"""Key of the standings of all trials of the epoch's pass; empty for an epoch that is repeated from a checkpoint."""


def asha_settings(budget: Budget) -> dict[str, Any]:
    """The arguments of Ray Tune's ASHA, or of a class derived from it, which is to judge these epochs."""
    return {
        "time_attr": TIME_ATTRIBUTE,
        "metric": METRIC,
        "mode": "max",
        "max_t": budget.max_epochs,
        "grace_period": budget.grace_period,
        "reduction_factor": budget.reduction_factor,
    }


def report_epoch(metrics: EpochMetrics, standings: Sequence[Standing] = ()) -> None:
    """Report an epoch and block until Ray Tune wants the next; raises SystemExit where it stops the trial.

    `standings` are as in `to_result`.
    """
    tune.report(to_result(metrics, standings))


def to_result(metrics: EpochMetrics, standings: Sequence[Standing] = ()) -> dict[str, Any]:
    """The result that Ray Tune is given.

    `standings` are those of all trials of its pass, whose own results reach the scheduler one by one: of a cohort's,
    or of the one that trains by itself. There are none where a resumed trial repeats the epoch without training it.
    """
    return {
        PASS_KEY: list(standings),
        TIME_ATTRIBUTE: metrics.epoch,
        METRIC: metrics.validation_accuracy,
        TRAINING_ITERATION: metrics.epoch,
        METRICS_KEY: asdict(metrics),
    }


def from_result(result: Mapping[str, Any]) -> EpochMetrics:
    """The epoch in a result that Ray Tune passes on: nested for schedulers and callbacks, flat for searchers."""
    prefix = f"{METRICS_KEY}/"
    flat = {key.removeprefix(prefix): value for key, value in result.items() if key.startswith(prefix)}
    return EpochMetrics(**result.get(METRICS_KEY, flat))
