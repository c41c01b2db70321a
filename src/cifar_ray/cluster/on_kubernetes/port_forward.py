"""Forwards a loopback port to a pod through the Kubernetes API.

The kubernetes client has a forwarder too, but its connection attempts have no time-out, and during one it replaces a
method of the client that other threads use.
"""

from __future__ import annotations

import selectors
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from cifar_ray.cluster.ports import HOST
from cifar_ray.errors import ClusterError, UnreachableError

if TYPE_CHECKING:
    from websocket import WebSocket

DATA, ERROR = 0, 1
"""The channels of a tunnel; the first frame of each repeats the port."""
CHUNK_BYTES = 64 * 2**10
IO_TIMEOUT_S = 60.0
POLL_S = 0.5


class PortForward:
    """A context manager; each connection to its `url` gets a tunnel of its own, so that a replacement pod is found."""

    def __init__(self, open_tunnel: Callable[[], WebSocket], port: int = 0) -> None:
        self._open_tunnel = open_tunnel
        self._is_closing = threading.Event()
        self.problem: ClusterError | None = None
        """Why the latest connection did not reach the pod; None where it did."""
        forward = self

        class Connection(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                forward._serve(self.request)

        try:
            self._server = _Server((HOST, port), Connection)
        except OSError as error:
            raise ClusterError(f"port {port} cannot be used: {error.strerror}", "take another --port") from error

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(POLL_S,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_closing.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, local: socket.socket) -> None:
        """Relay one connection; where that fails the client sees it closed, and `problem` says why."""
        try:
            tunnel = self._open_tunnel()
            self.problem = None
            try:
                self._relay(local, tunnel)
            finally:
                tunnel.close(timeout=1)
                tunnel.shutdown()
        except ClusterError as error:
            self.problem = error

    def _relay(self, local: socket.socket, tunnel: WebSocket) -> None:
        """Pass bytes both ways until either side ends.

        One thread does both: a TLS connection may not be read and written at once.
        """
        from websocket import WebSocketException  # noqa: PLC0415 - comes with the kubernetes client

        remote = tunnel.sock
        assert remote is not None, "a tunnel is connected when it is handed out"
        local.settimeout(IO_TIMEOUT_S)
        tunnel.settimeout(IO_TIMEOUT_S)
        incoming = _Incoming(tunnel)
        with selectors.DefaultSelector() as selector:
            selector.register(local, selectors.EVENT_READ)
            selector.register(remote, selectors.EVENT_READ)
            try:
                while not self._is_closing.is_set():
                    # bytes that TLS has decrypted already do not show on the socket
                    has_more = isinstance(remote, ssl.SSLSocket) and remote.pending() > 0
                    ready = {key.fileobj for key, _ in selector.select(0 if has_more else POLL_S)}
                    if has_more or remote in ready:
                        data = incoming.next()
                        if data is None:
                            return
                        local.sendall(data)
                    if local in ready:
                        data = local.recv(CHUNK_BYTES)
                        if not data:
                            return
                        tunnel.send_bytes(bytes([DATA]) + data)
            except (OSError, WebSocketException):
                return  # a connection that broke: the client sees it closed, and knows whether that matters


class _Incoming:
    """The frames of a tunnel, read as a stream of bytes."""

    def __init__(self, tunnel: WebSocket) -> None:
        self._tunnel = tunnel
        self._opened: set[int] = set()

    def next(self) -> bytes | None:
        """The next frame's bytes, possibly empty; None at the end. UnreachableError where the pod refuses."""
        from websocket import ABNF  # noqa: PLC0415 - comes with the kubernetes client

        opcode, frame = self._tunnel.recv_data_frame(control_frame=True)
        if opcode == ABNF.OPCODE_CLOSE:
            return None
        if opcode != ABNF.OPCODE_BINARY or not frame.data:
            return b""
        channel, data = frame.data[0], bytes(frame.data[1:])
        if channel not in self._opened:
            self._opened.add(channel)
            return b""
        if channel == ERROR:
            raise UnreachableError(f"the pod does not answer: {data.decode(errors='replace').strip()}")
        return data


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that disconnects is no error."""
