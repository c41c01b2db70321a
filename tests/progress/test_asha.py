"""What is left of a sweep, by hand, and on a sweep that is played back."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from progress_line import PROGRESS
from ray.tune.schedulers import ASHAScheduler, TrialScheduler, async_hyperband

from cifar_ray.planning.counted_asha import CountedASHA
from cifar_ray.progress.asha import (
    PASS_EACH,
    PASS_FIXED,
    Rung,
    expected_epochs,
    milestones,
    rungs,
    seconds_left,
    shares_passing,
)
from cifar_ray.progress.board import Board, Curve
from cifar_ray.progress.sweep_log import Cohorts, FinalsAhead, LogEvent, TrialEpoch, TrialState
from cifar_ray.studies import Budget
from cifar_ray.tuning.epoch_report import METRIC, TIME_ATTRIBUTE

BUDGET = Budget(num_trials=8, max_epochs=10, grace_period=2, reduction_factor=4)


@pytest.mark.parametrize(
    ("max_epochs", "grace_period", "factor"), [(30, 1, 4), (50, 1, 4), (10, 2, 4), (27, 1, 3), (4, 4, 2), (1, 1, 2)]
)
def test_the_rungs_are_ray_tunes(max_epochs: int, grace_period: int, factor: int) -> None:
    budget = Budget(num_trials=8, max_epochs=max_epochs, grace_period=grace_period, reduction_factor=factor)
    scheduler = ASHAScheduler(
        metric="x", mode="max", max_t=max_epochs, grace_period=grace_period, reduction_factor=factor
    )
    (bracket,) = scheduler._brackets
    theirs = sorted(milestone for milestone, _ in bracket._rungs if milestone < max_epochs)
    assert milestones(budget) == theirs


def test_expected_epochs_follow_the_shares() -> None:
    shares = {2: 0.4, 8: 0.25}
    assert expected_epochs(BUDGET, shares, 0) == pytest.approx(2 + 0.4 * (6 + 0.25 * 2))
    assert expected_epochs(BUDGET, shares, 5) == pytest.approx(3 + 0.25 * 2)
    assert expected_epochs(BUDGET, shares, 9) == 1
    assert expected_epochs(BUDGET, shares, 10) == 0


def test_the_shares_are_those_that_ray_tune_lets_pass() -> None:
    """Trials in random order of merit, judged by Ray Tune's own rung."""
    rng, num_rounds = np.random.default_rng(0), 3000
    passed = np.zeros(8)
    for _ in range(num_rounds):
        rung = async_hyperband._Bracket(2, 10, 4, 0)
        for number, accuracy in enumerate(rng.random(8)):
            passed[number] += rung.on_result(FakeTrial(str(number)), 2, float(accuracy)) == TrialScheduler.CONTINUE
    for num_before in range(8):
        done = [Curve(trial_id=f"t{index:04d}", outcome="stopped", epochs=EPOCHS) for index in range(num_before)]
        (share, _) = shares_passing(BUDGET, done, num_waiting=1).values()
        assert share == pytest.approx(passed[num_before] / num_rounds, abs=0.04), num_before
    everyone = shares_passing(BUDGET, [], num_waiting=8)[2]
    assert everyone == pytest.approx(passed.mean() / num_rounds, abs=0.02)


@pytest.mark.parametrize("num_together", [1, 3, 6, 24])
def test_the_shares_are_those_that_pass_where_trials_are_judged_together(num_together: int) -> None:
    """24 trials go through all rungs, so many at once, judged by the scheduler of plans; at each all are alike."""
    rng, num_rounds, num_images = np.random.default_rng(0), 1000, 10_000
    trials = [FakeTrial(str(number)) for number in range(24)]
    reached = dict.fromkeys((2, 8, 10), 0)
    for _ in range(num_rounds):
        scheduler = CountedASHA(BUDGET, num_images)
        for first in range(0, 24, num_together):
            group = trials[first : first + num_together]
            for trial in group:
                scheduler.on_trial_add(None, trial)
            for epoch in (2, 8):
                reached[epoch] += len(group)
                merits = {trial: int(rng.integers(num_images)) / num_images for trial in group}
                for trial, merit in merits.items():
                    scheduler.announce(trial.trial_id, epoch, merit)
                results = {trial: {TIME_ATTRIBUTE: epoch, METRIC: merit} for trial, merit in merits.items()}
                said = {trial: scheduler.on_trial_result(None, trial, result) for trial, result in results.items()}
                group = [trial for trial in group if said[trial] == TrialScheduler.CONTINUE]
            reached[10] += len(group)
    shares = shares_passing(BUDGET, [], num_waiting=24, num_together=num_together)
    assert shares[2] == pytest.approx(reached[8] / reached[2], abs=0.01)
    assert shares[8] == pytest.approx(reached[10] / reached[8], abs=0.04)


EPOCHS = {epoch: TrialEpoch(trial_id="t0000", epoch=epoch, validation_accuracy=0.5, seconds=1.0) for epoch in (1, 2)}


@dataclass(frozen=True)
class FakeTrial:
    """What a rung looks at."""

    trial_id: str


class Played:
    """Eight trials, two at once, an epoch a second each; one of four goes on from the first rung, to its end."""

    def __init__(self) -> None:
        self.board = Board()
        self.board.take(BUDGET)
        self.second = 0
        self.seen: list[tuple[int, float | None]] = []
        waiting, running = [f"t{index:04d}" for index in range(8)], dict[str, int]()
        while waiting or running:
            while waiting and len(running) < 2:
                running[trial := waiting.pop(0)] = 0
                self.board.take(TrialState(trial_id=trial, outcome="running"))
            self.second += 1
            for trial in list(running):
                running[trial] += 1
                self.board.take(TrialEpoch(trial_id=trial, epoch=running[trial], validation_accuracy=0.5, seconds=1.0))
                is_good = trial in ("t0003", "t0007")
                if running[trial] == 10 or (running[trial] == 2 and not is_good):
                    del running[trial]
                    self.board.take(TrialState(trial_id=trial, outcome="completed" if is_good else "stopped"))
            self._tell(len(running))
            self.seen.append((self.second, seconds_left(self.board)))

    def _tell(self, num_running: int) -> None:
        curves = self.board.curves.values()
        outcomes = [curve.outcome for curve in curves]
        counts = {name: outcomes.count(name) for name in ("stopped", "completed", "diverged", "failed")}  # type: ignore[arg-type]
        self.board.take(
            replace(
                PROGRESS,
                elapsed_s=float(self.second),
                running=num_running,
                epochs=sum(curve.num_epochs for curve in curves),
                **counts,
            )
        )


def test_the_estimate_nears_the_truth_and_ends_at_nothing() -> None:
    played = Played()
    known = [(second, left) for second, left in played.seen if left is not None]
    assert known
    for second, left in known:
        truth = played.second - second
        assert truth / 2.5 - 2 <= left <= truth * 2.5 + 2, (second, left, truth)
    assert known[-1] == (played.second, 0.0)
    errors = [abs(left - (played.second - second)) for second, left in known]
    assert np.mean(errors[-4:]) < np.mean(errors[:4]) + 1


def test_one_slow_trial_is_waited_for_however_fast_the_others_were() -> None:
    board = Board()
    board.take(Budget(num_trials=9, max_epochs=10, grace_period=10))
    board.take(replace(PROGRESS, elapsed_s=20.0, running=9))
    for index in range(8):
        board.take(TrialEpoch(trial_id=f"t000{index}", epoch=10, validation_accuracy=0.5, seconds=1.0))
        board.take(TrialState(trial_id=f"t000{index}", outcome="completed"))
    board.take(TrialEpoch(trial_id="t0008", epoch=1, validation_accuracy=0.5, seconds=20.0))
    told = {}
    for second in (20, 25, 40, 60):
        board.take(replace(PROGRESS, elapsed_s=float(second), trials=9, running=1, completed=8, epochs=81))
        told[second] = seconds_left(board)
    # as long as the last, its next epoch has ended after 40 s
    assert told == {20: 180, 25: 175, 40: 160, 60: 160}


def test_trials_to_start_take_the_mean_of_all_so_far() -> None:
    """Two at once: two slow trials have been followed by two fast ones, of which one is half through."""
    board = Board()
    board.take(Budget(num_trials=20, max_epochs=2, grace_period=2))
    board.take(replace(PROGRESS, elapsed_s=0.0, running=2))
    for trial, seconds in (("t0000", 30.0), ("t0001", 30.0), ("t0002", 10.0)):
        for epoch in (1, 2):
            board.take(TrialEpoch(trial_id=trial, epoch=epoch, validation_accuracy=0.5, seconds=seconds))
        board.take(TrialState(trial_id=trial, outcome="completed"))
    board.take(replace(PROGRESS, elapsed_s=80.0, trials=20, running=1, completed=3, epochs=6))
    board.take(TrialEpoch(trial_id="t0003", epoch=1, validation_accuracy=0.5, seconds=9.0))
    board.take(replace(PROGRESS, elapsed_s=80.0, trials=20, running=1, completed=3, epochs=7))
    usual_s = (4 * 30.0 + 2 * 10.0 + 9.0) / 7
    assert seconds_left(board) == pytest.approx((9.0 + 16 * 2 * usual_s) / 2)


def test_nodes_that_have_been_lost_for_a_minute_are_not_counted_on() -> None:
    board = Board()
    board.take(Budget(num_trials=12, max_epochs=2, grace_period=2))
    board.take(replace(PROGRESS, running=8))
    for index in range(8):
        board.take(TrialEpoch(trial_id=f"t000{index}", epoch=1, validation_accuracy=0.5, seconds=10.0))
    told = []
    for second in range(0, 80, 2):
        board.take(replace(PROGRESS, elapsed_s=float(second), trials=12, running=2, epochs=8))
        told.append(seconds_left(board))
    # the running epochs are due, and four trials are to train two each
    assert (told[20], told[-1]) == (4 * 2 * 10 / 8, 4 * 2 * 10 / 2)


def test_trials_that_ended_long_ago_count_as_no_members_of_a_pass_as_long_as_theirs() -> None:
    board = Board()
    for each in (Budget(num_trials=9, max_epochs=10, grace_period=10), Cohorts(num_together=8)):
        board.take(each)
    board.take(replace(PROGRESS, running=8))
    for index in range(8):
        board.take(TrialEpoch(trial_id=f"t000{index}", epoch=10, validation_accuracy=0.5, seconds=0.3))
        board.take(TrialState(trial_id=f"t000{index}", outcome="completed"))
    board.take(replace(PROGRESS, elapsed_s=20.0, running=1, completed=8, epochs=80))
    board.take(TrialEpoch(trial_id="t0008", epoch=1, validation_accuracy=0.5, seconds=0.3))
    board.take(replace(PROGRESS, elapsed_s=20.0, trials=9, running=1, completed=8, epochs=81))
    assert seconds_left(board) == pytest.approx(9 * 0.3)


def test_fewer_go_on_where_trials_are_judged_together() -> None:
    """Eight trials are an epoch short of the first rung, and make one in a second."""

    def left(*events: LogEvent) -> float | None:
        board = Board()
        for each in (BUDGET, *events):
            board.take(each)
        for index in range(8):
            board.take(TrialEpoch(trial_id=f"t000{index}", epoch=1, validation_accuracy=0.5, seconds=1.0))
        board.take(replace(PROGRESS, running=8, epochs=8))
        return seconds_left(board)

    # of eight others' odds 2.5 go on to the second rung, six epochs on, and half of those to the end
    work, num_passes = 8 * (1 + 2.5 / 8 * (6 + 2 / 2)), 1 + 6 + 2
    a_second = PASS_FIXED + 8 * PASS_EACH
    expected = (PASS_FIXED * num_passes + PASS_EACH * work) / a_second
    assert left(Cohorts(num_together=8)) == pytest.approx(expected)
    # one by one 3.6 would, and 57 % of those: the first at each is compared with nobody
    assert left() == pytest.approx(1 + 3.61 / 8 * (6 + 2 * 0.573), rel=0.001)


def test_unknown_where_the_log_does_not_tell() -> None:
    board = Board()
    assert seconds_left(board) is None
    board.take(BUDGET)
    assert seconds_left(board) is None
    played = Played().board
    played.budget = None
    assert seconds_left(played) is None


def test_rungs_tell_stopped_from_passed() -> None:
    assert rungs(BUDGET, Played().board.curves.values()) == [
        Rung(epoch=2, num_stopped=6, num_passed=2),
        Rung(epoch=8, num_stopped=0, num_passed=2),
    ]


def test_finals_begin_a_board_of_their_own() -> None:
    """Their trials have numbers of their own, and none of them is judged at a rung."""
    board = Played().board
    board.take(Cohorts(num_together=2))
    board.take(FinalsAhead(num_trainings=4, num_epochs=16))
    assert board.finals is not None
    finals = Budget(num_trials=4, max_epochs=16, grace_period=16)
    board.take(finals)
    board.take(TrialState(trial_id="t0000", outcome="running"))
    assert (board.budget, board.finals, board.progress, list(board.curves)) == (finals, None, None, ["t0000"])
    assert board.num_together == 1
    assert rungs(finals, board.curves.values()) == []
    assert seconds_left(board) is None
