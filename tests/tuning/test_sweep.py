"""What Ray Tune is given of a sweep, without Ray."""

from dataclasses import replace
from typing import Any

import pytest
from ray import tune

from cifar_ray.data.split import TrainingData
from cifar_ray.records import SweepRecord
from cifar_ray.settings import read_settings
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.pruner import Pruner
from cifar_ray.tuning.sweep import SweepPlan, _build_scheduler, _build_tuner, _trainable
from cifar_ray.tuning.time_limit import TimeLimit


@pytest.fixture
def plan(runs: RunStore, sweep_record: SweepRecord, training_data: TrainingData) -> SweepPlan:
    return SweepPlan(
        sweep=replace(sweep_record, seed=3),
        configs=[],
        data=training_data,
        storage=runs.objects.uri,
        max_concurrent_trials=1,
        num_cohorts=0,
        keep="winner",
    )


def test_finals_follow_each_trials_own_seed(plan: SweepPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def keep_seed(function: Any, *, data: TrainingData, plan: Any) -> Any:
        seeds.append(plan.data_seed)
        return function

    seeds: list[int | None] = []
    monkeypatch.setattr(tune, "with_parameters", keep_seed)
    for parent in (None, "cnn-1"):
        with _trainable(replace(plan, sweep=replace(plan.sweep, parent=parent)), 2):
            pass
    assert seeds == [3, None]


@pytest.mark.parametrize(("searcher", "is_pruned"), [("random", True), ("pbt", False)])
def test_the_checkpoints_of_a_population_wait_for_its_end(
    plan: SweepPlan, runs: RunStore, monkeypatch: pytest.MonkeyPatch, searcher: Any, is_pruned: bool
) -> None:
    """Its next generation begins with them."""
    monkeypatch.setattr(tune, "Tuner", lambda *args, run_config, **options: run_config.callbacks)
    plan = replace(plan, sweep=replace(plan.sweep, searcher=searcher))
    scheduler = _build_scheduler(plan, [], [])
    callbacks: Any = _build_tuner(plan, [], None, scheduler, runs, read_settings({}), print, TimeLimit(None))
    assert any(isinstance(each, Pruner) for each in callbacks) == is_pruned
