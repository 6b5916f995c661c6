"""What carries the requests of lanes: a client of the service, by the transport that the workload names.

Both send the very same requests and read the very same replies: what differs is who speaks HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from ssl import create_default_context
from types import MappingProxyType
from typing import Any, Final, Protocol

from client import (
    Cause,
    Conversation,
    Dialect,
    Driver,
    Outgoing,
    PollingPolicy,
    Request,
    Response,
    Submission,
)
from client.blocking import VideoTranslationClient
from harness.live._exchange import Exchange
from scenarios import Transport

_CONNECTIONS: Final = 10_000  # a ceiling, not a reservation: no request waits for a connection


class Client(Protocol):
    """What lanes need of a client: it makes requests, sends them, and makes sense of the replies."""

    dialect: Dialect
    policy: PollingPolicy

    def asked(self, key: int | None, json: Mapping[str, Any] | None) -> Request:
        """Return the request that submits a job. Raises InvalidSetting."""

    def addressed(self, request: Request) -> Outgoing:
        """Return a request as it leaves. Raises InvalidSetting where it cannot."""

    def exchange(self, request: Request, timeout: float) -> Response:
        """Send a request and return the whole reply. Raises OSError."""

    def cause(self, error: BaseException) -> Cause:
        """Return why an exchange broke."""

    def submission(self, response: Response) -> Submission:
        """Return the job that a reply accepted. Raises SubmitFailed."""

    def conversation(
        self,
        job: Submission,
        *,
        policy: PollingPolicy,
        uniform: Callable[[int], float],
        started_at: float,
        epoch: float,
    ) -> Conversation:
        """Return the polling of a job."""

    def close(self) -> None:
        """Close the connections."""


class LeanClient(Driver):
    """The client whose requests an ``Exchange`` carries. Arguments as for the driver over requests.

    Nothing is ever sent twice, and a request's timeout bounds all of it, to the reply's last byte.
    """

    def __init__(
        self,
        base_url: str,
        policy: PollingPolicy,
        *,
        dialect: Dialect,
        ca: str | None,
    ) -> None:
        super().__init__(base_url, policy, dialect, None, None, None, resend=False)
        self._carry = Exchange(create_default_context(cafile=ca) if ca else None)

    def exchange(self, request: Request, timeout: float) -> Response:
        """Send a request and return the whole reply. Raises OSError, of which ``cause`` says why."""
        url, headers, body = self.addressed(request)
        content = None
        if body is not None:
            content = json.dumps(body, allow_nan=False).encode()
            if not any(name.lower() == "content-type" for name in headers):
                headers["Content-Type"] = "application/json"
        return self.reply(self._carry(request.method, url, headers, content, timeout))

    def close(self) -> None:
        """Close the connections."""
        self._carry.close()


def _over_requests(
    base_url: str, policy: PollingPolicy, *, dialect: Dialect, ca: str | None
) -> VideoTranslationClient:
    # A connection that the simulator resets is part of the experiment, and must not be mended unseen.
    return VideoTranslationClient(
        base_url, policy, dialect=dialect, ca=ca, connections=_CONNECTIONS, resend=False
    )


CLIENTS: Final[Mapping[Transport, Callable[..., Client]]] = MappingProxyType(
    {"lean": LeanClient, "requests": _over_requests}
)
"""How each transport makes a client: of the base address, a policy, ``dialect`` and ``ca``."""
