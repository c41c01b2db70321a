"""Finds TCP ports of the loopback interface that nothing listens on."""

from __future__ import annotations

import random
import socket
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from cifar_ray.errors import ClusterError

HOST = "127.0.0.1"
_FIRST = 20_000
"""Ray's default range for its workers' ports lies below this."""
_LAST = 65_535
_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LINUX_EPHEMERAL = (32_768, 60_999)


def free_ports(count: int, but: Collection[int] = ()) -> list[int]:
    """`count` different free ports, at random, none of `but`, and if possible none of the ephemeral ones.

    A server binds its port seconds after this: by then an outgoing connection may have been given an ephemeral port.
    ClusterError where fewer are free.
    """
    first, last = ephemeral_ports()
    ports = [port for port in range(_FIRST, _LAST + 1) if port not in but]
    # not the shared generator: two processes of the same seed would choose the same
    random.Random().shuffle(ports)
    ports.sort(key=lambda port: first <= port <= last)
    found = list(islice(filter(_is_free, ports), count))
    if len(found) < count:
        raise ClusterError(f"only {len(found)} of {count} ports are free", "end what listens on thousands of ports")
    return found


def ephemeral_ports() -> tuple[int, int]:
    """The first and the last of the ports that the kernel gives to outgoing connections."""
    try:
        first, last = map(int, _EPHEMERAL.read_text().split())
    except (OSError, ValueError):
        return _LINUX_EPHEMERAL
    return first, last


def check_port_free(port: int, option: str) -> None:
    """ClusterError, naming the port and the `option` that asked for it, where something listens on it."""
    try:
        _bind(port)
    except OSError as error:
        raise ClusterError(
            f"port {port} cannot be used: {error.strerror}",
            f"leave {option} out to get a free port, or take another one",
        ) from error


def _is_free(port: int) -> bool:
    try:
        _bind(port)
    except OSError:
        return False
    return True


def _bind(port: int) -> None:
    """Bind the port as a server would, for a moment: ports in TIME_WAIT count as free."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
