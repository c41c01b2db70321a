"""Values of flags that are quantities: lists of numbers, durations, bounded numbers."""

from __future__ import annotations

import math
import re
from typing import Any

import click

from cifar_ray.errors import ConfigurationError
from cifar_ray.studies.duration import read_duration

MAX_VALUES = 20
"""In a list of numbers."""
SEED = click.IntRange(0, 2**32 - 1)
"""What a sweep can be seeded with."""


class Numbers(click.ParamType[list[int]]):
    """Whole numbers with commas between them, each in a range."""

    name = "numbers"

    def __init__(self, low: int, high: int) -> None:
        self._low, self._high = low, high

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        """Sorted, each once."""
        flag = param.opts[0] if param else "numbers"
        example = f"{self._low},{2 * self._low},{4 * self._low}"
        words = [word.strip() for word in str(value).split(",")]
        if not all(re.fullmatch(r"\d{1,9}", word) for word in words) or len(words) > MAX_VALUES:
            raise ConfigurationError(
                f"{flag}: {value!r} is not a list of numbers", f"write them as in {flag} {example}"
            )
        numbers = sorted({int(word) for word in words})
        if numbers[0] < self._low or numbers[-1] > self._high:
            raise ConfigurationError(f"{flag}: {value} is out of range", f"take {self._low} to {self._high}")
        return numbers


class Duration(click.ParamType[float]):
    """As `read_duration` takes it."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """In seconds."""
        return read_duration(param.opts[0] if param else "duration", str(value))


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
