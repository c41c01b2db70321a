"""Shows a job while it runs: a live table on a terminal, plain lines elsewhere, its log, or a JSON object a line."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from typing import Any

import click
from rich.console import Console
from rich.live import Live

from cifar_ray.progress.sweep_log import Cohorts, FinalsAhead, TrialEpoch, TrialState, Waiting
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.reporting.live_view import live_renderable, plain_progress, time_left
from cifar_ray.studies import Budget
from cifar_ray.submission.waiting import Observation

PLAIN_PERIOD_S = 10.0
_NOISE = re.compile(
    r"job_manager\.py:\d+ -- Runtime env is setting up"
    # the job holds them as long as it lives (tuning/sweep.py)
    r"|'CohortEngine' .* has constructor arguments in the object store"
)
"""What Ray says in every job, or in every one with a cohort, and nobody need act on; `job logs` has it."""
_CONTROL = re.compile(r"(?P<colour>\x1b\[[\d;:]*m)|(?P<blank>[\t\n])|[\x00-\x1f\x7f-\x9f]")
"""Colours may come out of a log as they are; whatever else moves a terminal may not."""
_EVENTS = {
    Budget: "budget",
    Cohorts: "cohorts",
    FinalsAhead: "finals",
    TrialEpoch: "epoch",
    TrialState: "trial",
    Waiting: "waiting",
}


class LiveView:
    """For people."""

    def __init__(self, console: Console, job: str) -> None:
        self._console = console
        self._job = job
        # on a dumb terminal, such as Emacs' shell, rich draws nothing before the end
        is_drawable = console.is_terminal and not console.is_dumb_terminal
        self.screen = Live(console=console, refresh_per_second=4) if is_drawable else nullcontext()
        """To be entered while `observe` is called."""
        self._said_at = 0.0
        self._state = ""

    def observe(self, seen: Observation) -> None:
        """Print new log lines but Ray's noise; renew the table, or print a line of progress now and then."""
        for line in seen.new_lines:
            if not _NOISE.search(line):
                self._print(line)
        if isinstance(self.screen, Live):
            height = self._console.height - 1
            self.screen.update(live_renderable(seen.board, state=seen.state, job=self._job, height=height))
            return
        now = time.monotonic()
        if seen.state != self._state or now - self._said_at >= PLAIN_PERIOD_S:
            self._state, self._said_at = seen.state, now
            self._print(plain_progress(seen.board, state=seen.state, job=self._job))

    def _print(self, line: str) -> None:
        self._console.print(
            tame(line, has_colours=self._console.is_terminal), markup=False, highlight=False, soft_wrap=True
        )


class LogView:
    """For `job logs --follow`: all that the log has."""

    screen = nullcontext()

    def __init__(self, tail: int | None) -> None:
        self._tail = tail
        self._is_lost = False

    def observe(self, seen: Observation) -> None:
        """Print the new lines; at the first look the last `tail` alone."""
        if seen.state == "LOST" and not self._is_lost:
            click.echo("the cluster does not answer: waiting for it", err=True)
        self._is_lost = seen.state == "LOST"
        for line in last(seen.all_lines, self._tail):
            click.echo(tame(line))
        self._tail = self._tail if self._is_lost else None


def tame(log: str, *, has_colours: bool = True) -> str:
    """Its text and colours, without what else a program might have a terminal do, such as to take another title."""

    def kept(found: re.Match[str]) -> str:
        if found["colour"]:
            return found["colour"] if has_colours else ""
        return found["blank"] or " "

    return _CONTROL.sub(kept, log)


def last(lines: Sequence[str], num: int | None) -> Sequence[str]:
    """The last `num` of them; all where None."""
    return lines if num is None else lines[max(0, len(lines) - num) :]


class JsonView:
    """For programs: everything that is seen, an object a line, each with `event` and `job`.

    state      state; when it changes
    budget     of the sweep: trials, epochs, ASHA's settings; again where its finals begin
    cohorts    num_together; after the first budget, where trials train in common passes of so many
    finals     num_trainings, num_epochs of each; after the first budget, where finals will follow
    epoch      trial_id, epoch, validation_accuracy (null where a loss is not finite), seconds
    trial      trial_id, outcome; when it starts or ends
    waiting    seconds, is_stuck, what; while no trial runs
    progress   the counts, the best so far, eta_s (of the search or the finals, whichever runs; null where unknown)
    log        line; any other of the job's log
    """

    screen = nullcontext()

    def __init__(self, job: str) -> None:
        self._job = job
        self._state = ""

    def observe(self, seen: Observation) -> None:
        """Print what is new; the state last, so that the job's end is the end."""
        for line in seen.new_lines:
            self.say("log", line=line)
        for event in seen.events:
            if not isinstance(event, SweepProgress):
                self.say(_EVENTS[type(event)], **asdict(event))
            elif event is seen.board.progress:
                self.say("progress", **asdict(event), eta_s=time_left(seen.board, seen.state))
        if seen.state != self._state:
            self._state = seen.state
            self.say("state", state=seen.state)

    def say(self, event: str, **values: Any) -> None:
        """Print one object."""
        click.echo(json.dumps({"event": event, "job": self._job, **values}, allow_nan=False))
