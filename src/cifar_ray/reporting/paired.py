"""Compares two winners image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cifar_ray.statistics import mcnemar

NUM_RESAMPLES = 10_000


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Two models' answers to the same images. Images that both get right, or both wrong, do not tell them apart."""

    num_images: int
    only_first: int
    """Images that the first alone gets right."""
    only_second: int

    @classmethod
    def of(cls, first: Sequence[bool], second: Sequence[bool]) -> Paired:
        """From whether each answer is right, in the order of the images."""
        pairs = list(zip(first, second, strict=True))
        return cls(
            num_images=len(pairs),
            only_first=sum(one and not other for one, other in pairs),
            only_second=sum(other and not one for one, other in pairs),
        )

    @property
    def lead(self) -> float:
        """The first's accuracy less the second's."""
        return (self.only_first - self.only_second) / self.num_images

    @property
    def interval(self) -> tuple[float, float]:
        """The lead's 95 % interval: percentiles of 10,000 bootstrap samples of the images (Efron 1979), seeded.

        A sample's lead depends only on its numbers of three kinds of images, so these numbers are drawn.
        """
        num_alike = self.num_images - self.only_first - self.only_second
        shares = np.array([self.only_first, self.only_second, num_alike]) / self.num_images
        drawn = np.random.default_rng(0).multinomial(self.num_images, shares, size=NUM_RESAMPLES)
        low, high = np.percentile((drawn[:, 0] - drawn[:, 1]) / self.num_images, (2.5, 97.5))
        return float(low), float(high)

    @property
    def p_value(self) -> float:
        """Two-sided p-value of McNemar's exact test."""
        return mcnemar(self.only_first, self.only_second)
