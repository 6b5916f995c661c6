"""What is done with a submission and a status request, whatever host took it: bytes go out.

A host (Flask's views, or the server below them) reads the request, asks here, waits until the reply is due
and sends what ``told`` makes of it. Nothing here waits, and what is wrong with a request is raised before it
counts, so that a host may hand it on to another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from server._no_reply import ENDINGS, Ending
from server._parsing import Texts, client_name, poll_attempt, submitted_key
from server._replies import InService, NoReply, Reply
from server._simulator import Simulator
from server._speaking import Answer, Place


class Asked(NamedTuple):
    """A request, as far as it matters here; ``peer`` is the client's address."""

    place: Place
    headers: Texts
    parameters: Texts
    peer: str
    body: bytes = b""


class Pending(NamedTuple):
    """A reply that has been settled, and what is sent when it is due."""

    reply: Reply | NoReply | InService
    told: Callable[[Reply | NoReply], Answer | Ending]


def answer_submission(simulator: Simulator, asked: Asked) -> Pending:
    """Accept a job. Raises werkzeug's HTTPException for a request that cannot be understood."""
    key = submitted_key(asked.headers.get("backoff-job-key"), asked.body, simulator.dialect)
    job_id, ticket, reply = simulator.submit(key)
    return Pending(reply, lambda _due: simulator.accept(job_id, ticket, reply, asked.place))


def answer_status(simulator: Simulator, asked: Asked, job_id: str | None) -> Pending:
    """Answer for a job: for the implicit one, which started with the server, where none is named.

    ``job_id`` is the one that the path names; the query may name one too.
    Raises werkzeug's HTTPException for a request that cannot be understood.
    """
    headers = asked.headers
    if job_id is None:
        for route in simulator.dialect.status:
            if job_id is None and route.query is not None:
                job_id = asked.parameters.get(route.query)
    named, ticket, reply = simulator.poll(
        job_id, poll_attempt(headers.get("poll-attempt")), client_name(headers, asked.peer)
    )

    def told(due: Reply | NoReply) -> Answer | Ending:
        if isinstance(due, NoReply):
            return ENDINGS[type(due.fault)]
        return simulator.tell(named, ticket, due, asked.place)

    return Pending(reply, told)
