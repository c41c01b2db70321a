"""Sweeps of trials that sleep instead of training, alone or in a cohort."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks.sweeps import SweepRun, local_ray, make_plan, run_plan
from cifar_ray.data.split import TrainingData
from cifar_ray.records import EpochMetrics
from cifar_ray.studies import TrialConfig, get_study
from cifar_ray.training import cohort
from cifar_ray.training.learner import Trial
from cifar_ray.tuning import engine_watch, sweep
from cifar_ray.tuning.engine import CohortEngine, EnginePlan
from cifar_ray.tuning.epoch_report import report_epoch
from cifar_ray.tuning.trainable import TrialPlan

NUM_EPOCHS = 3
NAP_S = 0.01


@dataclass(frozen=True, kw_only=True)
class SleepingSweep:
    """Its timing and memory."""

    run: SweepRun
    start_s: float
    """Until the first trial's first epoch."""
    slept_s: float
    """Wall time of all epochs, with as many trials at once as are allowed."""
    peak_bytes: int
    """Of the driver's memory."""


class SleepingLearner:
    """Stands in for `Learner`."""

    def __init__(self, trial: Trial) -> None:
        self.history: list[EpochMetrics] = []
        self._trial = trial

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are done."""
        return len(self.history) >= self._trial.config.max_epochs

    def end_epoch(self) -> EpochMetrics:
        """Add an epoch; its metrics."""
        self.history.append(make_metrics(self._trial.trial_id, len(self.history) + 1))
        return self.history[-1]


class SleepingCohort:
    """Stands in for `Cohort`."""

    def __init__(self, folder: str, data: TrainingData, *, data_seed: int, num_threads: int) -> None:
        self._folder = folder
        self._learners: dict[str, SleepingLearner] = {}
        self.failures: dict[str, Exception] = {}

    def add(self, trial: Trial) -> SleepingLearner:
        """Add a trial."""
        self._learners[trial.trial_id] = SleepingLearner(trial)
        return self._learners[trial.trial_id]

    def remove(self, trial_id: str) -> None:
        """Remove a trial."""
        self._learners.pop(trial_id)

    def train_epoch(self, trial_ids: Collection[str]) -> list[EpochMetrics]:
        """Sleep once for all trials."""
        nap(self._folder)
        return [self._learners[trial_id].end_epoch() for trial_id in sorted(trial_ids)]

    def close(self) -> None:
        """There are no uploads to wait for."""


class SleepingEngine(CohortEngine):
    """The package's engine with a sleeping cohort."""

    def __init__(self, data: TrainingData, plan: EnginePlan) -> None:
        with patch.object(cohort, "Cohort", partial(SleepingCohort, plan.storage)):
            super().__init__(data, plan)


def sleep_trial(assignment: dict[str, Any], *, data: TrainingData, plan: TrialPlan) -> None:
    """Stands in for `run_trial`."""
    config = TrialConfig.from_dict(assignment["settings"])
    for epoch in range(1, config.max_epochs + 1):
        nap(plan.storage)
        report_epoch(make_metrics(assignment["trial_id"], epoch))


def run_sleeping(data: TrainingData, num_trials: int, seed: int, num_cpus: int, is_cohort: bool) -> SleepingSweep:
    """Run the package's sweep, patched since it has no other way to replace training."""
    configs = get_study("cnn").with_budget(num_trials=num_trials, max_epochs=NUM_EPOCHS).sample(seed)
    with tempfile.TemporaryDirectory() as folder, local_ray(num_cpus):
        plan = make_plan(data, configs, seed, folder, is_cohort=is_cohort)
        began = time.time()
        with patch.object(sweep, "run_trial", sleep_trial), patch.object(engine_watch, "CohortEngine", SleepingEngine):
            run = run_plan(plan)
        return SleepingSweep(
            run=run,
            start_s=float(_first_nap(folder).read_text()) - began,
            slept_s=run.num_epochs * NAP_S / plan.max_concurrent_trials,
            peak_bytes=_peak_memory_bytes(),
        )


def nap(folder: str) -> None:
    """Sleep for an epoch, and note the time of the sweep's first."""
    try:
        with _first_nap(folder).open("x") as file:
            file.write(str(time.time()))
    except FileExistsError:
        pass
    time.sleep(NAP_S)


def make_metrics(trial_id: str, epoch: int) -> EpochMetrics:
    """Metrics of an epoch at chance."""
    return EpochMetrics(
        trial_id=trial_id,
        epoch=epoch,
        train_loss=1.0,
        train_accuracy=0.1,
        validation_loss=1.0,
        validation_accuracy=0.1,
        learning_rate=0.1,
        seconds=NAP_S,
    )


def _peak_memory_bytes() -> int:
    """Peak of this process. `getrusage` would include its parent's memory when it forked."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def _first_nap(folder: str) -> Path:
    return Path(folder) / "first-nap"
