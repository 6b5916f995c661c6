"""Connections as the blocking client needs them: replies bounded in time, and one kind of break told apart.

A reply that drips is bounded byte by byte, from its status line to its end, by the time that was left when it
was awaited; the standard library's own timeout begins anew with each byte.

A server may close an idle connection at any time, also while the next request is on its way (RFC 9112,
section 9.5). Such a request may go out again on another connection if it is safe to repeat (RFC 9110, section
9.2.2): a status request is, a submission is not, for the job may have been accepted.
"""

from __future__ import annotations

import io
import math
import time
from http.client import HTTPConnection, HTTPResponse
from typing import Any, Final

from ._wire import Request

_SAFE: Final = ("GET", "HEAD")


def may_be_resent(request: Request) -> bool:
    """Return whether sending a request twice does no more than sending it once."""
    return request.method in _SAFE


class ClosedBefore(ConnectionResetError):
    """The server closed a kept connection, and not one byte of a reply had come."""


class KeptConnection(HTTPConnection):
    """A mixin: raises ClosedBefore where a connection that had served a request was closed on the next."""

    _served = 0
    _came: _Timed | None = None

    def connect(self) -> None:
        self._served = 0
        super().connect()

    def response_class(self, sock: Any, **options: Any) -> HTTPResponse:  # type: ignore[override]
        """Return a reply that must be whole within the socket's timeout, and that notes whether it began."""
        reply = HTTPResponse(sock, **options)
        self._came = _Timed(reply.fp.detach(), sock)
        reply.fp = io.BufferedReader(self._came)
        return reply

    def getresponse(self) -> Any:
        try:
            reply = super().getresponse()
        except ConnectionError as error:
            if self._served and (self._came is None or not self._came.bytes):
                raise ClosedBefore(*error.args) from error
            raise
        self._served += 1
        return reply


class _Timed(io.RawIOBase):
    """What comes from a socket: counted, and all of it within the socket's timeout from now on."""

    def __init__(self, raw: Any, sock: Any) -> None:
        timeout = sock.gettimeout()
        self._raw = raw
        self._socket = sock
        self._until = math.inf if timeout is None else time.monotonic() + timeout
        self.bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if (left := self._until - time.monotonic()) <= 0:
            raise TimeoutError("the reply was not whole in time")
        if left < math.inf:
            self._socket.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        self.bytes += count or 0
        return count

    def fileno(self) -> int:
        number: int = self._raw.fileno()
        return number

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()
