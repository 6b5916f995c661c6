"""Replies that are none: what the host does on the connection, for each named fault."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, NoReturn

from flask import Response

import scenarios

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

ABORT: Final = "backoff.abort_connection"
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


NO_REPLIES: Final[Mapping[str, type[Response]]] = {scenarios.ConnectionReset.name: ConnectionReset}
"""The response that does what a fault asks for, by its name: a row for each of ``scenarios.FAULTS``."""
