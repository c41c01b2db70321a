"""Finds and stops processes by what /proc says about them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.cluster.environment import MARK
from cifar_ray.errors import ClusterError
from cifar_ray.json_record import Record

POLL_S = 0.1
KILL_DEADLINE_S = 3.0
_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Process(Record):
    """A process, told apart from a later one with the same pid by when it started."""

    pid: int
    start_ticks: int
    """When it started, in clock ticks since `boot`."""
    boot: str
    """Id of the boot that the ticks are counted from."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """An entry of the process table."""

    process: Process
    parent: int
    session: int


def check_platform() -> None:
    """ClusterError where there is no /proc to look into."""
    if not (_PROC / "self" / "stat").exists():
        raise ClusterError(
            "the one-machine cluster needs Linux",
            "on another system start it in a container, or submit to a cluster elsewhere",
        )


def identify(pid: int) -> Process:
    """The process with that pid, even a zombie; ClusterError where there is none."""
    if (entry := _entry(pid, even_ended=True)) is None:
        raise ClusterError(f"there is no process {pid}")
    return entry.process


def is_alive(process: Process) -> bool:
    """Whether this very process is running; a zombie is not."""
    entry = _entry(process.pid)
    return entry is not None and entry.process == process


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """What the processes of one server have in common."""

    root: Process | None
    """The server; None where it was never recorded."""
    mark: str
    """The value of the variable MARK in their environment."""
    folder: Path
    """The server's own: a process of its session with a file open below it is one of its processes."""


def family(lineage: Lineage) -> set[Process]:
    """The root if it is alive, all its descendants and every other process of the lineage.

    Several criteria, since each can miss some: a process may lose its parent, leave its session or, by setting its
    title, overwrite the environment that the mark is in. A session alone is no proof once its leader is
    gone: its number may have been reused by now.
    """
    table = {entry.process.pid: entry for entry in _table()}
    root = lineage.root
    lives = root is not None and root.pid in table and table[root.pid].process == root
    found = {
        pid
        for pid, entry in table.items()
        if (root is not None and entry.session == root.pid and (lives or _uses(pid, lineage.folder)))
        or _has_mark(pid, lineage.mark)
    }
    while more := {pid for pid, entry in table.items() if entry.parent in found} - found:
        found |= more
    return {table[pid].process for pid in found - {os.getpid()}}


def stop(lineage: Lineage, deadline_s: float) -> bool:
    """Ask the root to end, wait, then kill what is left of its family; returns whether there was any.

    ClusterError where a process survives even that.
    """
    known = family(lineage)
    if not known:
        return False
    # if the root has died, nobody else asks its orphans to end
    root = lineage.root
    for process in [root] if root is not None and is_alive(root) else known:
        _send(process, signal.SIGTERM)
    known = _wait_for_end(known, lineage, deadline_s)
    for process in known:
        _send(process, signal.SIGKILL)
    if left := _wait_for_end(known, lineage, KILL_DEADLINE_S, with_signal=signal.SIGKILL):
        numbers = ", ".join(str(process.pid) for process in left)
        raise ClusterError(f"processes {numbers} cannot be killed", "look at them with `ps -fp`")
    return True


def _wait_for_end(
    known: set[Process], lineage: Lineage, deadline_s: float, with_signal: signal.Signals | None = None
) -> set[Process]:
    """The family, newcomers included, that is still alive after `deadline_s`; newcomers get `with_signal`."""
    deadline = time.monotonic() + deadline_s
    while True:
        newcomers = family(lineage) - known
        if with_signal:
            for process in newcomers:
                _send(process, with_signal)
        known = {process for process in known | newcomers if is_alive(process)}
        if not known or time.monotonic() > deadline:
            return known
        time.sleep(POLL_S)


def _send(process: Process, number: signal.Signals) -> None:
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _table() -> Iterator[_Entry]:
    """All living processes of this user."""
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with suppress(OSError):
                if folder.stat().st_uid == os.getuid() and (entry := _entry(int(folder.name))):
                    yield entry


def _entry(pid: int, *, even_ended: bool = False) -> _Entry | None:
    """What /proc/<pid>/stat says; None where the process has ended (a zombie has, unless `even_ended`)."""
    try:
        # Linux cuts a name at 15 bytes, possibly in the middle of a character
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # after the name, which is in parentheses and may hold any character: fields 3 and on of proc(5)
    state, parent, _, session, *rest = text.rpartition(")")[2].split()
    if state in "ZX" and not even_ended:
        return None
    process = Process(pid=pid, start_ticks=int(rest[15]), boot=boot)
    return _Entry(process=process, parent=int(parent), session=int(session))


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environ = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environ.split(b"\0")


def _uses(pid: int, folder: Path) -> bool:
    """Whether the process has a file open below `folder`."""
    with suppress(OSError):
        for link in (_PROC / str(pid) / "fd").iterdir():
            with suppress(OSError):
                if os.readlink(link).startswith(f"{folder}/"):
                    return True
    return False
