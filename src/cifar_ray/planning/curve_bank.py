"""Learning curves to simulate trials with: any number of them, drawn from a few that were measured or modelled."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from cifar_ray.errors import ConfigurationError

NUM_COMPLETIONS = 16
"""Ways in which a curve that ASHA cut off is completed."""
NUM_NEIGHBOURS = 3
"""Longer curves that one that was cut off may be completed from: those that stood nearest where it ends."""
SHIFT = 0.002
"""Standard deviation by which a drawn curve as a whole is moved, so that two copies of one trial are not equal."""


@dataclass(frozen=True, kw_only=True)
class TrialCurve:
    """What a trial reports: a simulated one to its last epoch, a real one to that at which it ended."""

    accuracies: Sequence[float]
    """On validation, of each epoch; a simulated trial's are whole numbers of images over their number."""
    epoch_s: float
    """Wall time of one of its epochs, where it trains alone."""
    has_diverged: bool = False
    """Then nothing follows its last epoch, whatever ASHA says."""


class CurveBank:
    """Draws trials with replacement.

    A curve that ends before `max_epochs` is completed from longer ones: it goes on from where it stands by the
    steps that one of its nearest neighbours made from there, and by those of another where that one ends too. A trial
    that was measured to its end is never drawn better than it was, but for the shift. One that diverged ends there.
    """

    def __init__(self, curves: Sequence[TrialCurve], *, max_epochs: int, num_images: int) -> None:
        """ConfigurationError where no curve that has not diverged is as long as `max_epochs`."""
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
        rng = random.Random(0)
        self._rows: list[list[Sequence[float]]] = [
            [curve.accuracies[:max_epochs]]
            if curve.has_diverged or len(curve.accuracies) >= max_epochs
            else [_complete(curve.accuracies, finite, max_epochs, rng) for _ in range(NUM_COMPLETIONS)]
            for curve in curves
        ]

    @property
    def num_curves(self) -> int:
        """From which it draws."""
        return len(self._rows)

    def draw(self, rng: random.Random) -> TrialCurve:
        """Any trial, moved a little."""
        index = rng.randrange(len(self._rows))
        ways = self._rows[index]
        return self._curve(index, ways[rng.randrange(len(ways))], rng.gauss(0, SHIFT))

    def originals(self) -> list[TrialCurve]:
        """Each trial once, in its order and as it was measured: to replay a sweep with its own curves."""
        return [self._curve(index, ways[0], 0.0) for index, ways in enumerate(self._rows)]

    def _curve(self, index: int, row: Sequence[float], shift: float) -> TrialCurve:
        num = self.num_images
        accuracies = [min(num, max(0, round((each + shift) * num))) / num for each in row]
        return TrialCurve(accuracies=accuracies, epoch_s=self._epoch_s[index])


def _complete(
    accuracies: Sequence[float], finite: Sequence[Sequence[float]], max_epochs: int, rng: random.Random
) -> list[float]:
    row = list(accuracies)
    while (position := len(row)) < max_epochs:
        longer = [each for each in finite if len(each) > position]
        longer.sort(key=lambda each: abs(each[position - 1] - row[-1]))
        chosen = rng.choice(longer[:NUM_NEIGHBOURS])
        row += [row[-1] + each - chosen[position - 1] for each in chosen[position:max_epochs]]
    return row
