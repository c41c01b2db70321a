"""The process of a trial that trains by itself: it does not go on before the last checkpoints are in the store."""

from __future__ import annotations

import os
from typing import Any

from ray.train._internal.session import get_session
from ray.tune.trainable.function_trainable import FunctionTrainable

from cifar_ray.storage.uploading import DRAIN_DEADLINE_S

STOP_DEADLINE_S = DRAIN_DEADLINE_S + 60
"""Seconds for the last checkpoints of a stopped trial to reach the store."""


class PatientTrainable(FunctionTrainable):
    """Ray Tune's process of a trial, which waits for the trial's thread: to exit, or for the next trial in it.

    Ray Tune itself would not wait before it exits, and the checkpoints that a stopped trial is still uploading would be
    lost with the process. It waits two seconds where it reuses the process for another trial, and then gives up that
    trial, without a word to searcher or callbacks; its variable for that time is not passed on to the process.
    """

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Whether the process can train another trial; if its thread does not end, it exits."""
        session = get_session()
        session.finish(timeout=STOP_DEADLINE_S)
        if session.training_thread.is_alive():
            # a trial whose process dies is tried again, one whose process refuses it is not
            os._exit(os.EX_SOFTWARE)
        return bool(super().reset_config(new_config))

    def cleanup(self) -> None:
        get_session().finish(timeout=STOP_DEADLINE_S)
        super().cleanup()
