"""`cifar-ray job`: submit, watch and stop sweeps and evaluations."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from cifar_ray.capacity import is_in_cohorts
from cifar_ray.cli.completion import study_names, sweep_ids
from cifar_ray.cli.connection import connect_jobs, joined_local_cluster
from cifar_ray.cli.demand import check_demand
from cifar_ray.cli.live import JsonView, LogView, last, tame
from cifar_ray.cli.release_flags import ReleaseChoice, release_flags
from cifar_ray.cli.watching import stop_job, submit_job, watch
from cifar_ray.data.source_name import check_source, is_data_word
from cifar_ray.errors import ConfigurationError, StorageError, StoreUnavailableError, plain
from cifar_ray.reporting.live_view import live_renderable
from cifar_ray.settings import absolute, check_no_user, read_settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.runs import RunStore
from cifar_ray.studies import Study, get_study, study_files
from cifar_ray.studies.flags import sweep_flags
from cifar_ray.studies.options import SweepOptions
from cifar_ray.submission.job_spec import JobSpec, evaluation_job, find_jobs, tuning_job
from cifar_ray.submission.waiting import observe_job
from cifar_ray.tuning.best_of import read_best

if TYPE_CHECKING:
    from cifar_ray.submission.jobs_client import JobsClient

_json = click.option("--json", "is_json", is_flag=True, help="Print one JSON object per line, for programs.")


@click.group()
def job() -> None:
    """Submit, watch and stop sweeps and evaluations.

    \b
    Exit codes of submit, status --watch and logs --follow, by how the job ended:
      0 succeeded, 1 failed, 3 stopped, 130 interrupted
    Of every command: 0 done, 2 bad input, 4 cluster unreachable
    """


@job.command()
@click.argument("what", metavar="STUDY|evaluate", shell_complete=study_names)
@click.argument("sweeps", nargs=-1, metavar="[SWEEP ...]", shell_complete=sweep_ids)
@sweep_flags
@release_flags
@click.option(
    "--jobs",
    "jobs_folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of the jobs' scripts. [default: the nearest jobs/ here or above, else that of the code's checkout]",
)
@click.option("--dry-run", is_flag=True, help="Print the job instead of submitting it.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the job until it has ended.")
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
    """Submit a study's sweep or an evaluation.

    `evaluate` scores the winners of the named sweeps, which have finished, on the test set; if none is named, those
    of each study's newest finished sweep, not counting sweeps with --best-of. The command follows the job and shows
    learning curves, rungs and the estimated time left; Ctrl-C asks the job to stop.
    """
    options = with_absolute_folders(options)
    spec, study = _make_spec(what, sweeps, options, jobs_folder or find_jobs())
    if jobs_folder is not None:
        # for the command that resumes it
        spec = replace(spec, metadata={**spec.metadata, "jobs": str(jobs_folder.absolute())})
    if dry_run:
        click.echo(json.dumps(asdict(spec), indent=2))
        return
    client = connect_jobs(release)
    if (cluster := joined_local_cluster()) is not None:
        spec = _for_local_cluster(spec, study, options, cluster.storage)
    if study is not None and _is_drawn_anew(options):
        check_demand(study, options, release)
    submit_job(client, spec)
    view = JsonView(spec.submission_id) if is_json else None
    if view:
        view.say("submitted", **spec.metadata)
    else:
        click.echo(f"submitted {spec.submission_id}")
    if wait:
        watch(client, spec.submission_id, view)
    elif not is_json:
        click.echo(f"look at it with `cifar-ray job status {spec.submission_id}{release.flags}`")


@job.command()
@click.argument("submission_id", required=False)
@click.option("--watch", "is_watching", is_flag=True, help="Follow the job until it has ended.")
@_json
@release_flags
def status(submission_id: str | None, is_watching: bool, is_json: bool, release: ReleaseChoice) -> None:
    """Show a job's state and learning curves.

    Takes the newest job unless one is named. Ctrl-C ends the watching, not the job.
    """
    client = connect_jobs(release)
    submission_id = submission_id or _newest(client)
    view = JsonView(submission_id) if is_json else None
    if is_watching:
        watch(client, submission_id, view, stop_on_interrupt=False)
        return
    seen = observe_job(client, submission_id)
    if view:
        view.observe(replace(seen, new_lines=()))
        return
    console = Console()
    console.print(live_renderable(seen.board, state=seen.state, job=submission_id))
    if seen.message:
        message = tame(seen.message, has_colours=console.is_terminal)
        console.print(message, markup=False, highlight=False, soft_wrap=True)


@job.command()
@click.argument("submission_id", required=False)
@click.option("--follow", is_flag=True, help="Keep printing until the job has ended.")
@click.option("--tail", type=click.IntRange(0), metavar="N", help="Print only the last N lines so far.")
@release_flags
def logs(submission_id: str | None, follow: bool, tail: int | None, release: ReleaseChoice) -> None:
    """Print a job's log.

    Takes the newest job unless one is named. With --follow, Ctrl-C ends the following, not the job.
    """
    client = connect_jobs(release)
    submission_id = submission_id or _newest(client)
    if follow:
        watch(client, submission_id, LogView(tail), stop_on_interrupt=False)
        return
    lines = client.logs(submission_id).splitlines(keepends=True)
    click.echo(tame("".join(last(lines, tail))), nl=False)


@job.command()
@click.argument("submission_id")
@release_flags
def stop(submission_id: str, release: ReleaseChoice) -> None:
    """Stop a job and wait until it has ended. Its sweep can be resumed."""
    ended = stop_job(connect_jobs(release), submission_id)
    click.echo(f"{submission_id} {ended.state}")


@job.command("list")
@release_flags
def list_jobs(release: ReleaseChoice) -> None:
    """List the cluster's jobs, newest first."""
    for each in connect_jobs(release).list():
        click.echo(f"{each.submission_id:44} {each.state:10} {plain(each.entrypoint)}")


def _make_spec(
    what: str, sweeps: tuple[str, ...], options: SweepOptions, jobs_folder: Path
) -> tuple[JobSpec, Study | None]:
    """The job, and the study that it sweeps; None of an evaluation."""
    if what == "evaluate":
        if options != SweepOptions(storage=options.storage):
            raise ConfigurationError("evaluate takes --storage and sweep ids only", "drop the other options")
        return evaluation_job(sweeps, options.storage, jobs_folder), None
    study = get_study(what, study_files(jobs_folder), others=("evaluate",))
    # a resumed sweep has its options in its record
    study = study if options.resume else options.adapt(study)
    if sweeps:
        raise ConfigurationError(f"unexpected {sweeps[0]!r}", "only `evaluate` takes sweep ids")
    if _is_drawn_anew(options):
        is_in_cohorts(study, options)
    return tuning_job(study, options, jobs_folder), study


def _is_drawn_anew(options: SweepOptions) -> bool:
    """Of others the store says whether their trials train together, and so what each asks for: their jobs refuse."""
    return not (options.resume or options.start_or_resume or options.best_of)


def _for_local_cluster(spec: JobSpec, study: Study | None, options: SweepOptions, storage: str) -> JobSpec:
    """The job with this shell's CIFAR_RAY_DATA: the cluster has that of the shell that has started it.

    ConfigurationError where it names a bucket that the cluster's own S3 server has not: its jobs reach no other; and
    where `options.best_of` is in neither their `storage` nor the cluster's, which the job would say once it runs.
    """
    settings = read_settings()
    own = _absolute_data("CIFAR_RAY_DATA", settings.data)
    is_new = study is not None and not (options.resume or options.start_or_resume)
    taken = {"--data": options.data, "--storage": options.storage}
    if is_new and options.data is None:
        taken["CIFAR_RAY_DATA"] = own
        _check_source("CIFAR_RAY_DATA", settings.data)
    for name, uri in taken.items():
        if uri and uri.startswith("s3://"):
            try:
                open_store(uri, settings.s3).folders()
            except StoreUnavailableError:
                raise
            except StorageError as error:
                raise ConfigurationError(
                    f"{name}: {error.message}", "jobs of the local cluster reach only its own S3 server: use a folder"
                ) from error
    if is_new and study is not None and options.best_of:
        read_best(study, RunStore(open_store(options.storage or storage, settings.s3)), options)
    return replace(spec, environment={"CIFAR_RAY_DATA": own}) if own else spec


def with_absolute_folders(options: SweepOptions) -> SweepOptions:
    """A job runs in another folder than its submitter: folders that are here are named in full."""
    return replace(
        options,
        # before they look like any other folder's path
        data=_absolute_data("--data", _check_source("--data", check_no_user("--data", options.data))),
        storage=_absolute("--storage", check_no_user("--storage", options.storage)),
    )


def _check_source(name: str, value: str | None) -> str | None:
    try:
        check_source(value or "auto")
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error.message}", error.hint) from error
    return value


def _absolute_data(name: str, value: str | None) -> str | None:
    return value if value and is_data_word(value) else _absolute(name, value)


def _absolute(name: str, value: str | None) -> str | None:
    # an empty one is no folder; pathlib takes it for the one we are in
    if not value or "://" in value or not ("/" in value or os.path.isdir(value)):
        return value
    return str(absolute(name, value))


def _newest(client: JobsClient) -> str:
    jobs = client.list()
    if not jobs:
        raise ConfigurationError("the cluster has no job yet", "submit one with `cifar-ray job submit cnn`")
    return jobs[0].submission_id
