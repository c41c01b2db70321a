"""Writes and reads the events of a running sweep as lines of its log, for people and programs.

    asha trials=30 max_epochs=30 grace_period=1 reduction_factor=4     once, at the start
    cohorts together=16                                                after it, where trials train in common passes
    finals trainings=4 epochs=13                                       after that, where the sweep will have them
    trials t0003:4:0.5123:9.1 t0007:stopped                            since the last such line
    waiting seconds=40 asked for 2 x {CPU 1, GPU 1}; 1 node starting   while no trial runs; or `stuck`

Each word of a `trials` line is a trial's epoch, with validation accuracy (`-` where a loss is not finite) and seconds,
or its new state. An epoch takes some 20 bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

from cifar_ray.errors import ConfigurationError, plain
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.records import EpochMetrics, Outcome, SweepRecord
from cifar_ray.studies import Budget

WORDS_PER_LINE = 50
_WORD = re.compile(
    r"(?P<trial>t\d{4,6}):(?:(?P<epoch>\d{1,6}):(?P<accuracy>-|\d\.\d{1,8}):(?P<seconds>\d{1,9}\.\d)|(?P<outcome>[a-z]+))"
)

_COHORTS = re.compile(r"cohorts together=(?P<together>\d{1,5})")
_FINALS = re.compile(r"finals trainings=(?P<trainings>\d{1,5}) epochs=(?P<epochs>\d{1,5})")
_WAITING = re.compile(r"(?:waiting|stuck) seconds=(?P<seconds>\d{1,9}) (?P<what>.{1,1000})")


@dataclass(frozen=True, kw_only=True)
class TrialEpoch:
    """A trial finished an epoch."""

    trial_id: str
    epoch: int
    validation_accuracy: float | None
    """None where a loss is not finite."""
    seconds: float

    @classmethod
    def of(cls, line: EpochMetrics) -> TrialEpoch:
        """The log's event for that epoch."""
        accuracy = line.validation_accuracy if line.is_finite else None
        return cls(trial_id=line.trial_id, epoch=line.epoch, validation_accuracy=accuracy, seconds=line.seconds)

    def to_word(self) -> str:
        """`t0003:4:0.5123:9.1`."""
        accuracy = "-" if self.validation_accuracy is None else f"{self.validation_accuracy:.4f}"
        return f"{self.trial_id}:{self.epoch}:{accuracy}:{self.seconds:.1f}"


@dataclass(frozen=True, kw_only=True)
class TrialState:
    """A trial started, or ended."""

    trial_id: str
    outcome: Outcome

    def to_word(self) -> str:
        """`t0007:stopped`."""
        return f"{self.trial_id}:{self.outcome}"


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """No trial runs."""

    seconds: float
    """How long the sweep has waited."""
    is_stuck: bool
    """Whether nothing is under way that could end the wait."""
    what: str
    """What the sweep waits for."""

    def to_line(self) -> str:
        """`waiting seconds=40 …`, or `stuck …`."""
        # it may quote what a cloud says, on several lines
        return f"{'stuck' if self.is_stuck else 'waiting'} seconds={self.seconds:.0f} {plain(self.what)[:1000]}"


@dataclass(frozen=True, kw_only=True)
class Cohorts:
    """Trials train in common passes, and ASHA judges those of a pass together."""

    num_together: int
    """The most trials of a pass."""

    def to_line(self) -> str:
        """`cohorts together=16`."""
        return f"cohorts together={self.num_together}"


@dataclass(frozen=True, kw_only=True)
class FinalsAhead:
    """The finals that follow once all of the sweep's trials have ended."""

    num_trainings: int
    num_epochs: int
    """Epochs of each training."""

    @classmethod
    def of(cls, sweep: SweepRecord) -> FinalsAhead | None:
        """The finals of the sweep; None where it has none, or is itself the finals of another."""
        if not sweep.num_finalists or sweep.parent is not None:
            return None
        num_finalists = min(sweep.num_finalists, sweep.num_trials)
        return cls(num_trainings=num_finalists * sweep.num_seeds, num_epochs=sweep.epochs_of_finals)

    def to_line(self) -> str:
        """`finals trainings=4 epochs=13`."""
        return f"finals trainings={self.num_trainings} epochs={self.num_epochs}"


TrialLogEvent = TrialEpoch | TrialState
LogEvent = SweepProgress | Budget | Cohorts | FinalsAhead | Waiting | TrialLogEvent


def budget_line(budget: Budget) -> str:
    """`asha trials=30 …`."""
    values = {"trials": budget.num_trials, **asdict(budget)}
    return "asha " + " ".join(f"{name}={value}" for name, value in values.items() if name != "num_trials")


def trial_lines(events: Sequence[TrialLogEvent]) -> Iterator[str]:
    """`trials …`, as many lines as it takes."""
    for first in range(0, len(events), WORDS_PER_LINE):
        yield "trials " + " ".join(each.to_word() for each in events[first : first + WORDS_PER_LINE])


def read_line(line: str) -> list[LogEvent] | None:
    """The events in a line of the log; None for any other line, also for one that is damaged."""
    kind, _, rest = line.partition(" ")
    if progress := SweepProgress.from_line(line):
        return [progress]
    if kind == "asha":
        budget = _read_budget(rest)
        return None if budget is None else [budget]
    if match := _COHORTS.fullmatch(line):
        return [Cohorts(num_together=int(match["together"]))]
    if match := _FINALS.fullmatch(line):
        return [FinalsAhead(num_trainings=int(match["trainings"]), num_epochs=int(match["epochs"]))]
    if match := _WAITING.fullmatch(line):
        return [Waiting(seconds=float(match["seconds"]), is_stuck=kind == "stuck", what=match["what"])]
    if kind == "trials":
        events = [_read_word(word) for word in rest.split()]
        known = [each for each in events if each is not None]
        return [*known] if events and len(known) == len(events) else None
    return None


def _read_budget(text: str) -> Budget | None:
    values = dict(word.partition("=")[::2] for word in text.split())
    try:
        num_trials = int(values.pop("trials"))
        return Budget(num_trials=num_trials, **{name: int(value) for name, value in values.items()})
    except (KeyError, TypeError, ValueError, ConfigurationError):
        return None


def _read_word(word: str) -> TrialLogEvent | None:
    match = _WORD.fullmatch(word)
    if match is None:
        return None
    if outcome := match["outcome"]:
        known = next((each for each in get_args(Outcome) if each == outcome), None)
        return None if known is None else TrialState(trial_id=match["trial"], outcome=known)
    accuracy = None if match["accuracy"] == "-" else float(match["accuracy"])
    return TrialEpoch(
        trial_id=match["trial"],
        epoch=int(match["epoch"]),
        validation_accuracy=accuracy,
        seconds=float(match["seconds"]),
    )
