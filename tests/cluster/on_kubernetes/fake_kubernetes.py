"""An HTTP server that answers like the Kubernetes API, port-forwards included, and one like Ray's dashboard."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web
from loopback_server import serving

Json = dict[str, Any]

CREDENTIAL = "a-bearer-token"
RAY_TOKEN = "rays-own-token"
DASHBOARD_PORT = 8265
DEADLINE_S = 10.0


def refusal(code: int, reason: str, message: str) -> web.Response:
    """A failure as the API server words it."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    return web.json_response(body | {"reason": reason, "message": message}, status=code)


class FakeKubernetes:
    """Serves `objects`: a list of manifests, or one manifest, under each path."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, Any] = {}
        self.answers: dict[str, Callable[[web.Request], web.Response]] = {}
        """Paths that are answered in another way."""
        self.tunnels: dict[str, int] = {}
        """Names of pods that can be forwarded to, with the loopback port behind each."""
        self.hanging: set[str] = set()
        self.requests: list[str] = []
        self.num_tunnels = 0
        self.page_size = 1000
        self.url = ""
        self._tls = tls
        self._released = threading.Event()

    def write_kubeconfig(self, path: Path, *, token: str = CREDENTIAL, **cluster: Any) -> Path:
        """A kubeconfig that points here, in namespace `team`."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "c", "cluster": {"server": self.url} | cluster}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        }
        path.write_text(yaml.safe_dump(config))
        return path

    @contextmanager
    def serving(self) -> Iterator[FakeKubernetes]:
        loop = asyncio.new_event_loop()
        started, stop = threading.Event(), asyncio.Event()

        async def serve() -> None:
            app = web.Application()
            app.router.add_route("GET", "/{path:.*}", self._answer)
            runner = web.AppRunner(app, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls)
            await site.start()
            port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{port}"
            started.set()
            await stop.wait()
            await runner.cleanup()
            await asyncio.sleep(0.05)  # the connections' own last steps

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
        thread.start()
        assert started.wait(DEADLINE_S)
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
            loop.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.requests.append(f"{path}?{request.query_string}" if request.query_string else path)
        if path in self.hanging:
            await asyncio.sleep(60)
        if request.headers.get("Authorization") != f"Bearer {CREDENTIAL}":
            return refusal(401, "Unauthorized", "Unauthorized")
        if path in self.answers:
            return self.answers[path](request)
        if path.endswith("/portforward"):
            return await self._forward(request)
        if path in self.objects:
            found = self.objects[path]
            return web.json_response(found) if isinstance(found, dict) else self._page(request, found)
        return refusal(404, "NotFound", f"{path.rpartition('/')[2]!r} not found")

    def _page(self, request: web.Request, found: list[Json]) -> web.Response:
        selected = [each for each in found if _is_selected(each, request.query.get("labelSelector", ""))]
        selected = [each for each in selected if _has_fields(each, request.query.get("fieldSelector", ""))]
        start = int(request.query.get("continue") or 0)
        end = start + min(self.page_size, int(request.query.get("limit", 10**6)))
        metadata = {"resourceVersion": "1"} | ({"continue": str(end)} if end < len(selected) else {})
        return web.json_response({"kind": "List", "metadata": metadata, "items": selected[start:end]})

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        """As the kubelet does: each channel's first frame repeats the port; the end of the stream closes all."""
        pod = request.path.split("/")[-2]
        if pod not in self.tunnels:
            return refusal(404, "NotFound", f'pods "{pod}" not found')
        if "v4.channel.k8s.io" not in request.headers.get("Sec-WebSocket-Protocol", ""):
            return refusal(400, "BadRequest", "unknown protocol")
        self.num_tunnels += 1
        port = int(request.query["ports"])
        channels = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await channels.prepare(request)
        transport = request.transport
        assert transport is not None
        transport.write(b"".join(_frame(channel + port.to_bytes(2, "little")) for channel in (b"\0", b"\1")))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.tunnels[pod])
        except OSError:
            await channels.send_bytes(b"\1error forwarding port: connection refused")
            await channels.close()
            return channels

        async def to_pod() -> None:
            async for message in channels:
                if message.type is WSMsgType.BINARY:
                    assert message.data[0] == 0
                    writer.write(message.data[1:])
                    await writer.drain()

        upwards = asyncio.create_task(to_pod())
        downwards = asyncio.create_task(_copy(reader, channels, transport))
        await asyncio.wait({upwards, downwards}, return_when=asyncio.FIRST_COMPLETED)
        for task in (upwards, downwards):
            task.cancel()
        writer.close()
        await channels.close()
        return channels


async def _copy(
    reader: asyncio.StreamReader, channels: web.WebSocketResponse, transport: asyncio.BaseTransport
) -> None:
    """Short words go as two frames in one write, so in one TLS record: both must be found in it."""
    assert isinstance(transport, asyncio.WriteTransport)
    while data := await reader.read(32_768):
        if len(data) < 100:
            transport.write(_frame(b"\0" + data[:1]) + _frame(b"\0" + data[1:]))
        else:
            await channels.send_bytes(b"\0" + data)


def _frame(payload: bytes) -> bytes:
    """A short, whole, binary websocket frame of a server's."""
    return bytes([0x82, len(payload)]) + payload


def _is_selected(thing: Json, selector: str) -> bool:
    labels = thing.get("metadata", {}).get("labels", {})
    if " in (" in selector:
        name, _, values = selector.partition(" in (")
        return labels.get(name) in values.rstrip(")").split(",")
    terms = [term for term in selector.split(",") if term]
    return all(
        term[1:] not in labels if term.startswith("!") else labels.get(term.partition("=")[0]) == term.partition("=")[2]
        for term in terms
    )


def _has_fields(thing: Json, selector: str) -> bool:
    for term in filter(None, selector.split(",")):
        name, is_not, wanted = term.partition("!=") if "!=" in term else term.partition("=")
        value: Any = thing
        for part in name.split("."):
            value = value.get(part, {}) if isinstance(value, dict) else {}
        if (value == wanted) is (is_not == "!="):
            return False
    return True


class FakeDashboard:
    """Answers as Ray's head does. HTTP/1.0, so it closes each connection right after its answer."""

    def __init__(self) -> None:
        self.asks_for_token = True
        self.token = RAY_TOKEN
        self.ray_version = "2.60.0"
        self.python_version = "3.11.7"
        self.big = b"x" * 3_000_000
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization")
                if fake.asks_for_token and given != f"Bearer {fake.token}":
                    self._send(401 if given is None else 403, b"Unauthorized")
                elif self.path == "/big":
                    self._send(200, fake.big)
                elif self.path in (answers := fake.answers()):
                    self._send(200, json.dumps(answers[self.path]).encode())
                else:
                    self._send(404, b"")

            def do_PUT(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._send(200, str(len(body)).encode())

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]

    def answers(self) -> dict[str, Any]:
        data = {"rayVersion": self.ray_version, "pythonVersion": self.python_version}
        return {
            "/api/version": {"version": "4", "ray_version": self.ray_version, "ray_commit": "x", "session_name": "s"},
            "/api/v0/cluster_metadata": {"result": True, "msg": "", "data": data},
            "/api/jobs/": [],
        }

    @contextmanager
    def serving(self) -> Iterator[FakeDashboard]:
        with serving(self._server):
            yield self
