"""A rung of ASHA as counts of accuracies: exact percentiles in logarithmic time, and no memory of trials that ended."""

from __future__ import annotations


class CountedRung:
    """In place of the dictionary from trial to accuracy that Ray Tune keeps for a rung.

    An accuracy on n images is k / n: the n + 1 counts say all that a percentile asks, in a Fenwick tree (1994), which
    finds the k-th smallest in log2(n) steps. Which trials have been recorded is asked of those that run alone.
    """

    def __init__(self, num_images: int) -> None:
        self._num_images = num_images
        self._tree = [0] * (num_images + 2)
        self._top = 1 << (num_images + 1).bit_length() - 1
        self._num_recorded = 0
        self._running: set[str] = set()
        self._announced: dict[str, float] = {}

    def __len__(self) -> int:
        return self._num_recorded

    def __contains__(self, trial_id: str) -> bool:
        return trial_id in self._running

    def __setitem__(self, trial_id: str, accuracy: float) -> None:
        self._running.add(trial_id)
        self._count(accuracy, 1)

    def announce(self, trial_id: str, accuracy: float) -> None:
        """Count a trial that has come so far, and is yet to be judged."""
        self._announced[trial_id] = accuracy
        self._count(accuracy, 1)

    def withdraw(self, trial_id: str) -> None:
        """Count the trial no more if it was announced: it is judged against the others."""
        if (accuracy := self._announced.pop(trial_id, None)) is not None:
            self._count(accuracy, -1)

    def forget(self, trial_id: str) -> None:
        """The trial has ended; its accuracy stays counted."""
        self._running.discard(trial_id)

    def percentile(self, percentage: float) -> float:
        """What `numpy.nanpercentile` gives of all that was recorded, to the last bit; the rung must not be empty."""
        position = (self._num_recorded - 1) * (percentage / 100)
        below = int(position)
        low = self._smallest(below)
        if below + 1 >= self._num_recorded:
            return low
        share = position - below
        if not share:
            return low
        high = self._smallest(below + 1)
        # numpy interpolates from the nearer end
        return high - (high - low) * (1 - share) if share >= 0.5 else low + (high - low) * share

    def _count(self, accuracy: float, number: int) -> None:
        self._num_recorded += number
        # the tree counts from 1
        index, end, tree = round(accuracy * self._num_images) + 1, len(self._tree), self._tree
        while index < end:
            tree[index] += number
            index += index & -index

    def _smallest(self, rank: int) -> float:
        """The accuracy that `rank` others precede."""
        tree, end, position, step, left = self._tree, len(self._tree), 0, self._top, rank
        while step:
            ahead = position + step
            if ahead < end and tree[ahead] <= left:
                position = ahead
                left -= tree[ahead]
            step >>= 1
        return position / self._num_images
