"""Submits jobs and follows them; Ctrl-C asks them to stop."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import click
from rich.console import Console

from cifar_ray.cli.connection import local_cluster_end
from cifar_ray.cli.live import JsonView, LiveView, LogView
from cifar_ray.errors import InterruptedSweepError, JobStoppedError, UnknownNameError, UnreachableError
from cifar_ray.submission.job_spec import JobSpec
from cifar_ray.submission.job_status import JobStatus, resume_hint
from cifar_ray.submission.waiting import check_succeeded, stop_and_wait, wait_for_job

if TYPE_CHECKING:
    from cifar_ray.submission.jobs_client import JobsClient


def watch(
    client: JobsClient, submission_id: str, view: JsonView | LogView | None = None, *, stop_on_interrupt: bool = True
) -> None:
    """Show the job until it has ended, in the view for people unless told another; raise unless it succeeded.

    Ctrl-C asks it to stop.
    """
    shown = view or LiveView(Console(), submission_id)
    try:
        with shown.screen:
            ended = wait_for_job(client, submission_id, shown.observe, is_gone=local_cluster_end())
    except KeyboardInterrupt:
        if stop_on_interrupt:
            stopped = _interrupt(client, submission_id)
            if stopped and isinstance(view, JsonView):
                with suppress(OSError):
                    view.say("state", state=stopped.state)
        sys.exit(InterruptedSweepError.exit_code)
    check_succeeded(client, ended)


def submit_job(client: JobsClient, spec: JobSpec) -> None:
    """Submit; where Ctrl-C comes before the cluster's answer, have it stop the job that it may have taken."""
    try:
        client.submit(spec)
    except KeyboardInterrupt:
        try:
            _interrupt(client, spec.submission_id)
        except UnknownNameError:
            JobStoppedError(
                f"interrupted before the cluster knew of job {spec.submission_id}",
                f"should it run all the same, `cifar-ray job stop {spec.submission_id}{client.flags}` ends it",
            ).show()
        sys.exit(InterruptedSweepError.exit_code)


def stop_job(client: JobsClient, submission_id: str) -> JobStatus:
    """Have it stop and wait for its end; Ctrl-C exits at once and says that the end is unknown."""
    try:
        return stop_and_wait(client, submission_id)
    except KeyboardInterrupt:
        with suppress(OSError):
            JobStoppedError(
                f"job {submission_id} was asked to stop, and may not have stopped yet",
                f"`cifar-ray job status {submission_id}{client.flags}` tells whether it has",
            ).show()
        sys.exit(InterruptedSweepError.exit_code)


def _interrupt(client: JobsClient, submission_id: str) -> JobStatus | None:
    """Have it stop, and say how it ended; None where that is not known."""
    # who reads it may be gone, as `tee` is after Ctrl-C
    with suppress(OSError):
        click.echo(f"\nstopping {submission_id}", err=True)
    try:
        stopped = stop_job(client, submission_id)
    except UnreachableError as error:
        again = f"`cifar-ray job stop {submission_id}{client.flags}` asks it to stop once more"
        with suppress(OSError):
            JobStoppedError(f"job {submission_id} may still run: {error.message}", again).show()
        return None
    with suppress(OSError):
        JobStoppedError(f"job {submission_id}: {stopped.state}", resume_hint(stopped.metadata, client.flags)).show()
    return stopped
