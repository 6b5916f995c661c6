"""How one API says it all: requests out, replies in. Without input or output.

A ``Dialect`` is data: where jobs are submitted and read, which members of a reply hold what, and which words
mean which state. Its methods turn that into requests and make sense of replies; drivers only carry them.
``NATIVE`` is the dialect of ``python -m server``, the wire contract of this project.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from ._checks import InvalidSetting
from ._errors import StatusReadFailed, SubmitFailed
from ._events import Failure, JobState
from ._records import JobRef, JobStatus
from ._retry_after import parse_retry_after

_DETAIL_LENGTH: Final = 200
_ACCEPT: Final[Mapping[str, str]] = {"Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Request:
    """One request to send: nothing in it but what the API asks for.

    path: from the service's base address on, or a whole address.
    json: the body as a value, None for no body.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    json: object = None

    def url(self, base_url: str) -> str:
        """Return the whole address, given that of the service (without a slash at its end)."""
        return base_url + self.path if self.path.startswith("/") else self.path


@dataclass(frozen=True, slots=True)
class Response:
    """One reply, whole.

    headers: names in any case; they are compared without it. url: where it came from. now_epoch: the wall
    clock when it came, in seconds since 1970 UTC, for hints that are dates.
    """

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    url: str = ""
    now_epoch: float = 0.0

    def header(self, name: str) -> str | None:
        """Return a header's value, None when it is absent."""
        wanted = name.lower()
        for key, value in self.headers.items():
            if key.lower() == wanted:
                return value
        return None

    def retry_after(self, name: str) -> float | None:
        """Return the seconds that the hint in this header asks for, None when there is none to be read."""
        value = self.header(name)
        if value is None:
            return None
        return parse_retry_after(value, date=self.header("Date"), now_epoch=self.now_epoch)


@dataclass(frozen=True, slots=True)
class SubmitCall:
    """How a job is submitted.

    key: the member of the body that carries a job's key. accepted: the status codes of an accepted job.
    id: the member of the reply that names the job. location: the header with the job's own address.
    """

    method: str = "POST"
    path: str = "/jobs"
    key: str = "key"
    accepted: tuple[int, ...] = (202,)
    id: str = "id"
    location: str = "Location"


@dataclass(frozen=True, slots=True)
class StatusCall:
    """How a job's status is read.

    path: with ``{id}`` for the job's id. implicit: the path of the service's one implicit job.
    attempt: the header that carries the number of the request.
    state: the member of the reply that holds the job's state, one of the words in ``pending``, ``completed``
    and ``error``. progress, finished_ago: members; finished_ago in seconds by the server's clock.
    hint: the header that says when to come back (seconds or a date).
    """

    method: str = "GET"
    path: str = "/jobs/{id}"
    implicit: str = "/status"
    attempt: str = "Poll-Attempt"
    id: str = "id"
    state: str = "status"
    pending: tuple[str, ...] = ("pending",)
    completed: tuple[str, ...] = ("completed",)
    error: tuple[str, ...] = ("error",)
    progress: str = "progress"
    finished_ago: str = "finished_ago"
    hint: str = "Retry-After"

    def state_of(self, word: object) -> JobState | None:
        """Return what a word of the server says of the job, None if it is no such word."""
        if word in self.pending:
            return "pending"
        if word in self.completed:
            return "completed"
        return "error" if word in self.error else None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's way to submit a job and to tell its status; by default that of ``python -m server``."""

    submits: SubmitCall = SubmitCall()
    reads: StatusCall = StatusCall()

    def submission(self, key: int | None = None) -> Request:
        """Return the request that submits a job; without a key the service chooses its course."""
        body = {} if key is None else {self.submits.key: key}
        return Request(self.submits.method, self.submits.path, _ACCEPT, body)

    def accepted(self, response: Response) -> JobRef:
        """Return the job that a reply to a submission accepted, or raise SubmitFailed."""
        if response.status_code not in self.submits.accepted:
            raise SubmitFailed(response.status_code, read_detail(response.body))
        job_id = (_json_object(response.body) or {}).get(self.submits.id)
        if not isinstance(job_id, str) or not job_id:
            raise SubmitFailed(response.status_code, f"the reply names no job id: {_excerpt(response.body)}")
        location = response.header(self.submits.location)
        return JobRef(job_id, urljoin(response.url, self._path(job_id) if location is None else location))

    def status(self, job: JobRef, attempt: int | None = None) -> Request:
        """Return status request number ``attempt`` (from 1; None: not one of a count) for this job."""
        headers = _ACCEPT if attempt is None else {**_ACCEPT, self.reads.attempt: str(attempt)}
        return Request(self.reads.method, self._path(job.id), headers)

    def read(self, response: Response) -> JobStatus:
        """Return the status that a reply to a status request tells, or raise StatusReadFailed.

        Only the state decides: a progress or finished_ago that is no number is dropped rather than costing
        the client the job's end.
        """
        call, code = self.reads, response.status_code
        hint = response.retry_after(call.hint)
        if code != 200:
            raise StatusReadFailed(Failure.http(code, read_detail(response.body)), hint)
        document = _json_object(response.body)
        if document is None:
            said = f"no JSON object: {_excerpt(response.body)}"
            raise StatusReadFailed(Failure("malformed", code, said), hint)
        state = call.state_of(document.get(call.state))
        if state is None:
            told = call.state in document
            said = f"{call.state} {document[call.state]!r}" if told else f"no {call.state}"
            raise StatusReadFailed(Failure("malformed", code, said[:_DETAIL_LENGTH]), hint)
        job_id = document.get(call.id)
        return JobStatus(
            id=job_id if isinstance(job_id, str) else None,
            status=state,
            progress=_finite(document.get(call.progress)),
            finished_ago=_finite(document.get(call.finished_ago)),
            retry_after=hint,
        )

    def _path(self, job_id: str | None) -> str:
        return self.reads.implicit if job_id is None else self.reads.path.format(id=quote(job_id, safe=""))


NATIVE: Final = Dialect()
"""The dialect of ``python -m server``."""


def checked_url(base_url: str) -> str:
    """Return an address that drivers can use, or raise InvalidSetting."""
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed [IPv6] host, or a port that is no port number
        usable = False
    if not usable:
        raise InvalidSetting("base_url", base_url, "give an address like http://127.0.0.1:5000")
    return base_url


def read_detail(body: bytes) -> str:
    """Return what a failing reply says: the detail or title of problem+json (RFC 9457), else its text."""
    problem = _json_object(body) or {}
    for member in ("detail", "title"):
        text = problem.get(member)
        if isinstance(text, str) and text:
            return text[:_DETAIL_LENGTH]
    return _excerpt(body)


def _json_object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # bad JSON, bad UTF-8, or brackets nested without end
        return None
    return document if isinstance(document, dict) else None


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) else None


def _excerpt(body: bytes) -> str:
    return " ".join(body[:_DETAIL_LENGTH].decode("utf-8", "replace").split()) or "empty body"
