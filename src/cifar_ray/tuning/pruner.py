"""Removes, while a sweep runs, the checkpoints of trials that have ended and can no longer win."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from cifar_ray.errors import StorageError
from cifar_ray.storage import layout
from cifar_ray.storage.retention import remove_keys, surplus
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.epoch_report import from_result

PERIOD_S = 30.0
SETTLED_AFTER_S = 60.0
"""Since a trial ended: its last uploads may still be on their way. What comes later goes with the sweep's end."""


class Pruner(Callback):
    """Ray Tune's callback in the driver, for `--keep winner`.

    A failed trial keeps its checkpoints: a resumed sweep tries it again.
    """

    def __init__(self, runs: RunStore, sweep_id: str) -> None:
        self._runs, self._sweep_id = runs, sweep_id

    def setup(self, *args: Any, **info: Any) -> None:
        """Read the books: Ray Tune calls this in every driver that the sweep has."""
        trials = self._runs.trials(self._sweep_id)
        self._best = {each.trial_id: each.best_validation_accuracy or 0.0 for each in trials}
        self._seen = {(line.trial_id, line.epoch) for line in self._runs.metrics(self._sweep_id)}
        self._ended = {each.trial_id: time.monotonic() for each in trials if each.has_ended}
        self._looked = time.monotonic()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pruner")
        self._removing: Future[None] | None = None

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial finished an epoch: what it reaches when it trains it again, the books leave out, too."""
        line = from_result(result)
        if line.is_finite and (line.trial_id, line.epoch) not in self._seen:
            self._best[line.trial_id] = max(self._best.get(line.trial_id, 0.0), line.validation_accuracy)
        self._seen.add((line.trial_id, line.epoch))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ended without an error."""
        self._ended[trial.config["trial_id"]] = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Remove, where it is time to, and none is at it."""
        now = time.monotonic()
        if now - self._looked < PERIOD_S or (self._removing and not self._removing.done()):
            return
        self._looked = now
        leader = max(self._best.values(), default=0.0)
        lost = [
            trial_id
            for trial_id, ended in self._ended.items()
            if now - ended > SETTLED_AFTER_S and self._best.get(trial_id, 0.0) < leader
        ]
        for trial_id in lost:
            # looked at once
            del self._ended[trial_id]
        if lost:
            self._removing = self._executor.submit(self._remove, lost)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Wait for what is being removed."""
        self._executor.shutdown()

    def _remove(self, trial_ids: list[str]) -> None:
        for trial_id in trial_ids:
            try:
                remove_keys(self._runs, self._runs.objects.keys(layout.checkpoints(self._sweep_id, trial_id)))
            except StorageError:
                return  # they go with the sweep's end


def prune_finished(runs: RunStore, sweep_id: str) -> None:
    """Remove all that a finished sweep no longer needs; its driver still holds the lease."""
    remove_keys(runs, surplus(runs, sweep_id))
