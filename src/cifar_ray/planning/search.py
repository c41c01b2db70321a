"""A simulated search: draws trials, lets Ray Tune's ASHA decide, keeps count of what came out."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ray.tune.schedulers import TrialScheduler

from cifar_ray.planning.counted_asha import METRIC, TIME_ATTRIBUTE, CountedASHA
from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.progress.asha import milestones
from cifar_ray.studies import Budget


class SimulatedTrial:
    """One that runs."""

    __slots__ = ("curve", "epoch", "life", "trial_id")

    def __init__(self, trial_id: str, curve: TrialCurve) -> None:
        self.trial_id, self.curve = trial_id, curve
        self.epoch = 0
        """Epochs that it has reported."""
        self.life = 0
        """Of its worker, when it was placed there."""


@dataclass(frozen=True, kw_only=True)
class SimulatedSweep:
    """How one simulated sweep went. Times in seconds."""

    wall_s: float
    up_s: float
    """Of workers that were there, all together."""
    busy_s: float
    """Of workers that trained epochs that counted; a worker with several places counts in parts."""
    driver_s: float
    """Of the driver, which takes one result after another."""
    num_epochs: int
    best_accuracy: float
    """Of any epoch of any trial, on validation."""
    finalists_epoch_s: tuple[float, ...]
    """Wall time of an epoch of each of the best trials, where it trains alone; the best first."""
    reached: dict[int, int]
    """From an epoch (each rung's, and the last) to the trials that trained so far."""

    def followed_by(self, finals: SimulatedSweep) -> SimulatedSweep:
        """The same search, with the time of its finals."""
        return replace(
            self,
            wall_s=self.wall_s + finals.wall_s,
            up_s=self.up_s + finals.up_s,
            busy_s=self.busy_s + finals.busy_s,
            driver_s=self.driver_s + finals.driver_s,
            num_epochs=self.num_epochs + finals.num_epochs,
        )


class Search:
    """Nothing is kept of a trial that has ended but what it adds to the counts.

    A trial is drawn when there is a place for it, and told of when it ends, as Ray Tune does with a searcher.
    """

    def __init__(
        self,
        budget: Budget,
        num_images: int,
        curves: Iterator[TrialCurve],
        *,
        num_finalists: int = 0,
        most_at_once: int | None = None,
    ) -> None:
        """`most_at_once` trials are in training together, as a searcher wants that learns; None for any number."""
        self.num_left = budget.num_trials
        self.most_at_once = min(budget.num_trials, most_at_once or budget.num_trials)
        self.num_epochs = 0
        self.best_accuracy = 0.0
        self.reached = dict.fromkeys((*milestones(budget), budget.max_epochs), 0)
        self._max_epochs = budget.max_epochs
        self._curves = curves
        self.num_open = 0
        """In training, or waiting for another worker."""
        self._num_finalists = num_finalists
        self._finalists: list[tuple[float, float]] = []
        """A heap of accuracies and seconds an epoch, the worst first."""
        self._asha = CountedASHA(budget, num_images)

    def next_trial(self) -> SimulatedTrial | None:
        """The next of the sampled configurations; None where all have started, or enough are in training."""
        if not self.num_left or self.num_open == self.most_at_once:
            return None
        self.num_left -= 1
        self.num_open += 1
        trial = SimulatedTrial(f"t{self.num_left}", next(self._curves))
        self._asha.on_trial_add(None, trial)
        return trial

    def end_pass(self, trials: Iterable[SimulatedTrial]) -> None:
        """These trials have ended an epoch together: each is judged against all others."""
        for trial in trials:
            self._asha.announce(trial.trial_id, trial.epoch + 1, trial.curve.accuracies[trial.epoch])

    def goes_on(self, trial: SimulatedTrial) -> bool:
        """The trial reports one more epoch: whether it is to train another."""
        trial.epoch += 1
        self.num_epochs += 1
        accuracy = trial.curve.accuracies[trial.epoch - 1]
        self.best_accuracy = max(self.best_accuracy, accuracy)
        if trial.epoch in self.reached:
            self.reached[trial.epoch] += 1
        result = {TIME_ATTRIBUTE: trial.epoch, METRIC: accuracy}
        decision = self._asha.on_trial_result(None, trial, result)
        # ASHA itself ends a trial at its last epoch, and does not know of one that diverges before
        if decision != TrialScheduler.STOP and trial.epoch < len(trial.curve.accuracies):
            return True
        self.num_open -= 1
        self._asha.on_trial_complete(None, trial, result)
        if self._num_finalists:
            heapq.heappush(self._finalists, (max(trial.curve.accuracies[: trial.epoch]), trial.curve.epoch_s))
            if len(self._finalists) > self._num_finalists:
                heapq.heappop(self._finalists)
        return False

    @property
    def finalists_epoch_s(self) -> tuple[float, ...]:
        """As the outcome has it."""
        return tuple(epoch_s for _, epoch_s in sorted(self._finalists, reverse=True))


def drawn(bank: CurveBank, seed: int) -> Iterator[TrialCurve]:
    """The trials of a seed, the same and in the same order whatever they run on."""
    rng = random.Random(f"trials {seed}")
    while True:
        yield bank.draw(rng)
