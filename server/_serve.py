"""Serving the application on an event loop: thousands of delayed replies at once, each an alarm.

The loop is uvloop's where there is one, else asyncio's own.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from math import inf
from typing import Any, Final

from flask import Flask

from server._host import Host

_BACKLOG: Final = 4096
_FILES_WANTED: Final = 65536
_FILES_SPARED: Final = 64  # for what is no connection


class CannotListenError(Exception):
    """The address cannot be listened on; the message says what to do."""


def open_listeners(host: str, port: int, number: int = 1) -> list[socket.socket]:
    """Return sockets listening on ``host`` (a name or an address) and ``port`` (0: any free one).

    Several share the port (SO_REUSEPORT). A name with addresses of both kinds is listened to on its IPv4
    address, where clients look first.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        first = listening(family, address)
        if number == 1:
            return [first]
        address = first.getsockname()
        first.close()  # it has found out that nobody else listens there, which those that share would not
        return [listening(family, address, shares=True) for _ in range(number)]
    except (OSError, UnicodeError) as error:
        raise CannotListenError(_explain(error, host, port)) from error


def listening(family: int, address: Any, *, shares: bool = False) -> socket.socket:
    """Return a socket that listens here, ``shares``: beside others. Raises OSError."""
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would share the port with whoever asks
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def serve(
    app: Flask, listener: socket.socket, *, ready: Callable[[], None], ends_with: int | None = None
) -> None:
    """Serve ``app`` until SIGINT or SIGTERM, or the end of the file ``ends_with``.

    Replies still pending then are dropped. ``app.config["MOST_CONNECTIONS"]`` are served at once, and no more
    than the system lets us open.
    """
    most = min(app.config.get("MOST_CONNECTIONS") or inf, _raise_file_limit() - _FILES_SPARED)
    loop = _new_loop()
    stopping = threading.Event()

    def stop() -> None:
        stopping.set()
        loop.call_soon_threadsafe(loop.stop)

    for number in (signal.SIGINT, signal.SIGTERM):
        _on_signal(loop, number, stop)
    if ends_with is not None:
        call_at_end(ends_with, stop)
    host = Host(app, loop, int(most))
    try:
        loop.run_until_complete(loop.create_server(host.protocol, sock=listener, backlog=_BACKLOG))
        ready()
        if not stopping.is_set():
            loop.run_forever()
    finally:
        host.close()
        listener.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # Windows, PyPy: there is none
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _on_signal(loop: asyncio.AbstractEventLoop, number: int, stop: Callable[[], None]) -> None:
    try:
        loop.add_signal_handler(number, stop)
    except NotImplementedError:  # Windows
        signal.signal(number, lambda *_: stop())


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


def call_at_end(file: int, stop: Callable[[], object]) -> None:
    """Call ``stop`` once this open file ends (standard input is 0): whoever held its other end is gone.

    A thread reads, since loops can watch neither files nor Windows pipes.
    """

    def watch() -> None:
        with suppress(OSError):  # a stdin that was never open has ended too
            while os.read(file, 4096):
                pass
        stop()

    threading.Thread(target=watch, daemon=True).start()


def _raise_file_limit() -> int:
    """Allow as many connections as the system lets us, and return how many files that is."""
    if sys.platform == "win32":
        return _FILES_WANTED
    import resource  # exists on Unix only

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES_WANTED if hard == resource.RLIM_INFINITY else min(_FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return _FILES_WANTED if soft == resource.RLIM_INFINITY else soft
