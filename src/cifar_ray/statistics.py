"""The arithmetic of accuracies: intervals, class averages, group averages. All in fractions, not per cent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
"""CIFAR-10's classes in the order of its labels."""

ANIMALS = ("bird", "cat", "deer", "dog", "frog", "horse")
VEHICLES = ("airplane", "automobile", "ship", "truck")

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
    mean = math.fsum(values) / len(values)
    variance = math.fsum((value - mean) ** 2 for value in values) / len(values)
    is_cifar = set(accuracy_by_class) == set(CLASSES)

    def group_mean(names: tuple[str, ...]) -> float | None:
        return math.fsum(accuracy_by_class[name] for name in names) / len(names) if is_cifar else None

    return ClassSummary(
        mean=mean,
        standard_deviation=math.sqrt(variance),
        animals=group_mean(ANIMALS),
        vehicles=group_mean(VEHICLES),
    )


def wilson_interval(num_correct: int, num_images: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson score interval of a proportion (Wilson 1927), 95 % by default."""
    if not 0 <= num_correct <= num_images or num_images == 0:
        raise ValueError(f"{num_correct} correct of {num_images}")
    share = num_correct / num_images
    denominator = 1 + z**2 / num_images
    centre = (share + z**2 / (2 * num_images)) / denominator
    half = z * math.sqrt(share * (1 - share) / num_images + z**2 / (4 * num_images**2)) / denominator
    return max(0.0, centre - half), min(1.0, centre + half)


def difference_interval(first: tuple[int, int], second: tuple[int, int], z: float = Z_95) -> tuple[float, float]:
    """Of the first proportion less the second, each (correct, images) of its own images: Newcombe's hybrid of their
    score intervals (1998, method 10), 95 % by default.

    Of the same images it is too wide: the errors that both make cancel. A paired interval needs every image's answer.
    """
    (low_1, high_1), (low_2, high_2) = wilson_interval(*first, z), wilson_interval(*second, z)
    share_1, share_2 = first[0] / first[1], second[0] / second[1]
    difference = share_1 - share_2
    return (
        difference - math.hypot(share_1 - low_1, high_2 - share_2),
        difference + math.hypot(high_1 - share_1, share_2 - low_2),
    )
