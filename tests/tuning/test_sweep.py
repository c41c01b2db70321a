"""What Ray Tune is given of a sweep, without Ray."""

import signal
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.tune import _setup_signal_catching

from cifar_ray.data.split import TrainingData
from cifar_ray.progress.sweep_log import budget_line
from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning import sweep as sweep_module
from cifar_ray.tuning.ledger import Ledger
from cifar_ray.tuning.pruner import Pruner
from cifar_ray.tuning.sweep import (
    _TUNE_ENVIRONMENT,
    SweepPlan,
    _build_scheduler,
    _build_tuner,
    _trainable,
    run_trials,
)
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
    callbacks: Any = _build_tuner(plan, [], None, scheduler, runs, "/nowhere", print, TimeLimit(None))
    assert any(isinstance(each, Pruner) for each in callbacks) == is_pruned


@pytest.mark.parametrize(("num_cohorts", "says"), [(0, []), (2, ["cohorts together=8"])])
def test_the_log_says_how_many_trials_are_judged_together(
    plan: SweepPlan, runs: RunStore, monkeypatch: pytest.MonkeyPatch, num_cohorts: int, says: list[str]
) -> None:
    monkeypatch.setattr(tune, "Tuner", lambda *args, run_config, **options: run_config.callbacks)
    plan = replace(plan, max_concurrent_trials=15, num_cohorts=num_cohorts)
    said: list[str] = []
    scheduler = _build_scheduler(plan, [], [])
    callbacks: Any = _build_tuner(plan, [], None, scheduler, runs, "/nowhere", said.append, TimeLimit(None))
    (ledger,) = (each for each in callbacks if isinstance(each, Ledger))
    ledger.setup()
    assert said == [budget_line(plan.sweep.budget), *says]


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.fixture
def own_handlers() -> Iterator[None]:
    """What a test sets, and Ray Tune, is taken back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("own_handlers")
def test_the_signal_after_the_last_trial_is_not_swallowed(
    plan: SweepPlan, runs: RunStore, trial_record: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that comes while checkpoints are waited for: Ray Tune's handler only ends what has ended."""

    def fit() -> None:
        _setup_signal_catching()
        for trial_id in ("t0000", "t0001"):
            runs.write_trial("cnn-1", replace(trial_record, trial_id=trial_id))

    for name, value in _TUNE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    at_drain: list[list[Any]] = []
    monkeypatch.setattr(ray, "put", lambda data: None)
    monkeypatch.setattr(sweep_module, "start_engines", lambda *arguments: [])
    monkeypatch.setattr(sweep_module, "drain_engines", lambda engines: at_drain.append(handlers()))
    monkeypatch.setattr(sweep_module, "_build_tuner", lambda *arguments: SimpleNamespace(fit=fit))
    runs.create_sweep(plan.sweep)
    before = handlers()
    run_trials(replace(plan, num_cohorts=1), runs, print)
    assert at_drain == [before]
    assert handlers() == before
