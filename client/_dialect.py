"""How one API says it all: requests out, replies in. Without input or output.

A ``Dialect`` is data: where jobs are submitted and read, which members of a reply hold what, and which words
mean which state. Its methods turn that into requests and make sense of replies; drivers only carry them.
``NATIVE`` is the dialect of ``python -m server``, the wire contract of this project.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from ._calls import IMPLICIT, Source, StatusCall, SubmitCall, made
from ._checks import InvalidSetting
from ._errors import SubmitFailed
from ._events import JobState
from ._expressions import find
from ._hints import Hint, read_hint
from ._maker import maker
from ._records import JobRef, JobStatus
from ._retry_after import since
from ._sent import without_secrets
from ._unread import problem_of, read_failed, submit_failed, undeclared
from ._wire import Request, Response, cut, excerpt

_ACCEPT: Final[Mapping[str, str]] = {"Accept": "application/json"}
_ASKED: Final = {**_ACCEPT, "Cache-Control": "no-cache"}  # ask the service, not a cache before it

_request: Final = maker(Request)
_job_status: Final = maker(JobStatus)
_WHOLE: Final = 2.0**53  # JSON's whole numbers beyond are not exact in most languages
_NATIVE_SUBMIT: Final = SubmitCall(accepted=(202,), location=None, key="key")
_NATIVE_STATUS: Final = StatusCall(attempt="Poll-Attempt", implicit=IMPLICIT)
# What our simulator understands under every dialect but its own, which has members for these.
_KEY_HEADER: Final = "Backoff-Job-Key"
_FINISHED_AGO: Final = Source(header="Backoff-Finished-Ago")


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's way to submit a job and to tell its status; by default that of ``python -m server``.

    name: what messages call it. source: where it is documented.
    """

    submit: SubmitCall = _NATIVE_SUBMIT
    status: StatusCall = _NATIVE_STATUS
    name: str = field(default="own", compare=False, kw_only=True)
    source: str = field(default="", compare=False, kw_only=True)

    @classmethod
    def of(cls, data: Mapping[str, Any], *, name: str = "own", source: str = "") -> Dialect:
        """Return the dialect that plain data describes, by the names of the fields, as YAML or JSON has it.

        What is left out is as ``SubmitCall()`` and ``StatusCall()`` have it, not as the native dialect does:
        three codes are accepted, a Location is followed, and neither keys nor numbers of polls are sent.
        Raises InvalidSetting.
        """
        for key in data:
            if key not in ("submit", "status"):
                raise InvalidSetting("dialect", key, "give submit and status")
        submit = made(SubmitCall, "submit", data.get("submit") or {})
        status = made(StatusCall, "status", data.get("status") or {})
        return cls(submit, status, name=name, source=source)

    def describe(self) -> str:
        """Return in one line where jobs are submitted and read, and the words for their states."""
        submit, status = self.submit, self.status
        place = submit.location and (submit.location.header or submit.location.body)
        read = f"{status.method} {status.path}" + (f" (or where {place} says)" if place else "")
        lists = {"pending": status.pending, "completed": status.completed, "error": status.error}
        words = "; ".join(f"{state}: {', '.join(map(str, said))}" for state, said in lists.items())
        return f"{self.name}: {submit.method} {submit.path}, then {read}; by {status.state}: {words}"

    def with_truth(self) -> Dialect:
        """Return this dialect as it is spoken with our simulator, which knows more than a real service tells.

        The job's key travels in ``Backoff-Job-Key``, the poll's number in ``Poll-Attempt``, and terminal
        replies say in ``Backoff-Finished-Ago`` how many seconds ago the job ended. The native dialect has
        members for these, and is returned as it is. Secrets stay at home: what holds one is not sent.
        """
        if self == NATIVE:
            return self
        submit = replace(without_secrets(self.submit), key_header=_KEY_HEADER)
        status = replace(
            without_secrets(self.status),
            attempt=_NATIVE_STATUS.attempt,
            finished_ago=_FINISHED_AGO,
            finished_at=None,
        )
        return replace(self, submit=submit, status=status)

    def submission(self, key: int | None = None) -> Request:
        """Return the request that submits a job; without a key the service chooses its course."""
        call = self.submit
        body = call.json if key is None or call.key is None else {**call.json, call.key: key}
        keyed = {} if key is None or call.key_header is None else {call.key_header: str(key)}
        sent = None if call.method in ("GET", "HEAD") and not body else dict(body)
        return Request(call.method, call.path, dict(_ACCEPT), sent, {**call.headers, **keyed}, call.query)

    def accepted(self, response: Response) -> JobRef:
        """Return the job that a reply to a submission accepted, or raise SubmitFailed."""
        call, document = self.submit, response.document()
        hint = self._hint(response, document)
        if failed := submit_failed(call, response, document, hint):
            raise failed
        place = call.location.read(response, document) if call.location else None
        named = find(document, call.id)
        job_id = _name(named)
        if named == "" and (ended := self.ended(response)) and ended.status == "completed":
            return JobRef()  # it is done, and there is nothing to poll
        if job_id is None and place is None:
            said = f"the reply names no job id: {excerpt(response.body)}"
            unknown = undeclared(response, "submit.id", "submit.location")
            raise SubmitFailed(response.status_code, said, False, unknown)
        where = place or response.header("Location")
        url = _joined(response.url, where) if where else self._url(response.url, job_id)
        if place is not None and not _can_be_polled(url):
            said = f"the reply names no place that can be polled: {cut(repr(place))}"
            unknown = undeclared(response, "submit.location")
            raise SubmitFailed(response.status_code, said, False, unknown)
        return JobRef(job_id, url)

    def ended(self, response: Response) -> JobStatus | None:
        """Return the status that a reply to a submission tells, None unless the job has ended by then."""
        document = response.document()
        state = self.status.state_of(find(document, self.submit.status or self.status.state))
        return None if state in (None, "pending") else self._status(state, response, document)

    def hint(self, response: Response) -> Hint | None:
        """Return when a reply, to a submission or a status request, says to come back."""
        return self._hint(response, response.document())

    def poll(self, job: JobRef, attempt: int | None = None) -> Request:
        """Return status request number ``attempt`` (from 1; None: not one of a count) for this job."""
        call, headers = self.status, _ASKED.copy()
        if attempt is not None and call.attempt is not None:
            headers[call.attempt] = str(attempt)
        path = job.url if self.submit.location and job.url else call.place(job.id)
        return _request(call.method, path, headers, None, call.headers, call.query)

    def read(self, response: Response) -> JobStatus:
        """Return the status that a reply to a status request tells, or raise StatusReadFailed.

        A 2xx is what its state says, whatever the number; a code in ``not_ready`` is a pending job; a 303 to
        the result, a completed one; all else is a failed read, which says nothing of the job. A 2xx whose
        state is no word of the dialect raises UnknownState. Only the state decides: a progress or
        finish that cannot be understood is dropped rather than costing the client the job's end.
        """
        call, code = self.status, response.status_code
        document = response.document()
        hint = self._hint(response, document)
        good = 200 <= code < 300 and problem_of(call.problem, response, document) is None
        word = find(document, call.state) if good else None  # "error" elsewhere is about the request
        state = call.state_of(word)
        if state is None and code in call.not_ready:
            state = "pending"
        result = response.header("Location") if code == 303 else None
        if result is not None:  # See Other: it is done, and its result is there
            state = "completed"
        if state is None:
            raise read_failed(call, response, document, word, hint)
        told = document if good else None
        url = result and _joined(response.url, result)
        return self._status(state, response, told, hint, url, word if isinstance(word, str | int) else None)

    def _status(
        self,
        state: JobState,
        response: Response,
        document: object,
        hint: Hint | None = None,
        result_url: str | None = None,
        word: str | int | None = None,
    ) -> JobStatus:
        call = self.status
        job_id = find(document, call.id)
        ago = self._finished_ago(response, document)
        if ago is None and call.finished_at is not None:
            ago = since(find(document, call.finished_at), response.header("Date"), response.now_epoch)
        return _job_status(
            id=job_id if isinstance(job_id, str) else None,
            status=state,
            progress=_finite(find(document, call.progress)) if call.progress else None,
            finished_ago=ago,
            retry_after=hint.seconds if hint else None,
            hint=hint.name if hint else None,
            result_url=result_url,
            word=word,
        )

    def _hint(self, response: Response, document: object) -> Hint | None:
        return read_hint(response, document, self.status.hints)

    def _finished_ago(self, response: Response, document: object) -> float | None:
        where = self.status.finished_ago
        if not isinstance(where, Source):
            return _finite(find(document, where)) if where else None
        said = where.find(response, document)
        return _finite(_decimal(said) if isinstance(said, str) else said)

    def _url(self, asked: str, job_id: str | None) -> str:
        """Return a job's address below the base address that the submission went to, if that can be told."""
        address, path = asked.partition("?")[0], self.submit.path.partition("?")[0]
        below = address.removesuffix(path) if address.endswith(path) else ""
        return below + self.status.place(job_id)


NATIVE: Final = Dialect(name="native", source="docs/simulator.md of this project")
"""The dialect of ``python -m server``."""


def _name(found: object) -> str | None:
    """Return a job's id, as text, None if this is none: it is a text that can be sent, or a whole number."""
    if isinstance(found, float) and found.is_integer() and abs(found) < _WHOLE:
        found = int(found)
    if isinstance(found, int) and not isinstance(found, bool):
        return str(found)
    return found if isinstance(found, str) and found and _is_text(found) else None


def _is_text(value: str) -> bool:
    """Return whether this is text: JSON can spell halves of characters, which nothing can send."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _can_be_polled(url: str) -> bool:
    if not _is_text(url):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _joined(base: str, url: str) -> str:
    try:
        return urljoin(base, url)
    except ValueError:
        return url


def _decimal(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) else None
