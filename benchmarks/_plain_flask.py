"""What many write to stand in for a job API: Flask and jsonify, on gevent's WSGI server without Nagle."""

from __future__ import annotations

import socket
import time
from typing import Any

import gevent.pywsgi
from flask import Flask, Response, jsonify

app = Flask(__name__)
started = time.monotonic()


@app.get("/jobs/<job_id>")
def status(job_id: str) -> Response:
    """Answer that a job is at work."""
    progress = min(1.0, (time.monotonic() - started) / 3600)
    return jsonify(id=job_id, status="pending", progress=round(progress, 3))


class _Handler(gevent.pywsgi.WSGIHandler):  # type: ignore[misc]
    def __init__(self, sock: Any, *rest: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *rest)


if __name__ == "__main__":
    server = gevent.pywsgi.WSGIServer(("127.0.0.1", 0), app, log=None, handler_class=_Handler)
    server.start()
    print(server.server_port, flush=True)
    server.serve_forever()
