"""Compares accuracies over seeds: the mean of a group of sweeps, and its lead over another, paired by seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import comb
from statistics import fmean, stdev
from typing import Any

from cifar_ray.reporting.formats import interval_text, percent
from cifar_ray.statistics import mean_accuracy_interval, mean_interval
from cifar_ray.wording import counted


@dataclass(frozen=True, kw_only=True)
class Lead:
    """One sweep, or group of sweeps, compared with another. Accuracies are fractions."""

    on: str
    """What the accuracies were measured on."""
    first: str
    """The better one, as far as the numbers tell."""
    second: str
    difference: float | None
    """Accuracy of the first less the second's; None where they share no seed."""
    interval: tuple[float, float] | None
    """95 % interval of the difference; where the best of several groups is picked, for all their comparisons together.

    None where there are too few pairs."""
    is_clear: bool
    """Whether the first may be called the better one."""
    num_pairs: int | None = None
    """Pairs of sweeps with the same seed; None for two single sweeps."""
    p_value: float | None = None
    """Of McNemar's test, where two sweeps are compared image by image."""
    text: str
    """The same as a sentence."""


@dataclass(frozen=True, kw_only=True)
class Replicates:
    """The accuracies of a group of sweeps, by seed."""

    name: str
    """What distinguishes these sweeps from those that they are compared with."""
    accuracies: Mapping[int, float]
    """Fractions by seed, at least one; the mean where several sweeps share a seed."""
    num_sweeps: int

    @classmethod
    def of(cls, name: str, found: Iterable[tuple[int, float]]) -> Replicates | None:
        """From each sweep's seed and accuracy; None where there is no sweep."""
        by_seed: dict[int, list[float]] = {}
        for seed, accuracy in found:
            by_seed.setdefault(seed, []).append(accuracy)
        if not by_seed:
            return None
        return cls(
            name=name,
            accuracies={seed: fmean(each) for seed, each in by_seed.items()},
            num_sweeps=sum(map(len, by_seed.values())),
        )

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return fmean(self.accuracies.values())

    @property
    def standard_deviation(self) -> float | None:
        """Sample standard deviation over the seeds; None for one seed."""
        return stdev(self.accuracies.values()) if len(self.accuracies) > 1 else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % interval of the mean over seeds (Student's t); None for one seed, and where all have the same."""
        return mean_accuracy_interval(list(self.accuracies.values()))

    @property
    def text(self) -> str:
        """The mean, the number of sweeps, and the spread."""
        if self.num_sweeps == 1:
            return f"{percent(self.mean, 2)} % (1 sweep)"
        num_seeds = len(self.accuracies)
        seeds = f" of {counted(num_seeds, 'seed')}" if self.num_sweeps > num_seeds else ""
        spread = ""
        if self.interval:
            deviation = percent(self.standard_deviation, 2)
            spread = f" (st. dev. {deviation}, 95 % interval {interval_text(self.interval)})"
        return f"{percent(self.mean, 2)} % in the mean of {self.num_sweeps} sweeps{seeds}{spread}"

    @property
    def numbers(self) -> dict[str, Any]:
        """The same as numbers, for a program."""
        return {
            "mean": self.mean,
            "standard_deviation": self.standard_deviation,
            "interval": self.interval,
            "by_seed": {str(seed): accuracy for seed, accuracy in sorted(self.accuracies.items())},
            "num_sweeps": self.num_sweeps,
        }


def lead_over_seeds(one: Replicates, other: Replicates, on: str, num_groups: int = 2) -> Lead:
    """The lead on the seeds that both have. Sweeps of one seed share split and batches, so they are paired.

    Picking the best of `num_groups` makes all comparisons among them, so the interval covers them together: at 95 %
    each, the best of four equally good groups would seem to lead another in one case of five.
    """
    num_comparisons = comb(num_groups, 2)
    seeds = one.accuracies.keys() & other.accuracies.keys()
    differences = [one.accuracies[seed] - other.accuracies[seed] for seed in seeds]
    if differences and fmean(differences) < 0:
        one, other, differences = other, one, [-each for each in differences]
    interval, num_pairs = mean_interval(differences, num_comparisons), len(differences)
    difference = fmean(differences) if differences else None
    pairs = f"{counted(num_pairs, 'pair')} of one seed"
    is_clear = interval is not None and interval[0] > 0
    if num_pairs > 1 and interval is None:
        each = f"{100 * fmean(differences):.2f} points in each of {pairs}"
        text = f"{one.name} and {other.name} differ by {each}, which gives no interval."
    elif difference is None or interval is None:
        text = f"{one.name} and {other.name} have {pairs}: too few to tell them apart."
    else:
        together = f" of all {num_comparisons} comparisons together" if num_comparisons > 1 else ""
        found = (
            f"{100 * difference:.2f} points in the mean of {pairs} "
            f"(95 % interval{together} {100 * interval[0]:+.2f} to {100 * interval[1]:+.2f})"
        )
        leads, close = f"{one.name} leads {other.name} by", f"{one.name} and {other.name} are too close to call:"
        text = f"{leads if is_clear else close} {found}."
    return Lead(
        on=on,
        first=one.name,
        second=other.name,
        difference=difference,
        interval=interval,
        is_clear=is_clear,
        num_pairs=num_pairs,
        text=f"On {on} {text}",
    )
