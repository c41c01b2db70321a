"""`cifar-ray results gc` and `delete`: remove what a store has of sweeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

import click

from cifar_ray.cli.completion import sweep_ids
from cifar_ray.cli.connection import connect_runs, storage_option
from cifar_ray.cli.interrupts import end_as_at_ctrl_c
from cifar_ray.errors import CifarRayError, ConfigurationError, RecordError, plain
from cifar_ray.reporting.formats import usage_text
from cifar_ray.storage.lease import Lease
from cifar_ray.storage.retention import everything, remove_keys, surplus
from cifar_ray.storage.runs import RunStore
from cifar_ray.wording import counted


@click.command()
@click.argument("sweep", shell_complete=sweep_ids)
@click.option("--remove", is_flag=True, help="Remove them; without it, only list what would be removed.")
@storage_option
def gc(sweep: str, remove: bool, storage: str | None) -> None:
    """Remove checkpoints that a sweep no longer needs.

    A finished sweep keeps its winner's best checkpoint alone (if it had finals, also the best of each training of
    their winner), any other sweep those that resuming it needs. Records, metrics and reports stay. A sweep that a
    driver or an evaluation is working on is refused.
    """
    runs = connect_runs(storage)
    if remove:
        runs.sweep(sweep)  # an unknown one gets no lease
        end_as_at_ctrl_c()  # the lease is given back
        click.echo(f"removed {counted(remove_unheld(runs, sweep, surplus), 'object')} of {sweep}")
        return
    found = surplus(runs, sweep)
    for key in found:
        click.echo(plain(key))
    click.echo(f"would remove {usage_text(found)}; add --remove to do it")


@click.command()
@click.argument("sweeps", nargs=-1, required=True, metavar="SWEEP ...", shell_complete=sweep_ids)
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask first.")
@storage_option
def delete(sweeps: tuple[str, ...], is_sure: bool, storage: str | None) -> None:
    """Delete sweeps, with everything that the store has of them.

    Records, metrics, checkpoints, finals, test scores and reports: nothing of it can be restored. A sweep that a
    driver or an evaluation is working on is refused. A deletion that broke off is completed by the same command.
    """
    runs = connect_runs(storage)
    for sweep in dict.fromkeys(sweeps):
        click.echo(f"{sweep}: {_state(runs, sweep)}, {usage_text(everything(runs, sweep))}")
    if not is_sure:
        click.confirm(f"Delete from {runs.objects.uri}, for good?", abort=True)
    end_as_at_ctrl_c()  # the lease is given back
    for sweep in dict.fromkeys(sweeps):
        click.echo(f"deleted {sweep}: {counted(remove_unheld(runs, sweep, everything), 'object')}")


def remove_unheld(runs: RunStore, sweep: str, choose: Callable[[RunStore, str], Mapping[str, int]]) -> int:
    """Remove the chosen keys of a sweep while no driver can be at work on it; returns the number of objects."""
    lost = threading.Event()
    with Lease(runs.objects, sweep, say=click.echo, on_loss=lost.set):
        keys = choose(runs, sweep)
        number = remove_keys(runs, keys, lost.is_set)
    if number < len(keys):
        raise CifarRayError(
            f"a driver took over sweep {sweep!r}; {number} of {len(keys)} objects were removed",
            "it trains what is missing; stop it, and repeat the command",
        )
    return number


def _state(runs: RunStore, sweep: str) -> str:
    try:
        if parent := runs.sweep(sweep).parent:
            raise ConfigurationError(f"{sweep!r} are the finals of {parent!r}", "they are deleted with it")
        return runs.summary(sweep).state
    except RecordError:
        # such a sweep is to be deleted, too
        return "unreadable"
