"""What a running sweep does when its process is told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def ending_in_order(hurry: Callable[[], None], stopping: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM: Ray Tune is to end its trials in order, and to `hurry`. The second does as ever.

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
            # whereupon Ray Tune has put back this one
            restore()

    # until Ray Tune has its own
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
        signal.signal(signal.SIGUSR1, previous[signal.SIGUSR1])
