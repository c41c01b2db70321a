"""Runs each side in a process of its own, so that they share no threads, allocator or warm caches."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.quiet import quieten_lightning
from benchmarks.setting import Setting
from cifar_ray.data.split import TrainingData
from cifar_ray.errors import CifarRayError

DEADLINE_S = 3600.0
"""For one call."""
STOP_DEADLINE_S = 30.0
"""For Ray to shut down, where the process has started it."""


class BenchmarkError(CifarRayError):
    """A side of a comparison could not be measured."""


class Contender:
    """Runs functions, one at a time, in a process that stays warm between them.

    A function must be importable; its first argument is the process's own copy of the data. The process has a folder
    of its own for temporary files. As a context manager, ends the process and removes the folder.
    """

    def __init__(
        self, setting: Setting, *, data: TrainingData | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        # below /tmp, since the paths of Ray's sockets in it may have no more than 107 bytes
        self._folder = tempfile.TemporaryDirectory(prefix="bench-", dir="/tmp", ignore_cleanup_errors=True)
        own = {**(environ or {}), "TMPDIR": self._folder.name}
        self._log_path = setting.log_path
        self._pipe, theirs = context.Pipe()
        start_method = multiprocessing.get_start_method()
        self._process = context.Process(
            target=_serve, args=(theirs, data or setting.data, setting.log_path, own, start_method)
        )
        self._process.start()
        theirs.close()

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What `function(data, *arguments)` returns there; BenchmarkError where it raises or takes too long."""
        try:
            self._pipe.send((function, arguments))
            if not self._pipe.poll(DEADLINE_S):
                raise self._error(f"{function.__name__} took longer than {DEADLINE_S:.0f} s")
            has_returned, result = self._pipe.recv()
        except (EOFError, OSError):
            raise self._error(f"{function.__name__}: its process has ended") from None
        if not has_returned:
            raise self._error(f"{function.__name__}: {result}")
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        if kind is not None:
            self._process.terminate()
        self._process.join(STOP_DEADLINE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._process.close()
        self._folder.cleanup()

    def _error(self, message: str) -> BenchmarkError:
        return BenchmarkError(message, f"see {self._log_path}")


def _serve(pipe: Connection, data: TrainingData, log_path: Path, environ: Mapping[str, str], start_method: str) -> None:
    """The child process: answer calls until the pipe is closed."""
    # a spawned process would spawn its own in turn; a DataLoader's workers are started as a user's are
    multiprocessing.set_start_method(start_method, force=True)
    # Ctrl-C reaches the whole process group; the parent ends this one in good order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environ)
    _send_output_to(log_path)
    quieten_lightning()
    # the parent closes the pipe to end this process, or has died
    with suppress(EOFError, OSError):
        while True:
            function, arguments = pipe.recv()
            pipe.send(_answer(function, data, arguments))


def _answer(function: Callable[..., Any], data: TrainingData, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    """(True, the result), or (False, the error as text)."""
    try:
        return True, function(data, *arguments)
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent raises it
        traceback.print_exc()
        return False, f"{type(error).__name__}: {error}"


def _send_output_to(path: Path) -> None:
    """Redirect this process and its children: progress bars would clutter the report."""
    sys.stdout.flush()
    sys.stderr.flush()
    with path.open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
