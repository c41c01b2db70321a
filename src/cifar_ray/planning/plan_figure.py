"""Draws a plan's forecasts as one PNG: a sweep's cost and result by workers, trials and reduction factor."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

from cifar_ray.errors import plain
from cifar_ray.planning.forecast import CLOSE, Estimate, Forecast
from cifar_ray.planning.plan import Plan
from cifar_ray.reporting.figures import BEST_COLOURS, BEST_MARKERS, DPI, set_note, set_title, to_png

OPACITY = 0.13
"""Opacity of a band."""
NUM_TICKS = 8

Value = Callable[[Forecast], Estimate]


def plan_figure(plan: Plan) -> bytes:
    """Upper panels: by workers, a colour per number of trials; lower ones: by trials, a colour per reduction factor."""
    figure = Figure(figsize=(13.5, 7.8), dpi=DPI, layout="constrained")
    upper, lower = figure.subplots(2, 3)
    unit_s, unit = plan.wall_unit
    rate = plan.rate.amount if plan.rate else 1.0

    def wall(each: Forecast) -> Estimate:
        return each.wall_s.times(1 / unit_s)

    def spend(each: Forecast) -> Estimate:
        return each.hours.times(rate)

    _by_workers(upper[0], plan, wall, f"wall time ({unit})", "How long it takes")
    _by_workers(upper[1], plan, spend, plan.spend_unit, "What it costs")
    _by_workers(
        upper[2],
        plan,
        lambda each: each.utilisation.times(100),
        "in epochs that counted (%)",
        "How well the workers are used",
    )
    _by_trials(lower[0], plan, wall, f"wall time ({unit})", "How long it takes")
    _by_trials(
        lower[1], plan, lambda each: each.accuracy.times(100), "validation accuracy (%)", "How good the winner is"
    )
    _by_trials(lower[2], plan, _chance, "chance (%)", f"Within {100 * CLOSE:g} points of the full search's")
    lower[1].axhline(100 * plan.full.accuracy.mean, color="0.5", linestyle="--", linewidth=1, label="full search, mean")
    for axes in (upper[1], lower[0], lower[1], lower[2]):
        axes.legend(fontsize=8, frameon=False)
    for axes in (*upper, lower[0]):
        axes.set_ylim(bottom=0)
    lower[2].set_ylim(0, 103)
    _name(figure, plan)
    return to_png(figure)


def _name(figure: Figure, plan: Plan) -> None:
    budget = plan.grid.budget
    figure.suptitle(
        f"Plan of {plain(plan.study.name)}: at most {budget.max_epochs} epochs a trial, on {plain(plan.device)}",
        x=0.01,
        ha="left",
        fontsize=13,
        fontweight="bold",
        parse_math=False,
    )
    set_note(figure, _footnote(plan))


def _footnote(plan: Plan) -> str:
    setup = plan.base.setup
    return plain(
        f"simulated with Ray Tune's ASHA, {plan.full.num_seeds} simulations, means; bands: 95 % of them. Above: "
        f"{setup.cut}; below: workers: {setup.num_workers}. By {plan.source.basis}. "
        f"Full search: {plan.grid.budget.num_trials:,} trials, nobody stopped"
    )


def _chance(forecast: Forecast) -> Estimate:
    """The chance in per cent, without a band: it is one share of all simulations."""
    return Estimate.of([100 * forecast.chance])


def _by_workers(axes: Axes, plan: Plan, value: Value, y: str, title: str) -> None:
    for index, num_trials in enumerate(plan.grid.trials):
        chosen = [
            each
            for each in plan.combinations
            if each.setup.num_trials == num_trials and each.setup.reduction_factor == plan.base.setup.reduction_factor
        ]
        _draw(axes, plan.grid.workers, [value(each) for each in chosen], index, f"{num_trials:,} trials")
    _label(axes, "workers", y, title, plan.grid.workers)


def _by_trials(axes: Axes, plan: Plan, value: Value, y: str, title: str) -> None:
    for index, factor in enumerate(plan.grid.reduction_factors):
        chosen = [
            each
            for each in plan.combinations
            if each.setup.reduction_factor == factor and each.setup.num_workers == plan.base.setup.num_workers
        ]
        # not the colours of the upper panels, where they stand for trials
        _draw(axes, plan.grid.trials, [value(each) for each in chosen], index + 3, chosen[0].setup.cut)
    _label(axes, "trials", y, title, plan.grid.trials)


def _draw(axes: Axes, x: Sequence[int], estimates: Sequence[Estimate], index: int, label: str) -> None:
    colour, marker = BEST_COLOURS[index % len(BEST_COLOURS)], BEST_MARKERS[index % len(BEST_MARKERS)]
    axes.plot(x, [each.mean for each in estimates], color=colour, marker=marker, label=label)
    low, high = [each.low for each in estimates], [each.high for each in estimates]
    if len(x) > 1:
        axes.fill_between(x, low, high, color=colour, alpha=OPACITY, linewidth=0)
    else:
        axes.vlines(x, low, high, color=colour, alpha=3 * OPACITY)


def _label(axes: Axes, x: str, y: str, title: str, ticks: Sequence[int]) -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(plain(y))
    axes.grid(alpha=0.25)
    set_title(axes, title)
    axes.set_xscale("log", base=2)
    if len(ticks) <= NUM_TICKS:
        axes.xaxis.set_major_locator(FixedLocator(list(ticks)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
