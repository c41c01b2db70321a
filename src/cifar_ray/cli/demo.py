"""`cifar-ray demo`: from nothing to a test table on this machine, and nothing left running."""

from __future__ import annotations

import shlex
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import click

from cifar_ray.cli.connection import DEMO_FOLDER, connect_jobs, connect_runs, enter
from cifar_ray.cli.interrupts import end_as_at_ctrl_c
from cifar_ray.cli.job import with_absolute_folders
from cifar_ray.cli.watching import watch
from cifar_ray.cluster import local
from cifar_ray.errors import InterruptedSweepError, JobFailedError, UnreachableError
from cifar_ray.reporting.page_server import PageServer
from cifar_ray.settings import read_settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.probe import check_write_read_delete
from cifar_ray.storage.pulling import pull_sweep
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.submission.job_spec import evaluation_job, find_jobs, tuning_job


@click.command()
@click.option("--trials", type=int, default=8, show_default=True, help="Number of trials, of the study cnn.")
@click.option("--max-epochs", type=int, default=4, show_default=True, help="Maximum epochs per trial.")
@click.option(
    "--data",
    default="auto",
    show_default=True,
    help="As in `job submit`; auto: CIFAR_RAY_DATA, else CIFAR-10 if it is cached or can be downloaded, else shapes.",
)
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("demo-results"),
    show_default=True,
    help="Where to copy the results.",
)
def demo(trials: int, max_epochs: int, data: str, folder: Path) -> None:
    """Try everything on this machine in under five minutes.

    Starts a cluster of its own, sweeps a small `cnn`, scores the winner on the test set and stops everything. Ctrl-C
    stops what was started; results so far stay in the store's folder. What a killed demo left running is stopped by the
    next one, or by `local down`.
    """
    study = get_study("cnn").with_budget(num_trials=trials, max_epochs=max_epochs)
    options = with_absolute_folders(SweepOptions(trials=trials, max_epochs=max_epochs, data=data))
    jobs = find_jobs()
    # what cannot be written there is told now, and not when all else has been done
    check_write_read_delete(open_store(str(folder)))
    home = read_settings().home / DEMO_FOLDER
    end_as_at_ctrl_c()
    with local.temporary(local.LocalClusterOptions(home=home), click.echo) as cluster:
        enter(cluster)
        try:
            sweep_id = _run(study, options, jobs, home)
            pull_sweep(connect_runs(None), sweep_id, folder)
        except KeyboardInterrupt:
            # before or after a job; during one, `watch` exits so
            sys.exit(InterruptedSweepError.exit_code)
    click.echo(
        f"results: {folder / sweep_id}/report/index.html (and table.md, figures/); checkpoints stay in {home}/s3"
    )
    command = "cifar-ray" if shutil.which("cifar-ray") else shlex.quote(sys.argv[0])
    click.echo(f"next: {command} local up; {command} job submit cnn")


def _run(study: Study, options: SweepOptions, jobs: Path, home: Path) -> str:
    """Run the sweep and its evaluation, with the page beside them; returns the sweep's id."""
    client = connect_jobs()
    sweep = tuning_job(study, options, jobs)
    sweep_id = sweep.metadata["sweep_id"]
    page = PageServer(connect_runs(None))
    threading.Thread(target=page.serve_forever, name="page", daemon=True).start()
    click.echo(f"see it live: {page.sweep_url(sweep_id)}")
    for job in (sweep, evaluation_job([sweep_id], None, jobs)):
        # without what hints tell how to resume it by: the cluster ends with the demo
        try:
            client.submit(replace(job, metadata={}))
            watch(client, job.submission_id)
        except UnreachableError as error:
            message = f"the demo's cluster answers no more: {error.message}"
            raise UnreachableError(message, f"its logs are in {home}/logs") from error
        except JobFailedError as error:
            (log := home / f"{job.submission_id}.log").write_text(client.logs(job.submission_id), encoding="utf-8")
            raise JobFailedError(error.message, f"its log is kept in {log}") from error
    return sweep_id
