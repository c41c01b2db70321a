"""The scheduler's decisions on passes of a cohort, and its rungs in a driver that resumes a sweep."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from epoch_lines import make_line
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TrialRunnerWrapper

from cifar_ray.records import EpochMetrics, TrialRecord
from cifar_ray.tuning.pass_asha import HURRY_S, PassASHA, Unjudged
from cifar_ray.tuning.patient_trainable import STOP_DEADLINE_S
from cifar_ray.tuning.standing import Standing


def test_the_controller_is_patched_once() -> None:
    """Ray Tune wraps it anew for each: a thousand layers were more than Python's stack holds."""

    def fail(*, exception: Exception, **task: object) -> None:
        raise exception

    manager = SimpleNamespace(_actor_task_failed=fail)
    controller = SimpleNamespace(
        _actor_force_cleanup_timeout=10, _actor_manager=manager, _trial_task_failure=fail, _trial_to_actor={}
    )
    asha = PassASHA(time_attr="epoch", metric="accuracy", mode="max")
    taught = set()
    for index in range(3):
        wrapper = TrialRunnerWrapper(controller, SimpleNamespace())
        asha.on_trial_add(wrapper, SimpleNamespace(trial_id=str(index), config={"trial_id": f"t{index:04d}"}))
        taught.add((manager._actor_task_failed, controller._trial_task_failure))
    assert len(taught) == 1
    assert controller._actor_force_cleanup_timeout == STOP_DEADLINE_S
    asha.hurry()
    asha.on_trial_add(wrapper, SimpleNamespace(trial_id="3", config={"trial_id": "t0003"}))
    assert controller._actor_force_cleanup_timeout == HURRY_S, "whoever stops a job kills it soon after"
    with pytest.raises(RayActorError, match="no memory"):
        manager._actor_task_failed(exception=OutOfMemoryError("no memory"))


class Driver:
    """One that goes on with a sweep, as Ray Tune shows it to its scheduler."""

    def __init__(self, lines: list[EpochMetrics], name: str) -> None:
        self._asha = PassASHA(
            time_attr="epoch",
            metric="accuracy",
            mode="max",
            max_t=16,
            grace_period=1,
            reduction_factor=2,
            known=lines,
        )
        self._name, self._added = name, dict[str, SimpleNamespace]()

    def judges(self, line: EpochMetrics, made_with: Sequence[EpochMetrics] = ()) -> str:
        trial_id = line.trial_id
        if trial_id not in self._added:
            self._added[trial_id] = SimpleNamespace(trial_id=f"{self._name}{trial_id}", config={"trial_id": trial_id})
            self._asha.on_trial_add(TrialRunnerWrapper(CONTROLLER, SimpleNamespace()), self._added[trial_id])
        standings = [Standing.of(each) for each in made_with]
        result = {"epoch": line.epoch, "accuracy": line.validation_accuracy, "pass": standings}
        return str(self._asha.on_trial_result(SimpleNamespace(), self._added[trial_id], result))

    def rungs(self) -> list[tuple[int, dict[str | Unjudged, float]]]:
        return self._asha._rungs()


CONTROLLER = SimpleNamespace(
    _actor_force_cleanup_timeout=10,
    _actor_manager=SimpleNamespace(_actor_task_failed=None),
    _trial_task_failure=None,
    _trial_to_actor={},
)


@pytest.mark.fault("the driver is killed")
@pytest.mark.parametrize("seed", range(20))
def test_a_resuming_driver_decides_like_the_first(seed: int) -> None:
    """Cut at any epoch, a sweep is judged as if it had not been: what a trial repeats changes nothing."""
    rng = random.Random(seed)
    first = Driver([], "a")
    trials: dict[str, TrialRecord] = {}
    lines: list[EpochMetrics] = []
    cut, later = rng.randrange(5, 60), None
    while len(lines) < 120:
        going_on = [each for each in trials.values() if each.outcome == "running"]
        if len(going_on) < 4:
            trial_id = f"t{len(trials):04d}"
            trials[trial_id] = TrialRecord(trial_id=trial_id, config={}, outcome="running")
            continue
        trial = rng.choice(going_on)
        line = make_line(trial.trial_id, trial.num_epochs + 1, rng.random())
        lines.append(line)
        decision = first.judges(line)
        if later is not None:
            assert later.judges(line) == decision
        outcome = "running" if decision == "CONTINUE" else "stopped"
        trials[trial.trial_id] = TrialRecord(trial_id=trial.trial_id, config={}, outcome=outcome, num_epochs=line.epoch)
        if len(lines) == cut:
            later = Driver(lines, "b")
            for each in lines:
                if trials[each.trial_id].outcome == "running":
                    assert later.judges(each) == "CONTINUE"
    assert later is not None


def test_a_resuming_driver_stops_a_trial_that_the_first_had_yet_to_stop() -> None:
    """The one before had written down its epoch, and died before it had written that the trial was stopped."""
    lines = [make_line("t0000", 1, 0.6), make_line("t0001", 1, 0.2)]
    later = Driver(lines, "b")
    assert [later.judges(line) for line in lines] == ["CONTINUE", "STOP"]


def run_passes(seed: int, cut_after: int | None = None) -> list[list[tuple[str, int]]]:
    """Who is stopped in each of twelve passes of six trials, whose order is the seed's; where the driver is another."""
    orders, qualities = random.Random(seed), random.Random(0)
    driver, trials, lines = Driver([], "a"), dict[str, TrialRecord](), list[EpochMetrics]()
    stopped = []
    for number in range(12):
        if number == cut_after:
            driver = Driver(lines, "b")
            for line in lines:
                if trials[line.trial_id].outcome == "running":
                    assert driver.judges(line) == "CONTINUE", "it repeats what it had"
        members = [name for name, each in trials.items() if each.outcome == "running"]
        members += [f"t{len(trials) + index:04d}" for index in range(6 - len(members))]
        epochs = {name: trials[name].num_epochs + 1 if name in trials else 1 for name in members}
        made = [make_line(name, epochs[name], qualities.random(), seconds=number, num_sharing=6) for name in members]
        orders.shuffle(made)
        decisions = {line.trial_id: driver.judges(line, made) for line in made}
        lines += made
        for name in members:
            outcome = "running" if decisions[name] == "CONTINUE" else "stopped"
            trials[name] = TrialRecord(trial_id=name, config={}, outcome=outcome, num_epochs=epochs[name])
        stopped.append([(name, epochs[name]) for name in members if decisions[name] == "STOP"])
    return stopped


def test_the_order_of_results_in_a_pass_changes_nothing() -> None:
    first = run_passes(0)
    assert all(run_passes(seed) == first for seed in range(1, 20))
    assert {epoch for made in first for _, epoch in made} >= {1, 2}
    assert len(first[0]) == 3, "the better half goes on"


@pytest.mark.fault("the driver is killed")
@pytest.mark.parametrize("cut_after", range(1, 12))
def test_a_resuming_driver_judges_passes_like_the_first(cut_after: int) -> None:
    assert run_passes(0, cut_after) == run_passes(0)


def test_a_trial_is_judged_by_exactly_those_that_have_come_as_far() -> None:
    for order in itertools.permutations([0.1, 0.2, 0.3, 0.4, 0.5]):
        driver = Driver([], "a")
        # of a pass of two trials that are further, whose one rung has another comparison
        further = [make_line(f"t000{index}", 2, 0.9) for index in (8, 9)]
        made = [make_line(f"t{index:04d}", 1, accuracy) for index, accuracy in enumerate(order)] + further
        for line in made[:5]:
            others = [other for other in order if other != line.validation_accuracy]
            expected = "CONTINUE" if line.validation_accuracy >= np.percentile(others, 50) else "STOP"
            assert driver.judges(line, made) == expected


@pytest.mark.fault("all worker nodes die")
def test_an_announced_trial_is_judged_when_it_reports() -> None:
    """Its node went between its pass and its own report; what it makes then counts, not what was announced."""
    driver = Driver([], "a")
    lost, kept = make_line("t0000", 1, 0.9), make_line("t0001", 1, 0.5)
    assert driver.judges(kept, [lost, kept]) == "STOP"
    assert driver.judges(make_line("t0000", 1, 0.4)) == "STOP"
    assert driver.judges(make_line("t0002", 1, 0.46)) == "CONTINUE", "half of 0.4 and 0.5"


@pytest.mark.fault("the driver is killed")
def test_a_recorded_pass_without_decisions_is_judged_together() -> None:
    """Records of trials follow on their epochs by seconds."""
    accuracies = (0.2, 0.31, 0.4, 0.5)
    made = [make_line(f"t000{index}", 1, each, num_sharing=4) for index, each in enumerate(accuracies)]
    # of another node, as the books have an epoch that a trial had from its checkpoint
    made[3] = replace(made[3], node="10.0.0.2")
    for order in itertools.permutations(made):
        later = Driver(list(order), "b")
        decisions = {line.trial_id: later.judges(line) for line in order}
        assert decisions == {"t0000": "STOP", "t0001": "STOP", "t0002": "CONTINUE", "t0003": "CONTINUE"}


@pytest.mark.fault("the driver is killed")
def test_a_recorded_pass_may_have_two_trials() -> None:
    made = [make_line(f"t000{index}", 1, each, num_sharing=2) for index, each in enumerate((0.2, 0.4))]
    for order in itertools.permutations(made):
        later = Driver(list(order), "b")
        assert {line.trial_id: later.judges(line) for line in order} == {"t0000": "STOP", "t0001": "CONTINUE"}


@pytest.mark.fault("the driver is killed")
def test_a_trial_that_trained_on_has_passed_its_rung() -> None:
    """It was judged beside a trial that was lost, and that the books have in a later pass."""
    first = make_line("t0002", 1, 0.6, seconds=1.0)
    kept = make_line("t0001", 1, 0.5, seconds=2.0, num_sharing=2)
    then = [
        make_line("t0001", 2, 0.58, seconds=3.0, num_sharing=2),
        make_line("t0000", 1, 0.1, seconds=3.0, num_sharing=2),
        make_line("t0001", 3, 0.59, seconds=4.0),
    ]
    later = Driver([first, kept, *then], "b")
    assert later.judges(kept) == "CONTINUE"
    (_, recorded) = later.rungs()[-1]
    assert sorted(recorded.values()) == [0.1, 0.5, 0.6]
