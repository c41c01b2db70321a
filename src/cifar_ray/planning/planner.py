"""Makes a plan from a person's request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cifar_ray.errors import ConfigurationError
from cifar_ray.planning.advice import Wish
from cifar_ray.planning.curve_source import CurveSource, measured, modelled
from cifar_ray.planning.finished_sweep import CPU, FinishedSweep
from cifar_ray.planning.fleet import Fleet
from cifar_ray.planning.forecast import Grid, forecast_all
from cifar_ray.planning.plan import Plan, Rate
from cifar_ray.planning.replay import replay
from cifar_ray.planning.space_preview import preview_space
from cifar_ray.planning.worker_shape import WorkerShape, worker_shape
from cifar_ray.prices import Prices
from cifar_ray.studies import Study
from cifar_ray.studies.study import MAX_TRIALS

WORKERS = (1, 2, 4, 8)
REDUCTION_FACTORS = (2, 4, 8)
USUAL_SEEDS = 50
MOST_SIMULATED = 400_000
"""Simulated trials of up to USUAL_EPOCHS, or workers where they are more, over all set-ups and seeds, if no seeds are
given: some ten seconds."""
USUAL_EPOCHS = 50
MAX_SETUPS = 200
SPOT_PREEMPTIONS_PER_HOUR = 0.05
"""Assumed for spot workers if none is given."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a person asks to have planned. None leaves the choice to the plan."""

    study: Study
    workers: Sequence[int] | None = None
    trials: Sequence[int] | None = None
    reduction_factors: Sequence[int] | None = None
    accelerator: str | None = None
    epoch_s: float | None = None
    no_cohort: bool = False
    is_autoscaled: bool = False
    node_start_s: float = Fleet.node_start_s
    is_spot: bool = False
    preemptions_per_hour: float | None = None
    wish: Wish = Wish()  # noqa: RUF009  # frozen
    num_seeds: int | None = None
    seed: int = 0
    """Seed of the sampled configurations."""

    @property
    def is_cohort(self) -> bool:
        """Whether trials would train together."""
        return self.study.is_cohort and not self.no_cohort


def make_plan(
    request: Request, sweeps: Sequence[FinishedSweep], prices: Prices | None, watch: Callable[[int, int], None]
) -> Plan:
    """`watch` is called with the trials simulated so far and in all. ConfigurationError for a senseless request."""
    study, is_cohort = request.study, request.is_cohort
    if is_cohort and study.finalists:
        raise ConfigurationError(
            f"study {study.name}: finals train individually, and a cohort's passes do not tell how long that takes",
            "plan it with --no-cohort",
        )
    source = _curve_source(request, sweeps)
    timed_on = source.timed_on
    accelerator = request.accelerator or next((each.accelerator for each in (timed_on, *sweeps) if each), None)
    shape = worker_shape(
        study, is_cohort=is_cohort, has_accelerators=accelerator != CPU, timed_on=timed_on.sweep if timed_on else None
    )
    grid = _grid(request, shape)
    # the simulation does not model the time in which an interrupted sweep had no driver
    is_comparable = request.epoch_s is None and timed_on is not None and not timed_on.sweep.has_pauses
    market = "spot" if request.is_spot else "on_demand"
    rate = prices.rate(accelerator, market) if prices and accelerator else None
    return Plan(
        study=study,
        seed=request.seed,
        space=preview_space(study, request.seed),
        source=source,
        shape=shape,
        grid=grid,
        forecasts=forecast_all(grid, source, _counter(grid, watch)),
        wish=request.wish,
        accelerator=accelerator,
        accelerator_asked=None if request.accelerator == CPU else request.accelerator,
        market=market,
        rate=Rate(amount=rate, currency=prices.currency) if prices and rate is not None else None,
        has_prices=prices is not None,
        replayed=replay(timed_on) if timed_on and timed_on.is_whole and is_comparable else None,
    )


def _curve_source(request: Request, sweeps: Sequence[FinishedSweep]) -> CurveSource:
    """The curves of these sweeps or, without any, of the model."""
    study, is_cohort, epoch_s = request.study, request.is_cohort, request.epoch_s
    if sweeps:
        return measured(sweeps, study, is_cohort=is_cohort, accelerator=request.accelerator, epoch_s=epoch_s)
    return modelled(study, is_cohort=is_cohort, epoch_s=epoch_s)


def _grid(request: Request, shape: WorkerShape) -> Grid:
    budget = request.study.budget
    preemptions = request.preemptions_per_hour
    if preemptions is None:
        preemptions = SPOT_PREEMPTIONS_PER_HOUR if request.is_spot else 0.0
    workers = request.workers or WORKERS
    half, own, twice = budget.num_trials // 2, budget.num_trials, 2 * budget.num_trials
    trials = request.trials or sorted({max(2, half), own, min(twice, MAX_TRIALS)})
    factors: Sequence[int | None] = [None]
    if budget.grace_period < budget.max_epochs:
        factors = request.reduction_factors or sorted({*REDUCTION_FACTORS, budget.reduction_factor})
    if (num_setups := len(workers) * len(trials) * len(factors)) > MAX_SETUPS:
        raise ConfigurationError(f"{num_setups} set-ups are too many", f"ask for at most {MAX_SETUPS}")
    # workers are made anew for each sweep
    num_all = sum(max(each, number) for each in workers for number in (*len(factors) * [*trials], budget.num_trials))
    weight = max(1.0, budget.max_epochs / USUAL_EPOCHS)
    return Grid(
        study=request.study,
        workers=workers,
        trials=trials,
        reduction_factors=factors,
        fleet=Fleet(
            num_workers=workers[0],
            places=shape.places,
            is_cohort=shape.is_cohort,
            is_autoscaled=request.is_autoscaled,
            node_start_s=request.node_start_s,
            preemptions_per_hour=preemptions,
        ),
        units_per_worker=shape.units,
        num_seeds=request.num_seeds or max(1, min(USUAL_SEEDS, int(MOST_SIMULATED / (weight * num_all)))),
    )


def _counter(grid: Grid, watch: Callable[[int, int], None]) -> Callable[[int], None]:
    done, num_all = 0, grid.num_seeds * sum(setup.num_trials for setup in grid.setups())

    def count(number: int) -> None:
        nonlocal done
        done += number
        watch(done, num_all)

    return count
