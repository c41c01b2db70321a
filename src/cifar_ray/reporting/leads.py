"""Works out which compared sweep, group of several seeds or searcher leads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cifar_ray.reporting.comparison import Comparison, Contender, Score
from cifar_ray.reporting.formats import percent
from cifar_ray.reporting.paired import Paired
from cifar_ray.reporting.replicates import Lead, Replicates, lead_over_seeds
from cifar_ray.reporting.seed_groups import SeedGroup
from cifar_ray.wording import counted

TEST = "the test set"
MAX_P = 0.05


@dataclass(frozen=True, kw_only=True)
class GroupScore:
    """The scores of sweeps that are alike in everything but the seed."""

    group: SeedGroup
    test: Replicates | None
    """Over the evaluated sweeps; None where there are none, or their test images differ."""
    test_with_flips: Replicates | None
    """None unless all of those have it."""
    validation: Replicates | None
    """Over the trainings that were scored or, where none was, those that would be."""
    not_evaluated: tuple[str, ...]

    @property
    def text(self) -> str:
        """The scores on one line."""
        is_evaluated = len(self.not_evaluated) < len(self.group.sweep_ids)
        no_mean = "on test images that differ" if is_evaluated else "none evaluated"
        parts = [f"test {self.test.text}" if self.test else no_mean]
        if self.test_with_flips:
            parts.append(f"with mirror images {percent(self.test_with_flips.mean, 2)} %")
        if self.test and self.not_evaluated:
            parts.append(f"not evaluated: {', '.join(self.not_evaluated)}")
        validation = f"; validation {self.validation.text}" if self.validation else ""
        return f"{self.group.title}: {', '.join(parts)}{validation}."


def group_scores(comparison: Comparison) -> list[GroupScore]:
    """The scores of each group, in order."""
    return [_group_score(group, members(comparison, group)) for group in comparison.groups]


def members(comparison: Comparison, group: SeedGroup) -> list[Contender]:
    """The group's sweeps."""
    return [each for each in comparison.contenders if each.sweep.sweep_id in group.sweep_ids]


def leads(comparison: Comparison) -> list[Lead]:
    """The leads on the test set, and on validation at the same spend; empty where the training images differ."""
    if not comparison.has_verdict:
        return []
    found = _leads(comparison, TEST, lambda each: each.test, is_paired=True)
    if common := comparison.common_spent:
        on = f"validation, after {common:,.0f} {comparison.contenders[0].unit} each"
        found += _leads(comparison, on, lambda each: each.validation(common))
    return found


def compare_searchers(comparison: Comparison) -> tuple[list[str], list[Lead]]:
    """A line for each searcher, and the lead of the best over each other one, all after the same number of epochs.

    Empty where the training images or the studies differ, only some trained in cohorts, or all used the same searcher.
    Sweeps that train another sweep's configurations have no searcher, and are left out, as are those without an epoch
    of finite losses by then.
    """
    contenders = [each for each in comparison.contenders if each.sweep.best_of is None]
    studies = {(each.sweep.study, each.sweep.definition, each.sweep.is_cohort) for each in contenders}
    searchers = dict.fromkeys(each.sweep.searcher for each in contenders)
    # the most, over all its trials, that every sweep has trained
    num_epochs = min((len(each.metrics) for each in contenders), default=0)
    if not comparison.has_verdict or len(studies) > 1 or len(searchers) < 2 or not num_epochs:
        return [], []
    means = [
        _mean(name, [(each, each.course[num_epochs - 1][1]) for each in contenders if each.sweep.searcher == name])
        for name in searchers
    ]
    epochs = counted(num_epochs, "epoch")
    ranked, lines = _best_over_others(means, f"validation, after {epochs} each")
    return [f"After {epochs} each, {each.name}: validation {each.text}." for each in ranked], lines


def _best_over_others(means: Iterable[Replicates | None], on: str) -> tuple[list[Replicates], list[Lead]]:
    """Those that there are, the best first, and its lead over each of the others, paired by seed."""
    ranked = sorted((each for each in means if each), key=lambda each: -each.mean)
    return ranked, [lead_over_seeds(ranked[0], other, on, len(ranked)) for other in ranked[1:]]


def _group_score(group: SeedGroup, sweeps: Sequence[Contender]) -> GroupScore:
    scored = [(each, each.scores) for each in sweeps if each.scores]
    flips = [(each, scores.accuracy_with_flips) for each, scores in scored]
    has_flips = _is_one_set(sweeps) and all(found is not None for _, found in flips)
    chosen = [each for each, _ in scored] or sweeps
    return GroupScore(
        group=group,
        test=_mean(group.name, [(each, scores.accuracy) for each, scores in scored]) if _is_one_set(sweeps) else None,
        test_with_flips=_mean(group.name, flips) if has_flips else None,
        validation=_mean(group.name, [(each, each.chosen_validation) for each in chosen]),
        not_evaluated=tuple(each.sweep.sweep_id for each in sweeps if not each.scores),
    )


def _is_one_set(sweeps: Sequence[Contender]) -> bool:
    """Whether all scored sweeps were scored on the same test images."""
    return len({each.scores.test_fingerprint for each in sweeps if each.scores}) <= 1


def _mean(name: str, reached: Sequence[tuple[Contender, float | None]]) -> Replicates | None:
    return Replicates.of(name, [(each.sweep.seed, found) for each, found in reached if found is not None])


def _leads(
    comparison: Comparison, on: str, score: Callable[[Contender], Score | None], *, is_paired: bool = False
) -> list[Lead]:
    """The best group over each other group; then the best single sweep over each other single one."""
    means = [
        _mean(group.name, [(each, found.accuracy) for each, found in _scored(members(comparison, group), score)])
        for group in comparison.groups
        if not is_paired or _is_one_set(comparison.contenders)
    ]
    _, lines = _best_over_others(means, on)
    known = sorted(_scored(comparison.alone, score), key=lambda pair: -pair[1].accuracy)
    for other, reached in known[1:]:
        first, best = known[0]
        paired = first.paired(other) if is_paired else None
        lines.append(lead_of(best, first.sweep.sweep_id, reached, other.sweep.sweep_id, on, paired))
    return lines


def _scored(sweeps: Sequence[Contender], score: Callable[[Contender], Score | None]) -> list[tuple[Contender, Score]]:
    return [(each, found) for each in sweeps if (found := score(each))]


def lead_of(
    best: Score, name: str, other: Score, other_name: str, on: str = TEST, paired: Paired | None = None
) -> Lead:
    """The lead between two single sweeps, image by image where `paired` is given."""
    difference, low, high = (paired.lead, *paired.interval) if paired else best.lead(other)
    interval = f"95 % interval {100 * low:+.2f} to {100 * high:+.2f}"
    if paired:
        p_value = f"= {paired.p_value:.2g}" if paired.p_value else "< 1e-300"
        interval += (
            f", p {p_value}; of {paired.num_images:,} images {paired.only_first:,} right by {name} alone, "
            f"{paired.only_second:,} by {other_name} alone"
        )
    # where they differ on few images, the bootstrap's interval is too narrow; the exact test's p still holds
    is_clear = low > 0 and not (paired and paired.p_value > MAX_P)
    leads, close = f"{name} leads {other_name} by", f"{name} and {other_name} are too close to call:"
    return Lead(
        on=on,
        first=name,
        second=other_name,
        difference=difference,
        interval=(low, high),
        is_clear=is_clear,
        p_value=paired.p_value if paired else None,
        text=f"On {on} {leads if is_clear else close} {100 * difference:.2f} points, {interval}.",
    )
