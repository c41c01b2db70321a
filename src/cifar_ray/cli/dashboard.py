"""`cifar-ray dashboard`: the page of a store's sweeps, live."""

from __future__ import annotations

import click

from cifar_ray.cli.connection import connect_runs, storage_option
from cifar_ray.reporting.page_server import PageServer


@click.command()
@storage_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, metavar="PORT", help="Port on loopback. [default: a free one]"
)
def dashboard(storage: str | None, port: int) -> None:
    """Watch sweeps live in the browser.

    Serves a page of the store's sweeps on this machine's loopback address until Ctrl-C. It follows running sweeps and
    never writes to the store.
    """
    runs = connect_runs(storage)
    runs.objects.folders()  # a store that cannot be read is told here, not in the browser
    with PageServer(runs, port) as server:
        click.echo(f"sweeps of {runs.objects.uri}: {server.url}")
        click.echo("Ctrl-C ends it")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo()
