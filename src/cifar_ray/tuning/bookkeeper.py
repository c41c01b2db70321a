"""Writes a sweep's records from a thread of its own, so that Ray Tune's loop never waits for the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from cifar_ray.errors import StoreUnavailableError
from cifar_ray.records import EpochMetrics, TrialRecord
from cifar_ray.resource_use import ResourceUse
from cifar_ray.storage.runs import RunStore

PERIOD_S, LONGEST_PERIOD_S = 1.0, 10.0
"""Bounds of the pause between two writes: each rewrites the whole metrics object, so not after every epoch."""
SHARE = 0.05
"""Share of the time to spend on writing metrics, which keeps the driver's CPU busy where there are many."""


class Bookkeeper:
    """Holds the newest version of each object to be written until it is in the store.

    A trial's record is written after the metrics that were known when it was handed over, so a trial recorded as ended
    has all its epochs in the store. The error that ends the thread is raised by the next call.
    """

    def __init__(self, runs: RunStore, sweep_id: str) -> None:
        self._runs, self._sweep_id = runs, sweep_id
        self._changed = threading.Condition()
        self._trials: dict[str, TrialRecord] = {}
        self._metrics: list[EpochMetrics] | None = None
        self._use = ResourceUse()
        self._is_writing = False
        self._is_hurried = False
        self._failure: Exception | None = None
        threading.Thread(target=self._write_all, name="records", daemon=True).start()

    def keep_trial(self, trial: TrialRecord) -> None:
        """Have the record written soon."""
        with self._changed:
            self._raise_failure()
            self._trials[trial.trial_id] = trial
            self._changed.notify_all()

    def keep_metrics(self, lines: Iterable[EpochMetrics], use: ResourceUse) -> None:
        """Have all of a sweep's metrics and its resource use written soon, in place of earlier ones."""
        with self._changed:
            self._raise_failure()
            self._metrics, self._use = list(lines), use
            self._changed.notify_all()

    def drain(self, deadline_s: float | None = None) -> None:
        """Wait until everything is in the store; StoreUnavailableError where that takes longer than the deadline."""
        with self._changed:
            self._is_hurried = True
            self._changed.notify_all()
            has_ended = self._changed.wait_for(
                lambda: self._failure or not (self._is_writing or self._has_work), timeout=deadline_s
            )
            self._is_hurried = False
            self._raise_failure()
        if not has_ended:
            raise StoreUnavailableError(f"the records of {self._sweep_id} have not arrived after {deadline_s:.0f} s")

    @property
    def _has_work(self) -> bool:
        return bool(self._trials) or self._metrics is not None

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _write_all(self) -> None:
        pause = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._has_work)
                self._changed.wait_for(lambda: self._is_hurried, timeout=pause)
                trials, self._trials = self._trials, {}
                metrics, self._metrics = self._metrics, None
                use = self._use
                self._is_writing = True
            began = time.monotonic()
            try:
                if metrics is not None:
                    self._runs.write_metrics(self._sweep_id, metrics)
                    self._runs.write_use(self._sweep_id, use)
                # capped, since a store that was unavailable for a minute may be fast again
                pause = min(max(PERIOD_S, (time.monotonic() - began) / SHARE), LONGEST_PERIOD_S)
                for trial in trials.values():
                    self._runs.write_trial(self._sweep_id, trial)
            except Exception as error:  # noqa: BLE001  # whatever it is, the driver must fail, not wait forever
                with self._changed:
                    self._failure, self._is_writing = error, False
                    self._changed.notify_all()
                return
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
