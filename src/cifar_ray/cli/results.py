"""`cifar-ray results`: list, show, compare, copy and delete the sweeps of a store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from cifar_ray.cli.completion import sweep_ids
from cifar_ray.cli.connection import connect_runs, storage_option
from cifar_ray.cli.figure_file import check_figure, write_figure
from cifar_ray.cli.flag_types import Positive
from cifar_ray.cli.removal import delete, gc
from cifar_ray.errors import (
    CifarRayError,
    ConfigurationError,
    RecordError,
    StorageError,
    UnknownNameError,
    plain,
)
from cifar_ray.reporting.formats import usage_text
from cifar_ray.reporting.payload import sweep_document, sweep_rows, to_json
from cifar_ray.reporting.terminal import (
    finals_renderable,
    scores_renderable,
    state_text,
    sweeps_renderable,
    trials_renderable,
)
from cifar_ray.storage.patient_store import may_come_up
from cifar_ray.storage.pulling import pull_sweep
from cifar_ray.storage.runs import RunStore

if TYPE_CHECKING:
    from cifar_ray.reporting.frames import ExportFormat

_json = click.option(
    "--json", "is_json", is_flag=True, help="Print one JSON document, for programs; accuracies are fractions."
)

WAIT_PERIOD_S = 10.0


def _to(default: str) -> Callable[..., Any]:
    kind = click.Path(path_type=Path, file_okay=False)
    said = "Where to put the sweep's folder."
    return click.option("--to", "folder", type=kind, default=Path(default), show_default=True, help=said)


@click.group()
def results() -> None:
    """List, show, compare, copy and delete sweeps."""


@results.command("list")
@_json
@storage_option
def list_sweeps(is_json: bool, storage: str | None) -> None:
    """List the sweeps, newest first.

    With --json, an array with an object per sweep: id, study, state (running, interrupted, finished, evaluated or
    unreadable), data, started_at, num_trials, outcomes, best_validation, test, cost and others.
    """
    runs = connect_runs(storage)
    if is_json:
        if not (rows := sweep_rows(runs)):
            runs.check_is_store()
        click.echo(to_json(rows))
        return
    unreadable: list[StorageError] = []
    summaries = runs.summaries(unreadable.append)
    if summaries:
        Console().print(sweeps_renderable(summaries))
    elif not unreadable:
        runs.check_is_store()
        click.echo(f"no sweep yet in {runs.objects.uri}: {_how_to_start(runs)}")
    for error in unreadable:
        _tell_unreadable(error)


@results.command()
@click.argument("sweep", required=False, shell_complete=sweep_ids)
@_json
@storage_option
def show(sweep: str | None, is_json: bool, storage: str | None) -> None:
    """Show a sweep's trials and its test scores.

    Takes the newest sweep unless one is named, and lists its trials best first. Its last line names the winner, or
    says what to do next. With --json, an object: what `list` has of the sweep, and sweep, ranking, winner_settings,
    trials, finals and scores.
    """
    runs = connect_runs(storage)
    sweep = sweep or _newest(runs)
    if is_json:
        click.echo(to_json(sweep_document(runs, sweep)))
        return
    console = Console()
    summary = runs.summary(sweep)
    console.print(trials_renderable(summary, runs.trials_so_far(sweep)))
    console.print(f"store: {usage_text(runs.objects.sizes(sweep))}", highlight=False)
    if summary.result and summary.result.finals:
        console.print(finals_renderable(summary.result.finals))
    if summary.scores:
        console.print(scores_renderable([summary.scores]))
    # last, where a terminal of fewer lines still shows it
    console.print(state_text(summary, runs.flags), highlight=False, markup=False, soft_wrap=True)


@results.command()
@click.argument("sweep", required=False, shell_complete=sweep_ids)
@_to("results")
@click.option("--checkpoints", is_flag=True, help="Copy checkpoints, too.")
@storage_option
def pull(sweep: str | None, folder: Path, checkpoints: bool, storage: str | None) -> None:
    """Copy a sweep's records and report to a folder.

    Takes the newest sweep unless one is named.
    """
    runs = connect_runs(storage)
    sweep = sweep or _newest(runs)
    try:
        num_files = pull_sweep(runs, sweep, folder, with_checkpoints=checkpoints)
    except StorageError as error:
        if isinstance(error, RecordError) or runs.objects.uri in error.message:
            raise
        raise StorageError(error.message, "check the rights and free space of --to, or take another") from error
    except FileNotFoundError as error:
        # the working directory has been removed
        raise ConfigurationError(f"--to {folder}: {error.strerror}", "take an absolute path") from error
    click.echo(f"{num_files} files in {folder / sweep}")
    if checkpoints and not any((folder / sweep).glob("trials/*/checkpoints/*")):
        click.echo(f"{runs.objects.uri} has no checkpoints of {sweep}", err=True)


@results.command()
@click.argument("sweep", required=False, shell_complete=sweep_ids)
@click.option("--format", "kind", type=click.Choice(["parquet", "csv", "json"]), required=True, help="File format.")
@_to("exports")
@storage_option
def export(sweep: str | None, kind: ExportFormat, folder: Path, storage: str | None) -> None:
    """Export a sweep's trials and epochs as tables.

    Takes the newest sweep unless one is named. The tables are the data frames that `cifar_ray.load_sweep` gives in a
    notebook.
    """
    # pandas takes half a second to load
    from cifar_ray.reporting.frames import export_frames, read_frames  # noqa: PLC0415

    runs = connect_runs(storage)
    if folder.resolve() == Path(runs.objects.uri).resolve():
        raise ConfigurationError(f"--to {folder} is the store itself", "take another folder")
    sweep = sweep or _newest(runs)
    for path in export_frames(read_frames(runs, sweep), folder / sweep, kind):
        click.echo(str(path))


@results.command()
@click.argument("sweeps", nargs=-1, required=True, metavar="SWEEP SWEEP ...", shell_complete=sweep_ids)
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw the best accuracy so far against what was spent, in this PNG file.",
)
@_json
@storage_option
def compare(sweeps: tuple[str, ...], figure: Path | None, is_json: bool, storage: str | None) -> None:
    """Compare sweeps side by side.

    Shows accuracies with 95 % intervals, cost, and which sweep leads at the same spend. Sweeps that differ only in
    their seed count as one, by their mean. Sweeps of different classes are refused; other differences are noted below
    the table. With --json, an object: contenders, cautions, groups (of seeds), leads.
    """
    # numpy takes a tenth of a second to load
    from cifar_ray.reporting.comparison import compare as compare_sweeps  # noqa: PLC0415
    from cifar_ray.reporting.comparison_view import comparison_document, comparison_renderable  # noqa: PLC0415

    if figure is not None:
        check_figure(figure)
    comparison = compare_sweeps(connect_runs(storage), sweeps)
    if is_json:
        click.echo(to_json(comparison_document(comparison)))
    else:
        Console().print(comparison_renderable(comparison))
    if figure is None:
        return
    # matplotlib takes half a second to load
    from cifar_ray.reporting.comparison_figure import comparison_figure  # noqa: PLC0415

    write_figure(figure, comparison_figure(comparison))
    click.echo(f"figure: {figure}", err=is_json)


@results.command("curves-bias")
@click.argument("sweep", shell_complete=sweep_ids)
@storage_option
def curves_bias(sweep: str, storage: str | None) -> None:
    """Measure how well early epochs predict the last.

    Also shows what ASHA's rungs would cost. The sweep must have cut no trial: its grace period covers all epochs, as
    with `job submit STUDY --grace-period EPOCHS`. The rungs are those of trials that train individually. In a cohort,
    ASHA ranks the trials of an epoch together and promotes fewer; `plan --curves SWEEP` simulates that.
    """
    # numpy takes a tenth of a second to load
    from cifar_ray.reporting.curve_bias import measure_curve_bias  # noqa: PLC0415
    from cifar_ray.reporting.curve_bias_view import curve_bias_renderable  # noqa: PLC0415

    Console().print(curve_bias_renderable(measure_curve_bias(connect_runs(storage), sweep)))


@results.command()
@click.argument("sweeps", nargs=-1, required=True, metavar="SWEEP ...", shell_complete=sweep_ids)
@click.option(
    "--timeout-s", type=Positive(is_zero_allowed=True), required=True, metavar="S", help="Give up after S seconds."
)
@storage_option
def wait(sweeps: tuple[str, ...], timeout_s: float, storage: str | None) -> None:
    """Wait until all of the sweeps have finished.

    A sweep has finished once the store has its result.json; it need not have started yet, nor the store be up.

    Exit codes: 0 all have finished, 1 not all in time, 2 the store cannot be used.
    """
    wait_for_results(connect_runs(storage, may_be_new=True), sweeps, timeout_s)


results.add_command(gc)
results.add_command(delete)


def wait_for_results(runs: RunStore, sweeps: Sequence[str], timeout_s: float, period_s: float = WAIT_PERIOD_S) -> None:
    """Look until all have finished; CifarRayError, naming the others, where `timeout_s` is over before.

    A store that refuses the first look is taken for a mistake; one that does not answer, or refuses a later look, for a
    passing disturbance. StoreUnavailableError where it has not answered by the end.
    """
    deadline = time.monotonic() + timeout_s
    waiting = dict.fromkeys(sweeps, "not looked at yet")
    has_answered = has_told = False
    while True:
        num_waiting = len(waiting)
        failures = _look(runs, waiting, has_answered)
        if not waiting:
            return
        has_answered = has_answered or len(failures) < num_waiting
        left_s = deadline - time.monotonic()
        if not has_answered:
            if left_s <= 0:
                raise failures[-1]
            if not has_told:
                click.echo(plain(f"waiting for the store: {failures[-1].message}"), err=True)
                has_told = True
        if left_s <= 0:
            states = "; ".join(f"{sweep}: {state}" for sweep, state in waiting.items())
            raise CifarRayError(
                f"not all sweeps in {runs.objects.uri} have finished within {timeout_s:g} s: {states}",
                "look at their jobs, then wait again, with a longer --timeout-s if they are merely slow",
            )
        time.sleep(min(period_s, left_s))


def _look(runs: RunStore, waiting: dict[str, str], has_answered: bool) -> list[StorageError]:
    """Take out the sweeps that have finished, note the others' states; returns the failures, which may pass."""
    failures: list[StorageError] = []
    for sweep in list(waiting):
        try:
            if runs.result(sweep) is not None:
                del waiting[sweep]
                click.echo(f"{sweep} has finished")
            else:
                waiting[sweep] = "running" if runs.has_sweep(sweep) else "not started"
        except StorageError as error:
            if not (has_answered or may_come_up(error)):
                raise
            waiting[sweep] = error.message
            failures.append(error)
    return failures


def _newest(runs: RunStore) -> str:
    summaries = runs.summaries(_tell_unreadable)
    if not summaries:
        runs.check_is_store()
        raise UnknownNameError(f"there is no sweep in {runs.objects.uri}", _how_to_start(runs))
    return summaries[0].sweep.sweep_id


def _how_to_start(runs: RunStore) -> str:
    return f"start one with `cifar-ray job submit cnn{runs.flags}`"


def _tell_unreadable(error: StorageError) -> None:
    click.echo(plain(f"unreadable: {error.message}{f' ({error.hint})' if error.hint else ''}"), err=True)
