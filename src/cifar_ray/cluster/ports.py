"""Finds TCP ports of the loopback interface that nothing listens on."""

from __future__ import annotations

import random
import socket
from itertools import islice
from pathlib import Path

from cifar_ray.errors import ClusterError

HOST = "127.0.0.1"
_FIRST = 20_000
"""Ray's default range for its workers' ports lies below this."""
_LAST = 65_535
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX_EPHEMERAL = (32_768, 60_999)


_kept: list[socket.socket] = []
"""Bound to the ports that were given out. None listens, so a server that may reuse an address, as all do, still can."""


def free_ports(count: int) -> list[int]:
    """`count` different free ports, at random, and if possible none of the ephemeral ones.

    A server binds its port seconds after this: by then an outgoing connection may have been given an ephemeral port.
    Until `release_ports`, or the end of this process, no such call, of any process, returns them again.
    ClusterError where fewer are free.
    """
    first, last = ephemeral_ports()
    ports = list(range(_FIRST, _LAST + 1))
    # not the shared generator: two processes of the same seed would choose the same
    random.Random().shuffle(ports)
    ports.sort(key=lambda port: first <= port <= last)
    found = list(islice(filter(_take, ports), count))
    if len(found) < count:
        raise ClusterError(f"only {len(found)} of {count} ports are free", "end what listens on thousands of ports")
    return found


def release_ports() -> None:
    """Once their servers listen on them, or will not."""
    while _kept:
        _kept.pop().close()


def ephemeral_ports() -> tuple[int, int]:
    """The first and the last of the ports that the kernel gives to outgoing connections."""
    try:
        first, last = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        return _LINUX_EPHEMERAL
    return first, last


def check_port_free(port: int, option: str) -> None:
    """Keep the port as `free_ports` does; ClusterError, which names the `option` that asked, where something listens.

    Ports in TIME_WAIT count as free, as they do to a server.
    """
    try:
        _bind(port, is_shared=True)
    except OSError as error:
        raise ClusterError(
            f"port {port} cannot be used: {error.strerror}",
            f"leave {option} out to get a free port, or take another one",
        ) from error


def _take(port: int) -> bool:
    try:
        _bind(port, is_shared=False)
    except OSError:
        return False
    return True


def _bind(port: int, *, is_shared: bool) -> None:
    """Bind the port and keep it; others may have bound it, too, where it `is_shared`."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, is_shared)
    try:
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, True)
    _kept.append(made)
