"""A generator of status requests that costs a fraction of what it measures: closed loops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

import uvloop


class Loop(asyncio.Protocol):
    """One client on a connection of its own: it sends the next request when the reply to the last is here."""

    def __init__(self, requests: Iterator[bytes], took: list[float]) -> None:
        self._requests = requests
        self._took = took
        self._data = b""
        self._sent_at = 0.0

    def connection_made(self, transport: Any) -> None:
        """Send the first request."""
        self._transport = transport
        self._send()

    def data_received(self, data: bytes) -> None:
        """Note how long the reply took, once it is whole."""
        self._data += data
        head, ended, body = self._data.partition(b"\r\n\r\n")
        if not ended:
            return
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
        if len(body) >= length:
            self._took.append(time.perf_counter() - self._sent_at)
            self._data = b""
            self._send()

    def _send(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(next(self._requests))


def latencies(port: int, paths: list[str], connections: int, seconds: float) -> list[float]:
    """Poll these paths in turn for so long; return the seconds that each reply took, in order."""
    took: list[float] = []

    def requests() -> Iterator[bytes]:
        for n in count():
            path = paths[n % len(paths)]
            yield (
                f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: benchmark\r\nAccept: */*\r\n"
                f"Accept-Encoding: gzip, deflate\r\nPoll-Attempt: {n // len(paths) + 1}\r\n\r\n"
            ).encode()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        each = requests()
        for _ in range(connections):
            await loop.create_connection(lambda: Loop(each, took), "127.0.0.1", port)
        await asyncio.sleep(seconds)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(run())
    finally:
        loop.close()
    return took
