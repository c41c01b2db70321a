"""The outcome of a sweep's finals: its best configurations retrained, each on several seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from cifar_ray.json_record import Amount, Count, Record, Share
from cifar_ray.statistics import mean_accuracy_interval
from cifar_ray.wording import counted


@dataclass(frozen=True, kw_only=True)
class Retraining(Record):
    """A finalist's configuration, trained to its last epoch on another seed."""

    trial_id: str
    """In the finals, which number their trials anew."""
    seed: int
    """For its weights and dropout, and for its batches' order and augmentation."""
    outcome: str
    best_epoch: Count | None
    best_validation_accuracy: Share | None
    """None where it has no epoch with a finite loss."""


@dataclass(frozen=True, kw_only=True)
class Finalist(Record):
    """One of the sweep's best trials, retrained."""

    trial_id: str
    """In the sweep."""
    searched_accuracy: Share
    """Its best validation accuracy in the sweep, by which it was chosen."""
    retrainings: tuple[Retraining, ...]
    has_other_epochs: bool = False
    """Whether a full training has more or fewer epochs here than the trial had in the sweep, where ASHA may cut it."""

    @property
    def accuracies(self) -> list[float]:
        """The best validation accuracy of each training that has one."""
        found = [each.best_validation_accuracy for each in self.retrainings]
        return [accuracy for accuracy in found if accuracy is not None]

    @property
    def mean(self) -> float | None:
        """The mean of `accuracies`."""
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of that mean over seeds, by Student's t: wide for few seeds, None for one, or alike."""
        return mean_accuracy_interval(self.accuracies)

    @property
    def shrinkage(self) -> float | None:
        """How much the sweep flattered it: its accuracy there minus the mean; None if the numbers of epochs differ."""
        return None if self.mean is None or self.has_other_epochs else self.searched_accuracy - self.mean

    @property
    def best(self) -> Retraining | None:
        """The training with the best validation accuracy, the first of several."""
        known = [each for each in self.retrainings if each.best_validation_accuracy is not None]
        return max(known, key=lambda each: each.best_validation_accuracy or 0.0, default=None)


@dataclass(frozen=True, kw_only=True)
class Finals(Record):
    """All finalists, the best mean first; those with trainings that did not reach their last epoch come last."""

    finalists: tuple[Finalist, ...]
    num_epochs: Count
    """Of the finals alone, as in `accelerator_seconds`."""
    accelerator_seconds: Amount

    @property
    def winner(self) -> Finalist | None:
        """None where no training of any finalist has an epoch with a finite loss."""
        first = self.finalists[0] if self.finalists else None
        return first if first is not None and first.mean is not None else None

    @property
    def best(self) -> Retraining | None:
        """The winner's best training, which is scored on the test set."""
        return self.winner.best if self.winner else None


def rank_finalists(finalists: Iterable[Finalist]) -> tuple[Finalist, ...]:
    """In the order of Finals; of equal means the better in the sweep first."""

    def order(finalist: Finalist) -> tuple[int, float, float]:
        num_broken = sum(each.outcome != "completed" for each in finalist.retrainings)
        return num_broken, -(finalist.mean or 0.0), -finalist.searched_accuracy

    return tuple(sorted(finalists, key=order))


def describe(finals: Finals) -> str:
    """The outcome of the finals, in a sentence."""
    winner = finals.winner
    if winner is None or winner.mean is None:
        return "finals: no training has an epoch with a finite loss; the sweep's own best stands"
    low, high = winner.interval or (math.nan, math.nan)
    interval = f" (95 % interval {100 * low:.2f} to {100 * high:.2f})" if winner.interval else ""
    difference = "in a training of other length"
    if winner.shrinkage is not None:
        difference = f"{abs(100 * winner.shrinkage):.2f} points {'more' if winner.shrinkage >= 0 else 'less'}"
    searched = f"the sweep had given it {100 * winner.searched_accuracy:.2f} %, {difference}"
    return (
        f"finals: {winner.trial_id} wins with a mean validation accuracy of {100 * winner.mean:.2f} % over "
        f"{counted(len(winner.accuracies), 'seed')}{interval}; {searched}"
    )
