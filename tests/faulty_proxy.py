"""Stands before a real S3 server and breaks what passes: for as long as it is told to, in the way that it is told."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import Literal, Self

Fault = Literal["refused", "reset", "500", "503"]
"""refused: connections are closed at once; reset: in the middle of what a client sends; or that HTTP status."""
RESET_AFTER_BYTES = 100_000
CODES = {"500": ("500 Internal Server Error", "InternalError"), "503": ("503 Slow Down", "SlowDown")}


class FaultyProxy:
    """A context manager that listens on loopback; connections that are open when the fault changes are cut."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._fault: Fault | None = None
        self.num_faults = 0
        """Connections or requests that were broken."""

    @property
    def endpoint_url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._listener.close()
        self.break_with(None)

    def break_with(self, fault: Fault | None) -> None:
        """From now on; None lets everything pass."""
        with self._lock:
            self._fault = fault
            for each in self._sockets:
                _cut(each)
            self._sockets.clear()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with self._lock:
            fault = self._fault
            self._sockets.add(client)
            self.num_faults += fault is not None
        if fault == "refused":
            _cut(client)
        elif fault in ("500", "503"):
            _answer(client, *CODES[fault])
        else:
            self._forward(client, RESET_AFTER_BYTES if fault == "reset" else None)

    def _forward(self, client: socket.socket, limit: int | None) -> None:
        server = socket.create_connection(self._server)
        with self._lock:
            self._sockets.add(server)
        threading.Thread(target=_pump, args=(server, client, None), daemon=True).start()
        _pump(client, server, limit)


def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
    """Until the source ends, or has sent so many bytes."""
    num_sent = 0
    with suppress(OSError):
        while chunk := source.recv(1 << 16):
            num_sent += len(chunk)
            if limit is not None and num_sent > limit:
                break
            sink.sendall(chunk)
    for each in (source, sink):
        _cut(each)


def _answer(client: socket.socket, status: str, code: str) -> None:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
    with suppress(OSError):
        client.recv(1 << 16)
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\nConnection: close"
        client.sendall(f"{head}\r\n\r\n{body}".encode())
        client.shutdown(socket.SHUT_WR)
        client.settimeout(2)
        while client.recv(1 << 16):
            pass
    client.close()


def _cut(each: socket.socket) -> None:
    """Reset the connection: what is on its way is lost."""
    with suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        each.shutdown(socket.SHUT_RDWR)
    each.close()
