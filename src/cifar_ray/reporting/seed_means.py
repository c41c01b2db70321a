"""What sweeps that differ in their seed alone score in the mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from cifar_ray.records import TestScores
from cifar_ray.reporting.replicates import Replicates
from cifar_ray.reporting.seed_groups import seed_groups
from cifar_ray.storage.runs import SweepSummary


def seed_means(summaries: Iterable[SweepSummary]) -> list[dict[str, Any]]:
    """Of each group of evaluated sweeps of two seeds or more, on the same test images.

    Each with `title` and `sweep_ids`, and of the test accuracy what `Replicates.numbers` has.
    """
    by_images: defaultdict[str, dict[str, tuple[SweepSummary, TestScores]]] = defaultdict(dict)
    for each in summaries:
        if each.scores:
            by_images[each.scores.test_fingerprint][each.sweep.sweep_id] = each, each.scores
    found = []
    for scored in by_images.values():
        for group in seed_groups([summary.sweep for summary, _ in scored.values()]):
            members = [scored[sweep_id] for sweep_id in group.sweep_ids]
            mean = Replicates.of(group.name, ((each.sweep.seed, scores.accuracy) for each, scores in members))
            if mean is not None:
                found.append({"title": group.title, "sweep_ids": group.sweep_ids, **mean.numbers})
    return found
