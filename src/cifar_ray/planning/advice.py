"""Chooses a set-up: the cheapest that is likely to win, or the best within a budget or a deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cifar_ray.planning.forecast import Forecast

DEFAULT_CHANCE = 0.9


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person asks of the set-up."""

    chance: float | None = None
    """Least chance of a winner as good as the full search's."""
    budget: float | None = None
    """In money if prices are known, else in accelerator-hours or core-hours."""
    deadline_s: float | None = None

    @property
    def least_chance(self) -> float | None:
        """`chance`, else DEFAULT_CHANCE; None where only a bound was given, which asks for the best within it."""
        is_bounded = self.budget is not None or self.deadline_s is not None
        return self.chance if self.chance is not None or is_bounded else DEFAULT_CHANCE


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The set-up advised, and whether it meets the wish."""

    forecast: Forecast
    is_met: bool


def advise(forecasts: Sequence[Forecast], wish: Wish, cost: Callable[[float], float]) -> Advice:
    """Choose among the forecasts; `cost` turns hours into the budget's unit.

    A set-up fits if the seeds' 97.5 % points keep budget and deadline. Of those that fit: the cheapest that reaches
    the least chance, else the likeliest; if only a bound was given, the likeliest, then the most accurate. If none
    fits, the nearest.
    """
    fitting = [each for each in forecasts if excess(each, wish, cost) <= 1]
    if not fitting:
        return Advice(forecast=min(forecasts, key=lambda each: excess(each, wish, cost)), is_met=False)
    chance = wish.least_chance
    if chance is None:
        best = max(fitting, key=lambda each: (each.chance, each.accuracy.mean, -each.hours.mean))
        return Advice(forecast=best, is_met=True)
    likely = [each for each in fitting if each.chance >= chance]
    if likely:
        return Advice(forecast=min(likely, key=lambda each: (each.hours.mean, each.wall_s.mean)), is_met=True)
    return Advice(forecast=max(fitting, key=lambda each: (each.chance, -each.hours.mean)), is_met=False)


def excess(forecast: Forecast, wish: Wish, cost: Callable[[float], float]) -> float:
    """By what factor the forecast exceeds the tighter bound; at most 1 where it keeps both."""
    shares = [0.0]
    if wish.budget is not None:
        shares.append(cost(forecast.hours.high) / wish.budget)
    if wish.deadline_s is not None:
        shares.append(forecast.wall_s.high / wish.deadline_s)
    return max(shares)
