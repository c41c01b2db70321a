"""Shows a plan on the command line, in 80 columns."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Column
from rich.text import Text

from cifar_ray.planning.advice import excess
from cifar_ray.planning.forecast import CLOSE, Estimate, Forecast
from cifar_ray.planning.plan import Plan
from cifar_ray.planning.simulation import FinalsPlan
from cifar_ray.planning.space_preview import SpacePreview
from cifar_ray.progress.asha import milestones, shares_passing
from cifar_ray.reporting.fitting_table import FittingTable, narrow_table
from cifar_ray.reporting.formats import percent, seconds, setting
from cifar_ray.reporting.score_rows import setting_label
from cifar_ray.reporting.terminal import SHORT, study_renderable, verbatim
from cifar_ray.statistics import wilson_interval
from cifar_ray.wording import counted

NUM_SAMPLED = 6
"""Sampled configurations that are shown."""
WAITS_FOR_DRIVER = 0.5
"""A note says so if the driver is busy for more than this share of the wall time."""
POINTS = f"{100 * CLOSE:g} points"


def plan_renderable(plan: Plan) -> RenderableType:
    """Space, rungs, where the numbers come from, the forecasts, the advice."""
    return Group(
        study_renderable(plan.study),
        *_trials(plan),
        Text(),
        *_space(plan),
        Text(),
        _rungs(plan),
        Text(),
        *_source(plan),
        Text(),
        _forecasts(plan),
        *_legend(plan),
        Text(),
        *_advice(plan),
    )


def _trials(plan: Plan) -> Iterator[RenderableType]:
    trials, own = plan.grid.trials, plan.grid.budget.num_trials
    if own not in trials:
        yield verbatim(f"planned: {', '.join(f'{each:,}' for each in trials)} trials in place of the study's {own:,}")


def _space(plan: Plan) -> Iterator[RenderableType]:
    space = plan.space
    if space.sample_error:
        yield verbatim(f"this study cannot be sampled: {space.sample_error}", "bold red")
    if space.configs:
        yield _sample(plan)
    yield verbatim(_repeats(space, plan.study.searcher))
    kind = "all" if space.is_every_corner else "of many, at random:"
    num_refused = sum(count for count, _ in space.refused.values())
    if not num_refused:
        yield verbatim(f"corners (each choice, each range at its ends): {kind} {space.num_corners:,} can run")
        return
    yield verbatim(f"corners that cannot run: {num_refused:,} of {space.num_corners:,}", "bold red")
    for text, (count, example) in space.refused.items():
        yield verbatim(f"  {count:,}: {text}; such as {dict(example)}", "red")


def _sample(plan: Plan) -> RenderableType:
    table = narrow_table("trial", *map(_number, (SHORT.get(name, setting_label(name)) for name in plan.study.space)))
    for index, config in enumerate(plan.space.configs[:NUM_SAMPLED]):
        described = {**plan.study.fixed, **config}
        table.add_row(f"t{index:04d}", *(Text(setting(name, described, digits=2)) for name in plan.study.space))
    return FittingTable(table, 1)


def _number(heading: str) -> Column:
    return Column(heading, justify="right")


def _repeats(space: SpacePreview, searcher: str) -> str:
    num, more = len(space.configs), len(space.configs) - NUM_SAMPLED
    rest = f"and {more:,} more; " if more > 0 else ""
    repeated = f"{space.num_repeated:,} repeat an earlier one" if space.num_repeated else "no two are the same"
    alike = "equal choices, numbers within 10 %, of their range if uniform"
    near = f", {space.num_near:,} near an earlier one ({alike})" if space.num_near else ""
    compared = f"the first {space.num_compared:,} compared: " if space.num_compared < num else ""
    sampled = "sampled" if searcher == "random" else "that random search would sample"
    return (
        f"{rest}of {num:,} {sampled}, {compared}{repeated}{near}; {space.num_combinations:,.0f} combinations of choices"
    )


def _rungs(plan: Plan) -> RenderableType:
    base = plan.base
    budget = base.setup.budget(plan.grid.budget)
    headings = ("trials that come so far", "of the rung before", "if all were equally good")
    table = narrow_table("ASHA's rungs", *map(_number, headings))
    num_together = plan.grid.fleet_of(base.setup).num_together(plan.grid.most_at_once(base.setup))
    shares = shares_passing(budget, [], budget.num_trials, num_together)
    expected, before = 1.0, None
    for epoch in (*milestones(budget), budget.max_epochs):
        reached = base.reached[epoch]
        share = "" if before is None else f"{percent(reached.mean / before if before else None, 0)} %"
        name = f"epoch {epoch}" + (", the last" if epoch == budget.max_epochs else "")
        table.add_row(name, _range(reached, 1), share, f"{expected * budget.num_trials:.1f}")
        expected, before = expected * shares.get(epoch, 1.0), reached.mean
    return FittingTable(table, 2)


def _source(plan: Plan) -> Iterator[RenderableType]:
    yield verbatim(f"curves: {plan.source.statement}")
    yield verbatim(f"a worker: {plan.shape} ({plan.device}, {plan.market.replace('_', ' ')}); {_fleet(plan)}")
    if plan.replayed and plan.source.timed_on:
        took_s = plan.source.timed_on.result.wall_s
        off = plan.replayed.wall_s / took_s - 1 if took_s else 0.0
        # the records do not say whether each pass was judged together (docs/decisions/0015)
        is_cohort = plan.source.timed_on.sweep.is_cohort
        note = "; cohort sweeps of older versions took longer, as a rule" if is_cohort else ""
        yield verbatim(
            f"check of the mechanics: {plan.source.timed_on.sweep.sweep_id}, replayed with its own curves, takes "
            f"{seconds(plan.replayed.wall_s)}; it took {seconds(took_s)} ({100 * off:+.0f} %){note}"
        )
    for text in plan.cautions:
        yield verbatim(f"caution: {text}", "yellow")


def _fleet(plan: Plan) -> str:
    fleet = plan.grid.fleet
    parts = ["all there throughout"]
    if fleet.is_autoscaled:
        end = "stay to the end with their cohort" if fleet.is_cohort else "go after a minute idle"
        parts = [f"workers come when trials wait and {end}"]
    if fleet.is_autoscaled or fleet.preemptions_per_hour:
        parts.append(f"a node starts in {seconds(fleet.node_start_s)} or so")
    if fleet.preemptions_per_hour:
        parts.append(f"each is taken away {fleet.preemptions_per_hour:g} times an hour")
    return ", ".join(parts)


def _forecasts(plan: Plan) -> RenderableType:
    wall_unit, wall_name = plan.wall_unit
    factor = ["fac-\ntor"] if plan.cuts_trials else []
    cost = [f"cost\n{plan.rate.currency}"] if plan.rate else []
    names = ["work-\ners", "trials", *factor, f"wall time\n{wall_name}", f"{plan.shape.unit}-\nhours", *cost]
    table = narrow_table(numbers=(*names, "used\n%", "winner\nval. %", f"within\n{POINTS}", ""))
    for each in plan.shown:
        cells = [
            f"{each.setup.num_workers:,}",
            f"{each.setup.num_trials:,}",
            *([str(each.setup.reduction_factor or "full")] if plan.cuts_trials else []),
            _range(each.wall_s.times(1 / wall_unit), 1, "\n"),
            _range(each.hours, 2, "\n"),
            *([f"{plan.cost(each.hours.mean):,.2f}"] if plan.rate else []),
            percent(each.utilisation.mean, 0),
            _range(each.accuracy.times(100), 1, "\n"),
            f"{percent(each.chance, 0)} %",
            "◄" if each.setup == plan.advice.forecast.setup else "",
        ]
        style = "bold" if cells[-1] else "dim" if each is plan.full else None
        table.add_row(*map(Text, cells), style=style)
    return FittingTable(table, 3 + len(factor))


def _legend(plan: Plan) -> Iterator[RenderableType]:
    num_seeds, budget = plan.full.num_seeds, plan.grid.budget
    full = "full" if plan.cuts_trials else "the full search"
    yield verbatim(
        f"{counted(num_seeds, 'simulation')} each; (a–b): where 95 % of them lie. used: share of the "
        f"{plan.unit_hours} in epochs that counted. {full}: all {budget.num_trials:,} trials to epoch "
        f"{budget.max_epochs}; within {POINTS}: the chance of a winner as good as that one's. ◄: advised.",
        "dim",
    )
    if not plan.cuts_trials:
        yield verbatim("nothing cuts the trials of this study: a reduction factor would change nothing", "dim")
    if finals := FinalsPlan.of(plan.study, budget.num_trials):
        length = counted(finals.num_epochs, "epoch")
        yield verbatim(
            f"with the finals: {counted(finals.num_trainings, 'training')} of {length} are in times and hours; "
            "the winner's accuracy is the search's",
            "dim",
        )
    if hidden := len(plan.forecasts) - len(plan.shown):
        yield verbatim(f"{hidden} more set-ups were simulated: the figure has some, the advice looks at all.", "dim")
    fleet = plan.grid.fleet
    num_filled = fleet.num_filled(max(plan.grid.most_at_once(plan.base.setup), finals.num_trainings if finals else 0))
    if not fleet.is_autoscaled and max(plan.grid.workers) > num_filled:
        yield verbatim(
            f"the sweep can fill {counted(num_filled, 'worker')}: more would idle, and be paid for (not with "
            "--autoscaling)",
            "yellow",
        )
    slow = [each for each in plan.shown if each.driver.mean > WAITS_FOR_DRIVER]
    if slow:
        fewest = min(each.setup.num_workers for each in slow)
        yield verbatim(
            f"from {counted(fewest, 'worker')} on, the sweep waits for its driver, which takes one result in "
            f"{1000 * plan.source.timing.decision_s:g} ms (docs/scaling.md)",
            "yellow",
        )
    if plan.rate is None:
        yield verbatim(f"no cost: {_lacking(plan)}", "dim")


def _lacking(plan: Plan) -> str:
    if not plan.has_prices:
        accelerator = "" if plan.accelerator else ", and an --accelerator that it has"
        return f"name a table of prices by CIFAR_RAY_PRICES (docs/cost.md){accelerator}"
    if plan.accelerator is None:
        return "name an --accelerator that your table of prices has"
    return f"your table of prices has no {plan.accelerator}.{plan.market}"


def _advice(plan: Plan) -> Iterator[RenderableType]:
    advised = plan.advice.forecast
    yield verbatim(f"{_verdict(plan)}: {_setup(advised)}", "bold")
    spent = f"  {_time(advised)}, {_spend(plan, advised)}; winner {percent(advised.accuracy.mean, 1)} %"
    full = plan.full
    if plan.grid.is_full(advised.setup):
        yield verbatim(f"{spent}: this is the full search")
        fitting = [each for each in plan.combinations if excess(each, plan.wish, plan.cost) <= 1]
        if plan.cuts_trials and fitting:
            cut = max(fitting, key=lambda each: (each.chance, -each.hours.mean))
            yield verbatim(
                f"  the likeliest of those that cut trials: {_setup(cut)}, {seconds(cut.wall_s.mean)}, "
                f"{_spend(plan, cut)}, within {POINTS} of it with {percent(cut.chance, 0)} %"
            )
        return
    low, high = wilson_interval(advised.num_close, advised.num_seeds)
    yield verbatim(
        f"{spent}, within {POINTS} of the full search's with {percent(advised.chance, 0)} % (95 % interval "
        f"{percent(low, 0)} to {percent(high, 0)})"
    )
    yield verbatim(
        f"  the full search: {seconds(full.wall_s.mean)} on {_workers(full)}, {_spend(plan, full)}, "
        f"winner {percent(full.accuracy.mean, 1)} %"
    )


def _verdict(plan: Plan) -> str:
    wish, is_met = plan.wish, plan.advice.is_met
    bounds = []
    if wish.budget is not None:
        bounds.append(f"{wish.budget:g} {plan.spend_unit}")
    if wish.deadline_s is not None:
        bounds.append(seconds(wish.deadline_s))
    within = f" within {' and '.join(bounds)}" if bounds else ""
    if not is_met and excess(plan.advice.forecast, wish, plan.cost) > 1:
        return f"none of these set-ups stays{within} in 97.5 % of its simulations; the nearest"
    chance = wish.least_chance
    if chance is None:
        return f"the best of these set-ups{within}"
    likely = f"a {100 * chance:g} % chance of a winner within {POINTS} of the full search's"
    if not is_met:
        return f"none of these set-ups{within} has {likely}; the likeliest"
    return f"the cheapest of these set-ups{within} with {likely}"


def _setup(forecast: Forecast) -> str:
    setup = forecast.setup
    return f"{_workers(forecast)}, {counted(setup.num_trials, 'trial')}, {setup.cut}"


def _workers(forecast: Forecast) -> str:
    return counted(forecast.setup.num_workers, "worker")


def _time(forecast: Forecast) -> str:
    wall_s = forecast.wall_s
    if wall_s.low == wall_s.high:
        return seconds(wall_s.mean)
    return f"{seconds(wall_s.mean)} ({seconds(wall_s.low)} to {seconds(wall_s.high)})"


def _spend(plan: Plan, forecast: Forecast) -> str:
    hours = f"{forecast.hours.mean:,.2f} {plan.unit_hours}"
    return f"{hours}, {plan.cost(forecast.hours.mean):,.2f} {plan.rate.currency}" if plan.rate else hours


def _range(estimate: Estimate, digits: int, separator: str = " ") -> str:
    mean, low, high = (f"{each:,.{digits}f}" for each in (estimate.mean, estimate.low, estimate.high))
    return mean if low == high else f"{mean}{separator}({low}–{high})"
