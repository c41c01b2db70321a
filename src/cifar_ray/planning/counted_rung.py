"""A rung of ASHA as counts of accuracies: percentiles are exact, and ended trials take no memory."""

from __future__ import annotations

import math

import numpy as np

from cifar_ray.statistics import between


class CountedRung(dict[str, float]):
    """Ray Tune's dictionary from trial to accuracy; percentiles come from counts, so a popped trial still counts.

    An accuracy on n images is k / n, so the number of trials with at most k images right, for each k, is enough.
    """

    def __init__(self, num_images: int) -> None:
        super().__init__()
        self._num_images = num_images
        self._num_up_to = np.zeros(num_images + 1, dtype=np.int64)

    @property
    def num_recorded(self) -> int:
        """Trials recorded, whether they still run or have ended."""
        return int(self._num_up_to[-1])

    def __setitem__(self, trial_id: str, accuracy: float) -> None:
        super().__setitem__(trial_id, accuracy)
        self._num_up_to[round(accuracy * self._num_images) :] += 1

    def withdraw(self, trial_id: str) -> None:
        """Remove the trial from the counts, if the dictionary holds it."""
        if (accuracy := self.pop(trial_id, None)) is not None:
            self._num_up_to[round(accuracy * self._num_images) :] -= 1

    def percentile(self, percentage: float) -> float:
        """`numpy.nanpercentile` of all recorded accuracies, to the last bit; the rung must not be empty."""
        position = (self.num_recorded - 1) * (percentage / 100)
        return between(self._smallest(math.floor(position)), self._smallest(math.ceil(position)), position % 1)

    def _smallest(self, rank: int) -> float:
        """The accuracy with `rank` others before it in ascending order."""
        return int(self._num_up_to.searchsorted(rank, side="right")) / self._num_images
