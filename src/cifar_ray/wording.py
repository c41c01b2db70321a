"""Words that every part of the program says alike."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
