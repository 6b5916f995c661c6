"""The host that contenders poll: it answers from constants, so that they are the bottleneck and not it.

A job's twentieth poll is answered with its end. It tells its address on standard output and serves until its
standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys

POLLS_PER_JOB = 20
_ATTEMPT = b"poll-attempt: "


def _reply(line: bytes, **members: object) -> bytes:
    body = json.dumps(members).encode()
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n" % (line, len(body))
    return head + b"Cache-Control: no-store\r\nServer: constant\r\n\r\n" + body


ACCEPTED = _reply(b"202 Accepted", id="some-job-of-a-benchmark", status="pending")
PENDING = _reply(b"200 OK", id="some-job-of-a-benchmark", status="pending", progress=0.5)
COMPLETED = _reply(
    b"200 OK", id="some-job-of-a-benchmark", status="completed", progress=1.0, finished_ago=0.001
)


class Host(asyncio.Protocol):
    """Answers each request that arrives whole, as those of a client that waits for replies do."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data[:1] == b"{":  # a body that came by itself
            return
        if data[:4] == b"POST":
            self.transport.write(ACCEPTED)
            return
        at = data.lower().find(_ATTEMPT)
        attempt = int(data[at + len(_ATTEMPT) :].split(b"\r", 1)[0]) if at > 0 else 0
        self.transport.write(COMPLETED if attempt >= POLLS_PER_JOB else PENDING)


async def serve() -> None:
    """Serve until standard input ends."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Host, "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
