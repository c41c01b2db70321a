"""Searches over made results: what they learn from, and what a later driver finds in the books."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from statistics import median
from typing import Any

import pytest
from epoch_lines import make_line
from ray.tune.search import Searcher as RaySearcher
from ray.tune.utils.util import flatten_dict

from cifar_ray.records import EpochMetrics, SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES, Range, TrialConfig
from cifar_ray.studies.study import Searcher
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.model_search import NUM_STARTUP, ModelSearch

EPOCHS = 8
Open = Callable[..., ModelSearch]


@pytest.fixture
def open_search(runs: RunStore, sweep_record: SweepRecord) -> Open:
    """Makes the search of a driver, the first or a later one, of one sweep of `cnn`."""

    def open_search(
        searcher: Searcher, num_trials: int = 40, space: Mapping[str, Range] | None = None, **changes: Any
    ) -> ModelSearch:
        study = STUDIES["cnn"].with_budget(num_trials=num_trials, max_epochs=EPOCHS).with_searcher(searcher)
        study = replace(study, space={**study.space, **(space or {})})
        sweep = replace(sweep_record, num_trials=num_trials, max_epochs=EPOCHS, searcher=searcher, **changes)
        return ModelSearch(study, sweep, study.sample(sweep.seed), runs)

    return open_search


def give(search: ModelSearch, name: str) -> dict[str, Any]:
    given = search.suggest(name)
    assert isinstance(given, dict)
    return given


def result(epoch: int, accuracy: float, loss: float | None = 1.0) -> dict[str, Any]:
    """As searchers get it from Ray Tune."""
    reached = make_line("any", epoch, accuracy, loss=loss)
    return flatten_dict(to_result(reached))


def closeness(settings: dict[str, Any]) -> float:
    """To a learning rate of 0.001, in the middle of the space: 1 there, 0 at its ends."""
    return 1 - abs(math.log10(settings["learning_rate"]) + 3)


def test_first_trials_are_those_of_a_random_sweep(open_search: Open) -> None:
    search, sample = open_search("tpe"), STUDIES["cnn"].with_budget(num_trials=40, max_epochs=EPOCHS).sample(0)
    for index in range(40):
        given = give(search, str(index))
        is_known = given == assign(f"t{index:04d}", sample[index].to_dict())
        assert is_known == (index < NUM_STARTUP)
        TrialConfig.from_dict(given["settings"])
        search.on_trial_complete(str(index), result(EPOCHS, 0.5))


@pytest.mark.parametrize("searcher", ["tpe", "bohb-style"])
def test_later_trials_are_nearer_to_what_did_best(open_search: Open, searcher: Searcher) -> None:
    search, found = open_search(searcher, num_trials=60), []
    for index in range(60):
        settings = give(search, str(index))["settings"]
        found.append(closeness(settings))
        search.on_trial_complete(str(index), result(EPOCHS, found[-1]))
    # by chance 0.5
    assert median(found[20:]) > 0.7


@pytest.mark.parametrize("searcher", ["tpe", "bohb-style"])
def test_it_learns_in_every_kind_of_range(open_search: Open, searcher: Searcher) -> None:
    space = {
        "dropout": Range(0.0, 0.8),
        "seed": Range(0, 100, is_whole=True),
        "weight_decay": Range(1e-4, 1, is_log=True),
    }
    search, found = open_search(searcher, num_trials=60, space=space), []
    for index in range(60):
        settings = give(search, str(index))["settings"]
        assert (type(settings["dropout"]), type(settings["seed"])) == (float, int)
        assert all(domain.low <= settings[name] <= domain.high for name, domain in space.items())
        found.append((settings["dropout"], settings["seed"]))
        search.on_trial_complete(str(index), result(EPOCHS, 1 - settings["dropout"] / 2 - settings["seed"] / 200))
    # by chance 0.4 and 50
    assert median(dropout for dropout, _ in found[20:]) < 0.25
    assert median(seed for _, seed in found[20:]) < 35


@pytest.mark.parametrize(
    ("searcher", "epoch", "is_learnt"), [("tpe", 1, False), ("bohb-style", 1, True), ("bohb-style", 2, False)]
)
def test_only_bohb_style_learns_from_rungs(open_search: Open, searcher: Searcher, epoch: int, is_learnt: bool) -> None:
    """All trials still run; the rungs are at epochs 1 and 4."""
    search = open_search(searcher, num_trials=NUM_STARTUP + 1)
    for index in range(NUM_STARTUP):
        give(search, str(index))
        search.on_trial_result(str(index), result(epoch, 0.3))
    last = STUDIES["cnn"].with_budget(num_trials=NUM_STARTUP + 1, max_epochs=EPOCHS).sample(0)[-1]
    assert (give(search, "last")["settings"] != last.to_dict()) == is_learnt


def test_the_rungs_are_those_of_the_sweep_not_of_the_study(open_search: Open) -> None:
    search = open_search("bohb-style", num_trials=NUM_STARTUP + 1, reduction_factor=2)
    for index in range(NUM_STARTUP):
        give(search, str(index))
        search.on_trial_result(str(index), result(2, 0.3))
    last = STUDIES["cnn"].with_budget(num_trials=NUM_STARTUP + 1, max_epochs=EPOCHS).sample(0)[-1]
    assert give(search, "last")["settings"] != last.to_dict(), "ten results of the rung at the second epoch"


@pytest.mark.parametrize(("searcher", "follows"), [("tpe", "accuracy"), ("bohb-style", "rung")])
def test_for_bohb_style_a_later_rung_outranks_accuracy(open_search: Open, searcher: Searcher, follows: str) -> None:
    """High rates look better after one epoch, low ones were carried on to the fourth."""
    search, rates = open_search(searcher, num_trials=60), []
    for index in range(60):
        rate = give(search, str(index))["settings"]["learning_rate"]
        rates.append(rate)
        search.on_trial_complete(str(index), result(1, 0.5) if rate > 1e-3 else result(4, 0.3))
    is_high = median(rates[30:]) > 1e-3
    assert is_high == (follows == "accuracy")


@pytest.mark.parametrize("searcher", ["tpe", "bohb-style"])
@pytest.mark.parametrize("epoch", [1, 6, EPOCHS])
def test_a_diverged_trial_ranks_last(open_search: Open, searcher: Searcher, epoch: int) -> None:
    """High rates break off, with a better accuracy than low ones, which ASHA cuts at the first rung."""
    search, rates = open_search(searcher, num_trials=60), []
    for index in range(60):
        rate = give(search, str(index))["settings"]["learning_rate"]
        rates.append(rate)
        search.on_trial_complete(str(index), result(epoch, 0.6, None) if rate > 1e-3 else result(1, 0.5))
    assert median(rates[30:]) < 1e-3


@pytest.mark.parametrize("searcher", ["tpe", "bohb-style"])
def test_a_diverged_trial_of_the_books_ranks_last(
    open_search: Open, runs: RunStore, epoch_metrics: list[EpochMetrics], searcher: Searcher
) -> None:
    first, lines = open_search(searcher, num_trials=60), []
    for index in range(30):
        given = give(first, str(index))
        is_lost = given["settings"]["learning_rate"] > 1e-3
        line = replace(epoch_metrics[0], trial_id=given["trial_id"], validation_accuracy=0.5)
        lines.append(replace(line, epoch=6, train_loss=None, validation_accuracy=0.6) if is_lost else line)
        ended = TrialRecord(
            trial_id=given["trial_id"],
            config=given["settings"],
            outcome="diverged" if is_lost else "stopped",
            num_epochs=lines[-1].epoch,
        )
        runs.write_trial("cnn-1", ended)
    runs.write_metrics("cnn-1", lines)
    second = open_search(searcher, num_trials=60)
    rates = [give(second, str(index))["settings"]["learning_rate"] for index in range(30)]
    assert median(rates) < 1e-3


def test_a_later_driver_resumes_from_the_books(
    open_search: Open, runs: RunStore, epoch_metrics: list[EpochMetrics]
) -> None:
    """Of 15 trials two still ran, one of them unknown to Ray Tune's own state; one had failed."""
    first = open_search("tpe", num_trials=20)
    given = [give(first, str(index)) for index in range(15)]
    outcomes = {3: "running", 5: "failed", 14: "running"}
    for index, each in enumerate(given):
        runs.write_trial(
            "cnn-1",
            TrialRecord(
                trial_id=each["trial_id"],
                config=each["settings"],
                outcome=outcomes.get(index, "stopped"),  # type: ignore[arg-type]
                num_epochs=1,
            ),
        )
    runs.write_metrics("cnn-1", [replace(epoch_metrics[0], trial_id=each["trial_id"]) for each in given])

    second = open_search("tpe", num_trials=20)
    assert [give(second, f"again {index}") for index in range(3)] == [given[3], given[5], given[14]]
    new = [give(second, f"new {index}") for index in range(5)]
    assert [each["trial_id"] for each in new] == [f"t{index:04d}" for index in range(15, 20)]
    assert second.suggest("too many") == RaySearcher.FINISHED
    rates = [each["settings"]["learning_rate"] for each in given + new]
    assert len(set(rates)) == len(rates)
    assert [trial.config for trial in runs.trials("cnn-1")] == [each["settings"] for each in given + new]


def test_a_later_driver_does_not_repeat_the_draws_of_the_one_before(
    open_search: Open, runs: RunStore, epoch_metrics: list[EpochMetrics]
) -> None:
    """Nothing was learnt between a trial that the model chose, and was lost with its driver, and the next."""
    first = open_search("tpe")
    for index in range(NUM_STARTUP):
        given = give(first, str(index))
        ended = TrialRecord(trial_id=given["trial_id"], config=given["settings"], outcome="stopped", num_epochs=1)
        runs.write_trial("cnn-1", ended)
    trials = runs.trials("cnn-1")
    runs.write_metrics("cnn-1", [replace(epoch_metrics[0], trial_id=each.trial_id) for each in trials])
    lost = give(open_search("tpe"), "lost")
    third = open_search("tpe")
    assert give(third, "again") == lost
    assert give(third, "new")["settings"] != lost["settings"]


def test_failed_and_repeated_results_teach_nothing(open_search: Open) -> None:
    search = open_search("bohb-style")
    for index in range(NUM_STARTUP - 1):
        give(search, str(index))
        search.on_trial_complete(str(index), result(4, 0.3))
        search.on_trial_complete(str(index), result(4, 0.3))
    give(search, "failed")
    search.on_trial_complete("failed", None, error=True)
    assert search._num_results == NUM_STARTUP - 1


def test_some_trials_wait_for_the_results_of_others() -> None:
    study = STUDIES["cnn"]
    assert study.trials_at_once == 30
    assert study.with_searcher("tpe").trials_at_once == 7
    assert study.with_searcher("tpe").with_budget(num_trials=2).trials_at_once == 1
