"""Draws any number of learning curves for simulated trials from a few that were measured or modelled."""

from __future__ import annotations

import random
from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cifar_ray.errors import ConfigurationError

NUM_COMPLETIONS = 16
"""Completions made of each curve that ASHA cut off."""
NUM_NEIGHBOURS = 3
"""Longer curves that may complete one that was cut off: those nearest in accuracy at its last epoch."""
SHIFT = 0.002
"""Standard deviation of the shift of a whole drawn curve, so that two copies of one trial are not equal."""


@dataclass(frozen=True, kw_only=True)
class TrialCurve:
    """What a trial reports: a real one until it ended, a simulated one as if nothing stopped it."""

    accuracies: Sequence[float]
    """Validation accuracy of each epoch; a simulated trial's are multiples of 1 / number of images."""
    epoch_s: float
    """Wall time of one epoch when the trial trains alone."""
    has_diverged: bool = False
    """If so, nothing follows its last epoch, whatever ASHA decides."""


class CurveBank:
    """Draws curves with replacement.

    A curve that ends before `max_epochs` is completed from longer ones: to its last accuracy it adds the steps that
    one of its nearest neighbours took from there, and another's where that one ends too. A curve measured to its end
    is never drawn better than it was, but for the shift. One that diverged ends there.
    """

    def __init__(self, curves: Sequence[TrialCurve], *, max_epochs: int, num_images: int) -> None:
        """Raise ConfigurationError unless a curve that has not diverged is as long as `max_epochs`."""
        finite = [curve.accuracies for curve in curves if not curve.has_diverged]
        longest = max(map(len, finite), default=0)
        if longest < max_epochs:
            raise ConfigurationError(
                f"the curves end at epoch {longest}, and trials are to train for {max_epochs}",
                f"take --max-epochs {longest} or less, or curves of a longer sweep"
                if longest
                else "take other --curves",
            )
        self.num_images = num_images
        self._epoch_s = [curve.epoch_s for curve in curves]
        rng, neighbours = random.Random(0), _Neighbours(finite)
        self._rows = [
            [np.array(curve.accuracies[:max_epochs])]
            if curve.has_diverged or len(curve.accuracies) >= max_epochs
            else [np.array(_complete(curve.accuracies, neighbours, max_epochs, rng)) for _ in range(NUM_COMPLETIONS)]
            for curve in curves
        ]

    @property
    def num_curves(self) -> int:
        """Number of curves that it draws from."""
        return len(self._rows)

    def draw(self, rng: random.Random) -> TrialCurve:
        """A random curve, shifted a little."""
        index = rng.randrange(len(self._rows))
        ways = self._rows[index]
        return self._curve(index, ways[rng.randrange(len(ways))], rng.gauss(0, SHIFT))

    def originals(self) -> list[TrialCurve]:
        """Each curve once, in order and without a shift: to replay a sweep with its own curves."""
        return [self._curve(index, ways[0], 0.0) for index, ways in enumerate(self._rows)]

    def _curve(self, index: int, row: NDArray[np.float64], shift: float) -> TrialCurve:
        num = self.num_images
        accuracies = np.rint((row + shift) * num).clip(0, num) / num
        return TrialCurve(accuracies=accuracies.tolist(), epoch_s=self._epoch_s[index])


class _Neighbours:
    """Finds the longer curves that are nearest where one ends; of equally near ones, the first."""

    def __init__(self, curves: Sequence[Sequence[float]]) -> None:
        self._curves = curves
        # all curves that end at one epoch are compared with the same ones
        self._longer = cache(self._sort)

    def nearest(self, accuracy: float, epoch: int) -> list[Sequence[float]]:
        """The NUM_NEIGHBOURS curves beyond `epoch` that are nearest to the accuracy there, or all if they are fewer."""
        values, groups = self._longer(epoch)
        place = bisect(values, accuracy)
        around = groups[max(0, place - NUM_NEIGHBOURS) : place + NUM_NEIGHBOURS]
        near = sorted((abs(self._curves[each][epoch - 1] - accuracy), each) for group in around for each in group)
        return [self._curves[each] for _, each in near[:NUM_NEIGHBOURS]]

    def _sort(self, epoch: int) -> tuple[list[float], list[list[int]]]:
        """The accuracies there, in order, and the first curves that have each."""
        groups = defaultdict[float, list[int]](list)
        for index, curve in enumerate(self._curves):
            if len(curve) > epoch and len(group := groups[curve[epoch - 1]]) < NUM_NEIGHBOURS:
                group.append(index)
        values = sorted(groups)
        return values, [groups[value] for value in values]


def _complete(accuracies: Sequence[float], neighbours: _Neighbours, max_epochs: int, rng: random.Random) -> list[float]:
    row = list(accuracies)
    while (epoch := len(row)) < max_epochs:
        chosen = rng.choice(neighbours.nearest(row[-1], epoch))
        row += [row[-1] + each - chosen[epoch - 1] for each in chosen[epoch:max_epochs]]
    return row
