"""A plan: what a sweep would search and cost, as `cifar-ray plan` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cached_property
from operator import ne

from cifar_ray.planning.advice import Advice, Wish, advise
from cifar_ray.planning.curve_source import CurveSource
from cifar_ray.planning.finished_sweep import CPU
from cifar_ray.planning.forecast import Forecast, Grid, Setup
from cifar_ray.planning.search import SimulatedSweep
from cifar_ray.planning.space_preview import SpacePreview
from cifar_ray.planning.worker_shape import WorkerShape
from cifar_ray.studies import Study

LONG_S = 10 * 3600
"""From this wall time on, times are shown in hours."""


@dataclass(frozen=True, kw_only=True)
class Rate:
    """What an hour of an accelerator or core costs."""

    amount: float
    currency: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The plan of a sweep."""

    study: Study
    seed: int
    """Seed of the sampled configurations."""
    space: SpacePreview
    source: CurveSource
    shape: WorkerShape
    grid: Grid
    forecasts: Sequence[Forecast]
    """One for each set-up in the grid."""
    wish: Wish
    accelerator: str | None
    accelerator_asked: str | None
    """The type that the request named; None where it named none, or CPU."""
    market: str
    rate: Rate | None
    """None where there is no table of prices, or it lacks this accelerator and market."""
    has_prices: bool
    """Whether there is a table of prices."""
    replayed: SimulatedSweep | None
    """The sweep that the times come from, in virtual time; None without one, or where the two are not comparable."""

    @property
    def full(self) -> Forecast:
        """The full search, on the first number of workers."""
        return next(each for each in self.forecasts if each.setup == self.grid.full)

    @cached_property
    def combinations(self) -> list[Forecast]:
        """One per combination of workers, trials and reduction factors."""
        combined = set(self.grid.combinations)
        return [each for each in self.forecasts if each.setup in combined]

    @property
    def cuts_trials(self) -> bool:
        """Whether ASHA may stop trials; else each trains to its last epoch."""
        return None not in self.grid.reduction_factors

    @property
    def cautions(self) -> list[str]:
        """What a reader should know of the curves and of what is not simulated."""
        found = [*self.source.cautions]
        num_curves = self.source.bank.num_curves
        if max(self.grid.trials) > num_curves:
            found.append(f"only {num_curves:,} curves: more trials repeat them, and are hardly better than their best")
        if self.study.searcher != "random":
            found.append(
                f"how {self.study.searcher} chooses is not simulated: its trials, at most {self.study.trials_at_once} "
                f"of {self.study.budget.num_trials} at once, are drawn as random search would"
            )
        return found

    @property
    def unit_hours(self) -> str:
        """The unit of use: core-hours or accelerator-hours."""
        return f"{self.shape.unit}-hours"

    @property
    def wall_unit(self) -> tuple[float, str]:
        """The unit of wall times as shown: its seconds and its name."""
        return (60, "min") if self.base.wall_s.mean < LONG_S else (3600, "h")

    @property
    def device(self) -> str:
        """What the sweep would run on, in words."""
        return self.accelerator or (CPU if self.shape.unit == "core" else "accelerators of no named type")

    @property
    def spend_unit(self) -> str:
        """The unit of a budget: a currency, or `unit_hours` without a price."""
        return self.rate.currency if self.rate else self.unit_hours

    def cost(self, hours: float) -> float:
        """The cost of so many hours, in `spend_unit`."""
        return hours * self.rate.amount if self.rate else hours

    @cached_property
    def base(self) -> Forecast:
        """The study's own set-up on the first number of workers, or the nearest to it that was asked for."""
        budget = self.grid.budget

        def distance(each: Forecast) -> tuple[int, int, int]:
            factor = each.setup.reduction_factor or 0
            return (
                self.grid.workers.index(each.setup.num_workers),
                abs(each.setup.num_trials - budget.num_trials),
                abs(factor - budget.reduction_factor),
            )

        return min(self.combinations, key=distance)

    @cached_property
    def advice(self) -> Advice:
        """The set-up to take."""
        return advise(self.forecasts, self.wish, self.cost)

    @property
    def shown(self) -> list[Forecast]:
        """The base, the set-ups that differ from it in one thing, the advised one and the full search."""
        base, advised = self.base.setup, self.advice.forecast.setup
        kept = {base, advised, self.grid.full}
        return [each for each in self.forecasts if each.setup in kept or _num_changes(each.setup, base) == 1]


def _num_changes(first: Setup, second: Setup) -> int:
    return sum(map(ne, astuple(first), astuple(second)))
