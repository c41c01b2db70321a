"""Which set-up to take: the cheapest that is likely to win, or the best within a budget or a deadline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cifar_ray.planning.forecast import Forecast

DEFAULT_CHANCE = 0.9


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a person asks for."""

    chance: float | None = None
    """Of a winner as good as the full search's."""
    budget: float | None = None
    """In money where prices are known, else in hours of accelerators or cores."""
    deadline_s: float | None = None

    @property
    def least_chance(self) -> float | None:
        """The one wished for, else DEFAULT_CHANCE; None where a bound alone was named: then the best within it."""
        is_bounded = self.budget is not None or self.deadline_s is not None
        return self.chance if self.chance is not None or is_bounded else DEFAULT_CHANCE


@dataclass(frozen=True, kw_only=True)
class Advice:
    """One set-up, and whether it is what was asked for."""

    forecast: Forecast
    is_met: bool


def advise(forecasts: Sequence[Forecast], wish: Wish, cost: Callable[[float], float]) -> Advice:
    """`cost` turns hours into what the budget is in.

    Within budget and deadline (of the seeds' 97.5 % point each): with a chance, or without any wish, the cheapest
    that reaches it, else the one of the greatest chance, then accuracy. Where none fits, the nearest to fitting.
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
    """By what factor it exceeds the tighter of the bounds; at most 1 where it keeps both."""
    shares = [0.0]
    if wish.budget is not None:
        shares.append(cost(forecast.hours.high) / wish.budget)
    if wish.deadline_s is not None:
        shares.append(forecast.wall_s.high / wish.deadline_s)
    return max(shares)
