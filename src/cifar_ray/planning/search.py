"""Simulates a search: draws trials, lets Ray Tune's ASHA decide, counts the outcomes."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from ray.tune.schedulers import TrialScheduler

from cifar_ray.planning.counted_asha import CountedASHA
from cifar_ray.planning.curve_bank import CurveBank, TrialCurve
from cifar_ray.progress.asha import milestones
from cifar_ray.studies import Budget
from cifar_ray.tuning.epoch_report import METRIC, TIME_ATTRIBUTE


@dataclass(eq=False, slots=True)
class SimulatedTrial:
    """A running trial."""

    trial_id: str
    curve: TrialCurve
    epoch: int = 0
    """Epochs that it has reported."""
    life: int = 0
    """The `life` of its worker when it was placed there."""


@dataclass(frozen=True, kw_only=True)
class SimulatedSweep:
    """How one simulated sweep went. Times in seconds."""

    wall_s: float
    up_s: float
    """Time that workers were up and paid for, summed over them."""
    busy_s: float
    """Worker time spent on epochs that counted; each of a worker's places counts as its share of it."""
    driver_s: float
    """Time that the driver spent on results, one after another."""
    num_epochs: int
    best_accuracy: float
    """The best validation accuracy of any epoch of any trial."""
    finalists_epoch_s: tuple[float, ...]
    """Wall time of an epoch of each finalist when it trains alone; the best trial first."""
    reached: dict[int, int]
    """From an epoch (each rung's, and the last) to the number of trials that reached it."""

    def followed_by(self, finals: SimulatedSweep) -> SimulatedSweep:
        """The same search, with the times and epochs of its finals added."""
        return replace(
            self,
            wall_s=self.wall_s + finals.wall_s,
            up_s=self.up_s + finals.up_s,
            busy_s=self.busy_s + finals.busy_s,
            driver_s=self.driver_s + finals.driver_s,
            num_epochs=self.num_epochs + finals.num_epochs,
        )


class Search:
    """The trials of one sweep. Of a trial that has ended, only its part of the counts is kept.

    A trial is drawn when there is a place for it, and its end is reported, as Ray Tune does with a searcher.
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
        """At most `most_at_once` trials train at once, as a searcher that learns wants it; None for no limit."""
        self.num_left = budget.num_trials
        self.most_at_once = min(budget.num_trials, most_at_once or budget.num_trials)
        self.num_epochs = 0
        self.best_accuracy = 0.0
        self.reached = dict.fromkeys((*milestones(budget), budget.max_epochs), 0)
        self._curves = curves
        self.num_open = 0
        """Trials in training, or waiting for another worker."""
        self._num_finalists = num_finalists
        self._finalists: list[tuple[float, float]] = []
        """A heap of (best accuracy, seconds an epoch), the worst first."""
        self._asha = CountedASHA(budget, num_images)

    @property
    def has_next(self) -> bool:
        """Whether a trial is yet to start, and fewer than `most_at_once` are in training."""
        return self.num_left > 0 and self.num_open < self.most_at_once

    def next_trial(self) -> SimulatedTrial | None:
        """The next trial to start; None where there is none."""
        if not self.has_next:
            return None
        self.num_left -= 1
        self.num_open += 1
        trial = SimulatedTrial(f"t{self.num_left}", next(self._curves))
        self._asha.on_trial_add(None, trial)
        return trial

    def end_pass(self, trials: Iterable[SimulatedTrial]) -> None:
        """Announce that these trials have ended an epoch together: each is judged against all others."""
        for trial in trials:
            self._asha.announce(trial.trial_id, trial.epoch + 1, trial.curve.accuracies[trial.epoch])

    def report_epoch(self, trial: SimulatedTrial) -> bool:
        """Report one more epoch of the trial; returns whether it is to train another."""
        trial.epoch += 1
        self.num_epochs += 1
        accuracy = trial.curve.accuracies[trial.epoch - 1]
        self.best_accuracy = max(self.best_accuracy, accuracy)
        goes_on = True
        # Ray Tune decides nothing in between
        if trial.epoch in self.reached:
            self.reached[trial.epoch] += 1
            result = {TIME_ATTRIBUTE: trial.epoch, METRIC: accuracy}
            goes_on = self._asha.on_trial_result(None, trial, result) != TrialScheduler.STOP
        # ASHA itself stops a trial at its last epoch, but does not know of one that diverges earlier
        if goes_on and trial.epoch < len(trial.curve.accuracies):
            return True
        self.num_open -= 1
        self._asha.on_trial_complete(None, trial, {})
        if self._num_finalists:
            heapq.heappush(self._finalists, (max(trial.curve.accuracies[: trial.epoch]), trial.curve.epoch_s))
            if len(self._finalists) > self._num_finalists:
                heapq.heappop(self._finalists)
        return False

    @property
    def finalists_epoch_s(self) -> tuple[float, ...]:
        """As in `SimulatedSweep`."""
        return tuple(epoch_s for _, epoch_s in sorted(self._finalists, reverse=True))


def drawn(bank: CurveBank, seed: int) -> Iterator[TrialCurve]:
    """Curves drawn with the seed, without end: the same ones in the same order, whatever the fleet."""
    rng = random.Random(f"trials {seed}")
    while True:
        yield bank.draw(rng)
