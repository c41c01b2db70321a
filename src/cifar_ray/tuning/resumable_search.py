"""A searcher that gives Ray Tune the unfinished trials of a sweep's records, then new ones."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, TrialConfig
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.epoch_report import METRIC


class ResumableSearch(Searcher):
    """Suggests one trial at a time; those that an earlier driver began come first.

    A new trial is in the records before Ray Tune receives it, so a later driver can tell from the records alone how far
    the search had come, and gives the same trials the same settings again.
    """

    def __init__(self, study: Study, sweep: SweepRecord, first: Sequence[TrialConfig], runs: RunStore) -> None:
        """`first` are the configurations of a random sweep."""
        super().__init__(metric=METRIC, mode="max")
        self._study, self._sweep, self._first, self._runs = study, sweep, first, runs
        self._trials = runs.trials(sweep.sweep_id)
        """All trials that have begun, in order."""
        self._waiting = [each for each in self._trials if not each.has_ended]
        self._given: dict[str, TrialRecord] = {}
        """By Ray Tune's id of the trial."""

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's assignment; None where it cannot be chosen yet, FINISHED where none is left."""
        index = len(self._trials)
        if self._waiting:
            record = self._waiting.pop(0)
        elif index >= self._sweep.num_trials:
            return str(Searcher.FINISHED)
        elif chosen := self._choose(index, trial_id):
            parent, config = chosen
            record = TrialRecord(trial_id=layout.trial_id(index), config=config, outcome="running", parent=parent)
            self._runs.write_trial(self._sweep.sweep_id, record)
            self._trials.append(record)
        else:
            return None
        self._given[trial_id] = record
        return assign(record.trial_id, record.config, record.parent)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing, where Ray Tune's own raises; a searcher that learns from its trials overrides it."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the records hold the state."""

    @abstractmethod
    def _choose(self, index: int, trial_id: str) -> tuple[str | None, Mapping[str, Any]] | None:
        """Parent and settings of new trial number `index`; None where they depend on results that are still to come.

        `trial_id` is Ray Tune's id of it.
        """
