"""Starts a server process in its own session and watches it until it answers."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.cluster.processes import Process, identify, is_alive
from cifar_ray.errors import ClusterError, UnreachableError

POLL_S = 0.1
START_DEADLINE_S = 60.0
NUM_LOG_LINES = 12

# A Popen object that is collected while its process runs warns; these processes outlive this one by design.
_started: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, kw_only=True)
class Server:
    """A server that has been started."""

    name: str
    """Its name in messages."""
    process: Process
    log_path: Path


def launch(
    name: str,
    command: Sequence[str],
    environ: Mapping[str, str],
    log_path: Path,
    cwd: Path,
    descriptors: Sequence[int] = (),
) -> Server:
    """Start `command`, its output going to `log_path`, which is overwritten; ClusterError where it cannot start.

    It inherits `descriptors`.
    """
    try:
        with log_path.open("wb") as log:
            child = subprocess.Popen(
                command,
                env=dict(environ),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=descriptors,
            )
    except OSError as error:
        raise ClusterError(f"{name} cannot be started: {error}") from error
    _started.append(child)
    return Server(name=name, process=identify(child.pid), log_path=log_path)


def reap() -> None:
    """Reap the servers started by this process that have ended, so that none stays a zombie."""
    _started[:] = [child for child in _started if child.poll() is None]


def wait_until(
    server: Server, is_ready: Callable[[], bool], beside: Server, deadline_s: float = START_DEADLINE_S
) -> None:
    """Wait until `is_ready` returns true; it may raise UnreachableError until then.

    ClusterError, with the last lines of the log, where the server, or the one `beside` it, ends first or
    `deadline_s` passes.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        with suppress(UnreachableError):
            if is_ready():
                return
        for each in (server, beside):
            if not is_alive(each.process):
                raise _failure(each, "ended as it started")
        if time.monotonic() > deadline:
            raise _failure(server, f"did not answer within {deadline_s:.0f} s")
        time.sleep(POLL_S)


def _failure(server: Server, what: str) -> ClusterError:
    try:
        lines = server.log_path.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    tail = "\n".join(lines[-NUM_LOG_LINES:])
    return ClusterError(f"{server.name} {what}; its log ends\n{tail}", f"the log is {server.log_path}")
