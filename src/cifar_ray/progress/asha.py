"""ASHA's rungs: how many trials passed each or were stopped there, and how much work is likely left."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from cifar_ray.progress.board import Board, Curve
from cifar_ray.studies import Budget

PASS_FIXED, PASS_EACH = 0.91, 0.28
"""A pass of a cohort of n takes fixed + each * n times an epoch of a trial alone on one of the node's two cores."""


@dataclass(frozen=True, kw_only=True)
class Rung:
    """An epoch after which ASHA compares a trial with the others that have come as far."""

    epoch: int
    num_stopped: int
    num_passed: int
    """Trials that have trained beyond it."""

    @property
    def num_judged(self) -> int:
        """Trials that ASHA has compared there."""
        return self.num_stopped + self.num_passed


def milestones(budget: Budget) -> list[int]:
    """The rungs' epochs: the grace period, then times the reduction factor each. A trial's last epoch is no rung."""
    found, epoch = [], budget.grace_period
    while epoch < budget.max_epochs:
        found.append(epoch)
        epoch *= budget.reduction_factor
    return found


def rungs(budget: Budget, curves: Iterable[Curve]) -> list[Rung]:
    """Every rung, with the trials stopped at it and past it so far."""
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
    """How many more seconds the sweep is likely to run; None where the log does not tell.

    Two things may decide: all the epochs that running trials and those still to start are likely to train
    (`shares_passing`), or the longest way that a running trial is likely to go on, when few are left to fill the
    cluster. Nodes that join or leave are not foreseen.

    None until as many epochs as the reduction factor have ended. docs/following.md says how accurate it is.
    """
    budget, progress = board.budget, board.progress
    if budget is None or progress is None or progress.epochs < min(budget.reduction_factor, budget.num_trials):
        return None
    curves = board.curves.values()
    num_waiting = max(0, budget.num_trials - len(curves))
    shares = shares_passing(budget, curves, num_waiting, board.num_together)
    running = [curve for curve in curves if curve.outcome == "running"]
    left = [expected_epochs(budget, shares, curve.num_epochs) for curve in running]
    to_start = num_waiting * expected_epochs(budget, shares, 0)
    if board.num_together > 1:
        return _seconds_of_passes(board, sum(left) + to_start, _expected_passes(budget, shares, running))
    return _seconds_of_trials(board, list(zip(running, left, strict=True)), to_start)


def _seconds_of_trials(board: Board, left: Sequence[tuple[Curve, float]], to_start: float) -> float | None:
    """For running trials with the epochs `left` to each, at the pace of its last, and so many epochs of those to start.

    These are as long as the mean of all so far.
    """
    known = [line.seconds for curve in board.curves.values() for line in curve.epochs.values()]
    if not known:
        return None
    usual_s = fmean(known)
    ways = [num_epochs * (curve.epoch_s or usual_s) - _seconds_since(board, curve) for curve, num_epochs in left]
    return max((sum(ways) + to_start * usual_s) / max(1, *board.running), *ways, 0.0)


def _seconds_of_passes(board: Board, work: float, longest: float) -> float | None:
    """For cohorts that train `work` epochs in at least `longest` passes: these grow shorter as members are stopped."""
    newest = board.newest
    if newest is None or newest.epoch_s is None:
        return None
    num_cohorts = max(1, math.ceil(max(board.running, default=0) / board.num_together))
    num_places = num_cohorts * board.num_together
    # a trial that ended in the last pass was in it, too
    num_members = sum(
        curve.outcome == "running"
        or (curve.epoch_s == newest.epoch_s and newest.told_s - curve.told_s <= newest.epoch_s)
        for curve in board.curves.values()
        if curve.epochs
    )
    size = min(max(1, num_members), num_places) / num_cohorts
    weight = PASS_EACH * work / num_cohorts + PASS_FIXED * max(work / num_places, longest)
    return max(0.0, newest.epoch_s * weight / (PASS_FIXED + PASS_EACH * size) - _seconds_since(board, newest))


def _seconds_since(board: Board, curve: Curve) -> float:
    """Seconds since its newest epoch ended, at most as many as that took."""
    assert board.progress is not None
    return min(board.progress.elapsed_s - curve.told_s, curve.epoch_s or 0.0)


def _expected_passes(budget: Budget, shares: Mapping[int, float], running: Iterable[Curve]) -> float:
    """How many more passes are likely to have one of these trials."""
    falls = []
    for curve in running:
        chance = 1.0
        for epoch, share in (*shares.items(), (budget.max_epochs, 0.0)):
            if epoch > curve.num_epochs:
                falls.append((epoch - curve.num_epochs, chance * (1 - share)))
                chance *= share
    total, before, num_members = 0.0, 0, math.fsum(fall for _, fall in falls)
    for num_passes, fall in sorted(falls):
        total += (num_passes - before) * min(1.0, num_members)
        before, num_members = num_passes, num_members - fall
    return total


def shares_passing(
    budget: Budget, curves: Collection[Curve], num_waiting: int, num_together: int = 1
) -> dict[int, float]:
    """By rung's epoch: of the trials that are still to reach it, the share that is likely to pass.

    ASHA lets a trial pass that is at or above the 1 - 1/r quantile of the n others that have come as far. If all orders
    are equally likely, this has the probability ((n - 1) / r + 1) / (n + 1), and 1 for the first. The trials still to
    come are those that pass the rung before, and those that run between the two. `num_together` train in common passes
    (docs/decisions/0015): each is also compared with the others of its pass, whose number shrinks from rung to rung by
    the same share.
    """
    shares, coming, together, before = {}, float(num_waiting), float(num_together), 0
    for rung in rungs(budget, curves):
        coming += sum(curve.outcome == "running" and before <= curve.num_epochs < rung.epoch for curve in curves)
        num_coming, size = max(1, round(coming)), max(1, round(together))
        others = [min(number - number % size + size, num_coming) - 1 for number in range(num_coming)]
        share = sum(_chance(rung.num_judged + each, budget.reduction_factor) for each in others) / num_coming
        shares[rung.epoch] = share
        coming, together, before = coming * share, together * share, rung.epoch
    return shares


def expected_epochs(budget: Budget, shares: Mapping[int, float], num_epochs: int) -> float:
    """How many more epochs a running trial is likely to train after `num_epochs`."""
    total, chance, position = 0.0, 1.0, num_epochs
    for epoch, share in shares.items():
        if epoch > num_epochs:
            total += chance * (epoch - position)
            chance, position = chance * share, epoch
    return total + chance * max(0, budget.max_epochs - position)


def _chance(num_others: int, reduction_factor: int) -> float:
    return ((num_others - 1) / reduction_factor + 1) / (num_others + 1) if num_others else 1.0
