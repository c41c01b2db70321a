"""Uploads a trial's checkpoints in the background, so that training never waits for the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from cifar_ray.errors import StorageError
from cifar_ray.storage.checkpoints import Checkpoint, CheckpointStore
from cifar_ray.storage.spilling import Spill

NUM_NEWEST_KEPT = 2
"""Newest checkpoints kept besides the best: if the newest is damaged, the one before it serves."""
DRAIN_DEADLINE_S = 600.0
"""Three checkpoints of 100 MB at 1 MB/s take half of it."""

SPILL_AFTER_S = 15.0
"""If an upload and its wait for a turn take longer, the store is slow or away: what waits moves to the node's disk."""
_SPILL = Spill()
"""Shared by all trials of this process."""
_SPILLER = ThreadPoolExecutor(1, "spill")


def best_epoch(accuracies: Mapping[int, float]) -> int:
    """The epoch of the best validation accuracy, the earliest of equals."""
    return max(accuracies, key=lambda epoch: (accuracies[epoch], -epoch))


def epochs_to_keep(accuracies: Mapping[int, float]) -> set[int]:
    """The best epoch and the newest ones; empty for no epochs."""
    return {best_epoch(accuracies), *sorted(accuracies)[-NUM_NEWEST_KEPT:]} if accuracies else set()


@dataclass
class _Waiting:
    """A snapshot that is yet to be uploaded."""

    accuracy: float
    make: Callable[[], Checkpoint]
    has_left: bool = False
    """Whether it was sent to the disk, which may have no room for it."""


class CheckpointUploader:
    """Saves one trial's checkpoints from a background thread, one at a time.

    Of the snapshots that wait for a slow store, only those still to be kept are held, three at most; the others are
    dropped and never uploaded. If an upload takes long, the waiting ones are packed and moved to the node's disk, or
    stay in memory where that has no room. A checkpoint is removed only once those that replace it are whole, so at
    each moment the store has the newest and the best whole one that it ever had.

    The first error, of the store or of packing a snapshot, halts the uploads; the next call raises it, once, and
    the one after that continues without the failed checkpoint. Only one thread may call `submit` and `drain`.
    """

    def __init__(
        self, checkpoints: CheckpointStore, executor: Executor, saved: Mapping[int, float], spill: Spill = _SPILL
    ) -> None:
        """`saved`: the validation accuracies, by epoch, of the checkpoints that the store has already."""
        self._checkpoints = checkpoints
        self._executor = executor
        self._spill = spill
        self._lock = threading.Lock()
        """Never held while a snapshot is packed or the store is at work."""
        self._pending: dict[int, _Waiting] = {}
        self._begun: dict[int, float] = {}
        """The checkpoint that is being uploaded: accuracy by epoch."""
        self._whole: dict[int, float] = dict(saved)
        self._present: set[int] = set(saved)
        """The epochs of which the store may have any file: the whole ones, and those begun or to be removed."""
        self._step: Future[None] | None = None
        self._queued_at = 0.0
        """When the step was handed to the executor, whose threads other trials may occupy."""

    def submit(self, epoch: int, validation_accuracy: float, make: Callable[[], Checkpoint]) -> None:
        """Queue the checkpoint that `make` packs; returns at once.

        `make` is called in the background, or never, and released before the upload begins. An epoch that the
        store already has, in a damaged checkpoint, is saved anew. Where this raises an earlier error, the snapshot
        is not queued.
        """
        with self._lock:
            self._raise_failure()
            self._whole.pop(epoch, None)
            self._pending[epoch] = _Waiting(validation_accuracy, make)
            self._drop_replaced()
            self._go_on()
            if time.monotonic() - self._queued_at > SPILL_AFTER_S:
                self._spill_waiting()

    def drain(self, deadline_s: float = DRAIN_DEADLINE_S) -> None:
        """Wait until the store has exactly the checkpoints that are to be kept.

        StorageError where that fails or takes longer than `deadline_s`; also raises what `make` raised.
        """
        deadline = time.monotonic() + deadline_s
        while (step := self._current_step()) is not None:
            wait([step], timeout=max(0.0, deadline - time.monotonic()))
            if not step.done():
                with self._lock:
                    left = ", ".join(map(str, sorted({*self._begun, *self._pending}))) or "none"
                raise StorageError(
                    f"checkpoints were not all in the store after {deadline_s:g} s; epochs still to upload: {left}",
                    "the store is slow or does not answer: look at its load and the network, then resume",
                )

    def _current_step(self) -> Future[None] | None:
        with self._lock:
            self._raise_failure()
            self._go_on()
            return self._step

    def _raise_failure(self) -> None:
        """With the lock held: raise what ended the last step, once."""
        if self._step is not None and self._step.done():
            failed, self._step, self._begun = self._step, None, {}
            failed.result()

    def _go_on(self) -> None:
        """With the lock held: queue a step where there is work and none is queued or running.

        Each step is queued by itself, so that the trials that share the executor take turns.
        """
        if self._step is None and (self._pending or self._present != epochs_to_keep(self._whole)):
            self._queued_at = time.monotonic()
            self._step = self._executor.submit(self._advance)

    def _advance(self) -> None:
        """In the background: save one checkpoint, then remove those that it replaces."""
        if (checkpoint := self._pack_next()) is not None:
            self._checkpoints.save(checkpoint)
        with self._lock:
            self._whole |= self._begun
            self._begun = {}
            self._drop_replaced()
            # by the whole ones alone: one that waits replaces nothing in the store yet
            keep = epochs_to_keep(self._whole)
        self._checkpoints.prune(keep, self._present)
        with self._lock:
            self._present &= keep
            self._whole = {epoch: accuracy for epoch, accuracy in self._whole.items() if epoch in keep}
            self._step = None
            self._go_on()

    def _pack_next(self) -> Checkpoint | None:
        """Pack the next checkpoint; None where none waits, and there is only something to remove.

        The best goes first, then the newest. A resumed trial continues from the newest whole one and trains the
        epochs after it anew, but none before it: a best that is older than that and was not yet in the store
        when the process was killed would be lost for good. In this order it is always there, and losing any other
        costs only time. Nor does the best starve the newest: a best that waits came in after the trial's last
        upload began, so it takes the resumed trial nearly as far.
        """
        with self._lock:
            if not self._pending:
                return None
            best = best_epoch(self._accuracies)
            epoch = best if best in self._pending else max(self._pending)
            waiting = self._pending.pop(epoch)
            self._begun = {epoch: waiting.accuracy}
            self._present.add(epoch)
        return waiting.make()

    def _drop_replaced(self) -> None:
        """With the lock held: drop the snapshots that are no longer to be kept.

        One that is being uploaded replaces none yet: should it fail, the next best is still there.
        """
        keep = epochs_to_keep(self._accuracies)
        self._pending = {epoch: waiting for epoch, waiting in self._pending.items() if epoch in keep}

    def _spill_waiting(self) -> None:
        """With the lock held: have all that wait in memory moved to the disk."""
        for waiting in self._pending.values():
            if not waiting.has_left:
                waiting.has_left = True
                _SPILLER.submit(self._spill_one, waiting)

    def _spill_one(self, waiting: _Waiting) -> None:
        """In the background: replace a snapshot with a file. If it cannot be packed, its upload raises the error."""
        if (spilled := self._spill.take(waiting.make())) is not None:
            waiting.make = spilled

    @property
    def _accuracies(self) -> dict[int, float]:
        """By epoch, of the checkpoints that are whole in the store and those that wait."""
        return self._whole | {epoch: waiting.accuracy for epoch, waiting in self._pending.items()}
