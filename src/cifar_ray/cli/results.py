"""`cifar-ray results`: look at sweeps in the store, and fetch them."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from cifar_ray.cli.connection import connect_runs
from cifar_ray.errors import UnknownNameError
from cifar_ray.reporting.terminal import scores_renderable, sweeps_renderable, trials_renderable
from cifar_ray.storage.folder import FolderStore
from cifar_ray.storage.runs import RunStore

_storage = click.option(
    "--storage",
    metavar="URI",
    help="s3://bucket/prefix or a folder. [default: CIFAR_RAY_STORAGE, else the local cluster's, else "
    "~/.cifar-ray/results]",
)


@click.group()
def results() -> None:
    """Look at finished and running sweeps, and fetch them."""


@results.command("list")
@_storage
def list_sweeps(storage: str | None) -> None:
    """List the sweeps, the newest first."""
    Console().print(sweeps_renderable(connect_runs(storage).summaries()))


@results.command()
@click.argument("sweep", required=False)
@_storage
def show(sweep: str | None, storage: str | None) -> None:
    """Show a sweep's trials, best first, and its test scores (default: the newest sweep)."""
    runs = connect_runs(storage)
    sweep = sweep or _newest(runs)
    console = Console()
    console.print(trials_renderable(runs.sweep(sweep), runs.trials(sweep)))
    if scores := runs.test_scores(sweep):
        console.print(scores_renderable([scores]))
    else:
        console.print(f"not evaluated yet: cifar-ray job submit evaluate {sweep}", highlight=False)


@results.command()
@click.argument("sweep", required=False)
@click.option("--to", "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("results"))
@click.option("--checkpoints", is_flag=True, help="Fetch weights too.")
@_storage
def pull(sweep: str | None, folder: Path, checkpoints: bool, storage: str | None) -> None:
    """Copy a sweep's records and report to a folder (default: the newest sweep, to ./results)."""
    runs = connect_runs(storage)
    sweep = sweep or _newest(runs)
    num_files = pull_sweep(runs, sweep, folder, with_checkpoints=checkpoints)
    click.echo(f"{num_files} files in {folder / sweep}")


def pull_sweep(runs: RunStore, sweep_id: str, folder: Path, *, with_checkpoints: bool = False) -> int:
    """Copy everything but Ray Tune's own state (and, if not wanted, the checkpoints); returns the number of files."""
    runs.sweep(sweep_id)
    target = FolderStore(folder.absolute())
    keys = [
        key
        for key in runs.objects.keys(sweep_id)
        if not key.startswith(f"{sweep_id}/tune/") and (with_checkpoints or "/checkpoints/" not in key)
    ]
    for key in keys:
        target.write(key, runs.objects.read(key))
    return len(keys)


def _newest(runs: RunStore) -> str:
    summaries = runs.summaries()
    if not summaries:
        raise UnknownNameError(f"there is no sweep in {runs.objects.uri}", "start one with `cifar-ray job submit cnn`")
    return summaries[0].sweep.sweep_id
