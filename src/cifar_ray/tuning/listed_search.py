"""A searcher that gives Ray Tune the trials of a list: those of a random search, all sampled before it starts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ray.tune.search import Searcher

from cifar_ray.storage import layout
from cifar_ray.studies import TrialConfig
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.epoch_report import METRIC


class ListedSearch(Searcher):
    """Suggests the trials in order. For each trial of a grid Ray Tune would copy the whole grid."""

    def __init__(self, configs: Sequence[TrialConfig], ended: Collection[str] = ()) -> None:
        """`configs` are those of all trials; the trials of the ids `ended` are left out."""
        super().__init__(metric=METRIC, mode="max")
        trials = {layout.trial_id(index): each.to_dict() for index, each in enumerate(configs)}
        # a list's iterator, which Ray Tune can pickle
        self._left = iter([assign(name, settings) for name, settings in trials.items() if name not in ended])

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next trial's assignment; FINISHED where none is left."""
        return next(self._left, str(Searcher.FINISHED))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: the list is fixed."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the records hold the state."""
