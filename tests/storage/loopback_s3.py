"""A server that speaks as much of S3 as tests of hanging and odd answers need."""

from __future__ import annotations

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cifar_ray.settings import read_settings
from cifar_ray.storage.s3 import S3Store


class LoopbackS3(ThreadingHTTPServer):
    """Objects by path, for whatever keys."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _LoopbackRequest)
        self.objects: dict[str, bytes] = {}
        self.before: Callable[[], object] = lambda: None
        """Called before each answer, and before its second chunk; it may wait."""
        self.is_chunked = False
        """Whether objects come in chunks, without their length, as from some gateways."""

    def store(self) -> S3Store:
        """A bucket of it."""
        return S3Store("bucket", "p", read_settings({"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self.server_port}"}).s3)


class _LoopbackRequest(BaseHTTPRequestHandler):
    server: LoopbackS3
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.before()
        if self.path not in self.server.objects:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif self.server.is_chunked:
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            content = self.server.objects[self.path]
            self._send_chunk(content[: len(content) // 2])
            self.server.before()
            self._send_chunk(content[len(content) // 2 :])
            self._send_chunk(b"")
        else:
            self._answer(200, self.server.objects[self.path])

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.before()
        self.server.objects[self.path] = content
        self._answer(200)

    def do_DELETE(self) -> None:
        self.server.before()
        self.server.objects.pop(self.path, None)
        self._answer(200)

    def _send_chunk(self, part: bytes) -> None:
        """An empty one is the last."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def _answer(self, status: int, content: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None: ...
