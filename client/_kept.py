"""Kept connections: one that the server closed before it read a request, told from one that broke later.

A server may close an idle connection at any time, also while the next request is on its way (RFC 9112,
section 9.5). Such a request may go out again on another connection if it is safe to repeat (RFC 9110, section
9.2.2): a status request is, a submission is not, for the job may have been accepted.
"""

from __future__ import annotations

import io
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
    _came: _Counted | None = None

    def connect(self) -> None:
        self._served = 0
        super().connect()

    def response_class(self, sock: Any, **options: Any) -> HTTPResponse:  # type: ignore[override]
        """Return a reply that notes whether anything of it came."""
        reply = HTTPResponse(sock, **options)
        self._came = _Counted(reply.fp.detach())
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


class _Counted(io.RawIOBase):
    """What comes from a socket, counted."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
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
