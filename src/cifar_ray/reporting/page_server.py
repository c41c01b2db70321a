"""Serves the live page on loopback: the document, and the records of a store as JSON."""

from __future__ import annotations

import hashlib
import re
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.client import HTTP_PORT
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cifar_ray.errors import CifarRayError, ConfigurationError, UnknownNameError
from cifar_ray.reporting.html import OWN_SERVER, content_policy, live_page
from cifar_ray.reporting.payload import page_payload, sweep_payload, to_json
from cifar_ray.reporting.trial_cache import TrialCache
from cifar_ray.storage import layout
from cifar_ray.storage.runs import RunStore

LOOPBACK = "127.0.0.1"
TIMEOUT_S = 10
"""For a request, and for each part of an answer."""
PART_BYTES = 65_536
_SWEEP = re.compile(r"/api/sweeps/([^/]+)\.json")


class PageServer(ThreadingHTTPServer):
    """Answers loopback clients alone, and only under a loopback host name, so that DNS rebinding gains nothing."""

    daemon_threads = True

    def __init__(self, runs: RunStore, port: int = 0) -> None:
        """Port 0 takes a free one. ConfigurationError where the port is taken."""
        self.runs = RunStore(TrialCache(runs.objects), runs.flags)
        try:
            super().__init__((LOOPBACK, port), _Handler)
        except OSError as error:
            raise ConfigurationError(f"port {port}: {error.strerror}", "take another --port") from error

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that disconnects during an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def sweep_url(self, sweep_id: str) -> str:
        """Where the page of that sweep is."""
        return f"{self.url}#/sweep/{sweep_id}"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = TIMEOUT_S
    server_version = "cifar-ray"
    sys_version = ""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if not self._is_for_us():
            self._send(HTTPStatus.MISDIRECTED_REQUEST, self._where_it_answers().encode())
        elif path == "/":
            self._send(HTTPStatus.OK, live_page().encode(), "text/html; charset=utf-8")
        elif path == "/api/store.json":
            self._send_json(lambda: page_payload(self.server.runs) | {"options": self.server.runs.flags})
        elif match := _SWEEP.fullmatch(path):
            self._send_json(lambda: sweep_payload(self.server.runs, layout.check_sweep_id(match[1])))
        else:
            self._send(HTTPStatus.NOT_FOUND, b"not found\n")

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing: polling every second would fill a terminal."""

    def _is_for_us(self) -> bool:
        # a browser leaves out its scheme's default port
        port = "" if self.server.server_port == HTTP_PORT else f":{self.server.server_port}"
        return self.headers.get("Host") in {f"{name}{port}" for name in (LOOPBACK, "localhost")}

    def _where_it_answers(self) -> str:
        port = self.server.server_port
        return (
            f"this server answers to {LOOPBACK} and localhost only, under port {port}: "
            f"forward the same port (ssh -L {port}:{LOOPBACK}:{port})\n"
        )

    def _send_json(self, make: Callable[[], dict[str, Any]]) -> None:
        try:
            status, payload = HTTPStatus.OK, make()
        except (UnknownNameError, ConfigurationError) as error:
            status, payload = HTTPStatus.NOT_FOUND, {"problem": error.message, "hint": error.hint}
        except CifarRayError as error:
            status, payload = HTTPStatus.BAD_GATEWAY, {"problem": error.message, "hint": error.hint}
        self._send(status, to_json(payload).encode(), "application/json")

    def _send(self, status: HTTPStatus, content: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        is_known = status == HTTPStatus.OK and self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if is_known else status)
        self.send_header("ETag", tag)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", "0" if is_known else str(len(content)))
        self.send_header("Content-Security-Policy", f"{content_policy(OWN_SERVER)}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        for start in range(0, 0 if is_known else len(content), PART_BYTES):
            self.wfile.write(content[start : start + PART_BYTES])
