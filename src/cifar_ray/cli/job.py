"""`cifar-ray job`: submit sweeps and evaluations, watch and stop them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from cifar_ray.capacity import is_in_cohorts
from cifar_ray.cli.connection import connect_jobs, local_cluster_end
from cifar_ray.cli.demand import check_demand
from cifar_ray.cli.live import JsonView, LiveView
from cifar_ray.cli.release_flags import ReleaseChoice, release_flags
from cifar_ray.errors import ConfigurationError, JobStoppedError
from cifar_ray.reporting.live_view import live_renderable
from cifar_ray.studies import Study, get_study
from cifar_ray.studies.flags import sweep_flags
from cifar_ray.studies.options import SweepOptions
from cifar_ray.submission.job_spec import JobSpec, evaluation_job, find_jobs, tuning_job
from cifar_ray.submission.job_status import resume_hint
from cifar_ray.submission.waiting import Observation, check_succeeded, observe_job, stop_and_wait, wait_for_job

if TYPE_CHECKING:
    from cifar_ray.submission.jobs_client import JobsClient

INTERRUPTED = 130

_json = click.option("--json", "is_json", is_flag=True, help="For programs: a JSON object a line.")


@click.group()
def job() -> None:
    """Submit sweeps and evaluations, watch and stop them.

    \b
    Exit codes of submit, status --watch and logs --follow, by how the job ended:
      0 succeeded, 1 failed, 3 stopped, 130 interrupted
    Of every command: 0 done, 2 bad input, 4 cluster unreachable
    """


@job.command()
@click.argument("what", metavar="STUDY|evaluate")
@click.argument("sweeps", nargs=-1, metavar="[SWEEP ...]")
@sweep_flags
@release_flags
@click.option("--jobs", "jobs_folder", type=click.Path(path_type=Path), help="The checkout's jobs folder.")
@click.option("--dry-run", is_flag=True, help="Print the job instead of submitting it.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Stay until the job has ended.")
@_json
def submit(
    what: str,
    sweeps: tuple[str, ...],
    options: SweepOptions,
    release: ReleaseChoice,
    jobs_folder: Path | None,
    dry_run: bool,
    wait: bool,
    is_json: bool,
) -> None:
    """Submit a study's sweep, or the evaluation of finished sweeps' winners on the test set.

    `evaluate` takes the sweeps to evaluate; without any, the newest finished one of each study, those with --best-of
    apart. Stays with the job and shows learning curves, rungs and the time that is likely left; Ctrl-C asks the job to
    stop.
    """
    jobs_folder = jobs_folder or find_jobs(Path.cwd())
    options = with_absolute_folders(options)
    spec, study = _make_spec(what, sweeps, options, jobs_folder)
    if dry_run:
        click.echo(json.dumps(spec.to_dict(), indent=2))
        return
    client = connect_jobs(release)
    if study is not None and not options.resume:
        check_demand(study, options, release)
    client.submit(spec)
    if is_json:
        JsonView(spec.submission_id).say("submitted", **spec.metadata)
    else:
        click.echo(f"submitted {spec.submission_id}")
    if wait:
        watch(client, spec.submission_id, flags=release.flags, is_json=is_json)
    elif not is_json:
        click.echo(f"look at it with `cifar-ray job status {spec.submission_id}{release.flags}`")


@job.command()
@click.argument("submission_id", required=False)
@click.option("--watch", "is_watching", is_flag=True, help="Stay until the job has ended.")
@_json
@release_flags
def status(submission_id: str | None, is_watching: bool, is_json: bool, release: ReleaseChoice) -> None:
    """Say where a job stands (default: the newest), with its learning curves; Ctrl-C ends the watching alone."""
    client = connect_jobs(release)
    submission_id = submission_id or _newest(client)
    if is_watching:
        watch(client, submission_id, flags=release.flags, stop_on_interrupt=False, is_json=is_json)
        return
    seen = observe_job(client, submission_id)
    if is_json:
        JsonView(submission_id).observe(replace(seen, new_lines=()))
        return
    console = Console()
    console.print(live_renderable(seen.board, state=seen.state, job=submission_id))
    if seen.message:
        console.print(seen.message, markup=False, highlight=False, soft_wrap=True)


@job.command()
@click.argument("submission_id", required=False)
@click.option("--follow", is_flag=True, help="Stay until the job has ended, and print what it says.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Of what it has said, the last N lines alone.")
@release_flags
def logs(submission_id: str | None, follow: bool, tail: int | None, release: ReleaseChoice) -> None:
    """Print everything that a job has said (default: the newest); Ctrl-C ends the following alone."""
    client = connect_jobs(release)
    submission_id = submission_id or _newest(client)
    if follow:
        _follow(client, submission_id, tail=tail, flags=release.flags)
        return
    lines = client.logs(submission_id).splitlines(keepends=True)
    click.echo("".join(_last(lines, tail)), nl=False)


@job.command()
@click.argument("submission_id")
@release_flags
def stop(submission_id: str, release: ReleaseChoice) -> None:
    """Ask a job to stop and wait until it has. Its sweep can be resumed."""
    ended = stop_and_wait(connect_jobs(release), submission_id, flags=release.flags)
    click.echo(f"{submission_id} {ended.state}")


@job.command("list")
@release_flags
def list_jobs(release: ReleaseChoice) -> None:
    """List all jobs of the cluster, the newest first."""
    for each in connect_jobs(release).list():
        click.echo(f"{each.submission_id:44} {each.state:10} {each.entrypoint}")


def _follow(client: JobsClient, submission_id: str, *, tail: int | None, flags: str) -> None:
    """Print its log until it has ended; raise unless it succeeded."""
    is_lost = False

    def observe(seen: Observation) -> None:
        nonlocal is_lost, tail
        if seen.state == "LOST" and not is_lost:
            click.echo("the cluster does not answer: waiting for it", err=True)
        is_lost = seen.state == "LOST"
        for line in _last(seen.all_lines, tail):
            click.echo(line)
        tail = tail if is_lost else None

    try:
        ended = wait_for_job(client, submission_id, observe, flags=flags, is_gone=local_cluster_end())
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    check_succeeded(ended, client.logs(submission_id), flags=flags)


def _last(lines: Sequence[str], num: int | None) -> Sequence[str]:
    return lines if num is None else lines[max(0, len(lines) - num) :]


def watch(
    client: JobsClient, submission_id: str, *, flags: str = "", stop_on_interrupt: bool = True, is_json: bool = False
) -> None:
    """Show the job until it has ended; raise unless it succeeded. Ctrl-C asks it to stop.

    `flags` are those that name its cluster, for the commands that hints give.
    """
    view = JsonView(submission_id) if is_json else LiveView(Console(), submission_id)
    try:
        with view.screen:
            ended = wait_for_job(client, submission_id, view.observe, flags=flags, is_gone=local_cluster_end())
    except KeyboardInterrupt:
        if stop_on_interrupt:
            _stop(client, submission_id, flags)
        sys.exit(INTERRUPTED)
    check_succeeded(ended, client.logs(submission_id), flags=flags)


def _stop(client: JobsClient, submission_id: str, flags: str) -> None:
    """Have it stop, and say how it ended; another Ctrl-C ends the waiting for that."""
    try:
        # who reads it may be gone, as `tee` is after Ctrl-C
        with suppress(OSError):
            click.echo(f"\nstopping {submission_id}", err=True)
        stopped = stop_and_wait(client, submission_id, flags=flags)
    except KeyboardInterrupt:
        JobStoppedError(
            f"job {submission_id}: its stop was asked for, and not waited for",
            f"whether it has stopped tells `cifar-ray job status {submission_id}{flags}`",
        ).show()
    else:
        JobStoppedError(f"job {submission_id}: {stopped.state}", resume_hint(stopped.metadata, flags)).show()


def _make_spec(
    what: str, sweeps: tuple[str, ...], options: SweepOptions, jobs_folder: Path
) -> tuple[JobSpec, Study | None]:
    """The job, and the study that it sweeps; None of an evaluation."""
    if what == "evaluate":
        if options != SweepOptions(storage=options.storage):
            raise ConfigurationError("evaluate takes --storage and sweep ids only", "drop the other options")
        return evaluation_job(sweeps, options.storage, jobs_folder), None
    study = get_study(what)
    # what a sweep goes on with, its record tells
    study = study if options.resume else options.adapt(study)
    if sweeps:
        raise ConfigurationError(f"unexpected {sweeps[0]!r}", "only `evaluate` takes sweep ids")
    is_drawn_anew = not (options.resume or options.start_or_resume or options.best_of)
    if is_drawn_anew:
        # of the others the store tells whether their trials train together
        is_in_cohorts(study, options)
    return tuning_job(study, options, jobs_folder), study


def with_absolute_folders(options: SweepOptions) -> SweepOptions:
    """A job runs in another folder than its submitter: folders that are here are named in full."""
    return replace(options, data=_absolute(options.data), storage=_absolute(options.storage))


def _absolute(value: str | None) -> str | None:
    if value is None or "://" in value or not ("/" in value or Path(value).is_dir()):
        return value
    return str(Path(value).expanduser().absolute())


def _newest(client: JobsClient) -> str:
    jobs = client.list()
    if not jobs:
        raise ConfigurationError("the cluster has no job yet", "submit one with `cifar-ray job submit cnn`")
    return jobs[0].submission_id
