"""Finds and stops processes by what /proc says about them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cifar_ray.cluster.environment import MARK
from cifar_ray.errors import ClusterError
from cifar_ray.records import Record

POLL_S = 0.1
KILL_DEADLINE_S = 3.0
_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Process(Record):
    """A process that cannot be taken for a later one with the same number."""

    pid: int
    start_ticks: int
    """When it started, in clock ticks since `boot`."""
    boot: str
    """Id of the machine's start: ticks are counted from there."""


@dataclass(frozen=True, kw_only=True)
class _Entry:
    """A line of the process table."""

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
    """The process of that number; ClusterError where there is none."""
    if (entry := _entry(pid)) is None:
        raise ClusterError(f"process {pid} ended as it started")
    return entry.process


def is_alive(process: Process) -> bool:
    """Whether this very process runs; one that has ended and waits for its parent does not."""
    entry = _entry(process.pid)
    return entry is not None and entry.process == process


def family(roots: Collection[Process], mark: str) -> set[Process]:
    """The living ones among `roots`, all their descendants and every process that carries `mark`.

    Three nets, since each has a hole: a process may lose its parent, leave its session or, by setting its
    title, overwrite the environment that the mark is in.
    """
    table = {entry.process.pid: entry for entry in _table()}
    living = {root.pid for root in roots if root.pid in table and table[root.pid].process == root}
    found = {pid for pid, entry in table.items() if pid in living or entry.session in living or _has_mark(pid, mark)}
    while more := {pid for pid, entry in table.items() if entry.parent in found} - found:
        found |= more
    return {table[pid].process for pid in found - {os.getpid()}}


def stop(roots: Collection[Process], mark: str, deadline_s: float) -> bool:
    """Ask `roots` to end, wait, then kill what is left of their family; whether there was anything.

    ClusterError where a process outlives even that.
    """
    known = family(roots, mark)
    if not known:
        return False
    # orphans of a root that has died have nobody else to ask them
    for process in [root for root in roots if is_alive(root)] or known:
        _send(process, signal.SIGTERM)
    known = _wait_for_end(known, roots, mark, deadline_s)
    for process in known:
        _send(process, signal.SIGKILL)
    if left := _wait_for_end(known, roots, mark, KILL_DEADLINE_S, with_signal=signal.SIGKILL):
        numbers = ", ".join(str(process.pid) for process in left)
        raise ClusterError(f"processes {numbers} cannot be killed", "look at them with `ps -fp`")
    return True


def _wait_for_end(
    known: set[Process],
    roots: Collection[Process],
    mark: str,
    deadline_s: float,
    with_signal: signal.Signals | None = None,
) -> set[Process]:
    """Those of the family, newcomers included, that still live `deadline_s` from now."""
    deadline = time.monotonic() + deadline_s
    while True:
        newcomers = family(roots, mark) - known
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


def _entry(pid: int) -> _Entry | None:
    """What /proc/<pid>/stat says; None where the process has ended (a zombie has)."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # after the name, which is in parentheses and may hold any character: fields 3 and on of proc(5)
    state, parent, _, session, *rest = text.rpartition(")")[2].split()
    if state in "ZX":
        return None
    process = Process(pid=pid, start_ticks=int(rest[15]), boot=boot)
    return _Entry(process=process, parent=int(parent), session=int(session))


def _has_mark(pid: int, mark: str) -> bool:
    try:
        environ = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return f"{MARK}={mark}".encode() in environ.split(b"\0")
