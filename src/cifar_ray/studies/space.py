"""Search spaces: the values that a setting may take, sampled from a seed without Ray."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cifar_ray.errors import ConfigurationError


@dataclass(frozen=True)
class Choice:
    """One of several values, all equally likely."""

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        if not self.values:
            raise ConfigurationError("a choice needs at least one value")

    def sample(self, rng: random.Random) -> Any:
        """One draw."""
        return self.values[rng.randrange(len(self.values))]

    def draw_near(self, value: Any, rng: random.Random) -> Any:
        """A neighbour of the value in the order of `values`; the value itself where it is the only one."""
        index = self.values.index(value)
        near = [self.values[each] for each in (index - 1, index + 1) if 0 <= each < len(self.values)]
        return rng.choice(near or [value])

    def __str__(self) -> str:
        return "one of " + ", ".join(str(value) for value in self.values)


@dataclass(frozen=True)
class LogUniform:
    """A number between two bounds, uniform in its logarithm."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise ConfigurationError(f"log-uniform bounds {self.low}, {self.high}: need 0 < low < high")

    def sample(self, rng: random.Random) -> float:
        """One draw, within the bounds."""
        value = math.exp(rng.uniform(math.log(self.low), math.log(self.high)))
        return min(max(value, self.low), self.high)

    def draw_near(self, value: float, rng: random.Random) -> float:
        """A fifth less or a quarter more, within the bounds; a bound where both lie outside."""
        near = [value * factor for factor in (0.8, 1.25) if self.low <= value * factor <= self.high]
        return rng.choice(near or [self.low, self.high])

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}, log-uniform"


Domain = Choice | LogUniform
SearchSpace = Mapping[str, Domain]
"""From the name of a TrialConfig field to the values it may take."""


def sample_space(space: SearchSpace, rng: random.Random) -> dict[str, Any]:
    """One draw of every setting, in the order of the space."""
    return {name: domain.sample(rng) for name, domain in space.items()}
