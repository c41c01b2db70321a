"""A sweep in Weights & Biases: a group, with one run for each trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray
from ray.air.integrations.wandb import WandbLoggerCallback
from ray.air.util.node import _force_on_current_node

from cifar_ray.records import SweepRecord


class WandbRuns(WandbLoggerCallback):
    """Ray Tune's callback, which logs from a process of its own for each trial, on the driver's node."""

    def __init__(self, sweep: SweepRecord, project: str) -> None:
        tags = [sweep.study, sweep.dataset.name[:60]]
        # a trial that another driver resumes continues its run
        super().__init__(project=project, group=sweep.sweep_id, tags=tags, resume="allow")
        # like the base class, except for the key: that would write it into the actors' runtime environment, which Ray's
        # dashboard and logs show. The processes get it from the environment that the node was started in
        self._remote_logger_class = ray.remote(
            num_cpus=0, **_force_on_current_node(), max_restarts=-1, max_task_retries=-1
        )(self._logger_actor_cls)

    def log_trial_start(self, trial: Any) -> None:
        """Start the trial's run, in the trial's folder."""
        Path(trial.local_path).mkdir(parents=True, exist_ok=True)
        super().log_trial_start(trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Have the runs of trials that still train end with what they were given: Ray waits for it, and never asks."""
        for trial in self._trial_queues:
            self._signal_logging_actor_stop(trial)
        super().on_experiment_end(trials, **info)
