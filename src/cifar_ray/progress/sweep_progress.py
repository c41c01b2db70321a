"""The progress of a running sweep as a line of its job's log."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass


@dataclass(frozen=True, kw_only=True)
class SweepProgress:
    """How far a running sweep has come."""

    elapsed_s: float
    trials: int
    running: int
    stopped: int
    completed: int
    diverged: int
    failed: int
    epochs: int
    """Epochs trained so far, over all trials."""
    best_validation_accuracy: float | None
    best_trial: str | None
    dataset: str

    @property
    def ended(self) -> int:
        """Trials that have an outcome."""
        return self.stopped + self.completed + self.diverged + self.failed

    def to_line(self) -> str:
        """`progress key=value …`, for people and for `from_line`."""
        values = {name: "-" if value is None else value for name, value in asdict(self).items()}
        values["elapsed_s"] = f"{self.elapsed_s:.1f}"
        if self.best_validation_accuracy is not None:
            values["best_validation_accuracy"] = f"{self.best_validation_accuracy:.4f}"
        values["dataset"] = "_".join(self.dataset.split())
        return "progress " + " ".join(f"{name}={value}" for name, value in values.items())

    @classmethod
    def from_line(cls, line: str) -> SweepProgress | None:
        """The progress that a log line holds; None for any other line."""
        words = line.split()
        if not words or words[0] != "progress":
            return None
        values = dict(word.partition("=")[::2] for word in words[1:])
        try:
            return cls(
                elapsed_s=_finite(values["elapsed_s"]),
                **{name: int(values[name]) for name in _PROGRESS_COUNTS},
                best_validation_accuracy=(
                    None if values["best_validation_accuracy"] == "-" else _finite(values["best_validation_accuracy"])
                ),
                best_trial=None if values["best_trial"] == "-" else values["best_trial"],
                dataset=values["dataset"],
            )
        except (KeyError, ValueError):
            return None


_PROGRESS_COUNTS = ("trials", "running", "stopped", "completed", "diverged", "failed", "epochs")


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no progress")
    return value
