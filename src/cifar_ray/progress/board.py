"""Tracks the state of every trial of a sweep by the events in its log."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from cifar_ray.progress.sweep_log import Cohorts, FinalsAhead, LogEvent, TrialEpoch, TrialState, Waiting
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.records import Outcome
from cifar_ray.studies import Budget

RECENT_LINES = 30
"""Progress lines of a minute: in between, trials may end before others take their places."""


@dataclass(kw_only=True)
class Curve:
    """One trial so far."""

    trial_id: str
    outcome: Outcome = "running"
    epochs: dict[int, TrialEpoch] = field(default_factory=dict)
    told_s: float = 0.0
    """Seconds since the driver began, by the progress line before its newest epoch."""

    @property
    def num_epochs(self) -> int:
        """Epochs that it has trained."""
        return max(self.epochs, default=0)

    @property
    def epoch_s(self) -> float | None:
        """Seconds of its newest epoch."""
        return self.epochs[self.num_epochs].seconds if self.epochs else None

    @property
    def best(self) -> float | None:
        """Its best validation accuracy."""
        return max(self.accuracies.values(), default=None)

    @property
    def accuracies(self) -> dict[int, float]:
        """Validation accuracies by epoch, of epochs with finite losses."""
        found = {epoch: line.validation_accuracy for epoch, line in sorted(self.epochs.items())}
        return {epoch: accuracy for epoch, accuracy in found.items() if accuracy is not None}


class Board:
    """The state of a sweep by the events of its log, in order. The log is one driver's: a resumed sweep has a new one.

    In a sweep with finals, this is the state of the part under way: the search or the finals.
    """

    def __init__(self) -> None:
        self.budget: Budget | None = None
        """None until the log states it; an evaluation has none."""
        self.num_together = 1
        """The most trials that ASHA judges together: those of a cohort's pass."""
        self.progress: SweepProgress | None = None
        """The newest progress line."""
        self.finals: FinalsAhead | None = None
        """The finals to come; None where there are none, or they have begun."""
        self.curves: dict[str, Curve] = {}
        self.waiting: Waiting | None = None
        """Since when no trial runs, and why; None while one does, or before anything is known."""
        self.newest: Curve | None = None
        """The trial whose epoch ended last."""
        self.running: deque[int] = deque(maxlen=RECENT_LINES)
        """How many trials ran, by the latest progress lines."""

    def take(self, event: LogEvent) -> None:
        """Apply one event."""
        match event:
            case SweepProgress():
                self.progress = event
                self.running.append(event.running)
                if event.running:
                    self.waiting = None
            case Waiting():
                self.waiting = event
            case Budget():
                if self.budget is not None:
                    # the finals begin, with other trials
                    self.progress, self.curves, self.newest = None, {}, None
                    self.running.clear()
                self.budget, self.num_together, self.finals = event, 1, None
            case Cohorts():
                self.num_together = event.num_together
            case FinalsAhead():
                self.finals = event
            case TrialEpoch():
                self.newest = curve = self._curve(event.trial_id)
                curve.epochs[event.epoch] = event
                curve.told_s = self.progress.elapsed_s if self.progress else 0.0
            case TrialState():
                self._curve(event.trial_id).outcome = event.outcome

    def _curve(self, trial_id: str) -> Curve:
        return self.curves.setdefault(trial_id, Curve(trial_id=trial_id))
