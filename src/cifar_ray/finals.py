"""What came of training a sweep's best configurations anew, on several seeds each."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from cifar_ray.json_record import Amount, Count, Record, Share
from cifar_ray.statistics import mean_accuracy_interval


@dataclass(frozen=True, kw_only=True)
class Retraining(Record):
    """A finalist's configuration, trained to its last epoch on another seed."""

    trial_id: str
    """In the finals, whose numbers are their own."""
    seed: int
    """Of its weights and drop-out, and of its batches' order and augmentation."""
    outcome: str
    best_epoch: Count | None
    best_validation_accuracy: Share | None
    """None where it has no epoch with a finite loss."""


@dataclass(frozen=True, kw_only=True)
class Finalist(Record):
    """One of the sweep's best trials, trained anew."""

    trial_id: str
    """In the sweep."""
    searched_accuracy: Share
    """Its best validation accuracy in the sweep, by which it was chosen."""
    retrainings: tuple[Retraining, ...]
    has_other_epochs: bool = False
    """Whether a whole training has more or fewer epochs here than the trial had in the sweep, which may have cut it."""

    @property
    def accuracies(self) -> list[float]:
        """The best validation accuracy of each training that has one."""
        found = [each.best_validation_accuracy for each in self.retrainings]
        return [accuracy for accuracy in found if accuracy is not None]

    @property
    def mean(self) -> float | None:
        """Of these accuracies."""
        return fmean(self.accuracies) if self.accuracies else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Of that mean over seeds, 95 %, by Student's t: wide for few seeds. None of fewer than two."""
        return mean_accuracy_interval(self.accuracies)

    @property
    def shrinkage(self) -> float | None:
        """By how much the sweep flattered it: its accuracy there less the mean. None where epochs are in it, too."""
        return None if self.mean is None or self.has_other_epochs else self.searched_accuracy - self.mean

    @property
    def best(self) -> Retraining | None:
        """The training of the best validation accuracy, the first of several."""
        known = [each for each in self.retrainings if each.best_validation_accuracy is not None]
        return max(known, key=lambda each: each.best_validation_accuracy or 0.0, default=None)


@dataclass(frozen=True, kw_only=True)
class Finals(Record):
    """All finalists, the best mean first; those come last of which a training did not reach its last epoch."""

    finalists: tuple[Finalist, ...]
    num_epochs: Count
    """Of the finals alone, as what follows."""
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
    """As Finals has them; of equal means the better in the sweep first."""

    def order(finalist: Finalist) -> tuple[int, float, float]:
        num_broken = sum(each.outcome != "completed" for each in finalist.retrainings)
        return num_broken, -(finalist.mean or 0.0), -finalist.searched_accuracy

    return tuple(sorted(finalists, key=order))


def describe(finals: Finals) -> str:
    """What came out, in a sentence."""
    winner = finals.winner
    if winner is None or winner.mean is None:
        return "finals: no training has an epoch with a finite loss; the sweep's own best stands"
    low, high = winner.interval or (math.nan, math.nan)
    interval = f" (95 % interval {100 * low:.2f} to {100 * high:.2f})" if winner.interval else ""
    flattery = "in a training of other length"
    if winner.shrinkage is not None:
        flattery = f"{abs(100 * winner.shrinkage):.2f} points {'more' if winner.shrinkage >= 0 else 'less'}"
    searched = f"the sweep had given it {100 * winner.searched_accuracy:.2f} %, {flattery}"
    return (
        f"finals: {winner.trial_id} wins with a mean validation accuracy of {100 * winner.mean:.2f} % over "
        f"{len(winner.accuracies)} seeds{interval}; {searched}"
    )
