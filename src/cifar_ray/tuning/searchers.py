"""Chooses the class of a study's searcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cifar_ray.records import SweepRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, TrialConfig
from cifar_ray.studies.study import Searcher
from cifar_ray.tuning.model_search import ModelSearch
from cifar_ray.tuning.population import PopulationSearch
from cifar_ray.tuning.resumable_search import ResumableSearch

_CLASSES: Mapping[Searcher, type[ResumableSearch]] = {
    "tpe": ModelSearch,
    "bohb-style": ModelSearch,
    "pbt": PopulationSearch,
}


def open_search(study: Study, sweep: SweepRecord, first: Sequence[TrialConfig], runs: RunStore) -> ResumableSearch:
    """The study's searcher, which is not random; `first` are the configurations of a random sweep."""
    return _CLASSES[study.searcher](study, sweep, first, runs)
