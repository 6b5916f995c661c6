"""Serving the application by gevent: thousands of delayed replies at once, each in a greenlet.

Nothing is monkey-patched: the application waits in the ``sleep`` it was given.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import gevent
from flask import Flask
from gevent.pywsgi import WSGIHandler, WSGIServer

from server._no_reply import ABORT, SEND

_BACKLOG: Final = 4096
_FILES_WANTED: Final = 65536
_LINGER: Final = struct.Struct("hh" if sys.platform == "win32" else "ii")


class CannotListenError(Exception):
    """The address cannot be listened on; the message says what to do."""


def open_listener(host: str, port: int) -> Any:
    """Return gevent's socket listening on ``host`` (a name or an address) and ``port`` (0: any free one).

    A name with addresses of both kinds is listened to on its IPv4 address, where clients look first.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        return WSGIServer.get_listener(address, _BACKLOG, family)
    except (OSError, UnicodeError) as error:
        raise CannotListenError(_explain(error, host, port)) from error


def serve(app: Flask, listener: Any, *, ready: Callable[[], None], exit_with_parent: bool) -> None:
    """Serve ``app`` until SIGINT or SIGTERM (or the end of stdin); replies still pending then are dropped."""
    _raise_file_limit()
    # Given a name, gevent does not ask the DNS for the one that belongs to the address.
    environ = {"SERVER_NAME": listener.getsockname()[0]}
    server = WSGIServer(listener, app, log=None, handler_class=_Handler, environ=environ)
    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, server.stop)
    if exit_with_parent:
        _when_stdin_ends(server.stop)
    server.start()
    ready()
    server.serve_forever()


class _Handler(WSGIHandler):
    """gevent's handler without Nagle's algorithm, and with a way to reset the connection.

    gevent sends headers and body separately. Nagle's algorithm would hold the body back until the client's
    delayed acknowledgement of the headers: some 40 ms more in every reply but a connection's first.
    """

    def __init__(self, sock: Any, *rest: Any) -> None:
        with suppress(OSError):  # the client may be gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, *rest)

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ[ABORT] = self._abort
        environ[SEND] = self._send
        return environ

    def _send(self, data: bytes) -> None:
        with suppress(OSError):
            self.socket.sendall(data)

    def _abort(self) -> None:
        """Have the close that follows reset the connection: it lingers for no time at all."""
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, 0))


def _explain(error: OSError | UnicodeError, host: str, port: int) -> str:
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"there is no host {host!r}; use --host 127.0.0.1"
    if error.errno == errno.EADDRINUSE:
        return f"port {port} of {host} is in use; choose another with --port, or any free one with --port 0"
    if error.errno == errno.EACCES:
        return f"not permitted to listen on port {port}; choose one above 1023 with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}; use --host 127.0.0.1"
    return f"cannot listen on port {port} of {host}: {error.strerror or error}"


def _when_stdin_ends(stop: Callable[[], None]) -> None:
    """Call ``stop`` in gevent's loop once standard input ends: whoever held its other end is gone.

    A thread reads, since gevent can watch neither files nor Windows pipes; waking the loop is the one thing
    that gevent allows from a thread.
    """
    wake = gevent.get_hub().loop.async_()
    wake.start(stop)

    def watch() -> None:
        with suppress(OSError):  # a stdin that was never open has ended too
            while os.read(0, 4096):
                pass
        wake.send()

    threading.Thread(target=watch, daemon=True).start()


def _raise_file_limit() -> None:
    """Allow as many connections as the system lets us; the usual soft limit of 1024 is soon reached."""
    if sys.platform == "win32":
        return
    import resource  # exists on Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
