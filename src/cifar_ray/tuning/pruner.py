"""Removes, while a sweep runs, the checkpoints of trials that have ended and can no longer win."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from cifar_ray.errors import StorageError
from cifar_ray.records import TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.retention import manifests_first, remove_keys
from cifar_ray.storage.runs import RunStore

PERIOD_S = 30.0
SETTLED_AFTER_S = 60.0
"""Seconds after a trial's end: its last uploads may still be running. Later ones are removed at the sweep's end."""


class Pruner(Callback):
    """Ray Tune's callback in the driver, for `--keep winner`.

    A failed trial keeps its checkpoints: a resumed sweep tries it again.
    """

    def __init__(self, runs: RunStore, sweep_id: str, trials: Callable[[], Collection[TrialRecord]]) -> None:
        """`trials` returns the current records of the trials, by which the winner is chosen."""
        self._runs, self._sweep_id, self._trials = runs, sweep_id, trials

    def setup(self, *args: Any, **info: Any) -> None:
        """Ray Tune calls this in each of the sweep's drivers, once the records are open."""
        self._ended = {each.trial_id: time.monotonic() for each in self._trials() if each.has_ended}
        self._looked = time.monotonic()
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="pruner")
        self._removing: Future[None] | None = None
        self._has_ended = False

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial ended without an error."""
        self._ended[trial.config["trial_id"]] = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Begin a removal, if it is time to and none is running."""
        now = time.monotonic()
        if now - self._looked < PERIOD_S or (self._removing and not self._removing.done()):
            return
        self._looked = now
        best = {each.trial_id: each.best_validation_accuracy or 0.0 for each in self._trials()}
        leader = max(best.values(), default=0.0)
        lost = [
            trial_id
            for trial_id, ended in self._ended.items()
            if now - ended > SETTLED_AFTER_S and best[trial_id] < leader
        ]
        for trial_id in lost:
            # each is handled once
            del self._ended[trial_id]
        if lost:
            self._removing = self._executor.submit(self._remove, lost)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Begin no more: whatever is left is removed at the end of the whole sweep."""
        self._has_ended = True
        self._executor.shutdown(wait=False)

    def _remove(self, trial_ids: list[str]) -> None:
        for trial_id in trial_ids:
            try:
                keys = self._runs.objects.keys(layout.checkpoints(self._sweep_id, trial_id))
                remove_keys(self._runs, manifests_first(keys), lambda: self._has_ended)
            except StorageError:
                return  # they are removed at the sweep's end
