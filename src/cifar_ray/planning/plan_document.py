"""A plan as one JSON document, for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from cifar_ray.planning.forecast import Forecast
from cifar_ray.planning.plan import Plan
from cifar_ray.planning.plan_command import plan_command


def plan_document(plan: Plan) -> dict[str, Any]:
    """All set-ups that were simulated, and which is advised; accuracies, chances and shares are fractions."""
    return {
        "study": plan.study.name,
        "curves": plan.source.statement,
        "cautions": plan.cautions,
        "sample_error": plan.space.sample_error,
        "worker": {"unit": plan.shape.unit, "units": plan.shape.units, "device": plan.device, "market": plan.market},
        "currency": plan.rate.currency if plan.rate else None,
        "setups": [_setup(plan, each) for each in plan.forecasts],
        "advised": _setup(plan, plan.advice.forecast),
        "is_met": plan.advice.is_met,
        "command": plan_command(plan),
    }


def _setup(plan: Plan, forecast: Forecast) -> dict[str, Any]:
    """Each estimate is a mean and the interval that holds 95 % of the simulations."""
    setup = forecast.setup
    return {
        "workers": setup.num_workers,
        "trials": setup.num_trials,
        "reduction_factor": setup.reduction_factor,
        "is_full_search": plan.grid.is_full(setup),
        "simulations": forecast.num_seeds,
        "wall_s": asdict(forecast.wall_s),
        "hours": asdict(forecast.hours),
        "cost": asdict(forecast.hours.times(plan.rate.amount)) if plan.rate else None,
        "utilisation": asdict(forecast.utilisation),
        "accuracy": asdict(forecast.accuracy),
        "chance": forecast.chance,
    }
