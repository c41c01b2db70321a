"""What sweeps that differ in their seed alone score in the mean."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

from cifar_ray.records import SweepRecord, TestScores
from cifar_ray.statistics import mean_interval
from cifar_ray.storage.runs import SweepSummary


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """Of one kind of sweep. Accuracies are fractions, on the test set."""

    study: str
    seeds: tuple[int, ...]
    sweep_ids: tuple[str, ...]
    """In the order of their seeds."""
    mean: float
    interval: tuple[float, float]
    """Of the mean over seeds, 95 %, by Student's t: wide for few."""


def seed_means(summaries: Iterable[SweepSummary]) -> list[SeedMean]:
    """One for each kind of sweep with scores of two seeds or more; of several sweeps of one seed the newest counts."""
    kinds: dict[tuple[object, ...], dict[int, TestScores]] = defaultdict(dict)
    for summary in sorted(summaries, key=lambda each: each.sweep.started_at):
        if summary.scores:
            kinds[_kind(summary.sweep, summary.scores)][summary.sweep.seed] = summary.scores
    found = []
    for by_seed in kinds.values():
        seeds = sorted(by_seed)
        scores = [by_seed[seed] for seed in seeds]
        accuracies = [each.accuracy for each in scores]
        if interval := mean_interval(accuracies):
            found.append(
                SeedMean(
                    study=scores[0].study,
                    seeds=tuple(seeds),
                    sweep_ids=tuple(each.sweep_id for each in scores),
                    mean=fmean(accuracies),
                    interval=interval,
                )
            )
    return found


def _kind(sweep: SweepRecord, scores: TestScores) -> tuple[object, ...]:
    """What accuracies depend on but for the seed, as far as records tell: a commit may change something or nothing."""
    data = (sweep.dataset.fingerprint, sweep.dataset.validation_share, scores.test_fingerprint)
    finals = (sweep.num_finalists, sweep.num_seeds, sweep.final_epochs)
    origin = (sweep.study, sweep.searcher, sweep.is_cohort, sweep.best_of, sweep.changes)
    return (*origin, sweep.budget, *finals, *data, *sorted(sweep.versions.items()))
