"""Compares searchers by what their sweeps had reached after the same number of epochs."""

from __future__ import annotations

from collections.abc import Sequence

from cifar_ray.reporting.comparison import Contender
from cifar_ray.reporting.replicates import Lead, Replicates, lead_over_seeds


def score_searchers(contenders: Sequence[Contender], num_epochs: int) -> list[Replicates]:
    """Each searcher after so many epochs, the best first; a sweep without an epoch of finite losses is left out."""
    found: dict[str, list[tuple[int, float]]] = {}
    for each in contenders:
        if (best := each.course[num_epochs - 1][1]) is not None:
            found.setdefault(each.sweep.searcher, []).append((each.sweep.seed, best))
    scores = [score for name, reached in found.items() if (score := Replicates.of(name, reached))]
    return sorted(scores, key=lambda score: -score.mean)


def compare_searchers(contenders: Sequence[Contender]) -> tuple[list[str], list[Lead]]:
    """A line for each searcher, and the lead of the best over each other one; empty where all used the same searcher.

    Sweeps that train another sweep's configurations have no searcher, and are left out. Empty for sweeps of several
    studies, too: those differ in more than the searcher.
    """
    contenders = [each for each in contenders if each.sweep.best_of is None]
    if len({each.sweep.study for each in contenders}) > 1:
        return [], []
    if len({each.sweep.searcher for each in contenders}) < 2:
        return [], []
    # the most epochs, over all its trials, that every sweep has trained
    if not (num_epochs := min(len(each.metrics) for each in contenders)):
        return [], []
    scores = score_searchers(contenders, num_epochs)
    epochs = f"{num_epochs} epoch{'s' * (num_epochs != 1)}"
    lines = [f"After {epochs} each, {score.name}: validation {score.text}." for score in scores]
    on = f"validation, after {epochs} each"
    return lines, [lead_over_seeds(scores[0], other, on, len(scores)) for other in scores[1:]]
