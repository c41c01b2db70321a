"""Lets a command that has something to stop or to remove end in order, however it is told to end."""

from __future__ import annotations

import signal


def end_as_at_ctrl_c() -> None:
    """SIGTERM and the end of its terminal raise KeyboardInterrupt, too; `nohup` still keeps the latter from it."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
