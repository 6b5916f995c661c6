"""Replies that are none: what the host does on the connection, for each fault of that kind.

WSGI has no way to do so, hence a host puts two callables into the environment: one that makes closing the
connection reset it, one that sends bytes as they are. Where there are none, the host drops the connection:
for a client that is much the same.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final, NoReturn

from flask import Response

import scenarios

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ABORT: Final = "backoff.abort_connection"
"""Where in the WSGI environment a host puts a callable that makes closing the connection reset it."""

SEND: Final = "backoff.send_raw"
"""Where it puts a callable that sends bytes as they are."""

_GARBAGE: Final = bytes(byte for byte in range(128, 256)) * 4 + b"\r\n"


class _Dropped(Response):
    """Send nothing that is a reply, and have the connection closed.

    The error is raised when the response is sent, since Flask would turn one raised by a view into a 500.
    Hosts take it for a client that has left.
    """

    sends: ClassVar[bytes] = b""
    resets: ClassVar[bool] = False

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> NoReturn:
        del start_response
        if self.sends and (send := environ.get(SEND)):
            send(self.sends)
        if self.resets and (abort := environ.get(ABORT)):
            abort()
        raise ConnectionResetError(errno.ECONNRESET, "simulated end of the connection")


class _Reset(_Dropped):
    resets = True


class _MalformedChunk(_Dropped):
    sends = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _GARBAGE


class _RandomData(_Dropped):
    sends = _GARBAGE


NO_REPLIES: Final[Mapping[type[scenarios.NamedFault], type[Response]]] = {
    scenarios.ConnectionReset: _Reset,
    scenarios.EmptyResponse: _Dropped,
    scenarios.MalformedChunk: _MalformedChunk,
    scenarios.RandomData: _RandomData,
}
"""The response that does what a fault asks for: a row for each ``scenarios.Unanswered``."""
