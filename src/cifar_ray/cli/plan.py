"""`cifar-ray plan`: what a sweep will take, and what to expect of it, before it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from cifar_ray.cli.completion import study_names, sweep_ids
from cifar_ray.cli.connection import connect_runs
from cifar_ray.cli.figure_file import check_figure, write_figure
from cifar_ray.cli.flag_types import SEED, Duration, Numbers, Positive
from cifar_ray.cli.own_studies import own_studies
from cifar_ray.errors import ConfigurationError
from cifar_ray.prices import Prices, read_prices
from cifar_ray.settings import read_settings
from cifar_ray.storage.runs import RunStore, open_sweep
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.study import Searcher

if TYPE_CHECKING:
    from cifar_ray.planning.finished_sweep import FinishedSweep
    from cifar_ray.planning.plan import Plan
    from cifar_ray.planning.planner import Request


@click.command()
@click.argument("study", shell_complete=study_names)
@click.option("--workers", type=Numbers(1, 100_000), metavar="N[,N…]", help="Numbers of workers. [default: 1,2,4,8]")
@click.option(
    "--trials",
    type=Numbers(1, 100_000),
    metavar="N[,N…]",
    help="Numbers of trials. [default: the study's, half and twice that]",
)
@click.option(
    "--reduction-factor",
    "reduction_factors",
    type=Numbers(2, 1000),
    metavar="R[,R…]",
    help="At each rung, ASHA promotes the best 1/R of the trials. [default: 2, 4, 8 and the study's]",
)
@click.option("--max-epochs", type=int, metavar="N", help="Maximum epochs per trial. [default: the study's]")
@click.option(
    "--grace-period",
    type=int,
    metavar="N",
    help="Epochs that every trial gets before ASHA may stop it. [default: the study's]",
)
@click.option(
    "--searcher",
    type=click.Choice(get_args(Searcher)),
    help="What is to choose the configurations. tpe and bohb-style train at most a quarter of the trials at once, "
    "which is simulated; what they learn is not. pbt is refused. [default: the study's]",
)
@click.option(
    "--curves",
    "sweeps",
    multiple=True,
    metavar="SWEEP",
    shell_complete=sweep_ids,
    help="Finished sweep of the study to take learning curves and times from: its id, or the path or s3:// address of "
    "its folder, with the environment's keys; repeatable. [default: a model of both, which the plan states]",
)
@click.option(
    "--accelerator",
    metavar="A",
    help="Accelerator of the workers, by its name in your table of prices, or CPU for cores. [default: what the curves "
    "were trained on]",
)
@click.option(
    "--epoch-s",
    type=Positive(),
    metavar="S",
    help="Seconds that an epoch of one trial takes, if no curves were timed on that accelerator. [default: the "
    "curves'; without curves 60, an assumption]",
)
@click.option("--no-cohort", is_flag=True, help="Train the trials individually, as `job submit --no-cohort` does.")
@click.option(
    "--autoscaling",
    "is_autoscaled",
    is_flag=True,
    help="Simulate workers that start when trials wait and stop when idle; those that train cohorts stay.",
)
@click.option(
    "--node-start-s",
    type=Positive(86_400, is_zero_allowed=True),
    default=120.0,
    show_default=True,
    metavar="S",
    help="Seconds from the request for a node to its first trial.",
)
@click.option("--spot", "is_spot", is_flag=True, help="Plan with spot workers, at spot prices; they may be preempted.")
@click.option(
    "--preemptions-per-hour",
    type=Positive(1000, is_zero_allowed=True),
    metavar="X",
    help="How often a worker is preempted. [default: 0; with --spot 0.05, an assumption]",
)
@click.option(
    "--chance",
    type=Positive(100),
    metavar="P",
    help="Advise the cheapest set-up whose winner is, with a chance of P %, within 0.5 points of the full search's. "
    "[default: 90, unless a budget or deadline is given]",
)
@click.option(
    "--budget",
    type=Positive(),
    metavar="X",
    help="Advise the best set-up that costs at most X: in money if prices are known, else in hours of accelerators or "
    "cores.",
)
@click.option(
    "--deadline",
    "deadline_s",
    type=Duration(),
    metavar="T",
    help="Advise the best set-up that finishes within T, such as 45m or 2h.",
)
@click.option(
    "--simulations",
    "num_seeds",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Simulated sweeps per set-up. [default: 50, fewer if that would take minutes]",
)
@click.option(
    "--seed",
    type=SEED,
    default=0,
    show_default=True,
    help="Seed of the sampled configurations that are shown, and of the command. No forecast depends on it.",
)
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("plan.png"),
    show_default=True,
    help="PNG file to write the figure to; with --json only where it is given.",
)
@click.option(
    "--json", "is_json", is_flag=True, help="Print one JSON document, for programs; accuracies are fractions."
)
@click.option(
    "--storage",
    metavar="URI",
    help="Store of the curves. [default: CIFAR_RAY_STORAGE, else the local cluster's, else ~/.cifar-ray/results]",
)
def plan(study: str, figure: Path, is_json: bool, storage: str | None, sweeps: tuple[str, ...], **asked: Any) -> None:
    """Forecast a sweep's time, cost and accuracy.

    Starts nothing; shows what a sweep of STUDY would search, and the command that starts the one advised. The sweep is
    simulated many times, in virtual time, with Ray Tune's own ASHA: its trials report the learning curves of a
    finished sweep (--curves) or of a model, at that sweep's pace. The table varies workers, trials and the reduction
    factor one at a time, around the study's own; the advice considers every combination, and the full search, in which
    no trial is cut.

    \b
    cifar-ray plan cnn --curves SWEEP                 what a sweep like SWEEP takes on 1 to 8 workers
    cifar-ray plan resnet --epoch-s 20 --deadline 2h  the best search that finishes within two hours
    cifar-ray plan fast --epoch-s 5 --spot --autoscaling --budget 3
    """
    source = click.get_current_context().get_parameter_source("figure")
    is_drawn = not is_json or source is not ParameterSource.DEFAULT
    if is_drawn:
        check_figure(figure)
    request = _request(study, **asked)
    # Ray takes two seconds to load
    from cifar_ray.planning.planner import make_plan  # noqa: PLC0415

    prices = _prices(request.accelerator, is_spot=request.is_spot)
    finished = list(_finished(sweeps, storage, request.study))
    with _watching() as watch:
        made = make_plan(request, finished, prices, watch)
    _show(made, figure if is_drawn else None, is_json=is_json)


def _show(plan: Plan, figure: Path | None, *, is_json: bool) -> None:
    from cifar_ray.planning.plan_command import plan_command  # noqa: PLC0415
    from cifar_ray.planning.plan_document import plan_document  # noqa: PLC0415
    from cifar_ray.planning.plan_view import plan_renderable  # noqa: PLC0415

    if is_json:
        click.echo(json.dumps(plan_document(plan), indent=2))
    else:
        Console().print(plan_renderable(plan))
    if figure:
        # matplotlib takes half a second to load: the table comes first
        from cifar_ray.planning.plan_figure import plan_figure  # noqa: PLC0415

        write_figure(figure, plan_figure(plan))
    if not is_json:
        click.echo(f"figure: {figure}")
        click.echo(f"next: {plan_command(plan)}")


def _finished(sweeps: Sequence[str], storage: str | None, study: Study) -> Iterator[FinishedSweep]:
    """Each by its id in the store, or by its address as `cifar_ray.load_sweep` takes it."""
    from cifar_ray.planning.finished_sweep import read_finished  # noqa: PLC0415

    runs: RunStore | None = None
    for name in dict.fromkeys(sweeps):
        if "/" in name:
            yield read_finished(*open_sweep(name), study)
        else:
            runs = runs or connect_runs(storage)
            yield read_finished(runs, name, study)


def _request(
    study: str,
    *,
    max_epochs: int | None,
    grace_period: int | None,
    searcher: Searcher | None,
    accelerator: str | None,
    chance: float | None,
    budget: float | None,
    deadline_s: float | None,
    **asked: Any,
) -> Request:
    planned = get_study(study, own_studies())
    if (searcher or planned.searcher) == "pbt":
        raise ConfigurationError("plans simulate ASHA, not the training of a population", "take another --searcher")
    if accelerator is not None and not accelerator.strip():
        raise ConfigurationError(f"--accelerator: {accelerator!r} is no type", "leave it out, or name a type or CPU")
    planned = planned.with_searcher(searcher).with_budget(max_epochs=max_epochs, grace_period=grace_period)
    # after these checks, since Ray takes two seconds to load
    from cifar_ray.planning.advice import Wish  # noqa: PLC0415
    from cifar_ray.planning.finished_sweep import CPU  # noqa: PLC0415
    from cifar_ray.planning.planner import Request  # noqa: PLC0415

    return Request(
        study=planned,
        # `cpu` would be planned as a type of accelerator
        accelerator=CPU if accelerator and accelerator.upper() == CPU else accelerator,
        wish=Wish(chance=None if chance is None else chance / 100, budget=budget, deadline_s=deadline_s),
        **asked,
    )


def _prices(accelerator: str | None, *, is_spot: bool) -> Prices | None:
    """The person's own table; ConfigurationError where it lacks the accelerator that was asked for."""
    path = read_settings().prices
    if path is None:
        return None
    prices = read_prices(path)
    market = "spot" if is_spot else "on_demand"
    if accelerator is not None and prices.rate(accelerator, market) is None:
        known = ", ".join(sorted({name for name, its_market in prices.rates if its_market == market})) or "none"
        raise ConfigurationError(
            f"prices {path}: there is no {accelerator}.{market}", f"add it, or take another --accelerator ({known})"
        )
    return prices


@contextmanager
def _watching() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while trials are simulated."""
    columns = (TextColumn("simulating"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f} trials"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=1)
        yield lambda done, num_all: bar.update(task, completed=done, total=num_all)
