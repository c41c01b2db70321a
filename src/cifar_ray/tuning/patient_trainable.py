"""The process of a trial that trains by itself: it ends no sooner than the trial's last checkpoints have arrived."""

from __future__ import annotations

from ray.train._internal.session import get_session
from ray.tune.trainable.function_trainable import FunctionTrainable

from cifar_ray.storage.uploading import DRAIN_DEADLINE_S

STOP_DEADLINE_S = DRAIN_DEADLINE_S + 60
"""For a trial that is stopped: until its last checkpoints have arrived."""


class PatientTrainable(FunctionTrainable):
    """Ray Tune's process of a trial, which ends no sooner than the trial's thread.

    Ray Tune waits for that thread where another trial follows in the process, but not where none does: the last
    checkpoints of a trial that is stopped then, which are on their way, would end with the process.
    """

    def cleanup(self) -> None:
        get_session().finish(timeout=STOP_DEADLINE_S)
        super().cleanup()
