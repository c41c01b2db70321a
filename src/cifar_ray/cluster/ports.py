"""Finds TCP ports of the loopback interface that nothing listens on."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from cifar_ray.errors import ClusterError

HOST = "127.0.0.1"


def free_ports(count: int) -> list[int]:
    """`count` different ports. All are held until the last is found, so that none comes twice."""
    with ExitStack() as stack:
        return [stack.enter_context(_bound(0)).getsockname()[1] for _ in range(count)]


def check_port_free(port: int, option: str) -> None:
    """ClusterError, naming the port and the `option` that asked for it, where something listens on it."""
    try:
        _bound(port).close()
    except OSError as error:
        raise ClusterError(
            f"port {port} cannot be used: {error.strerror}",
            f"leave {option} out to get a free port, or take another one",
        ) from error


def _bound(port: int) -> socket.socket:
    """A socket of that port, as a server would bind it: ports in TIME_WAIT count as free."""
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
    except OSError:
        made.close()
        raise
    return made
