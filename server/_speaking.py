"""How a dialect speaks: what the board says becomes status codes, headers and bytes.

Pure, without a web framework: whatever host answers a request says the same. A dialect is a row of data and
small functions (``server._dialects`` has those with a name); this file turns rows into replies.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from scenarios import has_body
from server._replies import Reply, Ticket

State: TypeAlias = Literal["queued", "running", "completed", "error"]
"""What has become of a job; ``queued`` and ``running`` are two ways to be pending."""

KEY_HEADER: Final = "Backoff-Job-Key"
"""Holds the job's key in submissions, under every dialect but the native one, which has a member for it."""
JSON: Final = "application/json"
"""The media type of nearly all there is to say."""
PROBLEM: Final = "application/problem+json"
"""The media type of problem documents (RFC 9457)."""

FINISHED_AGO_HEADER: Final = "Backoff-Finished-Ago"
"""Tells the seconds since the job's end in terminal replies, likewise."""

_FAILURE: Final = "a failure that the scenario asks for"
_FAILURES: Final = {
    404: "there is no such job; the id of a job comes from {}",
    429: "too many status requests; the Retry-After header says when to come back",
}


class Answer(NamedTuple):
    """A whole reply, ready to be sent."""

    status_code: int
    headers: dict[str, str]
    body: bytes


class Place(NamedTuple):
    """Where a request found the service.

    origin: ``http://host:port``. root: the path below which the service is mounted. path: what was asked.
    """

    origin: str
    root: str
    path: str


class Subject(NamedTuple):
    """All that a reply may tell of a job.

    created, finished: seconds since 1970 UTC; finished is None before the end. finished_ago: seconds.
    hint: seconds after which to come back, None for no such advice. path, url: where its status is read.
    """

    id: str
    state: State
    progress: float
    created: float
    finished: float | None
    finished_ago: float | None
    hint: int | None
    path: str
    url: str


class Route(NamedTuple):
    """A kind of request: its method, its path as a rule of Flask's, the parameter that names the job."""

    method: str
    rule: str
    query: str | None

    @classmethod
    def of(cls, text: str) -> Route:
        """Return the route of ``GET /status?id=<job_id>``, say."""
        method, _, target = text.partition(" ")
        rule, _, query = target.partition("?")
        return cls(method, rule, query.partition("=")[0] or None)

    def path(self, job_id: str) -> str:
        """Return where this job is read; ids need no escaping."""
        query = f"?{self.query}={job_id}" if self.query else ""
        return self.rule.replace("<job_id>", job_id) + query


class HintHeader(NamedTuple):
    """The header of pending replies that says when to come back; its unit is the ``per_second``-th of one."""

    name: str
    per_second: float = 1


Says: TypeAlias = Callable[[Subject, str], Any]
"""What a body says of a job, given the dialect's word for its state."""
Refuses: TypeAlias = Callable[[int, str, str], Any]
"""The body of a reply that refuses: its status code, why, and the path that was asked."""


def title(status: int) -> str:
    """Return the name of a status code; scenarios may choose codes that nobody has registered."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Client Error" if status < 500 else "Server Error"


def problem(status: int, detail: str, path: str) -> dict[str, Any]:
    """Return a problem document (RFC 9457): what is wrong, for people and programs."""
    document = {"type": "about:blank", "title": title(status), "status": status, "detail": detail}
    return {**document, "instance": path}


def iso(epoch: float) -> str:
    """Return a moment as ISO 8601 has it, in UTC."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encoded(document: Any) -> bytes:
    """Return a JSON value as it is sent: compact, with a line's end for whoever reads it in a terminal."""
    return _compact(document).encode() + b"\n"


_compact: Final = json.JSONEncoder(separators=(",", ":")).encode  # json.dumps would make one each time


def _nowhere(_job: Subject) -> Mapping[str, str]:
    return {}


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API as the simulator speaks it.

    source: where the API is documented. submit, status: where jobs are submitted and read, the usual way
    first; a status request that names no job is about the implicit one.
    words: what each state is called. says: the body of status replies; accepts: that of submissions, if it is
    another. accepted: the status code of an accepted submission; codes: those of replies that tell of a
    state, where not 200. place: the headers of an accepted submission that say where to poll.
    hint: where pending replies say when to come back, None where the body does; refusals use Retry-After.
    key: the member of a submission's body that may hold the job's key; strict: it is the only one allowed.
    Where it is not, a header holds the key. ago: the headers that tell how long ago a job's end was.
    refuses: the body of errors; refusals: its media type.
    """

    source: str
    submit: tuple[Route, ...]
    status: tuple[Route, ...]
    words: Mapping[State, str]
    says: Says
    accepts: Says | None = None
    accepted: int = 200
    codes: Mapping[State, int] = field(default_factory=lambda: MappingProxyType({}))
    place: Callable[[Subject], Mapping[str, str]] = _nowhere
    hint: HintHeader | None = HintHeader("Retry-After")  # noqa: RUF009 -- a tuple
    key: str | None = None
    strict: bool = False
    ago: tuple[str, ...] = (FINISHED_AGO_HEADER,)
    refuses: Refuses = problem
    refusals: str = PROBLEM

    def accept(self, job_id: str, ticket: Ticket, reply: Reply, place: Place, epoch: float) -> Answer:
        """Return the reply to an accepted submission; ``epoch`` is the board's time zero since 1970."""
        job = self._subject(job_id, ticket, reply, place, epoch)
        job = job._replace(state="queued")
        body = (self.accepts or self.says)(job, self.words["queued"])
        return self._answer(self.accepted, {**self._hinted(job.hint), **self.place(job)}, body)

    def tell(self, job_id: str, ticket: Ticket | None, reply: Reply, place: Place, epoch: float) -> Answer:
        """Return the reply to a status request: of the job's state, or that the request failed."""
        if ticket is None or reply.job is None:
            detail = _FAILURES.get(reply.status_code, _FAILURE).format(" ".join(self.submit[0][:2]))
            return self.refuse(reply.status_code, detail, place.path, reply.retry_after)
        job = self._subject(job_id, ticket, reply, place, epoch)
        headers = self._hinted(job.hint)
        if job.finished_ago is not None:
            headers |= dict.fromkeys(self.ago, f"{job.finished_ago:.6f}")
        body = self.says(job, self.words[job.state])
        return self._answer(self.codes.get(job.state, reply.status_code), headers, body)

    def refuse(self, status: int, detail: str, path: str, retry_after: int | None = None) -> Answer:
        """Return the reply to a request that fails; ``retry_after`` is in seconds."""
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        return self._answer(status, headers, self.refuses(status, detail, path), self.refusals)

    def _hinted(self, seconds: int | None) -> dict[str, str]:
        if seconds is None or self.hint is None:
            return {}
        return {self.hint.name: str(seconds * self.hint.per_second)}

    def _answer(self, status: int, headers: Mapping[str, str], body: Any, kind: str = JSON) -> Answer:
        told = {"Cache-Control": "no-store", **headers}
        if not has_body(status):
            return Answer(status, told, b"")
        return Answer(status, {"Content-Type": kind, **told}, encoded(body))

    def _subject(self, job_id: str, ticket: Ticket, reply: Reply, place: Place, epoch: float) -> Subject:
        view = reply.job
        assert view is not None  # noqa: S101 - the callers have looked
        pending: State = "queued" if reply.at < ticket.started_at else "running"
        path = place.root + self.status[0].path(job_id)
        return Subject(
            id=job_id,
            state=pending if view.status == "pending" else view.status,
            progress=view.progress,
            created=epoch + ticket.submitted_at,
            finished=None if view.finished_ago is None else epoch + reply.at - view.finished_ago,
            finished_ago=view.finished_ago,
            hint=reply.retry_after,
            path=path,
            url=place.origin + path,
        )
