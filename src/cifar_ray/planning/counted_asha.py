"""Ray Tune's ASHA for a hundred thousand trials: its own class and decisions, with cutoffs computed from counts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket

from cifar_ray.statistics import between
from cifar_ray.studies import Budget
from cifar_ray.tuning.epoch_report import asha_settings


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


class CountedBracket(_Bracket):
    """Ray Tune's bracket, whose `on_result` decides; its own cutoff would sort a whole rung at each result."""

    _rungs: list[tuple[int, CountedRung]]
    """(epoch, rung), the last rung first."""

    def __init__(self, budget: Budget, num_images: int) -> None:
        super().__init__(budget.grace_period, budget.max_epochs, budget.reduction_factor, 0)
        self.rungs = {epoch: CountedRung(num_images) for epoch, _ in self._rungs}
        self._rungs = list(self.rungs.items())

    def cutoff(self, recorded: CountedRung) -> float | None:
        """The accuracy below which a trial is stopped; None for the first trial of a rung."""
        return recorded.percentile((1 - 1 / self.rf) * 100) if recorded.num_recorded else None

    def on_result(self, trial: Any, cur_iter: int, cur_rew: float) -> str:
        """Ray Tune's decision, against the others only: the trial's own announced accuracy is withdrawn."""
        if cur_iter in self.rungs:
            self.rungs[cur_iter].withdraw(trial.trial_id)
        return str(super().on_result(trial, cur_iter, cur_rew))


class CountedASHA(ASHAScheduler):
    """Ray Tune's scheduler, driven without Ray Tune's controller, which ASHA does not use.

    Of a trial it reads `trial_id` alone. Accuracies must be multiples of 1 / `num_images`.
    """

    def __init__(self, budget: Budget, num_images: int) -> None:
        super().__init__(**asha_settings(budget))
        bracket = CountedBracket(budget, num_images)
        self._brackets, self._rungs = [bracket], bracket.rungs

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Put the trial into the only bracket. Ray Tune would draw one of its brackets, at ten times the cost."""
        self._trial_info[trial.trial_id] = self._brackets[0]

    def announce(self, trial_id: str, epoch: int, accuracy: float) -> None:
        """Record a trial's epoch ahead of its judgement: all trials of a pass are announced before any is judged.

        The scheduler of a real sweep does the same (tuning/pass_asha.py).
        """
        if epoch in self._rungs:
            self._rungs[epoch][trial_id] = accuracy

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Forget the trial but for its counts. Ray Tune would judge its last result again, which nobody needs."""
        self.on_trial_remove(tune_controller, trial)
        for recorded in self._rungs.values():
            recorded.pop(trial.trial_id, None)
