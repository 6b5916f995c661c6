"""Both hosts of the simulator as processes: our own, and the application on another WSGI server."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
TOKEN: Final = "a-token-of-the-tests"
PATIENCE: Final = 20.0  # seconds for a slow machine; nothing takes that long by itself
_WITHOUT = """
import sys
sys.modules["uvloop"] = None
from server import _alarms, _command
_alarms._KernelTimer = _alarms._LoopTimer
sys.exit(_command.main(sys.argv[1:]))
"""
COMMANDS: Final = {
    "fast": [sys.executable, "-m", "server", "--port", "0", "--exit-with-parent", "--ready-fd", "1"],
    "fast without uvloop": [
        *(sys.executable, "-c", _WITHOUT, "--port", "0", "--exit-with-parent", "--ready-fd", "1")
    ],
    "wsgi": [sys.executable, str(HERE / "wsgi_host.py")],
}


class Service:
    """A simulator whose scenario can be changed."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.pid = process.pid
        self.stdin = process.stdin
        self._process = process

    def wait(self) -> int:
        """Return the exit status, once there is one."""
        return self._process.wait(PATIENCE)

    def serve(self, job: Any = None, **service: Any) -> None:
        """Serve jobs of an hour in this way from now on."""
        self.admin("PUT", "/admin/scenario", {"job": {"duration": "1h", **(job or {})}, "service": service})

    def admin(self, method: str, path: str, document: Any = None) -> Any:
        """Make one of the calls of whoever runs the simulator; return the JSON in the reply."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, None if document is None else json.dumps(document), headers)
            reply = connection.getresponse()
            text = reply.read()
            assert reply.status in (200, 204), text
            return json.loads(text) if text else None

    def counts(self) -> dict[str, int]:
        """Return how the server counts its replies."""
        counts: dict[str, int] = self.admin("GET", "/admin/counters")["replies"]
        return counts

    def connect(self) -> socket.socket:
        """Return a new connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE)

    def read(self, request: bytes = b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") -> bytes:
        """Send these bytes; return every byte that comes until the connection ends."""
        with self.connect() as sock:
            sock.sendall(request)
            data = b""
            while piece := sock.recv(65536):
                data += piece
            return data


@contextmanager
def hosted(host: str, *arguments: str) -> Iterator[Service]:
    """Run a host until the block ends."""
    process = subprocess.Popen(
        [*COMMANDS[host], *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=HERE,  # where no config.yaml names a scenario
        env={**os.environ, "BACKOFF_ADMIN_TOKEN": TOKEN, "PYTHONPATH": str(HERE.parent)},
    )
    try:
        assert process.stdout
        yield Service(json.loads(process.stdout.readline())["url"], process)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe
                pipe.close()
