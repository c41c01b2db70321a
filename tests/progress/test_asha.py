"""What is left of a sweep, by hand, and on a sweep that is played back."""

import numpy as np
import pytest
from ray.tune.schedulers import ASHAScheduler

from cifar_ray.progress.asha import Rung, expected_epochs, milestones, rungs, seconds_left
from cifar_ray.progress.board import Board
from cifar_ray.progress.sweep_log import TrialEpoch, TrialState
from cifar_ray.records import SweepProgress
from cifar_ray.studies import Budget

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
    half = [Rung(epoch=2, num_stopped=6, num_passed=5), Rung(epoch=8, num_stopped=0, num_passed=0)]
    assert half[0].share_passing(4) == pytest.approx(6 / 15)
    assert half[1].share_passing(4) == 1 / 4
    assert expected_epochs(BUDGET, half, 0) == pytest.approx(2 + 6 / 15 * (6 + 1 / 4 * 2))
    assert expected_epochs(BUDGET, half, 5) == pytest.approx(3 + 1 / 4 * 2)
    assert expected_epochs(BUDGET, half, 9) == 1
    assert expected_epochs(BUDGET, half, 10) == 0


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
            SweepProgress(
                elapsed_s=float(self.second),
                trials=8,
                running=num_running,
                epochs=sum(curve.num_epochs for curve in curves),
                best_validation_accuracy=0.5,
                best_trial="t0000",
                dataset="x",
                **counts,
            )
        )


def test_the_estimate_nears_the_truth_and_ends_at_nothing() -> None:
    played = Played()
    known = [(second, left) for second, left in played.seen if left is not None]
    assert known
    assert known[0][0] > 2, "nothing was judged before"
    for second, left in known:
        truth = played.second - second
        assert truth / 2.5 - 2 <= left <= truth * 2.5 + 2, (second, left, truth)
    assert known[-1] == (played.second, 0.0)
    errors = [abs(left - (played.second - second)) for second, left in known]
    assert np.mean(errors[-4:]) < np.mean(errors[:4]) + 1


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
