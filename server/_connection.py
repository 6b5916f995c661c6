"""HTTP/1.1 on one connection: requests come in whole and in order, bytes go out.

The parsing is llhttp's (httptools). Around it stand the bounds that keep a client from holding more than its
share: of a head, of a body, of requests sent ahead of their replies, and of time.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from email.utils import formatdate
from functools import lru_cache
from time import monotonic, time
from typing import Any, Final, Protocol

import httptools
from werkzeug.http import HTTP_STATUS_CODES

from scenarios import has_body
from server._no_reply import Ending

_MOST_HEAD: Final = 1 << 16  # bytes
_MOST_AHEAD: Final = 16  # requests that wait for the replies to those before them
_PATIENCE_S: Final = 30.0  # for the rest of a request, and for a client to read why it is sent away
_LINGER: Final = struct.Struct("hh" if sys.platform == "win32" else "ii")
_FULL: Final = b"too many connections at once; --connections allows more, as far as the system does\n"
_REQUEST_LINE: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}) ([!-~]{1,8192}) HTTP/1\.[01]\r?\n")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request:
    """A request as it came in. Names of headers are in lower case; what came twice is joined by a comma.

    overfull: its body is larger than may be, and not all of it is here.
    """

    __slots__ = (
        "body",
        "chunked",
        "headers",
        "keep_alive",
        "length",
        "method",
        "overfull",
        "target",
        "version",
    )

    def __init__(self) -> None:
        self.method = self.version = ""
        self.target = b""
        self.headers: dict[str, str] = {}
        self.body = b""
        self.length: int | None = None
        self.chunked = self.keep_alive = self.overfull = False


class Service(Protocol):
    """What answers the requests of all connections."""

    def room(self, request: Request) -> int:
        """Return how many bytes the body of this request may have."""

    def answer(self, request: Request, connection: Connection) -> None:
        """Answer a request, now or later, by ``reply``, by ``begin`` and ``write``, or by ``end``."""

    def opened(self, connection: Connection) -> bool:
        """Note that a connection has been made; return whether there is room for it."""

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""


class Connection(asyncio.Protocol):
    """One client's connection; ``peer`` is its address, ``local`` ours."""

    peer: str
    local: tuple[str, int]

    def __init__(self, service: Service) -> None:
        self._service = service
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._coming = Request()
        self._pieces: list[bytes] = []
        self._size = 0  # bytes of the head while it comes, then of the body
        self._in_head = False
        self._since: float | None = None  # when the request began, or should have, that is not all here
        self._asked = False
        self._ahead: deque[Request] = deque()
        self._current: Request | None = None
        self._blocked = self._paused = False  # writing, reading
        self._ending = False  # nothing more is read
        self._going = False

    # --- what asyncio calls -----------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Take the connection, unless there are too many."""
        self._transport = transport
        self._since = monotonic()
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self.peer = peer[0] if peer else ""
        self.local = local[:2] if local else ("127.0.0.1", 80)
        with suppress(OSError, AttributeError):  # the client may be gone already
            # Replies that drip would wait for each other's acknowledgement, some 40 ms each.
            transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._service.opened(self):
            self._since = None
            self._refuse(503, _FULL)

    def data_received(self, data: bytes) -> None:
        """Read on, and answer what is all here."""
        if self._ending:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self._ahead:  # what follows is in a language of its own
                self._ahead[-1].keep_alive = False
            self._stop_reading()
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserInvalidMethodError) and self._unheard_of(data):
                return
            self._bad()
            return
        if self._in_head:
            self._size += len(data)
            if self._size > _MOST_HEAD:
                self._bad(431)
                return
        self._go_on()
        if len(self._ahead) >= _MOST_AHEAD and not self._paused and not self._ending:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Send the replies that are due before closing too."""
        self._ending = True
        return self._current is not None or bool(self._ahead)  # asyncio closes where there is none

    def connection_lost(self, _error: Exception | None) -> None:
        """Forget the client; what it asked for counts all the same."""
        self._ending = True
        self._transport = self._parser = None
        self._ahead.clear()
        self._service.closed(self)

    def pause_writing(self) -> None:
        """Answer no more while the client does not read."""
        self._blocked = True

    def resume_writing(self) -> None:
        """Answer what has come meanwhile."""
        self._blocked = False
        self._go_on()

    # --- what the parser calls --------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._coming = Request()
        self._pieces = []
        self._size = 0
        self._in_head = self._asked = True
        self._since = monotonic()

    def on_url(self, url: bytes) -> None:
        """Take a piece of its target."""
        self._coming.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; those behind a body tell nothing that matters."""
        if not self._in_head:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._coming.headers
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    def on_headers_complete(self) -> None:
        """Take stock: the body comes next."""
        request, parser = self._coming, self._parser
        request.method = parser.get_method().decode("latin-1")
        request.version = parser.get_http_version()
        request.keep_alive = parser.should_keep_alive()
        self._in_head = False
        self._size = 0
        headers = request.headers
        request.chunked = "transfer-encoding" in headers
        if "content-length" in headers:
            request.length = int(headers["content-length"])
            if request.length > self._service.room(request):
                self._overfull()
                return
        idle = self._current is None and not self._ahead and not self._ending
        if idle and request.version == "1.1" and headers.get("expect", "").lower() == "100-continue":
            self._write(_CONTINUE)

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        if self._coming.overfull:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._service.room(self._coming):
            self._overfull()

    def on_message_complete(self) -> None:
        """Have the request answered: it is all here."""
        self._since = None
        if not self._coming.overfull:
            self._take()

    # --- requests, one after the other ------------------------------------------------------------------

    def _take(self) -> None:
        if self._ending:
            return
        self._coming.body = b"".join(self._pieces)
        self._ahead.append(self._coming)

    def _unheard_of(self, data: bytes) -> bool:
        """Have a request answered whose method the parser does not know; return whether it is one at all.

        Its head and body stay unread: nothing is done by such a method, and nothing can follow.
        """
        line = _REQUEST_LINE.match(data)
        if line is None or self._current is not None or self._ahead:
            return False
        self._coming = request = Request()
        request.method, request.target, request.version = line[1].decode("ascii"), line[2], "1.1"
        self._pieces = []
        self._take()
        self._stop_reading()
        self._go_on()
        return True

    def _overfull(self) -> None:
        """Have it refused at once; who is still sending must be told before the connection is closed."""
        self._coming.overfull = True
        self._coming.keep_alive = False
        self._take()
        self._stop_reading()

    def _go_on(self) -> None:
        if self._going:  # a reply was made in the very call that took the request
            return
        self._going = True
        while self._ahead and self._current is None and not self._blocked:
            self._current = request = self._ahead.popleft()
            if self._paused and not self._ending:
                self._paused = False
                self._transport.resume_reading()
            self._service.answer(request, self)
        self._going = False

    def _stop_reading(self) -> None:
        """Take no more requests; bytes that still come are thrown away."""
        self._ending = True
        self._since = None

    def check(self, now: float) -> None:
        """Send a client away that has not sent all of a request for a long time, or does not leave.

        One that has never asked for anything goes, too: it holds a place. Between two requests it may stay.
        """
        if self._since is not None and now - self._since > _PATIENCE_S:
            self._since = None
            if self._ending:
                self._abort()
            elif self._asked:
                self._bad(408)
            else:  # nothing was asked that a reply could be to
                self._transport.close()

    # --- replies ----------------------------------------------------------------------------------------

    def reply(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        """Send a whole reply to the request in hand; ``status`` is its code with its phrase."""
        self._write(self._head(status, headers) + body)
        self.finish()

    def begin(self, status: str, headers: Mapping[str, str]) -> None:
        """Send the head of a reply: ``write`` and ``finish`` follow."""
        self._write(self._head(status, headers))

    def write(self, data: bytes) -> None:
        """Send a piece of a body."""
        self._write(data)

    def finish(self) -> None:
        """Close the connection after the reply, if it is the last, or go on to the next request."""
        request, self._current = self._current, None
        if self._transport is None or request is None:
            return
        if request.overfull:
            self._linger()
        elif not request.keep_alive or (self._ending and not self._ahead):
            self._ending = True
            self._ahead.clear()
            self._transport.close()
        else:
            self._go_on()

    def end(self, ending: Ending) -> None:
        """End the connection instead of replying."""
        self._current = None
        self._ending = True
        self._ahead.clear()
        if self._transport is None:
            return
        self._write(ending.sends)
        if ending.resets:
            self._abort()
        else:
            self._transport.close()

    def _head(self, status: str, headers: Mapping[str, str]) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        request = self._current
        if request is None or not request.keep_alive:
            lines += "Connection: close\r\n"
        elif request.version == "1.0":
            lines += "Connection: keep-alive\r\n"
        return f"HTTP/1.1 {status}\r\n{lines}{_date(int(time()))}\r\n".encode("latin-1")

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def _bad(self, status: int = 400) -> None:
        """Take no more: what came is no request. Those before it are answered first."""
        self._stop_reading()
        if self._current is None and not self._ahead:
            self._refuse(status)
            return
        self._go_on()

    def _refuse(self, status: int, body: bytes = b"") -> None:
        self._ending = True
        kind = {"Content-Type": "text/plain"} if body else {}
        self._write(self._head(status_line(status), {**kind, "Content-Length": str(len(body))}) + body)
        if self._transport is not None:
            self._transport.close()

    def _linger(self) -> None:
        """End our side and read on: closing now would reset the connection and destroy the reply."""
        if self._transport.can_write_eof():
            self._transport.write_eof()
            self._since = monotonic()
        else:
            self._transport.close()

    def _abort(self) -> None:
        """Close with a reset: without lingering."""
        if self._transport is not None:
            with suppress(OSError, AttributeError):
                sock = self._transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER.pack(1, 0))
            self._transport.abort()


@lru_cache(maxsize=1024)
def status_line(code: int) -> str:
    """Return a status code with its phrase, as Flask writes it."""
    return f"{code} {HTTP_STATUS_CODES.get(code, 'Unknown').upper()}"


@lru_cache(maxsize=1)
def _date(now: int) -> str:
    return f"Date: {formatdate(now, usegmt=True)}\r\n"


def sized(status: int, headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    """Return the headers with the body's length, where a reply of this status has a body."""
    return {**headers, "Content-Length": str(len(body))} if has_body(status) else headers
