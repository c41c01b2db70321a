"""Adapts a program's output to terminals, pipes and disks that cannot show or take it."""

from __future__ import annotations

import errno
import io
import os
import sys

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system says of a file that a full disk refuses; it may be another one than stdout."""


def replace_unknown_characters() -> None:
    """From now on stdout gets a question mark for each, instead of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def forget_no_width() -> None:
    """Drop COLUMNS=0, which a terminal that does not know its width may set: nothing would fit."""
    if os.environ.get("COLUMNS") == "0":
        del os.environ["COLUMNS"]


def exit_if_unwritable() -> None:
    """End with one line and exit code 1 where stdout refuses what was printed, as on a full disk."""
    try:
        # what it holds back, and where it holds nothing back one line more
        print(flush=True)
    except OSError as error:
        # what is left would be tried again at the interpreter's end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"error: the output cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)
