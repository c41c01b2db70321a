"""Search spaces: the values that a setting may take, sampled from a seed without Ray."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from cifar_ray.errors import ConfigurationError


@dataclass(frozen=True)
class Choice:
    """One of several values, all equally likely."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigurationError("a choice needs at least one value")

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its values."""
        return self.values

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def sample(self, rng: random.Random) -> Any:
        """One draw."""
        return self.values[rng.randrange(len(self.values))]

    def draw_near(self, value: Any, rng: random.Random) -> Any:
        """A neighbour of the value in the order of `values`; the value itself where it is the only one."""
        values = list(dict.fromkeys(self.values))
        index = values.index(value)
        near = [values[each] for each in (index - 1, index + 1) if 0 <= each < len(values)]
        return rng.choice(near or [value])

    def __str__(self) -> str:
        return "one of " + ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class Range:
    """A number between two bounds, both included, uniform in its value or in its logarithm."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False
    """Whether it is a whole number."""

    def __post_init__(self) -> None:
        if not (0 if self.is_log else -math.inf) < self.low < self.high < math.inf:
            wanted = "0 < low < high, since it is logarithmic" if self.is_log else "low < high"
            raise ConfigurationError(
                f"bounds {self.low}, {self.high} make no range", f"take two finite numbers, {wanted}"
            )
        if self.is_whole and (self.low % 1 or self.high % 1):
            raise ConfigurationError(f"bounds {self.low}, {self.high} of whole numbers", "take whole numbers")

    @property
    def ends(self) -> tuple[float, float]:
        """Its bounds as they are drawn."""
        return (int(self.low), int(self.high)) if self.is_whole else (self.low, self.high)

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def sample(self, rng: random.Random) -> float:
        """One draw, within the bounds."""
        low, high = self.ends
        if not self.is_log:
            return rng.randint(int(low), int(high)) if self.is_whole else rng.uniform(low, high)
        # a whole number stands for all that are rounded to it
        margin = 0.5 if self.is_whole else 0
        value = math.exp(rng.uniform(math.log(low - margin), math.log(high + margin)))
        return min(max(round(value) if self.is_whole else value, low), high)

    def draw_near(self, value: float, rng: random.Random) -> float:
        """Down or up, within the bounds; a bound, but not the value itself, where both lie outside.

        By a fifth of the range; in a logarithmic one a fifth less or a quarter more. Of whole numbers another one.
        """
        step = (self.high - self.low) / 5
        near = (value * 0.8, value * 1.25) if self.is_log else (value - step, value + step)
        if self.is_whole:
            near = (math.floor(near[0]), math.ceil(near[1]))
        return rng.choice(
            [each for each in near if self.low <= each <= self.high] or [each for each in self.ends if each != value]
        )

    def __str__(self) -> str:
        scale = "log-uniform" if self.is_log else "uniform"
        return f"{self.low:.12g} to {self.high:.12g}, {scale}{', whole numbers' if self.is_whole else ''}"


LogUniform = partial(Range, is_log=True)
"""A Range that is uniform in its logarithm, as most are."""

Domain = Choice | Range
SearchSpace = Mapping[str, Domain]
"""From the name of a TrialConfig field to the values it may take."""


def sample_space(space: SearchSpace, rng: random.Random) -> dict[str, Any]:
    """One draw of every setting, in the order of the space."""
    return {name: domain.sample(rng) for name, domain in space.items()}
