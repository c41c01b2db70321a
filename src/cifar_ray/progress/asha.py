"""ASHA's rungs: who has reached them, who was stopped there, and how much is likely left to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cifar_ray.progress.board import Board, Curve
from cifar_ray.studies import Budget


@dataclass(frozen=True, kw_only=True)
class Rung:
    """Epochs after which ASHA compares a trial with those that came before it."""

    epoch: int
    num_stopped: int
    num_passed: int
    """Trials that have trained longer than that."""

    def share_passing(self, reduction_factor: int) -> float:
        """Of the trials that come to it, the likely share that goes on.

        The observed one, with `reduction_factor` trials more of which one went on: what ASHA aims at. (It lets more
        pass than that while it has seen few.)
        """
        return (self.num_passed + 1) / (self.num_passed + self.num_stopped + reduction_factor)


def milestones(budget: Budget) -> list[int]:
    """The rungs' epochs: the grace period, times the reduction factor each. At its last epoch a trial just ends."""
    found, epoch = [], budget.grace_period
    while epoch < budget.max_epochs:
        found.append(epoch)
        epoch *= budget.reduction_factor
    return found


def rungs(budget: Budget, curves: Iterable[Curve]) -> list[Rung]:
    """Every rung as the trials have met it so far."""
    known = [(curve.num_epochs, curve.outcome) for curve in curves]
    return [
        Rung(
            epoch=epoch,
            num_stopped=sum(num_epochs == epoch and outcome == "stopped" for num_epochs, outcome in known),
            num_passed=sum(num_epochs > epoch for num_epochs, _ in known),
        )
        for epoch in milestones(budget)
    ]


def seconds_left(board: Board) -> float | None:
    """How long the sweep is likely to go on; None where the log does not tell.

    Each trial that runs or is still to start is followed through the rungs ahead of it: it trains on to the next one
    for sure and goes on from there with that rung's share (`Rung.share_passing`). The epochs that this adds up to,
    over the epochs a second of the later half of the run, are one bound; the longest expected way of a single
    running trial, at the seconds that its last epoch took, is the other, for the end of a sweep, when few trials are
    left to fill the cluster. The estimate is the larger one. It knows nothing of nodes that come or go.

    Unknown until as many trials as the reduction factor have been judged at the first rung.
    """
    budget, progress = board.budget, board.progress
    if budget is None or progress is None:
        return None
    all_rungs = rungs(budget, board.curves.values())
    if all_rungs and all_rungs[0].num_passed + all_rungs[0].num_stopped < min(
        budget.reduction_factor, budget.num_trials
    ):
        return None
    rate = _epochs_per_second(board.pace)
    if rate is None:
        return None
    running = [curve for curve in board.curves.values() if curve.outcome == "running"]
    num_waiting = max(0, budget.num_trials - len(board.curves))
    left = {curve.trial_id: expected_epochs(budget, all_rungs, curve.num_epochs) for curve in running}
    work = sum(left.values()) + num_waiting * expected_epochs(budget, all_rungs, 0)
    ways = [left[curve.trial_id] * curve.epochs[curve.num_epochs].seconds for curve in running if curve.epochs]
    return max(work / rate, *ways, 0.0)


def expected_epochs(budget: Budget, all_rungs: Iterable[Rung], num_epochs: int) -> float:
    """Of a trial that has trained `num_epochs` and runs: how many more it is likely to train."""
    total, chance, position = 0.0, 1.0, num_epochs
    for rung in all_rungs:
        if rung.epoch > num_epochs:
            total += chance * (rung.epoch - position)
            chance *= rung.share_passing(budget.reduction_factor)
            position = rung.epoch
    return total + chance * max(0, budget.max_epochs - position)


def _epochs_per_second(pace: list[tuple[float, int]]) -> float | None:
    """Over the later half of the time; None before an epoch has ended in it."""
    if not pace:
        return None
    now, num_epochs = pace[-1]
    begin = next((each for each in pace if each[0] >= now / 2), pace[0])
    if num_epochs <= begin[1] or now <= begin[0]:
        begin = pace[0]
    elapsed_s, num_new = now - begin[0], num_epochs - begin[1]
    return num_new / elapsed_s if num_new > 0 and elapsed_s > 0 else None
