"""Ends a sweep whose time is up, as a signal would: it can be resumed."""

from __future__ import annotations

import signal
import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial


class TimeLimit(Callback):
    """Ray Tune's callback in the driver, which it calls every second or so, whether trials run or wait."""

    def __init__(self, ends_at: float | None) -> None:
        """`ends_at` is by the monotonic clock; None for never."""
        self._ends_at = ends_at
        self.is_over = False

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Interrupt Ray Tune, once, when the time is up: called in its own thread, while it handles signals."""
        if self._ends_at is not None and not self.is_over and time.monotonic() > self._ends_at:
            self.is_over = True
            signal.raise_signal(signal.SIGINT)
