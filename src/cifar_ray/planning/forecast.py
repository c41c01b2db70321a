"""Forecasts a sweep under many set-ups, each simulated over many seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cifar_ray.planning.curve_source import CurveSource
from cifar_ray.planning.fleet import HOUR_S, Fleet
from cifar_ray.planning.search import SimulatedSweep
from cifar_ray.planning.simulation import FinalsPlan, simulate
from cifar_ray.studies import Budget, Study

CLOSE = 0.005
"""A winner within this of the full search's counts as equally good: half a point."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One way to run the sweep."""

    num_workers: int
    num_trials: int
    reduction_factor: int | None
    """None: ASHA stops no trial."""

    @property
    def cut(self) -> str:
        """How ASHA cuts trials, in words."""
        return f"reduction factor {self.reduction_factor}" if self.reduction_factor else "none cut"

    def budget(self, study: Budget) -> Budget:
        """The study's budget with this set-up's trials and reduction factor."""
        budget = replace(study, num_trials=self.num_trials)
        if self.reduction_factor is None:
            return replace(budget, grace_period=budget.max_epochs)
        return replace(budget, reduction_factor=self.reduction_factor)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Mean over the seeds, and the interval that holds 95 % of them."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """The estimate from one value per seed, at least one."""
        low, high = np.percentile(values, [2.5, 97.5])
        return cls(mean=float(np.mean(values)), low=float(low), high=float(high))

    def times(self, factor: float) -> Estimate:
        """The same in another unit."""
        return Estimate(mean=self.mean * factor, low=self.low * factor, high=self.high * factor)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What to expect of one set-up."""

    setup: Setup
    num_seeds: int
    wall_s: Estimate
    hours: Estimate
    """Hours that accelerators (or cores) were up, training or not."""
    utilisation: Estimate
    """Share of those hours spent on epochs that counted."""
    accuracy: Estimate
    """The winner's validation accuracy: the best epoch of the best trial."""
    num_close: int
    """Seeds whose winner came within CLOSE of the full search's."""
    driver: Estimate
    """Share of the wall time in which the driver processed results: near 1, it is the bottleneck."""
    reached: Mapping[int, Estimate]
    """From an epoch (each rung's, and the last) to the number of trials that reach it."""

    @property
    def chance(self) -> float:
        """Chance of a winner as good as the full search's."""
        return self.num_close / self.num_seeds


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The set-ups to simulate."""

    study: Study
    workers: Sequence[int]
    trials: Sequence[int]
    reduction_factors: Sequence[int | None]
    """Only None for a study that cuts no trial."""
    fleet: Fleet
    """The cluster; each set-up replaces its number of workers."""
    units_per_worker: float
    """Accelerators or cores per worker."""
    num_seeds: int

    @property
    def budget(self) -> Budget:
        """The study's own budget."""
        return self.study.budget

    @property
    def full(self) -> Setup:
        """The full search: the study's trials, each to its last epoch, on the first number of workers."""
        return Setup(num_workers=self.workers[0], num_trials=self.budget.num_trials, reduction_factor=None)

    @property
    def combinations(self) -> list[Setup]:
        """Every combination of workers, trials and reduction factors."""
        return [
            Setup(num_workers=num_workers, num_trials=num_trials, reduction_factor=factor)
            for num_trials in self.trials
            for factor in self.reduction_factors
            for num_workers in self.workers
        ]

    def fleet_of(self, setup: Setup) -> Fleet:
        """The fleet with the set-up's number of workers."""
        return replace(self.fleet, num_workers=setup.num_workers)

    def most_at_once(self, setup: Setup) -> int:
        """Trials that the study's searcher lets train at once."""
        return self.study.with_budget(num_trials=setup.num_trials).trials_at_once

    def is_full(self, setup: Setup) -> bool:
        """Whether it is the full search, on any number of workers."""
        return replace(setup, num_workers=self.full.num_workers) == self.full

    def setups(self) -> list[Setup]:
        """Every combination, then the full search on every number of workers."""
        full = [replace(self.full, num_workers=num_workers) for num_workers in self.workers]
        return list(dict.fromkeys((*self.combinations, *full)))


def forecast_all(grid: Grid, source: CurveSource, tell: Callable[[int], None]) -> list[Forecast]:
    """Forecast every set-up; `tell` is called with the number of trials of each simulation."""
    outcomes = {setup: _simulate(grid, setup, source, tell) for setup in reversed(grid.setups())}
    best = [outcome.best_accuracy for outcome in outcomes[grid.full]]
    return [_summarise(grid, setup, outcomes[setup], best) for setup in grid.setups()]


def _simulate(grid: Grid, setup: Setup, source: CurveSource, tell: Callable[[int], None]) -> list[SimulatedSweep]:
    budget = setup.budget(grid.budget)
    fleet = grid.fleet_of(setup)
    finals = FinalsPlan.of(grid.study, setup.num_trials)
    most_at_once = grid.most_at_once(setup)
    found = []
    for seed in range(grid.num_seeds):
        found.append(
            simulate(budget, source.bank, source.timing, fleet, seed, finals=finals, most_at_once=most_at_once)
        )
        tell(setup.num_trials)
    return found


def _summarise(grid: Grid, setup: Setup, outcomes: Sequence[SimulatedSweep], best: Sequence[float]) -> Forecast:
    each_hour = grid.units_per_worker / HOUR_S
    return Forecast(
        setup=setup,
        num_seeds=len(outcomes),
        wall_s=Estimate.of([each.wall_s for each in outcomes]),
        hours=Estimate.of([each.up_s * each_hour for each in outcomes]),
        utilisation=Estimate.of([each.busy_s / each.up_s if each.up_s else 0.0 for each in outcomes]),
        accuracy=Estimate.of([each.best_accuracy for each in outcomes]),
        # accuracies count whole images: a gap of exactly half a point must not fail by rounding
        num_close=sum(each.best_accuracy >= full - CLOSE - 1e-9 for each, full in zip(outcomes, best, strict=True)),
        driver=Estimate.of([each.driver_s / each.wall_s if each.wall_s else 0.0 for each in outcomes]),
        reached={epoch: Estimate.of([each.reached[epoch] for each in outcomes]) for epoch in outcomes[0].reached},
    )
