"""Sets searchers side by side: what the sweeps of each had reached when all had trained for as many epochs."""

from __future__ import annotations

from collections.abc import Sequence

from cifar_ray.reporting.comparison import Contender
from cifar_ray.reporting.replicates import Lead, Replicates, lead_over_seeds


def score_searchers(contenders: Sequence[Contender], num_epochs: int) -> list[Replicates]:
    """Each searcher at that many epochs, the best first; sweeps without one of finite losses by then are left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for each in contenders:
        if (best := each.course[num_epochs - 1][1]) is not None:
            found.setdefault(each.sweep.searcher, []).append((each.sweep.seed, best))
    scores = [score for name, reached in found.items() if (score := Replicates.of(name, reached))]
    return sorted(scores, key=lambda score: -score.mean)


def compare_searchers(contenders: Sequence[Contender]) -> tuple[list[str], list[Lead]]:
    """A line for each searcher, and the best set against each other one; none where all had the same searcher.

    Sweeps of configurations that another sweep has found are none of a searcher's. None for sweeps of several studies,
    which differ in more than that.
    """
    contenders = [each for each in contenders if each.sweep.best_of is None]
    if len({each.sweep.study for each in contenders}) > 1:
        return [], []
    if len({each.sweep.searcher for each in contenders}) < 2:
        return [], []
    # the most, over all trials, that each has trained
    if not (num_epochs := min(len(each.metrics) for each in contenders)):
        return [], []
    scores = score_searchers(contenders, num_epochs)
    epochs = f"{num_epochs} epoch{'s' * (num_epochs != 1)}"
    lines = [f"After {epochs} each, {score.name}: validation {score.text}." for score in scores]
    on = f"validation, after {epochs} each"
    return lines, [lead_over_seeds(scores[0], other, on, len(scores)) for other in scores[1:]]
