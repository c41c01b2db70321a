"""Ray Tune's ASHA for a hundred thousand trials: its own class and decisions, each cutoff from counts."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket

from cifar_ray.planning.counted_rung import CountedRung
from cifar_ray.studies import Budget

TIME_ATTRIBUTE, METRIC = "epoch", "validation_accuracy"
"""Of the results that it is given."""


class CountedBracket(_Bracket):
    """Ray Tune's bracket, whose `on_result` decides; it would sort all accuracies of a rung at each of them."""

    _rungs: list[tuple[int, CountedRung]]
    """By epoch, the last first."""

    def __init__(self, budget: Budget, num_images: int) -> None:
        super().__init__(budget.grace_period, budget.max_epochs, budget.reduction_factor, 0)
        self.rungs = {epoch: CountedRung(num_images) for epoch, _ in self._rungs}
        self._rungs = list(self.rungs.items())

    def cutoff(self, recorded: CountedRung) -> float | None:
        """Below which a trial is stopped; None at the first."""
        return recorded.percentile((1 - 1 / self.rf) * 100) if recorded.num_recorded else None

    def on_result(self, trial: Any, cur_iter: int, cur_rew: float) -> str:
        """As Ray Tune has it, against all others."""
        if cur_iter in self.rungs:
            self.rungs[cur_iter].withdraw(trial.trial_id)
        return str(super().on_result(trial, cur_iter, cur_rew))


class CountedASHA(ASHAScheduler):
    """Ray Tune's scheduler, driven without Ray Tune's controller, of which ASHA asks nothing.

    Of a trial it looks at `trial_id` alone. Accuracies must be whole numbers of `num_images`.
    """

    def __init__(self, budget: Budget, num_images: int) -> None:
        super().__init__(**asha_settings(budget))
        bracket = CountedBracket(budget, num_images)
        self._brackets, self._rungs = [bracket], bracket.rungs

    def announce(self, trial_id: str, epoch: int, accuracy: float) -> None:
        """The trial has ended that epoch in a pass with others, of whom each is judged after all are announced.

        A sweep's scheduler hears of them so, too (tuning/lenient_asha.py).
        """
        if epoch in self._rungs:
            self._rungs[epoch][trial_id] = accuracy

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """Nothing is kept of the trial but its counts. Ray Tune would judge its last result anew, which nobody asks."""
        self.on_trial_remove(tune_controller, trial)
        for recorded in self._rungs.values():
            recorded.pop(trial.trial_id, None)


def asha_settings(budget: Budget) -> dict[str, Any]:
    """What Ray Tune's ASHA is made with, as in a sweep."""
    return {
        "time_attr": TIME_ATTRIBUTE,
        "metric": METRIC,
        "mode": "max",
        "max_t": budget.max_epochs,
        "grace_period": budget.grace_period,
        "reduction_factor": budget.reduction_factor,
    }
