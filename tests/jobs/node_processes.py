"""The processes of a cluster on this machine, for tests that end or hold them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cifar_ray.cluster.state import LocalCluster


def raylets(cluster: LocalCluster, *, is_head: bool | None = None) -> list[int]:
    """The processes of its nodes: all, the head's or the others'."""
    return [
        process
        for process, words in processes()
        if words[0].endswith("/raylet")
        and f"--temp_dir={cluster.temp_dir}" in words
        and is_head in (None, "--head" in words)
    ]


def children_of(parents: list[int], title: str = "") -> list[int]:
    """The processes that these have started; those of one title."""
    found = []
    for process, words in processes():
        with suppress(OSError):
            parent = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
            if words[0].startswith(title) and parent in parents:
                found.append(process)
    return found


@contextmanager
def held(cluster: LocalCluster, title: str) -> Iterator[None]:
    """Stop the cluster's processes of that title, and let go on those that are left."""
    found = children_of(raylets(cluster), title)
    assert found
    for process in found:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in found:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def processes() -> Iterator[tuple[int, list[str]]]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            yield int(path.parent.name), path.read_text(errors="replace").split("\0")
