"""Values of flags that are quantities: lists of numbers, durations, bounded numbers."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from cifar_ray.errors import ConfigurationError

MAX_VALUES = 20
"""In a list of numbers."""


class Numbers(click.ParamType[list[int]]):
    """Whole numbers with commas between them, each in a range."""

    name = "numbers"

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Sorted, each once."""
        flag = param.opts[0] if param else "numbers"
        words = [word.strip() for word in str(value).split(",")]
        if not all(re.fullmatch(r"\d{1,9}", word) for word in words) or len(words) > MAX_VALUES:
            raise ConfigurationError(f"{flag}: {value!r} is no list of numbers", f"write them as in {flag} 1,2,4")
        numbers = sorted({int(word) for word in words})
        if numbers[0] < self._low or numbers[-1] > self._high:
            raise ConfigurationError(f"{flag}: {value} is out of range", f"take {self._low} to {self._high}")
        return numbers


class Duration(click.ParamType[float]):
    """`45m`, `2h`, `90s`."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smh])", str(value))
        duration_s = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
        if duration_s <= 0:
            flag = param.opts[0] if param else "duration"
            raise ConfigurationError(f"{flag}: {value!r} is no duration", f"write it as in {flag} 45m, 2h or 90s")
        return duration_s


class Positive(click.ParamType[float]):
    """A number above zero, and at most `high`."""

    name = "number"

    def __init__(self, high: float = 1e9, *, is_zero_allowed: bool = False) -> None:
        self._high, self._is_zero_allowed = high, is_zero_allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As a float."""
        flag = param.opts[0] if param else "number"
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not (0 <= number <= self._high) or (number == 0 and not self._is_zero_allowed):
            low = "0" if self._is_zero_allowed else "above 0"
            raise ConfigurationError(f"{flag}: {value} is out of range", f"take {low} to {self._high:g}")
        return number
