"""A searcher that gives Ray Tune the trials of a list: those of a random search, all sampled before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ray.tune.search import Searcher

from cifar_ray.tuning.epoch_report import METRIC


class ListedSearch(Searcher):
    """Suggests assignments in order. For each trial of a grid Ray Tune would copy the whole grid."""

    def __init__(self, assignments: Iterable[Mapping[str, Any]]) -> None:
        super().__init__(metric=METRIC, mode="max")
        # an iterator that Ray Tune can pickle
        self._left = iter(list(assignments))

    def suggest(self, trial_id: str) -> dict[str, Any] | str:
        """The next assignment; FINISHED where none is left."""
        assignment = next(self._left, None)
        return str(Searcher.FINISHED) if assignment is None else dict(assignment)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Does nothing: the list is fixed."""

    def save(self, checkpoint_path: str) -> None:
        """Does nothing: the records hold the state."""

    def restore(self, checkpoint_path: str) -> None:
        """Does nothing: the records hold the state."""
