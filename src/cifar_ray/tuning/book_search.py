"""A searcher that gives Ray Tune the trials of a sweep's books, and then new ones."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from ray.tune.search import Searcher

from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.epoch_report import METRIC


class BookSearch(Searcher):
    """One trial at a time: those that an earlier driver had begun come first.

    A new trial is in the books before Ray Tune hears of it, so that the books alone tell a later driver where the
    search stood: the same trials get the same settings again.
    """

    def __init__(self, sweep: SweepRecord, runs: RunStore) -> None:
        super().__init__(metric=METRIC, mode="max")
        self._sweep, self._runs = sweep, runs
        self._trials = runs.trials(sweep.sweep_id)
        """All that have begun, in their order."""
        self._waiting = [each for each in self._trials if not each.has_ended]
        self._given: dict[str, TrialRecord] = {}
        """By Ray Tune's name of the trial."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """What the next trial runs with; None where that is not known yet."""
        if self._waiting:
            record = self._waiting.pop(0)
        elif len(self._trials) < self._sweep.num_trials:
            new = self._begin(trial_id)
            if new is None:
                return None
            record = new
            self._runs.write_trial(self._sweep.sweep_id, record)
            self._trials.append(record)
        else:
            return str(Searcher.FINISHED)
        self._given[trial_id] = record
        return assign(record.trial_id, record.config, record.parent)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the books have it."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: the books have it."""

    @abstractmethod
    def _begin(self, trial_id: str) -> TrialRecord | None:
        """The next new trial; None where it depends on results that are still to come."""
