"""Averages the test accuracy of sweeps that differ only in their seed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from cifar_ray.records import TestScores
from cifar_ray.reporting.replicates import Replicates
from cifar_ray.reporting.seed_groups import seed_groups
from cifar_ray.storage.runs import SweepSummary


def seed_means(summaries: Iterable[SweepSummary]) -> list[dict[str, Any]]:
    """The mean of each group of two seeds or more on the same test images; of each seed, the newest sweep counts.

    Each has `title`, `sweep_ids` and, for the test accuracy, the items of `Replicates.numbers`.
    """
    by_images: defaultdict[str, dict[str, tuple[SweepSummary, TestScores]]] = defaultdict(dict)
    for each in sorted(summaries, key=lambda each: each.sweep.started_at):
        if each.scores:
            by_images[each.scores.test_fingerprint][each.sweep.sweep_id] = each, each.scores
    found = []
    for scored in by_images.values():
        for group in seed_groups([summary.sweep for summary, _ in scored.values()]):
            newest = {scored[sweep_id][0].sweep.seed: sweep_id for sweep_id in group.sweep_ids}
            mean = Replicates.of(group.name, ((seed, scored[each][1].accuracy) for seed, each in newest.items()))
            if mean is not None:
                found.append({"title": group.title, "sweep_ids": tuple(newest.values()), **mean.numbers})
    return found
