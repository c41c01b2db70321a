"""Where the trials of a pass stand, as engine, members and scheduler tell each other. Imports nothing from Ray."""

from __future__ import annotations

from typing import NamedTuple

from cifar_ray.records import EpochMetrics


class Standing(NamedTuple):
    """Where a trial stands after a pass."""

    trial_id: str
    epoch: int
    validation_accuracy: float

    @classmethod
    def of(cls, metrics: EpochMetrics) -> Standing:
        """Where the trial of `metrics` stands after that epoch."""
        return cls(metrics.trial_id, metrics.epoch, metrics.validation_accuracy)
