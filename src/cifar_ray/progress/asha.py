"""ASHA's rungs: how many trials passed each or were stopped there, and how much work is likely left."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from cifar_ray.progress.board import Board, Curve
from cifar_ray.studies import Budget


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

    The estimate is the larger of two bounds. One is all the epochs that running trials and those still to start are
    likely to train (`shares_passing`), at the epochs per second of the later half of the run so far. The other is for
    the end of a sweep, when few trials are left to fill the cluster: the longest time that a running trial is likely
    to take, at the seconds of its last epoch. Nodes that join or leave are not foreseen.

    None until as many epochs as the reduction factor have ended. Replayed over `cnn-60-seed-0` (60 trials in a
    cohort of 16, reduction factor 8, 315 s; every 2 s until 10 s before its end, n = 134) it was off by a factor of
    1.35 (root mean square of the logarithm), 2.2 at worst; mostly too long, as passes grow shorter.
    """
    budget, progress = board.budget, board.progress
    if budget is None or progress is None or progress.epochs < min(budget.reduction_factor, budget.num_trials):
        return None
    rate = _epochs_per_second(board.pace)
    if rate is None:
        return None
    running = [curve for curve in board.curves.values() if curve.outcome == "running"]
    num_waiting = max(0, budget.num_trials - len(board.curves))
    shares = shares_passing(budget, board.curves.values(), num_waiting, board.num_together)
    left = {curve.trial_id: expected_epochs(budget, shares, curve.num_epochs) for curve in running}
    work = sum(left.values()) + num_waiting * expected_epochs(budget, shares, 0)
    ways = [left[curve.trial_id] * curve.epochs[curve.num_epochs].seconds for curve in running if curve.epochs]
    return max(work / rate, *ways, 0.0)


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


def _epochs_per_second(pace: list[tuple[float, int]]) -> float | None:
    """Over the later half of the time, or over all of it if no epoch ended in that half; None where none has ended."""
    if not pace:
        return None
    now, num_epochs = pace[-1]
    begin = next((each for each in pace if each[0] >= now / 2), pace[0])
    if num_epochs <= begin[1] or now <= begin[0]:
        begin = pace[0]
    elapsed_s, num_new = now - begin[0], num_epochs - begin[1]
    return num_new / elapsed_s if num_new > 0 and elapsed_s > 0 else None
