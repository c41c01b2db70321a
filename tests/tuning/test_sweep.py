"""What Ray Tune is given of a sweep, without Ray."""

import signal
import traceback
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import ray
from ray import tune
from ray.air._internal import usage
from ray.tune.error import TuneError
from ray.tune.execution import class_cache
from ray.tune.tune import _setup_signal_catching

from cifar_ray.capacity import Placement
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import InterruptedSweepError, StorageError, StoreUnavailableError
from cifar_ray.prices import Prices
from cifar_ray.progress.sweep_log import budget_line
from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import get_study
from cifar_ray.tuning import sweep as sweep_module
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.engine import EnginePlan
from cifar_ray.tuning.engine_watch import EngineWatch
from cifar_ray.tuning.ledger import Ledger
from cifar_ray.tuning.pass_asha import HURRY_S
from cifar_ray.tuning.pruner import Pruner
from cifar_ray.tuning.signals import Stopping, TimeLimit, ending_in_order
from cifar_ray.tuning.sweep import (
    _TUNE_ENVIRONMENT,
    SweepPlan,
    _build_scheduler,
    _build_tuner,
    _trainable,
    run_trials,
)
from cifar_ray.tuning.trackers import Trackers
from cifar_ray.tuning.watchdog import Watchdog


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
        with _trainable(replace(plan, sweep=replace(plan.sweep, parent=parent)), 2, Stopping()):
            pass
    assert seeds == [3, None]


def test_the_passes_of_a_cohort_follow_the_sweeps_seed(plan: SweepPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the cohort takes all cores that it was placed by."""
    asked: list[tuple[int, float]] = []

    def start(num: int, data: object, engine_plan: EnginePlan, demand: dict[str, Any]) -> list[Any]:
        asked.append((engine_plan.data_seed, demand["num_cpus"]))
        return []

    monkeypatch.setattr(ray, "put", lambda data: None)
    monkeypatch.setattr(sweep_module, "start_engines", start)
    monkeypatch.setattr(EngineWatch, "drain", lambda watch: None)
    with _trainable(replace(plan, num_cohorts=1), 2, Stopping()):
        pass
    assert asked == [(3, plan.sweep.cpus_per_trial)]


def build(
    plan: SweepPlan, runs: RunStore, say: Callable[[str], None] = print, ended: Collection[str] = ()
) -> dict[str, Any]:
    """What Ray Tune would be given."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tune, "Tuner", lambda trainable, **options: options)
        scheduler = _build_scheduler(plan, runs, None)
        stopping = Stopping()
        given: Any = _build_tuner(plan, ended, None, None, scheduler, runs, "/nowhere", say, TimeLimit(None), stopping)
    trackers, ledger, *_ = given["run_config"].callbacks
    assert isinstance(trackers, Trackers), "the books may end Ray Tune's round where the store is away"
    assert trackers._stopping is ledger._stopping is stopping, "else they would not hear of a signal"
    return given


def test_a_trial_that_a_searcher_chooses_anew_is_judged_although_a_deleted_one_of_its_number_passed(
    plan: SweepPlan, runs: RunStore, epoch_metrics: list[EpochMetrics]
) -> None:
    line = next(each for each in epoch_metrics if each.epoch == 1)
    for searcher, known in (("random", {line.trial_id}), ("tpe", set())):
        sweep = replace(plan.sweep, sweep_id=searcher, searcher=searcher)
        runs.create_sweep(sweep)
        runs.write_metrics(searcher, [line])
        scheduler = _build_scheduler(replace(plan, sweep=sweep), runs, None)
        assert {trial for rung in scheduler._brackets[0]._rungs for trial in rung[1]} == known


def test_ray_tune_is_given_the_sweeps_budget(plan: SweepPlan, runs: RunStore) -> None:
    """And to keep those whose accuracy is high."""
    given = build(replace(plan, sweep=replace(plan.sweep, max_epochs=30, grace_period=3, reduction_factor=2)), runs)
    asked = given["tune_config"]
    scheduler = asked.scheduler
    assert (scheduler._time_attr, scheduler.metric, scheduler._mode) == ("epoch", "validation_accuracy", "max")
    assert given["run_config"].failure_config.max_failures == 2
    assert scheduler.set_search_properties(asked.metric, asked.mode)
    (bracket,) = scheduler._brackets
    assert sorted(rung for rung, _ in bracket._rungs) == [3, 6, 12, 24]


def test_a_resumed_sweep_lists_the_trials_that_are_left(plan: SweepPlan, runs: RunStore) -> None:
    configs = get_study("cnn").with_budget(num_trials=3, max_epochs=2).sample(3)
    plan = replace(plan, configs=configs, sweep=replace(plan.sweep, num_trials=3))
    asked = build(plan, runs, ended={"t0000"})["tune_config"]
    assert asked.num_samples == 2
    given = [asked.search_alg.suggest("") for _ in range(3)]
    assert given == [assign(f"t000{index}", configs[index].to_dict()) for index in (1, 2)] + ["FINISHED"]


@pytest.mark.parametrize(("num_cohorts", "are_reused"), [(0, True), (2, False)])
def test_the_processes_of_trials_are_reused(
    plan: SweepPlan, runs: RunStore, num_cohorts: int, are_reused: bool
) -> None:
    """Those of cohorts have none: `MemberThreads` has not what Ray Tune needs to reuse one."""
    given = build(replace(plan, max_concurrent_trials=15, num_cohorts=num_cohorts), runs)
    assert given["tune_config"].reuse_actors == are_reused


@pytest.mark.parametrize(("searcher", "is_pruned"), [("random", True), ("pbt", False)])
def test_the_checkpoints_of_a_population_wait_for_its_end(
    plan: SweepPlan, runs: RunStore, searcher: Any, is_pruned: bool
) -> None:
    """Its next generation begins with them."""
    given = build(replace(plan, sweep=replace(plan.sweep, searcher=searcher)), runs)
    assert any(isinstance(each, Pruner) for each in given["run_config"].callbacks) == is_pruned


@pytest.mark.parametrize(("searcher", "num_slots"), [("random", 8), ("pbt", None)])
def test_trials_of_cohorts_are_spread_but_for_a_populations(
    plan: SweepPlan, runs: RunStore, searcher: Any, num_slots: int | None
) -> None:
    """Whose next generation is spread as it joins."""
    sweep = replace(plan.sweep, searcher=searcher)
    cohorts = replace(plan, max_concurrent_trials=15, num_cohorts=2, sweep=sweep)
    (watchdog,) = (each for each in build(cohorts, runs)["run_config"].callbacks if isinstance(each, Watchdog))
    assert watchdog._num_slots == num_slots


@pytest.mark.parametrize(("num_cohorts", "says"), [(0, []), (2, ["cohorts together=8"])])
def test_the_log_says_how_many_trials_are_judged_together(
    plan: SweepPlan, runs: RunStore, num_cohorts: int, says: list[str]
) -> None:
    said: list[str] = []
    given = build(replace(plan, max_concurrent_trials=15, num_cohorts=num_cohorts), runs, said.append)
    (ledger,) = (each for each in given["run_config"].callbacks if isinstance(each, Ledger))
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


@pytest.fixture
def tune_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `run_trials` sets is taken back."""
    for name, value in _TUNE_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(class_cache, "ENV_VARS_TO_PROPAGATE", class_cache.ENV_VARS_TO_PROPAGATE)
    monkeypatch.setattr(usage, "tag_callbacks", usage.tag_callbacks)


Fit = Callable[[Callable[[], object]], None]


@pytest.fixture
def in_place_of_ray_tune(own_handlers: None, tune_environment: None, monkeypatch: pytest.MonkeyPatch) -> Fit:
    """Has `run_trials` call a function where it would run Ray Tune."""

    def set_fit(fit: Callable[[], object]) -> None:
        monkeypatch.setattr(sweep_module, "_build_tuner", lambda *arguments: SimpleNamespace(fit=fit))
        monkeypatch.setattr(sweep_module, "_alone", lambda *arguments: None)

    return set_fit


CONFIG = get_study("cnn").sample(0)[0]


def end_trials(
    runs: RunStore, trial_record: TrialRecord, saved: Mapping[str, int] = MappingProxyType({"t0000": 4})
) -> None:
    """Both end, with their best validation at epoch 4; `saved` are the epochs of checkpoints by trial."""
    for trial_id in ("t0000", "t0001"):
        runs.write_trial("cnn-1", replace(trial_record, trial_id=trial_id, config=CONFIG.to_dict()))
    for trial_id, epoch in saved.items():
        whole = Checkpoint(epoch=epoch, validation_accuracy=0.4, config={}, weights=b"w", trainer_state=b"s")
        CheckpointStore(runs.objects, "cnn-1", trial_id).save(whole)


def test_the_signal_after_the_last_trial_is_not_swallowed(
    plan: SweepPlan,
    runs: RunStore,
    trial_record: TrialRecord,
    in_place_of_ray_tune: Fit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nor one that comes while checkpoints are waited for: Ray Tune's handler only ends what has ended."""

    def fit() -> None:
        _setup_signal_catching()
        end_trials(runs, trial_record)

    in_place_of_ray_tune(fit)
    at_drain: list[list[Any]] = []
    monkeypatch.setattr(ray, "put", lambda data: None)
    monkeypatch.setattr(sweep_module, "start_engines", lambda *arguments: [])
    monkeypatch.setattr(EngineWatch, "drain", lambda watch: at_drain.append(handlers()))
    runs.create_sweep(plan.sweep)
    before = handlers()
    prices = Prices(currency="USD", rates={("CPU", "on_demand"): 0.05})
    result = run_trials(replace(plan, num_cohorts=1, prices=prices), runs, print)
    assert at_drain == [before]
    assert result.cost is not None
    assert (result.cost.price, result.cost.currency) == (0.0, "USD"), "no epoch was trained"
    assert handlers() == before


@pytest.mark.usefixtures("own_handlers", "tune_environment")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_ends_ray_tune_in_order_and_soon(number: signal.Signals) -> None:
    before, stopping = handlers(), Stopping()
    hurried: list[int] = []
    with ending_in_order(lambda: hurried.append(1), stopping):
        # nothing is to be ended yet
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert handlers() == before, "a second one ends the driver, as if there were no sweep"
    stopping = Stopping()
    with ending_in_order(lambda: hurried.append(2), stopping):
        ended = _setup_signal_catching()
        signal.raise_signal(number)
        assert ended.is_set()
        assert stopping.is_told
        assert handlers() == before
    assert hurried == [1, 2]
    assert handlers() == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_stopped_before_ray_tune_has_begun_is_an_interrupted_one(
    plan: SweepPlan, runs: RunStore, in_place_of_ray_tune: Fit, number: signal.Signals
) -> None:
    in_place_of_ray_tune(lambda: signal.raise_signal(number))
    runs.create_sweep(plan.sweep)
    with pytest.raises(InterruptedSweepError, match="was interrupted"):
        run_trials(plan, runs, print)


def test_a_sweep_that_is_told_to_stop_while_the_store_is_away_is_an_interrupted_one(
    plan: SweepPlan, runs: RunStore, in_place_of_ray_tune: Fit
) -> None:
    def fit() -> None:
        _setup_signal_catching()
        signal.raise_signal(signal.SIGTERM)
        raise StoreUnavailableError("the records have not arrived")

    in_place_of_ray_tune(fit)
    runs.create_sweep(plan.sweep)
    with pytest.raises(InterruptedSweepError):
        run_trials(plan, runs, print)


def test_what_a_callback_says_of_the_store_is_what_the_sweep_says(
    plan: SweepPlan, runs: RunStore, in_place_of_ray_tune: Fit, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray Tune makes a TuneError, with the text of a traceback, of what is raised as it handles a trial's error."""

    def fit() -> None:
        try:
            raise StorageError("trial t0000: No space left on device, says OSError", "look at the nodes")
        except StorageError:
            raise TuneError(traceback.format_exc())  # noqa: B904 - as Ray Tune has it

    in_place_of_ray_tune(fit)
    runs.create_sweep(plan.sweep)
    with pytest.raises(StorageError, match="cnn-1 broke off: trial t0000: No space left") as caught:
        run_trials(plan, runs, print)
    assert caught.value.hint.startswith("look at the nodes; then resume it: ")
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "hint", "is_printed"),
    [
        (OSError(28, "No space left on device"), "disk has room", False),
        (TuneError("Traceback …\nOSError: [Errno 28] No space left on device"), "disk has room", False),
        (TuneError("Traceback …\nKeyError: 'a bug'"), "stands in the job's log", True),
        (StorageError("the store is away", "look at it"), "look at it", False),
    ],
)
def test_the_error_of_a_sweep_that_broke_off_says_what_to_do(
    plan: SweepPlan,
    runs: RunStore,
    in_place_of_ray_tune: Fit,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    hint: str,
    is_printed: bool,
) -> None:
    def fit() -> None:
        raise error

    in_place_of_ray_tune(fit)
    runs.create_sweep(plan.sweep)
    with pytest.raises(StorageError, match="cnn-1 broke off: ") as caught:
        run_trials(plan, runs, print)
    assert hint in caught.value.hint
    assert "--sweep-id cnn-1 --resume" in caught.value.hint
    assert ("a bug" in capsys.readouterr().err) == is_printed


@pytest.mark.parametrize("has_finals", [True, False])
def test_a_search_that_is_told_to_stop_as_it_ends_has_no_finals(
    plan: SweepPlan, runs: RunStore, trial_record: TrialRecord, in_place_of_ray_tune: Fit, has_finals: bool
) -> None:
    """Ray Tune's loop has ended, and no longer looks whether it is to stop."""

    def fit() -> None:
        _setup_signal_catching()
        end_trials(runs, trial_record)
        signal.raise_signal(signal.SIGTERM)

    in_place_of_ray_tune(fit)
    runs.create_sweep(plan.sweep)
    if not has_finals:
        assert run_trials(plan, runs, print).winner
        return
    with pytest.raises(InterruptedSweepError):
        run_trials(replace(plan, finals=Placement(num_slots=1, num_cohorts=0, cpus=1.0, accelerators=0.0)), runs, print)


def test_a_winner_whose_weights_have_not_arrived_is_trained_on(
    plan: SweepPlan,
    runs: RunStore,
    trial_record: TrialRecord,
    in_place_of_ray_tune: Fit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ASHA had stopped it, or its node died as it was uploading: Ray Tune looks after no trial that has ended."""
    passes: list[list[str]] = []
    given: list[tuple[SweepPlan, set[str]]] = []

    def build(plan: SweepPlan, ended: set[str], *_: object) -> SimpleNamespace:
        given.append((plan, ended))
        return SimpleNamespace(fit=fit)

    def fit() -> None:
        passes.append([trial.outcome for trial in runs.trials("cnn-1")])
        end_trials(runs, trial_record, {"t0000": 2 + len(passes), "t0001": 4})
        runs.write_trial("cnn-1", replace(runs.trials("cnn-1")[1], outcome="failed"))

    in_place_of_ray_tune(fit)
    monkeypatch.setattr(sweep_module, "_build_tuner", build)
    runs.create_sweep(plan.sweep)
    said: list[str] = []
    winner = run_trials(plan, runs, said.append).winner
    assert winner is not None
    assert winner.trial_id == "t0000"
    assert passes == [[], ["running", "failed"]]
    (_, (again, ended)) = given
    assert ended == {"t0001"}, "a failed trial is retried by --resume alone"
    assert (again.study, again.configs) == (None, [CONFIG, CONFIG])
    (line,) = said
    assert line.endswith("not reached the store: epoch 4 of trial t0000; training on")


def test_a_winner_whose_weights_do_not_arrive_a_second_time_ends_the_sweep_for_a_later_resume(
    plan: SweepPlan, runs: RunStore, trial_record: TrialRecord, in_place_of_ray_tune: Fit
) -> None:
    in_place_of_ray_tune(lambda: end_trials(runs, trial_record, {"t0000": 3, "t0001": 4}))
    runs.create_sweep(plan.sweep)
    with pytest.raises(StorageError, match="not reached the store: epoch 4 of trial t0000\n") as caught:
        run_trials(plan, runs, print)
    assert "--sweep-id cnn-1 --resume" in caught.value.hint
    assert [trial.outcome for trial in runs.trials("cnn-1")] == ["running", "completed"]
    in_place_of_ray_tune(lambda: end_trials(runs, trial_record))
    winner = run_trials(plan, runs, print).winner
    assert winner is not None
    assert winner.trial_id == "t0000"


@pytest.mark.parametrize(
    ("searcher", "outcome", "saved"),
    [("pbt", "completed", {}), ("random", "failed", {}), ("random", "completed", {"t0000": 5})],
)
def test_a_winner_that_training_on_would_not_bring_back_is_one_without_weights(
    plan: SweepPlan,
    runs: RunStore,
    trial_record: TrialRecord,
    in_place_of_ray_tune: Fit,
    searcher: Any,
    outcome: Any,
    saved: dict[str, int],
) -> None:
    in_place_of_ray_tune(lambda: end_trials(runs, replace(trial_record, outcome=outcome), saved))
    sweep = replace(plan.sweep, searcher=searcher)
    runs.create_sweep(sweep)
    assert run_trials(replace(plan, sweep=sweep), runs, print).winner


def test_all_finals_need_their_weights(
    plan: SweepPlan, runs: RunStore, trial_record: TrialRecord, in_place_of_ray_tune: Fit
) -> None:
    """Which of them are scored, their means decide later."""
    in_place_of_ray_tune(lambda: end_trials(runs, trial_record))
    finals = replace(plan.sweep, parent="cnn-0")
    runs.create_sweep(finals)
    with pytest.raises(StorageError, match="not reached the store: epoch 4 of trial t0001\n") as caught:
        run_trials(replace(plan, sweep=finals), runs, print)
    assert "--sweep-id cnn-0 --resume" in caught.value.hint


def test_a_sweep_that_is_told_to_stop_as_it_ends_without_weights_was_interrupted(
    plan: SweepPlan, runs: RunStore, trial_record: TrialRecord, in_place_of_ray_tune: Fit
) -> None:
    """The store is not to blame: nobody waited for it."""

    def fit() -> None:
        _setup_signal_catching()
        end_trials(runs, trial_record, {})
        signal.raise_signal(signal.SIGTERM)

    in_place_of_ray_tune(fit)
    runs.create_sweep(plan.sweep)
    with pytest.raises(InterruptedSweepError):
        run_trials(plan, runs, print)
    assert [trial.outcome for trial in runs.trials("cnn-1")] == ["running", "completed"]


def test_a_cohort_that_is_told_to_stop_waits_briefly_for_the_store(
    plan: SweepPlan, runs: RunStore, in_place_of_ray_tune: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever stops a job kills it soon after, and then nothing would say that the sweep was interrupted."""
    waited: list[float] = []

    def drain(watch: EngineWatch, deadline_s: float = 600.0) -> None:
        waited.append(deadline_s)
        raise StorageError("the last checkpoints have not arrived")

    def fit() -> None:
        _setup_signal_catching()
        signal.raise_signal(signal.SIGTERM)

    in_place_of_ray_tune(fit)
    monkeypatch.setattr(ray, "put", lambda data: None)
    monkeypatch.setattr(sweep_module, "start_engines", lambda *arguments: [])
    monkeypatch.setattr(EngineWatch, "drain", drain)
    runs.create_sweep(plan.sweep)
    with pytest.raises(InterruptedSweepError):
        run_trials(replace(plan, num_cohorts=1), runs, print)
    (deadline_s,) = waited
    assert 1 <= deadline_s <= HURRY_S


def test_what_a_stop_has_left_counts_from_the_signal() -> None:
    stopping = Stopping()
    stopping.tell()
    stopping._told_at -= 4
    assert 1 <= stopping.left_s(10) <= 6
    stopping._told_at -= 60
    assert stopping.left_s(10) == 1
