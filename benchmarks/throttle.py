"""A TCP proxy on loopback that limits the upload rate, to simulate a slow object store."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import suppress
from typing import Self

HOST = "127.0.0.1"
CHUNK_BYTES = 32 * 1024
BUFFER_BYTES = 128 * 1024
"""The kernel's receive buffer of a connection: to the client, what it holds has been sent."""
BURST_S = 0.01
"""Unused time that may be made up for, since sleeps last a little longer than requested."""
DEADLINE_S = 10.0
"""To start, to stop, and to connect to the server."""


class TokenBucket:
    """Limits the total rate of all its users to `bytes_per_s`."""

    def __init__(self, bytes_per_s: float) -> None:
        if bytes_per_s <= 0:
            raise ValueError(f"bytes_per_s is {bytes_per_s}; it must be above 0")
        self._bytes_per_s = bytes_per_s
        self._paid_until = 0.0

    def take(self, num_bytes: int) -> float:
        """The seconds to wait before sending that many bytes."""
        now = time.monotonic()
        self._paid_until = max(self._paid_until, now - BURST_S) + num_bytes / self._bytes_per_s
        return max(0.0, self._paid_until - now)


class Throttle:
    """Forwards connections to `host`:`port`: requests at `bytes_per_s` in total, responses unlimited.

    A context manager: it listens from entry to exit, which closes all connections.
    """

    def __init__(self, host: str, port: int, bytes_per_s: float) -> None:
        self._host = host
        self._port = port
        self._bucket = TokenBucket(bytes_per_s)
        self._listener = socket.create_server((HOST, 0))
        # connections inherit it
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._own_port: int = self._listener.getsockname()[1]
        self._connections: set[asyncio.Task[None]] = set()
        self._has_started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="throttle", daemon=True)

    @property
    def endpoint_url(self) -> str:
        """`http://127.0.0.1:<port>`."""
        return f"http://{HOST}:{self._own_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._has_started.wait(DEADLINE_S):
            raise TimeoutError(f"the proxy did not start within {DEADLINE_S:g} s")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(DEADLINE_S)

    async def _run(self) -> None:
        """Serve until stopped; `asyncio.run` then cancels the remaining connections."""
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, sock=self._listener, limit=CHUNK_BYTES)
        self._has_started.set()
        await self._stop.wait()
        server.close()

    def _accept(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        # a task of our own: asyncio until 3.11 logs an error for each of its own that is cancelled
        task = asyncio.create_task(self._serve(client, to_client))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Forward both ways until either side closes."""
        try:
            connecting = asyncio.open_connection(self._host, self._port, limit=CHUNK_BYTES)
            server, to_server = await asyncio.wait_for(connecting, DEADLINE_S)
        except OSError:
            to_client.close()
            return
        ways = {
            asyncio.create_task(_pass_on(client, to_server, self._bucket)),
            asyncio.create_task(_pass_on(server, to_client, None)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            to_server.close()
            to_client.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bucket: TokenBucket | None) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            if bucket:
                await asyncio.sleep(bucket.take(len(chunk)))
            writer.write(chunk)
            await writer.drain()
