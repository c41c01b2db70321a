"""A searcher of one's own, as docs/extending.md describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from cifar_ray.records import SweepRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.resumable_search import ResumableSearch

STUDY = get_study("cnn").with_budget(num_trials=2, max_epochs=1)


class Backwards(ResumableSearch):
    """The trials of a random sweep, the last first."""

    def _choose(self, index: int, trial_id: str) -> tuple[None, Mapping[str, Any]]:
        return None, self._first[-1 - index].to_dict()


def test_a_searcher_need_only_choose(runs: RunStore, sweep_record: SweepRecord) -> None:
    first, second = STUDY.sample(0)
    search = Backwards(STUDY, replace(sweep_record, num_trials=2), [first, second], runs)
    given = []
    for name in ("a", "b", "c"):
        given.append(search.suggest(name))
        search.on_trial_result(name, {})
        search.on_trial_complete(name, {})
    assert given == [assign("t0000", second.to_dict()), assign("t0001", first.to_dict()), "FINISHED"]
