"""Ends a running sweep in order, on a signal or at its time limit: it can be resumed."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial


@contextmanager
def ending_in_order(hurry: Callable[[], None], stopping: threading.Event) -> Iterator[None]:
    """On the first SIGINT or SIGTERM have Ray Tune end its trials in order, and `hurry`; a second has its usual effect.

    Ray Tune ends them on SIGUSR1, too, with a handler that stays when all trials have ended.
    """
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}

    def restore() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, previous[number])

    def end(number: int, frame: FrameType | None) -> None:
        stopping.set()
        hurry()
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            # Ray Tune's handler has just put this one back, for SIGINT
            restore()

    # until Ray Tune installs its own
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
        signal.signal(signal.SIGUSR1, previous[signal.SIGUSR1])


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
