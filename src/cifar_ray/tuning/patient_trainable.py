"""The process of a trial that trains by itself: it does not exit before the last checkpoints are in the store."""

from __future__ import annotations

from ray.train._internal.session import get_session
from ray.tune.trainable.function_trainable import FunctionTrainable

from cifar_ray.storage.uploading import DRAIN_DEADLINE_S

STOP_DEADLINE_S = DRAIN_DEADLINE_S + 60
"""Seconds for the last checkpoints of a stopped trial to reach the store."""


class PatientTrainable(FunctionTrainable):
    """Ray Tune's process of a trial, which does not exit before the trial's thread has ended.

    Ray Tune waits for that thread where it reuses the process for another trial, but not otherwise: the last
    checkpoints of a trial that is stopped then, still being uploaded, would be lost with the process.
    """

    def cleanup(self) -> None:
        get_session().finish(timeout=STOP_DEADLINE_S)
        super().cleanup()
