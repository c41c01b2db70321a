"""What a running sweep does when its process is told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


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
