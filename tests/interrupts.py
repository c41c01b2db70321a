"""For tests that interrupt a command."""

import signal


def heed_interrupts() -> None:
    """A test run that was started in the background ignores SIGINT, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
