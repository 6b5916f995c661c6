"""The application on somebody else's WSGI server, with what `server._no_reply` asks of such a host.

As a program it serves until killed, and says in one line where.
"""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from typing import Any

import gevent
from gevent.pywsgi import WSGIHandler, WSGIServer

from server._no_reply import ABORT, SEND
from server.app import create_app


class Handler(WSGIHandler):  # type: ignore[misc] # gevent is not annotated
    """gevent's handler without Nagle's algorithm, and with ways to send no reply."""

    def __init__(self, sock: Any, *rest: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *rest)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[ABORT] = self.abort
        environ[SEND] = self.send
        return environ

    def send(self, data: bytes) -> None:
        with suppress(OSError):
            self.socket.sendall(data)

    def abort(self) -> None:
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


if __name__ == "__main__":
    app = create_app({"job": {"duration": "1h"}}, sleep=gevent.sleep)
    server = WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=Handler)
    server.start()
    print(f'{{"url": "http://127.0.0.1:{server.server_port}"}}', file=sys.stdout, flush=True)
    server.serve_forever()
