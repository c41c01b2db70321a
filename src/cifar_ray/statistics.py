"""The arithmetic of accuracies: averages, intervals, tests, rank correlations. All in fractions, not per cent."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import StatisticsError, correlation, fmean, pstdev, stdev

from cifar_ray.cifar10 import ANIMALS, CLASSES, VEHICLES

Z_95 = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True)
class ClassSummary:
    """How accuracy spreads over classes."""

    mean: float
    """Unweighted mean over classes; equals the accuracy where the classes are of one size."""
    standard_deviation: float
    """Population standard deviation between classes."""
    animals: float | None
    """Mean over the six animals; None where the classes are not CIFAR-10's."""
    vehicles: float | None
    """Mean over the four vehicles; None where the classes are not CIFAR-10's."""


def summarise_classes(accuracy_by_class: Mapping[str, float]) -> ClassSummary:
    """Mean, spread and group means of the accuracies by class name."""
    values = list(accuracy_by_class.values())
    is_cifar = set(accuracy_by_class) == set(CLASSES)

    def group_mean(names: tuple[str, ...]) -> float | None:
        return fmean(accuracy_by_class[name] for name in names) if is_cifar else None

    return ClassSummary(
        mean=fmean(values),
        standard_deviation=pstdev(values),
        animals=group_mean(ANIMALS),
        vehicles=group_mean(VEHICLES),
    )


def wilson_interval(num_correct: int, num_images: int) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927), 95 %."""
    if not 0 <= num_correct <= num_images or num_images == 0:
        raise ValueError(f"{num_correct} correct of {num_images}")
    share = num_correct / num_images
    z = Z_95
    denominator = 1 + z**2 / num_images
    centre = (share + z**2 / (2 * num_images)) / denominator
    half = z * math.sqrt(share * (1 - share) / num_images + z**2 / (4 * num_images**2)) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def difference_interval(first: tuple[int, int], second: tuple[int, int]) -> tuple[float, float]:
    """The 95 % interval of the first proportion minus the second, each (correct, images) on its own images: Newcombe's
    hybrid of their score intervals (1998, method 10).

    On the same images it is too wide: errors that both make cancel. A paired interval needs every image's prediction.
    """
    (low_1, high_1), (low_2, high_2) = wilson_interval(*first), wilson_interval(*second)
    share_1, share_2 = first[0] / first[1], second[0] / second[1]
    difference = share_1 - share_2
    return (
        difference - math.hypot(share_1 - low_1, high_2 - share_2),
        difference + math.hypot(high_1 - share_1, share_2 - low_2),
    )


def between(low: float, high: float, share: float) -> float:
    """The point at `share` of the way from `low` to `high`, to the last bit as in numpy's quantiles."""
    # computed from the nearer end
    return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share


def student_quantile(degrees: int, level: float = 0.95) -> float:
    """The t for which Student's t lies between -t and t with probability `level`, from the closed form of its
    distribution function; for 0.95 it is the 97.5 % quantile."""
    assert degrees >= 1
    low, high = 0.0, 1.0
    while _within_student(high, degrees) < level:
        low, high = high, 2 * high
    while high - low > 1e-12 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if _within_student(middle, degrees) < level else (low, middle)
    return high


def _within_student(t: float, degrees: int) -> float:
    """The probability of lying between -t and t (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    cosine = math.cos(angle)
    is_odd = degrees % 2
    term = cosine if is_odd else 1.0
    total = 0.0 if degrees == 1 else term
    for number in range(2 + is_odd, degrees - 1, 2):
        term *= (number - 1) / number * cosine**2
        total += term
    return (angle + math.sin(angle) * total) * 2 / math.pi if is_odd else math.sin(angle) * total


def mean_interval(values: Sequence[float], num_comparisons: int = 1) -> tuple[float, float] | None:
    """The 95 % interval of the mean of what the values are drawn from (Student's t); None where they show no spread.

    That is for fewer than two, and where all are equal: images are counted, so values may agree by chance.
    For several comparisons it holds for all of them jointly, by Bonferroni's inequality: each has its part of the 5 %.
    """
    # differences of equal shares may differ in their last bits
    if len(values) < 2 or (spread := stdev(values)) < 1e-9:
        return None
    mean = fmean(values)
    quantile = student_quantile(len(values) - 1, 1 - 0.05 / num_comparisons)
    half = quantile * spread / math.sqrt(len(values))
    return mean - half, mean + half


def mean_accuracy_interval(accuracies: Sequence[float]) -> tuple[float, float] | None:
    """The same for accuracies, whose mean lies between 0 and 1."""
    if (interval := mean_interval(accuracies)) is None:
        return None
    low, high = interval
    return max(0.0, low), min(1.0, high)


def mcnemar(only_first: int, only_second: int) -> float:
    """The exact two-sided p-value of McNemar's test (1947): the images that only one of two models gets right are
    tosses of a fair coin if the models are equally good."""
    num_tosses = only_first + only_second
    term = total = 1
    for number in range(min(only_first, only_second)):
        term = term * (num_tosses - number) // (number + 1)
        total += term
    return min(1.0, 2 * total / (1 << num_tosses))


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, ties at the mean of their ranks; None where one side is all ties."""
    try:
        return correlation(_ranks(first), _ranks(second))
    except StatisticsError:
        return None


def kendall(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Kendall's tau-b: concordant minus discordant pairs, normalised by the pairs without ties; None where one side is
    all ties."""
    signs = [
        (_sign(a_1 - a_2), _sign(b_1 - b_2))
        for (a_1, b_1), (a_2, b_2) in combinations(list(zip(first, second, strict=True)), 2)
    ]
    untied = [sum(pair[side] != 0 for pair in signs) for side in (0, 1)]
    return sum(a * b for a, b in signs) / math.sqrt(untied[0] * untied[1]) if min(untied) > 0 else None


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    return [(bisect_left(order, value) + bisect_right(order, value) + 1) / 2 for value in values]


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
