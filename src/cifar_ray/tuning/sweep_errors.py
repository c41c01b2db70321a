"""Says why a sweep ended before its time, and how it goes on."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ray.tune.error import TuneError

from cifar_ray.errors import InterruptedSweepError, StorageError, TimeLimitError, last_line
from cifar_ray.records import TrialRecord
from cifar_ray.tuning.resuming import resume_flags_hint
from cifar_ray.tuning.signals import TimeLimit


@contextmanager
def own_errors() -> Iterator[None]:
    """Raises what a callback of ours said of the store: Ray Tune makes a TuneError of it."""
    try:
        yield
    except TuneError as error:
        if isinstance(error.__context__, StorageError):
            raise error.__context__ from None
        raise


def broke_off(sweep_id: str, error: Exception) -> StorageError:
    """That the disk, the store or a bug of ours ended the sweep."""
    if isinstance(error, StorageError):
        what, hint = error.message, error.hint
    elif isinstance(error, OSError) or "OSError" in str(error):
        what, hint = last_line(error), "see whether the driver's disk has room"
    else:
        # not the fault of the disk or the store, perhaps ours
        traceback.print_exception(error)
        what, hint = last_line(error), "how it came to that stands in the job's log"
    return StorageError(f"sweep {sweep_id} broke off: {what}", f"{hint}; then {resume_flags_hint(sweep_id)}")


def without_weights(sweep_id: str, lacking: Sequence[TrialRecord]) -> StorageError:
    """That these trials' best checkpoints are not in the store; a resumed sweep trains them on."""
    which = ", ".join(f"epoch {trial.best_epoch} of trial {trial.trial_id}" for trial in lacking)
    what = f"checkpoints of sweep {sweep_id} that are to be scored have not reached the store: {which}"
    return StorageError(what, f"see whether every node can write to it; then {resume_flags_hint(sweep_id)}")


def interruption(sweep_id: str, limit: TimeLimit) -> InterruptedSweepError:
    """That a signal, or the limit, ended it."""
    hint = resume_flags_hint(sweep_id)
    if limit.is_over:
        return TimeLimitError(f"sweep {sweep_id} reached its time limit before all trials had ended", hint)
    return InterruptedSweepError(f"sweep {sweep_id} was interrupted before all trials had ended", hint)
