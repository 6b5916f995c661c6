"""Replies that are none: what the host does on the connection, for each fault of that kind.

WSGI has no way to do so, hence a WSGI host puts two callables into the environment: one that makes closing
the connection reset it, one that sends bytes as they are. Where there are none, the host drops the
connection: for a client that is much the same.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from flask import Response

import scenarios

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ABORT: Final = "backoff.abort_connection"
"""Where in the WSGI environment a host puts a callable that makes closing the connection reset it."""

SEND: Final = "backoff.send_raw"
"""Where it puts a callable that sends bytes as they are."""

_GARBAGE: Final = bytes(byte for byte in range(128, 256)) * 4 + b"\r\n"


class Ending(NamedTuple):
    """How a connection ends instead of a reply: after these bytes, which are none; ``resets``: by a reset."""

    sends: bytes = b""
    resets: bool = False


ENDINGS: Final[Mapping[type[scenarios.NamedFault], Ending]] = {
    scenarios.ConnectionReset: Ending(resets=True),
    scenarios.EmptyResponse: Ending(),
    scenarios.MalformedChunk: Ending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + _GARBAGE),
    scenarios.RandomData: Ending(_GARBAGE),
}
"""What a fault asks for: a row for each ``scenarios.Unanswered``."""


class Dropped(Response):
    """Send nothing that is a reply, and have the connection closed.

    The error is raised when the response is sent, since Flask would turn one raised by a view into a 500.
    Hosts take it for a client that has left.
    """

    def __init__(self, ending: Ending) -> None:
        super().__init__()
        self._ending = ending

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> NoReturn:
        del start_response
        if self._ending.sends and (send := environ.get(SEND)):
            send(self._ending.sends)
        if self._ending.resets and (abort := environ.get(ABORT)):
            abort()
        raise ConnectionResetError(errno.ECONNRESET, "simulated end of the connection")
