"""A trial that trains by itself, as Ray Tune runs it."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

from cifar_ray.data.split import TrainingData
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.tuning.assignment import assigned_trial
from cifar_ray.tuning.epoch_report import report_epoch
from cifar_ray.tuning.patient_trainable import PatientTrainable
from cifar_ray.tuning.standing import Standing


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a sweep share, besides the data."""

    sweep_id: str
    storage: str
    data_seed: int | None
    """For the batches' order and the augmentation; None where each trial's own seed is used."""
    cpus_per_trial: float


def run_trial(assignment: dict[str, Any], *, data: TrainingData, plan: TrialPlan) -> None:
    """Ray Tune's function trainable; `assignment` is what `assign` returns."""
    # the driver trains nothing and must not load torch, which takes three seconds and a third of a gigabyte
    from cifar_ray.training.trial import train_trial  # noqa: PLC0415

    _quieten_lightning()
    trial = assigned_trial(assignment, PatientStore(open_store(plan.storage)), plan.sweep_id)
    num_threads = max(1, math.floor(plan.cpus_per_trial))
    data_seed = trial.config.seed if plan.data_seed is None else plan.data_seed

    def report_alone(metrics: EpochMetrics) -> None:
        report_epoch(metrics, [Standing.of(metrics)])

    train_trial(trial, data, report_alone, data_seed=data_seed, num_threads=num_threads, on_history=report_epoch)


# Ray Tune derives the function's trainable class from these, besides its own
run_trial.__mixins__ = (PatientTrainable,)  # type: ignore[attr-defined]


def _quieten_lightning() -> None:
    """Its messages about devices and loggers, once per trial, would drown the job's log."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
