"""Makes the metrics of an epoch."""

from typing import Any

from cifar_ray.records import EpochMetrics


def make_line(trial_id: str, epoch: int, accuracy: float, *, loss: float | None = 1.0, **others: Any) -> EpochMetrics:
    """By its validation accuracy; a loss of None is of a trial that diverged."""
    return EpochMetrics(
        trial_id=trial_id,
        epoch=epoch,
        train_loss=loss,
        train_accuracy=accuracy,
        validation_loss=loss,
        validation_accuracy=accuracy,
        **{"learning_rate": 0.1, "seconds": 1.0, **others},
    )
