"""HTTP servers on the loopback interface, which answer while a block lasts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=HTTPServer)


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """It answers until the end of the block."""
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class NotingServer(ThreadingHTTPServer):
    """Notes every request and answers them all alike."""

    status: int | None = 200
    """None: the content alone, which then is no HTTP."""
    num_bytes: int | None = None
    """That the content is said to have, if others than it has."""

    def __init__(self, content: bytes | Callable[[str], bytes] = b"") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.content = content
        """The same for every path, or made of it."""
        self.asked: list[tuple[str, Message]] = []
        """The method and the headers of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def headers(self, name: str) -> list[str | None]:
        """That header of each request."""
        return [headers[name] for _, headers in self.asked]

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asks may hang up."""


class _Answer(BaseHTTPRequestHandler):
    server: NotingServer

    def do_GET(self) -> None:
        server = self.server
        server.asked.append((self.command, self.headers))
        content = server.content if isinstance(server.content, bytes) else server.content(self.path)
        if server.status:
            self.send_response(server.status)
            self.send_header("Content-Length", str(server.num_bytes or len(content)))
            self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_CONNECT = do_GET

    def log_message(self, *arguments: object) -> None: ...
