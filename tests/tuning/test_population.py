"""Populations over made results: who follows on whom, and what a later driver finds in the books."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from epoch_lines import make_line
from ray.tune.search import Searcher as RaySearcher
from ray.tune.utils.util import flatten_dict

from cifar_ray.errors import ConfigurationError
from cifar_ray.records import SweepRecord, TrialRecord
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import STUDIES, Range, TrialConfig
from cifar_ray.studies.study import ADJUSTABLE
from cifar_ray.tuning.assignment import assign
from cifar_ray.tuning.epoch_report import to_result
from cifar_ray.tuning.population import NO_ACCURACY, PopulationSearch, descend, explore

STUDY = STUDIES["cnn"].with_budget(num_trials=40, max_epochs=10).with_searcher("pbt")
SIZE, EPOCHS = 8, 2
ACCURACIES = (0.3, 0.8, 0.1, 0.5, 0.7, 0.2, 0.6, 0.4)
"""Of a generation: the second and fifth are its best quarter, the third and sixth its worst."""


class Driver:
    """Of a sweep whose trials reach what they are told to."""

    def __init__(self, runs: RunStore, record: SweepRecord) -> None:
        self.runs, self.record = runs, record
        self.search = PopulationSearch(STUDY, record, STUDY.sample(record.seed), runs)
        self.num_given = 0

    def give(self) -> dict[str, Any]:
        given = self.search.suggest(str(self.num_given))
        assert isinstance(given, dict)
        self.num_given += 1
        return given

    def end(self, number: int, accuracy: float, *, loss: float = 1.0) -> None:
        """The trial that was given as that number."""
        trial_id = self.search._given[str(number)].trial_id
        lines = [
            make_line(trial_id, epoch, accuracy if epoch == EPOCHS else 0.99, loss=loss)
            for epoch in range(1, EPOCHS + 1)
        ]
        self.runs.write_metrics(self.record.sweep_id, [*self.runs.metrics(self.record.sweep_id), *lines])
        (record,) = (each for each in self.runs.trials(self.record.sweep_id) if each.trial_id == trial_id)
        outcome = "completed" if lines[-1].is_finite else "diverged"
        self.runs.write_trial(self.record.sweep_id, replace(record, outcome=outcome, num_epochs=EPOCHS))  # type: ignore[arg-type]  # mypy widens it
        self.search.on_trial_complete(str(number), flatten_dict(to_result(lines[-1])))


Start = Callable[[], Driver]


@pytest.fixture
def start(runs: RunStore, sweep_record: SweepRecord) -> Start:
    record = replace(sweep_record, num_trials=40, max_epochs=EPOCHS, grace_period=EPOCHS, searcher="pbt")
    return lambda: Driver(runs, record)


def test_the_first_generation_is_a_random_sweeps(start: Start) -> None:
    driver, sample = start(), STUDIES["cnn"].with_budget(num_trials=40, max_epochs=EPOCHS).sample(0)
    assert [driver.give() for _ in range(SIZE)] == [
        assign(f"t{index:04d}", sample[index].to_dict()) for index in range(SIZE)
    ]


def test_the_worst_take_over_from_the_best_once_all_have_ended(start: Start) -> None:
    driver = start()
    first = [driver.give() for _ in range(SIZE)]
    for number, accuracy in enumerate(ACCURACIES[:-1]):
        driver.end(number, accuracy)
        assert driver.search.suggest("early") is None, "a generation begins when the one before is over"
    driver.end(SIZE - 1, ACCURACIES[-1])
    second = [driver.give() for _ in range(SIZE)]
    for place, (before, heir) in enumerate(zip(first, second, strict=True)):
        if place in (2, 5):
            assert heir["parent"] in ("t0001", "t0004")
            assert heir["settings"] != before["settings"]
        else:
            assert heir == assign(f"t{SIZE + place:04d}", before["settings"], f"t{place:04d}")
    written = driver.runs.trials(driver.record.sweep_id)[SIZE:]
    assert [(each.trial_id, each.parent, dict(each.config)) for each in written] == [
        (each["trial_id"], each["parent"], each["settings"]) for each in second
    ]


def test_after_the_last_generation_there_is_none(start: Start) -> None:
    driver = start()
    for number in range(40):
        driver.give()
        driver.end(number, 0.5)
    assert driver.search.suggest("more") == RaySearcher.FINISHED


def test_diverged_and_failed_members_are_replaced(start: Start) -> None:
    driver = start()
    for _ in range(SIZE):
        driver.give()
    for number in range(SIZE):
        if number == 4:
            driver.search.on_trial_complete(str(number), None, error=True)
        else:
            driver.end(number, 0.9, loss=float("nan") if number in (1, 2, 3) else 1.0)
    parents = [driver.give()["parent"] for _ in range(SIZE)]
    assert set(parents) == {"t0000", "t0005", "t0006", "t0007"}, "four of eight have weights to hand on"
    assert all(parents[place] in ("t0000", "t0005") for place in (1, 2, 3, 4)), "from the best quarter"


def live(driver: Driver, given: list[dict[str, Any]], numbers: range) -> None:
    """`driver` has these trials of the sweep end, each of `given` and those that follow; it gives what can be given."""
    num_before = len(given) - driver.num_given
    for number in numbers:
        while len(given) < (number // SIZE + 1) * SIZE:
            given.append(driver.give())
        driver.end(number - num_before, ACCURACIES[number % SIZE] + number / 100)


@pytest.mark.parametrize("num_ended", [3, SIZE, SIZE + 3])
def test_a_later_driver_resumes_where_the_first_ended(start: Start, num_ended: int) -> None:
    """`num_ended` of its trials had ended, the others of their generation were in training."""
    undisturbed: list[dict[str, Any]] = []
    live(start(), undisturbed, range(3 * SIZE))
    for key in list(start().runs.objects.keys("cnn-1/trials")):
        start().runs.objects.delete(key)
    start().runs.write_metrics("cnn-1", [])

    given: list[dict[str, Any]] = []
    live(start(), given, range(num_ended))
    in_training = given[num_ended:]
    del given[num_ended:]
    later = start()
    given += [later.give() for _ in in_training]
    assert given[num_ended:] == in_training
    live(later, given, range(num_ended, 3 * SIZE))
    assert given == undisturbed


def test_only_what_may_change_is_changed_and_stays_in_the_space() -> None:
    rng = random.Random(0)
    config = STUDY.sample(0)[0].to_dict()
    seen: set[str] = set()
    for _ in range(200):
        changed = explore(STUDY, config, rng)
        different = {name for name in config if changed[name] != config[name]}
        assert different
        assert different <= ADJUSTABLE & set(STUDY.space)
        TrialConfig.from_dict(changed)
        for name in different:
            domain: Any = STUDY.space[name]
            values = getattr(domain, "values", None)
            assert changed[name] in values if values else domain.low <= changed[name] <= domain.high
        seen |= different
        config = changed
    assert seen == ADJUSTABLE & set(STUDY.space), "all that may change does"


def test_every_kind_of_range_is_explored_within_its_bounds() -> None:
    space = {
        "momentum": Range(0.8, 0.99),
        "cutout": Range(0, 16, is_whole=True),
        "weight_decay": Range(1e-4, 1e-2, is_log=True),
    }
    fixed = {name: value for name, value in STUDY.fixed.items() if name not in space}
    study = replace(STUDY, space={**STUDY.space, **space}, fixed=fixed, is_cohort=False)
    rng, config = random.Random(0), study.sample(0)[0].to_dict()
    found = []
    for _ in range(200):
        config = explore(study, config, rng)
        found.append(config)
    for name, domain in space.items():
        values = [each[name] for each in found]
        assert all(domain.low <= value <= domain.high for value in values)
        assert {type(value) for value in values} == {int if domain.is_whole else float}
        assert len({*values}) > 10, f"{name} gets about"


def records(num_trials: int) -> list[TrialRecord]:
    sample = STUDY.sample(0)
    return [TrialRecord(trial_id=f"t{n}", config=sample[n].to_dict(), outcome="completed") for n in range(num_trials)]


def test_of_four_one_takes_over() -> None:
    descents = [descend(STUDY, records(4), [0.4, 0.3, 0.2, 0.1], place, random.Random(0)) for place in range(4)]
    assert [parent for parent, _ in descents] == ["t0", "t1", "t2", "t0"]


def test_only_members_with_an_accuracy_are_copied() -> None:
    reached = [NO_ACCURACY] * 7 + [0.2]
    parents = {descend(STUDY, records(8), reached, place, random.Random(place))[0] for place in range(8)}
    assert parents == {"t7"}
    anew = [descend(STUDY, records(8), [NO_ACCURACY] * 8, place, random.Random(place)) for place in range(8)]
    assert {parent for parent, _ in anew} == {None}
    assert len({config["learning_rate"] for _, config in anew}) == 8


def test_a_trial_whose_end_was_not_recorded_is_resumed(start: Start) -> None:
    first = start()
    for _ in range(SIZE):
        first.give()
    for number, accuracy in enumerate(ACCURACIES):
        first.end(number, accuracy)
    heirs = [first.give() for _ in range(3)]
    (record,) = (each for each in first.runs.trials("cnn-1") if each.trial_id == "t0001")
    first.runs.write_trial("cnn-1", replace(record, outcome="running", num_epochs=0))

    later = start()
    assert [later.give()["trial_id"] for _ in range(4)] == ["t0001", *(each["trial_id"] for each in heirs)]
    assert later.search.suggest("early") is None, "what t0001 reached is not known"
    later.end(0, ACCURACIES[1])
    assert [later.give()["trial_id"] for _ in range(5)] == [f"t{index:04d}" for index in range(SIZE + 3, 2 * SIZE)]
    best = {each.parent for each in later.runs.trials("cnn-1") if each.trial_id in ("t0010", "t0013")}
    assert best <= {"t0001", "t0004"}


def test_a_population_has_whole_generations_without_early_stopping() -> None:
    budget = STUDIES["cnn"].with_searcher("pbt").trial_budget
    assert (budget.num_trials, budget.max_epochs, budget.grace_period) == (30, 6, 6)
    assert STUDIES["cnn"].with_searcher("pbt").trials_at_once == 6
    odd = STUDIES["cnn"].with_budget(num_trials=33, max_epochs=9).with_searcher("pbt")
    assert (odd.trial_budget.num_trials, odd.trial_budget.max_epochs, len(odd.sample(0))) == (30, 1, 30)
    assert STUDIES["cnn-depth"].with_budget(num_trials=20).with_searcher("pbt").finalists == 0
    for num_trials, max_epochs in ((4, 30), (19, 30), (20, 4)):
        with pytest.raises(ConfigurationError, match=f"{num_trials} trials of {max_epochs} epochs do not make"):
            STUDIES["cnn"].with_budget(num_trials=num_trials, max_epochs=max_epochs).with_searcher("pbt")
    with pytest.raises(ConfigurationError, match="nothing that can change within a training"):
        replace(STUDY, space={"batch_norm": STUDY.space["batch_norm"]})
    with pytest.raises(ConfigurationError, match="no finals"):
        replace(STUDY, finalists=1, seeds=1)
