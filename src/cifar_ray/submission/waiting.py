"""Waits for a job to end, through lost connections, and says how it ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cifar_ray.errors import JobFailedError, JobStoppedError, TimeLimitError, UnknownNameError, UnreachableError
from cifar_ray.progress.board import Board
from cifar_ray.progress.sweep_log import LogEvent, read_line
from cifar_ray.submission.job_status import JobStatus, resume_command, resume_hint

if TYPE_CHECKING:
    from cifar_ray.submission.jobs_client import JobsClient

POLL_PERIOD_S = 1.0
LONGEST_PERIOD_S = 15.0
"""The longest pause between two looks, even where they then take more than LOOKING_SHARE of the time."""
LOOKING_SHARE = 0.25
"""Of the time, for looks at a job: each reads the whole log, which grows by megabytes a day."""
LOST_DEADLINE_S = 300.0
"""Seconds that the cluster may stay silent before we stop waiting. The job goes on without us."""
STOP_DEADLINE_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What one look at a job saw."""

    state: str
    """As in JobStatus, or LOST while the cluster does not answer."""
    board: Board
    """All that the log has said about the sweep: one object, which the next look updates."""
    events: tuple[LogEvent, ...] = ()
    """What it has said about the sweep since the last look."""
    new_lines: tuple[str, ...] = ()
    """The other lines since the last look."""
    all_lines: tuple[str, ...] = ()
    """Those and the lines of the events, in the order of the log."""
    message: str = ""
    """What the cluster says of the state, and whether the log of a job that has ended cannot be read."""


class _Observer:
    """Looks at one job, and remembers how much of its log it has read."""

    def __init__(self, jobs: JobsClient, submission_id: str) -> None:
        self._jobs, self._submission_id = jobs, submission_id
        self._num_read = 0
        self.board = Board()

    def look(self) -> tuple[JobStatus, Observation]:
        """The status, and what is new; UnreachableError where the cluster does not answer."""
        status = self._jobs.status(self._submission_id)
        try:
            log = self._jobs.logs(self._submission_id)
        except UnreachableError as error:
            if not status.is_ended:
                raise
            return self._look_without_log(error)
        # an unfinished last line is left for the next look, unless the job has ended
        end = len(log) if status.is_ended else log.rfind("\n") + 1
        lines = log[self._num_read : end].splitlines()
        self._num_read = max(self._num_read, end)
        read = [(line, read_line(line)) for line in lines]
        events = tuple(each for _, found in read for each in found or ())
        for each in events:
            self.board.take(each)
        others = tuple(line for line, found in read if found is None)
        return status, Observation(
            state=status.state,
            board=self.board,
            events=events,
            new_lines=others,
            all_lines=tuple(lines),
            message=status.message,
        )

    def _look_without_log(self, error: UnreachableError) -> tuple[JobStatus, Observation]:
        """Of a job that has ended: its log's node may be gone for good."""
        # asked again: where it is the cluster that does not answer, it may have the log later
        status = self._jobs.status(self._submission_id)
        note = f"the log of job {self._submission_id} cannot be read: {error.message}"
        return status, Observation(
            state=status.state,
            board=self.board,
            new_lines=(note,),
            all_lines=(note,),
            message="\n".join(filter(None, (status.message, note))),
        )


def observe_job(jobs: JobsClient, submission_id: str) -> Observation:
    """One look at the job."""
    return _Observer(jobs, submission_id).look()[1]


def wait_for_job(
    jobs: JobsClient,
    submission_id: str,
    observe: Callable[[Observation], None],
    *,
    is_gone: Callable[[], bool] = lambda: False,
    lost_deadline_s: float = LOST_DEADLINE_S,
    period_s: float = POLL_PERIOD_S,
) -> JobStatus:
    """Look at the job until it has ended; returns its last status.

    Raises UnreachableError where the cluster has not answered for `lost_deadline_s`; JobStoppedError, at once, where
    it does not answer and `is_gone` says that it was stopped, or where it knows the job no more.
    """
    observer = _Observer(jobs, submission_id)
    answered = time.monotonic()
    metadata: Mapping[str, str] | None = None
    while True:
        began = time.monotonic()
        try:
            status, seen = observer.look()
        except UnreachableError as error:
            if is_gone():
                observe(Observation(state="STOPPED", board=observer.board))
                raise _stopped_with_cluster(submission_id, metadata or {}) from error
            silent_s = time.monotonic() - answered
            if silent_s > lost_deadline_s:
                raise UnreachableError(
                    f"{error.message} for {silent_s:.0f} s; job {submission_id} may still run",
                    f"look again with `cifar-ray job status {submission_id}{jobs.flags}`",
                ) from error
            observe(Observation(state="LOST", board=observer.board))
        except UnknownNameError as error:
            if metadata is None:
                raise
            # a new head without the old one's memory
            observe(Observation(state="STOPPED", board=observer.board))
            message = f"job {submission_id}: its cluster was restarted, and knows it no more"
            raise JobStoppedError(message, resume_hint(metadata, jobs.flags)) from error
        else:
            answered, metadata = time.monotonic(), status.metadata
            observe(seen)
            if status.is_ended:
                return status
        looked_s = time.monotonic() - began
        time.sleep(max(period_s, min(looked_s / LOOKING_SHARE - looked_s, LONGEST_PERIOD_S)))


def _stopped_with_cluster(submission_id: str, metadata: Mapping[str, str]) -> JobStoppedError:
    resume = resume_command(metadata)
    return JobStoppedError(
        f"job {submission_id}: its cluster was stopped, and the job with it",
        f"continue with `cifar-ray local up; {resume}`" if resume else "start one with `cifar-ray local up`",
    )


def check_succeeded(jobs: JobsClient, status: JobStatus) -> None:
    """Raise JobFailedError or JobStoppedError, with what the job said last, unless it succeeded."""
    if status.state == "SUCCEEDED":
        return
    if status.state == "STOPPED":
        raise JobStoppedError(f"job {status.submission_id} was stopped", resume_hint(status.metadata, jobs.flags))
    hint = f"see `cifar-ray job logs {status.submission_id}{jobs.flags}`"
    try:
        # asked only now: a success needs no log
        log = jobs.logs(status.submission_id)
    except UnreachableError as error:
        # the message quotes the end of it
        log, hint = status.message, f"its log cannot be read: {error.message}"
    said = [line for line in log.splitlines() if line.startswith(("error: ", "hint: "))]
    if said:
        message = next((line for line in reversed(said) if line.startswith("error: ")), said[-1])
        next_step = said[-1].removeprefix("hint: ") if said[-1].startswith("hint: ") else None
        # a time limit is an end that the user asked for
        kind = JobStoppedError if status.exit_code == TimeLimitError.exit_code else JobFailedError
        raise kind(f"job {status.submission_id}: {message.removeprefix('error: ')}", next_step)
    last = status.message.strip().splitlines()
    raise JobFailedError(f"job {status.submission_id} failed{': ' + last[-1] if last else ''}", hint)


def stop_and_wait(jobs: JobsClient, submission_id: str, *, deadline_s: float = STOP_DEADLINE_S) -> JobStatus:
    """Ask the job to stop and wait until it has ended; UnreachableError where that is not seen by then."""
    jobs.stop(submission_id)
    until = time.monotonic() + deadline_s
    while time.monotonic() < until:
        with suppress(UnreachableError):
            status = jobs.status(submission_id)
            if status.is_ended:
                return status
        time.sleep(POLL_PERIOD_S / 2)
    raise UnreachableError(
        f"job {submission_id} has not stopped within {deadline_s:.0f} s",
        f"look again with `cifar-ray job status {submission_id}{jobs.flags}`",
    )
