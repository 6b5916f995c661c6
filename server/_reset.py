"""A reply that is none: the client sees its connection reset."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ABORT = "backoff.abort_connection"
"""Where in the WSGI environment a host puts a callable that makes closing the connection reset it."""


class ConnectionReset(Response):
    """Send nothing and reset the connection, where the host can; elsewhere the host drops it.

    The error is raised when the response is sent, since Flask would turn one raised by a view into a 500.
    """

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> NoReturn:
        del start_response
        if abort := environ.get(ABORT):
            abort()
        raise ConnectionResetError(errno.ECONNRESET, "simulated connection reset")
