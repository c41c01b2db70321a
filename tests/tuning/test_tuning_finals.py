from dataclasses import replace

import pytest

from cifar_ray.capacity import Placement
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import InterruptedSweepError
from cifar_ray.records import SweepRecord, SweepResult, TrialRecord
from cifar_ray.resource_use import Cost
from cifar_ray.storage import layout
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import TrialConfig, get_study
from cifar_ray.studies.options import Keep
from cifar_ray.tuning import finals as finals_module
from cifar_ray.tuning.finals import (
    SEEDS,
    _finals_plan,
    _finals_record,
    _sum,
    _with_finals,
    finals_configs,
    finals_seeds,
    rank_retrained,
    run_with_finals,
)
from cifar_ray.tuning.ledger import summarise_sweep
from cifar_ray.tuning.sweep import SweepPlan

PLACEMENT = Placement(cpus=2.0, accelerators=0.0, num_cohorts=0, num_slots=4)


@pytest.fixture
def sweep(sweep_record: SweepRecord) -> SweepRecord:
    return replace(sweep_record, num_trials=3, num_finalists=2, num_seeds=3, is_cohort=True)


@pytest.fixture
def record(sweep: SweepRecord, sweep_result: SweepResult) -> SweepRecord:
    """The finals of the best two of three."""
    return finals_record(sweep, sweep_result)


def finals_record(sweep: SweepRecord, searched: SweepResult) -> SweepRecord:
    return _finals_record(sweep, replace(searched, ranking=("t0002", "t0000", "t0001")), PLACEMENT)


@pytest.fixture
def trials() -> dict[str, TrialRecord]:
    configs = get_study("cnn").with_budget(num_trials=3, max_epochs=4).sample(0)
    return {
        f"t{index:04d}": TrialRecord(
            trial_id=f"t{index:04d}",
            config=config.to_dict(),
            outcome="completed",
            best_validation_accuracy=0.5 + index / 100,
        )
        for index, config in enumerate(configs)
    }


def train(configs: list[TrialConfig], accuracies: list[float]) -> list[TrialRecord]:
    """What four epochs of each come to."""
    return [
        TrialRecord(
            trial_id=f"t{index:04d}",
            config=config.to_dict(),
            outcome="completed",
            num_epochs=4,
            best_epoch=3,
            best_validation_accuracy=accuracy,
        )
        for index, (config, accuracy) in enumerate(zip(configs, accuracies, strict=True))
    ]


def test_the_finals_are_a_sweep_without_early_stopping(record: SweepRecord) -> None:
    assert (record.sweep_id, record.parent, record.finalists) == ("cnn-1-finals", "cnn-1", ("t0002", "t0000"))
    assert (record.num_trials, record.grace_period, record.max_epochs) == (6, 4, 4)
    assert (record.is_cohort, record.cpus_per_trial, record.accelerators_per_trial) == (False, 2.0, 0.0)


def test_each_finalist_gets_the_same_new_seeds_and_keeps_the_rest(
    record: SweepRecord, trials: dict[str, TrialRecord]
) -> None:
    configs = finals_configs(record, trials)
    seeds = finals_seeds(record)
    assert [config.seed for config in configs] == seeds * 2
    assert len(set(seeds)) == 3
    assert all(seed in SEEDS for seed in seeds)
    for config, trial_id in zip(configs, ["t0002"] * 3 + ["t0000"] * 3, strict=True):
        assert config.to_dict() | {"seed": 0} == dict(trials[trial_id].config) | {"seed": 0}
    assert finals_seeds(replace(record, seed=1)) != seeds
    assert finals_seeds(replace(record, sweep_id="another")) == seeds
    anew = finals_seeds(replace(record, best_of="cnn-1"))
    assert not set(anew) & set(seeds), "by these its configurations were chosen"


def test_finals_may_be_longer_than_the_search(
    sweep: SweepRecord, record: SweepRecord, sweep_result: SweepResult, trials: dict[str, TrialRecord]
) -> None:
    assert {config.max_epochs for config in finals_configs(record, trials)} == {4}
    longer = finals_record(replace(sweep, final_epochs=9), sweep_result)
    assert (longer.max_epochs, longer.grace_period) == (9, 9)
    assert {config.max_epochs for config in finals_configs(longer, trials)} == {9}
    retrained = train(finals_configs(longer, trials), [0.7] * 6)
    assert {each.shrinkage for each in rank_retrained(longer, trials, retrained).finalists} == {None}
    assert None not in {each.shrinkage for each in rank_retrained(record, trials, retrained).finalists}


def test_a_trial_that_was_stopped_early_has_no_shrinkage(record: SweepRecord, trials: dict[str, TrialRecord]) -> None:
    """What it gains by the epochs that ASHA had spared is no luck."""
    retrained = train(finals_configs(record, trials), [0.7] * 6)
    trials["t0002"] = replace(trials["t0002"], outcome="stopped", num_epochs=1)
    shrinkage = {each.trial_id: each.shrinkage for each in rank_retrained(record, trials, retrained).finalists}
    assert shrinkage == {"t0002": None, "t0000": pytest.approx(-0.2)}


def test_finalists_are_ranked_by_their_own_trainings(record: SweepRecord, trials: dict[str, TrialRecord]) -> None:
    retrained = train(finals_configs(record, trials), [0.4, 0.4, 0.4, 0.6, 0.5, 0.7])
    finals = rank_retrained(record, trials, retrained)
    assert [each.trial_id for each in finals.finalists] == ["t0000", "t0002"]
    assert finals.winner is not None
    assert (finals.winner.mean, finals.winner.searched_accuracy) == (pytest.approx(0.6), 0.5)
    assert finals.winner.best is not None
    assert finals.winner.best.trial_id == "t0005"
    assert finals.num_epochs == 24


def test_the_cost_is_of_both() -> None:
    one = Cost(device="core", held_s=10, useful_s=7, failed_s=1, repeated_s=1, price=2.0, currency="USD")
    both = _sum(one, replace(one, held_s=20, price=3.0))
    assert both is not None
    assert (both.held_s, both.useful_s, both.price, both.currency) == (30, 14, 5.0, "USD")
    assert (both.failed_s, both.repeated_s) == (2, 2)
    unpriced = _sum(one, replace(one, price=None, remark="no price of A100"))
    assert unpriced is not None
    assert (unpriced.price, unpriced.remark) == (None, "no price of A100")


@pytest.fixture
def plan(sweep: SweepRecord, training_data: TrainingData) -> SweepPlan:
    return SweepPlan(
        sweep=sweep,
        configs=[],
        study=get_study("cnn"),
        data=training_data,
        storage="/x",
        max_concurrent_trials=9,
        num_cohorts=2,
        keep="winner",
        finals=PLACEMENT,
    )


class Driver:
    """Runs sweeps with finals; in Ray Tune's place trains at once, until it is killed before the sweep `ends_before`.

    Each of its trials leaves the checkpoint of its last epoch.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, runs: RunStore, trials: dict[str, TrialRecord]) -> None:
        monkeypatch.setattr(finals_module, "run_trials", self._run_trials)
        self._runs, self._trials = runs, trials
        self.has_run: list[str] = []
        self.ends_before = ""

    def run(self, plan: SweepPlan) -> SweepResult:
        self.has_run = []
        return run_with_finals(plan, self._runs, lambda line: None)

    def _run_trials(self, plan: SweepPlan, runs: RunStore, say: object) -> SweepResult:
        sweep_id = plan.sweep.sweep_id
        if sweep_id == self.ends_before:
            raise InterruptedSweepError("killed")
        self.has_run.append(sweep_id)
        for trial in train(plan.configs, [0.5] * 6) if plan.sweep.parent else self._trials.values():
            runs.write_trial(sweep_id, trial)
            saved = Checkpoint(epoch=4, validation_accuracy=0.5, config={}, weights=b"w", trainer_state=b"t")
            CheckpointStore(runs.objects, sweep_id, trial.trial_id).save(saved)
        result = summarise_sweep(runs, plan.sweep, plan.sweep.started_at)
        assert result is not None
        return result


def test_a_resuming_driver_trains_what_is_left(
    runs: RunStore, plan: SweepPlan, trials: dict[str, TrialRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.create_sweep(plan.sweep)
    driver = Driver(monkeypatch, runs, trials)
    driver.ends_before = "cnn-1-finals"
    with pytest.raises(InterruptedSweepError):
        driver.run(plan)
    assert (driver.has_run, runs.result("cnn-1")) == (["cnn-1"], None)
    driver.ends_before = ""
    result = driver.run(plan)
    assert (driver.has_run, runs.result("cnn-1")) == (["cnn-1-finals"], result)
    assert result.finals is not None
    assert [each.trial_id for each in result.finals.finalists] == ["t0002", "t0001"]
    again = driver.run(plan)
    assert (driver.has_run, again.finals) == ([], result.finals), "its driver died before it had said so"


@pytest.mark.parametrize(("keep", "num_left"), [("all", 3 + 6), ("winner", 1 + 3)])
def test_checkpoints_that_are_not_to_be_kept_go_in_the_end(
    runs: RunStore,
    plan: SweepPlan,
    trials: dict[str, TrialRecord],
    monkeypatch: pytest.MonkeyPatch,
    keep: Keep,
    num_left: int,
) -> None:
    runs.create_sweep(plan.sweep)
    Driver(monkeypatch, runs, trials).run(replace(plan, keep=keep))
    assert sum(key.endswith(layout.MANIFEST) for key in runs.objects.keys("cnn-1")) == num_left


def test_without_a_ranked_trial_there_are_no_finals(
    runs: RunStore, plan: SweepPlan, trials: dict[str, TrialRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.create_sweep(plan.sweep)
    lost = {name: replace(each, outcome="failed", best_validation_accuracy=None) for name, each in trials.items()}
    driver = Driver(monkeypatch, runs, lost)
    result = driver.run(plan)
    assert (driver.has_run, result.finals, result.winner) == (["cnn-1"], None, None)
    assert runs.result("cnn-1") == result


def test_the_result_adds_up_search_and_finals(
    runs: RunStore, plan: SweepPlan, sweep: SweepRecord, record: SweepRecord, trials: dict[str, TrialRecord]
) -> None:
    nested = runs.finals("cnn-1")
    runs.create_sweep(sweep)
    nested.create_sweep(record)
    for searched in trials.values():
        runs.write_trial("cnn-1", replace(searched, num_epochs=2, accelerator_seconds=3.0))
    for retrained in train(finals_configs(record, trials), [0.5] * 6):
        nested.write_trial(record.sweep_id, replace(retrained, accelerator_seconds=5.0))
    use = Cost(device="core", held_s=20, useful_s=7, failed_s=0, repeated_s=1)
    retrained_alone = summarise_sweep(nested, record, record.started_at)
    assert retrained_alone is not None
    nested.write_result(replace(retrained_alone, cost=use))
    result = _with_finals(plan, runs, record, trials)
    assert result.cost is not None
    assert (result.cost.held_s, result.cost.repeated_s) == (20, 1), "the search's epochs are not in these books"
    assert (result.num_epochs, result.accelerator_seconds) == (3 * 2 + 6 * 4, 3 * 3.0 + 6 * 5.0)
    finals = _finals_plan(plan, PLACEMENT, record, trials)
    assert (finals.max_concurrent_trials, finals.num_cohorts, finals.keep) == (4, 0, "all")
    assert finals.storage == "/x/cnn-1"
    assert finals.study is None, "they search nothing"
