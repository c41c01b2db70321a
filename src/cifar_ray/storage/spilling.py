"""Moves checkpoints that wait for a slow store from memory to the node's own disk."""

from __future__ import annotations

import tempfile
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import IO

from cifar_ray.storage.checkpoints import Checkpoint

LIMIT_BYTES = 4 << 30
"""Of one process, a trial's or a cohort's: ten ResNet-18s with Adam's moments, at three checkpoints of 134 MB each."""


class Spill:
    """Unnamed files in the folder for temporary files: they vanish with the process, however it ends.

    Any thread may use it.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self.num_bytes = 0
        """Bytes that it holds."""

    def take(self, checkpoint: Checkpoint) -> Callable[[], Checkpoint] | None:
        """Write it; returns a function that reads it back and frees its room when collected; None without room."""
        num_bytes = len(checkpoint.weights) + len(checkpoint.trainer_state)
        with self._lock:
            if self.num_bytes + num_bytes > self._limit_bytes:
                return None
            self.num_bytes += num_bytes
        try:
            file = _write(checkpoint)
        except OSError:
            # the disk is full: the checkpoint stays in memory
            self._release(num_bytes)
            return None
        # neither holds the checkpoint's content
        rest, num_weights = replace(checkpoint, weights=b"", trainer_state=b""), len(checkpoint.weights)

        def read_back() -> Checkpoint:
            file.seek(0)
            weights = file.read(num_weights)
            return replace(rest, weights=weights, trainer_state=file.read())

        weakref.finalize(read_back, self._let_go, file, num_bytes)
        return read_back

    def _let_go(self, file: IO[bytes], num_bytes: int) -> None:
        file.close()
        self._release(num_bytes)

    def _release(self, num_bytes: int) -> None:
        with self._lock:
            self.num_bytes -= num_bytes


def _write(checkpoint: Checkpoint) -> IO[bytes]:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is read later
    try:
        for content in (checkpoint.weights, checkpoint.trainer_state):
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
    except OSError:
        file.close()
        raise
    return file
