"""A sweep in MLflow: one run for each trial, however many drivers the sweep has."""

from __future__ import annotations

import os
from typing import Any

from ray.air.integrations.mlflow import MLflowLoggerCallback

from cifar_ray.records import SweepRecord

_ENVIRONMENT = {
    # by default MLflow retries for minutes where no server answers
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # as with Ray: no usage reports unless the user asks for them
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MLflowRuns(MLflowLoggerCallback):
    """Ray Tune's callback; finds a resumed trial's run by its tags, and continues after its last epoch.

    The server's address and credentials are left to MLflow, which takes them from the environment.
    """

    def __init__(self, sweep: SweepRecord, experiment: str) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        tags = {
            "sweep_id": sweep.sweep_id,
            "study": sweep.study,
            "seed": str(sweep.seed),
            "dataset": sweep.dataset.name,
        }
        tags |= {"dataset_sha256": sweep.dataset.fingerprint, "commit": sweep.commit or "unknown"}
        # resuming the sweep keeps it; another of the same id, as in another store, has its own
        tags["started_at"] = sweep.started_at
        super().__init__(experiment_name=experiment, tags=tags)
        self._sweep = sweep
        self._logged: dict[Any, int] = {}

    def log_trial_start(self, trial: Any) -> None:
        """Start or find the trial's run, and log its settings."""
        if trial not in self._trial_runs and (run_id := self._find(trial)):
            self._trial_runs[trial] = run_id
            history = self.mlflow_util._get_client().get_metric_history(run_id, "validation_accuracy")
            self._logged[trial] = max((metric.step for metric in history), default=0)
        super().log_trial_start(trial)

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        """Log an epoch that the run does not have yet."""
        if iteration > self._logged.get(trial, 0):
            super().log_trial_result(iteration, trial, result)

    def _find(self, trial: Any) -> str | None:
        util = self.mlflow_util
        wanted = f"tags.sweep_id = '{self._sweep.sweep_id}' and tags.trial_name = '{trial}'"
        for run in util._get_client().search_runs([util.experiment_id], wanted):
            # runs of former versions say nothing of it
            if run.data.tags.get("started_at", self._sweep.started_at) == self._sweep.started_at:
                return str(run.info.run_id)
        return None
