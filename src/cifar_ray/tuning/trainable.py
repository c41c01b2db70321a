"""A trial that trains by itself, as Ray Tune runs it."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import dataclass
from typing import Any

from cifar_ray.data.split import TrainingData
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.studies import TrialConfig
from cifar_ray.tuning.epoch_report import report_epoch
from cifar_ray.tuning.patient_trainable import PatientTrainable


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a sweep share, besides the data."""

    sweep_id: str
    storage: str
    data_seed: int | None
    """Of the batches' order and the augmentation; None where they follow each trial's own seed."""
    cpus_per_trial: float


def run_trial(assignment: dict[str, Any], *, data: TrainingData, plan: TrialPlan) -> None:
    """Ray Tune's function trainable; `assignment` holds `trial_id` and `settings`."""
    # the driver, which trains nothing, has no use for torch: three seconds and a third of a gigabyte
    from cifar_ray.training.learner import Trial  # noqa: PLC0415
    from cifar_ray.training.trial import train_trial  # noqa: PLC0415

    _quieten_lightning()
    trial_id = assignment["trial_id"]
    trial = Trial(
        trial_id=trial_id,
        config=TrialConfig.from_dict(assignment["settings"]),
        checkpoints=CheckpointStore(PatientStore(open_store(plan.storage)), plan.sweep_id, trial_id),
    )
    num_threads = max(1, math.floor(plan.cpus_per_trial))
    data_seed = trial.config.seed if plan.data_seed is None else plan.data_seed
    train_trial(trial, data, report_epoch, data_seed=data_seed, num_threads=num_threads)


# what Ray Tune derives a function's trainable from, besides its own
run_trial.__mixins__ = (PatientTrainable,)  # type: ignore[attr-defined]


def _quieten_lightning() -> None:
    """Its notes on devices and loggers, once a trial, would drown the job's log."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
