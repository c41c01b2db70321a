"""Ray Tune's ASHA for a hundred thousand trials: its own class and decisions, each cutoff from counts."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler
from ray.tune.schedulers.async_hyperband import _Bracket

from cifar_ray.planning.counted_rung import CountedRung
from cifar_ray.studies import Budget

TIME_ATTRIBUTE, METRIC = "epoch", "validation_accuracy"
"""Of the results that it is given."""


class Ticket:
    """What ASHA looks at of Ray Tune's `Trial`: its id."""

    __slots__ = ("trial_id",)

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id


class CountedBracket(_Bracket):
    """Ray Tune's bracket, whose `on_result` decides; it would sort all accuracies of a rung at each of them."""

    _rungs: list[tuple[int, Any]]
    """By epoch, the last first."""

    def __init__(self, budget: Budget, num_images: int) -> None:
        super().__init__(budget.grace_period, budget.max_epochs, budget.reduction_factor, 0)
        self._rungs = [(epoch, CountedRung(num_images)) for epoch, _ in self._rungs]

    def cutoff(self, recorded: CountedRung) -> float | None:
        """Below which a trial is stopped; None at the first."""
        return recorded.percentile((1 - 1 / self.rf) * 100) if recorded else None

    def announce(self, trial_id: str, epoch: int, accuracy: float) -> None:
        """The trial has ended that epoch in a pass with others, and is judged after them."""
        for milestone, recorded in self._rungs:
            if milestone == epoch:
                recorded.announce(trial_id, accuracy)

    def on_result(self, trial: Any, cur_iter: int, cur_rew: float) -> str:
        """As Ray Tune has it, against all others."""
        for milestone, recorded in self._rungs:
            if milestone == cur_iter:
                recorded.withdraw(trial.trial_id)
        return str(super().on_result(trial, cur_iter, cur_rew))

    def forget(self, trial_id: str) -> None:
        """The trial has ended."""
        for _, recorded in self._rungs:
            recorded.forget(trial_id)


class CountedASHA(ASHAScheduler):
    """Ray Tune's scheduler, driven without Ray Tune's controller, of which ASHA asks nothing.

    Accuracies must be whole numbers of `num_images`.
    """

    def __init__(self, budget: Budget, num_images: int) -> None:
        super().__init__(**asha_settings(budget))
        self._brackets = [CountedBracket(budget, num_images)]

    def announce(self, trial_id: str, epoch: int, accuracy: float) -> None:
        """As a sweep's scheduler hears of all trials of a pass before it judges one (tuning/lenient_asha.py)."""
        for bracket in self._brackets:
            bracket.announce(trial_id, epoch, accuracy)

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> None:
        """As Ray Tune has it, and then nothing is kept of the trial."""
        super().on_trial_complete(tune_controller, trial, result)
        for bracket in self._brackets:
            bracket.forget(trial.trial_id)


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
