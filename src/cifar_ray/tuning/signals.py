"""Ends a running sweep in order, on a signal, at its time limit or with its lease: it can be resumed."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import click
from ray.tune import Callback
from ray.tune.experiment import Trial

from cifar_ray.errors import InterruptedSweepError, StorageError, SweepHeldError
from cifar_ray.provenance import Interruption, now
from cifar_ray.storage.lease import Lease
from cifar_ray.storage.object_store import ObjectStore
from cifar_ray.storage.patient_store import PatientStore
from cifar_ray.storage.runs import RunStore
from cifar_ray.tuning.resuming import resume_flags_hint

_TAKER = "another node, which took it over"


class Stopping:
    """Whether this driver was told to stop. Not an Event: Ray Tune pickles whatever its callbacks hold."""

    is_told = False
    _told_at = 0.0

    def tell(self) -> None:
        """Stop."""
        self.is_told, self._told_at = True, time.monotonic()

    def left_s(self, seconds: float) -> float:
        """What is left of so many seconds since; at least one."""
        return max(1.0, self._told_at + seconds - time.monotonic())


@contextmanager
def ending_in_order(hurry: Callable[[], None], stopping: Stopping) -> Iterator[None]:
    """On the first SIGINT or SIGTERM have Ray Tune end its trials in order, and `hurry`; a second has its usual effect.

    Ray Tune ends them on SIGUSR1, too, with a handler that stays when all trials have ended.
    """
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}

    def restore() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, previous[number])

    def end(number: int, frame: FrameType | None) -> None:
        stopping.tell()
        hurry()
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            # Ray Tune's handler has just put this one back, for SIGINT
            restore()

    # until Ray Tune installs its own
    signal.signal(signal.SIGUSR1, signal.default_int_handler)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    try:
        yield
    finally:
        restore()
        signal.signal(signal.SIGUSR1, previous[signal.SIGUSR1])


@contextmanager
def only_driver(store: ObjectStore, sweep_id: str, patient: PatientStore) -> Iterator[None]:
    """Hold the sweep's lease; SweepHeldError where another driver holds it, or takes it from this one.

    `patient` is the store through which the driver keeps the sweep's books.

    Whatever told this driver to stop becomes an InterruptedSweepError, which is noted in the sweep's record, if the
    store answers.
    """

    def interrupt() -> None:
        """Interrupt as Ctrl-C does, so that Ray Tune ends its trials in order. Records are the other driver's now."""
        patient.retire()
        os.kill(os.getpid(), signal.SIGINT)

    with Lease(store, sweep_id, say=click.echo, on_loss=interrupt) as lease:
        try:
            try:
                yield
            # outside of Ray Tune's loop signals raise these: SIGINT and, by Ray's own handler, SIGTERM
            except (KeyboardInterrupt, SystemExit) as error:
                raise InterruptedSweepError(f"sweep {sweep_id} was interrupted", resume_flags_hint(sweep_id)) from error
            finally:
                # however it ends: a thread that waits for a store that is away would hold it up
                patient.give_up()
        except InterruptedSweepError as error:
            if lease.is_lost:
                raise SweepHeldError.of(sweep_id, _TAKER) from error
            runs = RunStore(store.hurried())
            with suppress(StorageError):
                if runs.has_sweep(sweep_id):
                    runs.add_interruption(sweep_id, Interruption(at=now(), why=error.message))
                else:
                    error.hint = "it has left nothing yet: begin it again"
            raise
        if lease.is_lost:
            raise SweepHeldError.of(sweep_id, _TAKER)


class TimeLimit(Callback):
    """Ray Tune's callback in the driver, which it calls every second or so, whether trials run or wait."""

    def __init__(self, ends_at: float | None) -> None:
        """`ends_at` is by the monotonic clock; None for never."""
        self._ends_at = ends_at
        self.is_over = False

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Interrupt Ray Tune, once, when the time is up: called in its own thread, while it handles signals."""
        if self._ends_at is not None and not self.is_over and time.monotonic() > self._ends_at:
            self.is_over = True
            signal.raise_signal(signal.SIGINT)
