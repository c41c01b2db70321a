"""One trial as Ray Tune runs it: our training, its epochs reported."""

from __future__ import annotations

import logging
import math
import warnings
from dataclasses import asdict, dataclass
from typing import Any

from ray import tune

from cifar_ray.data.split import TrainingData
from cifar_ray.records import EpochMetrics
from cifar_ray.storage.checkpoints import CheckpointStore
from cifar_ray.storage.object_store import open_store
from cifar_ray.studies import TrialConfig
from cifar_ray.training.trial import Trial, train_trial
from cifar_ray.tuning.ledger import METRICS_KEY

TIME_ATTRIBUTE = "epoch"
METRIC = "validation_accuracy"


@dataclass(frozen=True, kw_only=True)
class TrialPlan:
    """What all trials of a sweep share, besides the data."""

    sweep_id: str
    storage: str
    data_seed: int
    cpus_per_trial: float


def run_trial(assignment: dict[str, Any], *, data: TrainingData, plan: TrialPlan) -> None:
    """Ray Tune's function trainable; `assignment` holds `trial_id` and `settings`."""
    _quieten_lightning()
    trial_id = assignment["trial_id"]
    trial = Trial(
        trial_id=trial_id,
        config=TrialConfig.from_dict(assignment["settings"]),
        data=data,
        data_seed=plan.data_seed,
        checkpoints=CheckpointStore(open_store(plan.storage), plan.sweep_id, trial_id),
        num_threads=max(1, math.floor(plan.cpus_per_trial)),
    )
    train_trial(trial, _report)


def _quieten_lightning() -> None:
    """Its notes on devices and loggers, once a trial, would drown the job's log."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")


def _report(metrics: EpochMetrics) -> None:
    """Blocks until Ray Tune wants the next epoch; raises SystemExit where it stops the trial."""
    tune.report(
        {
            TIME_ATTRIBUTE: metrics.epoch,
            METRIC: metrics.validation_accuracy,
            METRICS_KEY: asdict(metrics),
        }
    )
