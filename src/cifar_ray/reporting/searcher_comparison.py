"""Sets searchers side by side: what the sweeps of each had reached when all had trained for as many epochs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cifar_ray.reporting.comparison import Contender
from cifar_ray.statistics import mean_interval


@dataclass(frozen=True, kw_only=True)
class SearcherScore:
    """What a searcher's sweeps had reached."""

    searcher: str
    accuracies: dict[int, float]
    """Best validation accuracy so far, a fraction, by the sweep's seed; of several sweeps of one seed their mean."""
    num_sweeps: int

    @property
    def mean(self) -> float:
        """Over the seeds."""
        return math.fsum(self.accuracies.values()) / len(self.accuracies)

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, of the mean over seeds; None of one seed."""
        return mean_interval(list(self.accuracies.values()))

    def lead(self, other: SearcherScore) -> tuple[int, float, tuple[float, float] | None]:
        """Over the other, on the seeds that both have had: how many, the mean difference and its 95 % interval.

        Sweeps of one seed share split, batches and first trials, so they are compared in pairs.
        """
        seeds = self.accuracies.keys() & other.accuracies.keys()
        differences = [self.accuracies[seed] - other.accuracies[seed] for seed in seeds]
        return len(seeds), math.fsum(differences) / max(1, len(seeds)), mean_interval(differences)


def common_epochs(contenders: Sequence[Contender]) -> int:
    """The most epochs, over all trials, that each has trained."""
    return min(len(each.metrics) for each in contenders)


def score_searchers(contenders: Sequence[Contender], num_epochs: int) -> list[SearcherScore]:
    """Each searcher at that many epochs, the best first."""
    found: dict[str, dict[int, list[float]]] = {}
    for each in contenders:
        seeds = found.setdefault(each.sweep.searcher, {})
        seeds.setdefault(each.sweep.seed, []).append(each.course[num_epochs - 1][1])
    scores = [
        SearcherScore(
            searcher=name,
            accuracies={seed: statistics.fmean(each) for seed, each in seeds.items()},
            num_sweeps=sum(map(len, seeds.values())),
        )
        for name, seeds in found.items()
    ]
    return sorted(scores, key=lambda score: -score.mean)


def searcher_verdicts(contenders: Sequence[Contender]) -> list[str]:
    """A line for each searcher, then the best against each other one; none where all had the same searcher.

    Sweeps of configurations that another sweep has found are none of a searcher's. None for sweeps of several studies,
    which differ in more than that.
    """
    contenders = [each for each in contenders if each.sweep.best_of is None]
    if len({each.sweep.study for each in contenders}) > 1:
        return []
    if len({each.sweep.searcher for each in contenders}) < 2 or not (num_epochs := common_epochs(contenders)):
        return []
    scores = score_searchers(contenders, num_epochs)
    epochs = f"{num_epochs} epoch{'s' * (num_epochs != 1)}"
    lines = [f"After {epochs} each, {_describe(score)}." for score in scores]
    return lines + [_lead(scores[0], other) for other in scores[1:]]


def _describe(score: SearcherScore) -> str:
    num_sweeps, num_seeds = score.num_sweeps, len(score.accuracies)
    sweeps = f"{num_sweeps} sweep{'s' * (num_sweeps != 1)}"
    if num_sweeps > num_seeds:
        sweeps += f" of {num_seeds} seed{'s' * (num_seeds != 1)}"
    interval = score.interval
    spread = f", 95 % interval {100 * interval[0]:.2f} to {100 * interval[1]:.2f}" if interval else ""
    return f"{score.searcher}: validation {100 * score.mean:.2f} % ({sweeps}{spread})"


def _lead(best: SearcherScore, other: SearcherScore) -> str:
    num_pairs, difference, interval = best.lead(other)
    names = f"{best.searcher} and {other.searcher}"
    if interval is None:
        return f"{names}: {num_pairs} pair{'s' * (num_pairs != 1)} of sweeps of one seed, too few to tell them apart."
    low, high = interval
    found = f"{num_pairs} pairs: {100 * difference:+.2f} points, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    if low <= 0 <= high:
        return f"{names} are too close to call ({found})."
    leader, follower = (best, other) if low > 0 else (other, best)
    return f"{leader.searcher} leads {follower.searcher} ({found})."
