"""Lets a program print what its terminal, pipe or log cannot show."""

from __future__ import annotations

import io
import sys


def replace_unknown_characters() -> None:
    """From now on stdout gets a question mark for each, instead of an error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
