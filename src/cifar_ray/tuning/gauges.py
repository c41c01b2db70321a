"""Publishes a sweep's progress through Ray's metrics API, for Prometheus to scrape.

Ray exports them with the prefix `ray_` and the tags SweepId and Study:

    ray_cifar_ray_trials{State}                    trials by state
    ray_cifar_ray_best_validation_accuracy         0 to 1
    ray_cifar_ray_epochs_total                     epochs trained, summed over trials
    ray_cifar_ray_images_per_second                training images, between the last two updates with new epochs
    ray_cifar_ray_accelerators                     accelerators that trials train on
"""

from __future__ import annotations

import time

from ray.util.metrics import Counter, Gauge

from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.records import SweepRecord

_TAGS = ("SweepId", "Study")
_STATES = ("running", "stopped", "completed", "diverged", "failed")


class SweepGauges:
    """The metrics of one sweep, in its driver."""

    def __init__(self, sweep: SweepRecord, num_epochs: int) -> None:
        """`num_epochs` were trained under earlier drivers."""
        self._num_train = sweep.dataset.num_train
        self._num_epochs = num_epochs
        self._last_epochs = time.monotonic()
        self._trials = Gauge("cifar_ray_trials", "Trials by state.", (*_TAGS, "State"))
        self._best = Gauge("cifar_ray_best_validation_accuracy", "Best so far, 0 to 1.", _TAGS)
        self._epochs = Counter("cifar_ray_epochs", "Epochs of trials that have been trained.", _TAGS)
        self._images = Gauge("cifar_ray_images_per_second", "Training images a second.", _TAGS)
        self._accelerators = Gauge("cifar_ray_accelerators", "Accelerators that trials train on.", _TAGS)
        for metric in (self._trials, self._best, self._epochs, self._images, self._accelerators):
            metric.set_default_tags({"SweepId": sweep.sweep_id, "Study": sweep.study})

    def publish(self, progress: SweepProgress, accelerators: float) -> None:
        """Publish where the sweep stands; to be called every few seconds."""
        for state in _STATES:
            self._trials.set(getattr(progress, state), {"State": state})
        self._trials.set(progress.trials - progress.running - progress.ended, {"State": "waiting"})
        if progress.best_validation_accuracy is not None:
            self._best.set(progress.best_validation_accuracy)
        num_new, self._num_epochs = progress.epochs - self._num_epochs, progress.epochs
        if num_new > 0:
            self._epochs.inc(num_new)
            elapsed_s = time.monotonic() - self._last_epochs
            self._images.set(num_new * self._num_train / max(elapsed_s, 1.0))
            self._last_epochs = time.monotonic()
        self._accelerators.set(accelerators)
