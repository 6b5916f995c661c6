"""Flask behind the fast host: a request becomes a WSGI call in a thread, and its reply bytes."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from io import BytesIO
from typing import Any, Final, NamedTuple
from urllib.parse import unquote_to_bytes

import httptools
from flask import Flask
from werkzeug.test import run_wsgi_app

from server._connection import Connection, Request, status_line
from server._no_reply import ABORT, SEND, Ending

logger: Final = logging.getLogger("simulator")


class Whole(NamedTuple):
    """A reply of Flask's: the status's code with its phrase, the headers, the body."""

    status: str
    headers: Mapping[str, str]
    body: bytes


def call(app: Flask, request: Request, connection: Connection) -> Whole | Ending:
    """Return Flask's reply to a request, or how the connection ends instead; never raise."""
    sent: list[bytes] = []
    aborted: list[bool] = []
    environ = _environ(request, connection)
    environ[SEND] = sent.append
    environ[ABORT] = lambda: aborted.append(True)
    try:
        pieces, status, headers = run_wsgi_app(app, environ)
        try:
            body = b"".join(pieces)
        finally:
            getattr(pieces, "close", bool)()
    except ConnectionResetError:
        return Ending(b"".join(sent), bool(aborted))
    except Exception:
        logger.exception("Flask did not answer %s %r", request.method, request.target)
        return Whole(status_line(500), {"Content-Length": "0"}, b"")
    return Whole(status, dict(headers.items()), body)  # its length is among them: Flask knows it


def _environ(request: Request, connection: Connection) -> dict[str, Any]:
    """Return the environment that WSGI (PEP 3333) has for a request."""
    path, _, query = request.target.partition(b"?")
    if not path.startswith(b"/"):  # GET http://host/path: as a proxy would be asked
        path, query = _taken_apart(request.target)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query.decode("latin-1"),
        "SERVER_NAME": connection.local[0],
        "SERVER_PORT": str(connection.local[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.version}",
        "REMOTE_ADDR": connection.peer,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(request.body),
        "wsgi.input_terminated": request.length is None,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in request.headers.items():
        if "_" not in name:  # it would pass for the header with a hyphen
            environ[f"HTTP_{name.upper().replace('-', '_')}"] = value
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if (text := environ.pop(f"HTTP_{name}", None)) is not None:
            environ[name] = text
    return environ


def _taken_apart(target: bytes) -> tuple[bytes, bytes]:
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return target, b""
    return url.path or b"/", url.query or b""
