"""How one API says it all: requests out, replies in. Without input or output.

A ``Dialect`` is data: where jobs are submitted and read, which members of a reply hold what, and which words
mean which state. Its methods turn that into requests and make sense of replies; drivers only carry them.
``NATIVE`` is the dialect of ``python -m server``, the wire contract of this project.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urljoin, urlsplit

from ._calls import StatusCall, SubmitCall, made
from ._checks import InvalidSetting
from ._errors import StatusReadFailed, SubmitFailed, UnknownState
from ._events import Failure, JobState, is_retryable
from ._expressions import find
from ._hints import Hint, read_hint
from ._records import JobRef, JobStatus
from ._retry_after import since
from ._wire import Request, Response, cut, excerpt, read_detail

_ACCEPT: Final[Mapping[str, str]] = {"Accept": "application/json"}
_FRESH: Final[Mapping[str, str]] = {"Cache-Control": "no-cache"}  # ask the service, not a cache before it


_NATIVE_SUBMIT: Final = SubmitCall(accepted=(202,), location=None)
_NATIVE_STATUS: Final = StatusCall()


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's way to submit a job and to tell its status; by default that of ``python -m server``."""

    submit: SubmitCall = _NATIVE_SUBMIT
    status: StatusCall = _NATIVE_STATUS

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Dialect:
        """Return the dialect that plain data describes, by the names of the fields, as YAML or JSON has it.

        What is left out of ``submit`` is as ``SubmitCall()`` has it, not as the native dialect does (three
        codes are accepted, and a Location is followed). Raises InvalidSetting.
        """
        for key in data:
            if key not in ("submit", "status"):
                raise InvalidSetting("dialect", key, "give submit and status")
        submit = made(SubmitCall, "submit", data.get("submit") or {})
        return cls(submit, made(StatusCall, "status", data.get("status") or {}))

    def submission(self, key: int | None = None) -> Request:
        """Return the request that submits a job; without a key the service chooses its course."""
        call = self.submit
        keyed = {} if key is None or call.key is None else {call.key: key}
        return Request(call.method, call.path, _ACCEPT, {**call.json, **keyed}, call.headers)

    def accepted(self, response: Response) -> JobRef:
        """Return the job that a reply to a submission accepted, or raise SubmitFailed."""
        call, code, document = self.submit, response.status_code, response.document()
        if code not in call.accepted:
            said = read_detail(response.body)
            if 200 <= code < 300:
                said = f"the dialect's submit.accepted does not have this code: {said}"
            raise SubmitFailed(code, said)
        place = call.location.read(response, document) if call.location else None
        named = find(document, call.id)
        if isinstance(named, int) and not isinstance(named, bool):
            named = str(named)
        job_id = named if isinstance(named, str) and named else None
        if job_id is None and place is None:
            raise SubmitFailed(code, f"the reply names no job id: {excerpt(response.body)}")
        where = place or response.header("Location")
        base = response.url.removesuffix(call.path)  # with the base address's own path
        url = base + self._path(job_id) if where is None else _joined(response.url, where)
        if place is not None and not _can_be_polled(url):
            raise SubmitFailed(code, f"the reply names no place that can be polled: {cut(repr(place))}")
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
        call = self.status
        counted = {} if attempt is None or call.attempt is None else {call.attempt: str(attempt)}
        path = job.url if self.submit.location and job.url else self._path(job.id)
        return Request(call.method, path, {**_ACCEPT, **_FRESH, **counted}, None, call.headers)

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
        if not 200 <= code < 300:
            document = None  # a status of "error" there is about the request
        word = find(document, call.state)
        state = call.state_of(word)
        if state is None and code in call.not_ready:
            state = "pending"
        result = response.header("Location") if code == 303 else None
        if result is not None:  # See Other: it is done, and its result is there
            state = "completed"
        if state is not None:
            return self._status(state, response, document, hint, result and _joined(response.url, result))
        if not 200 <= code < 300:
            retryable = code in call.retryable or is_retryable(code, hinted=hint is not None and hint.asked)
            failure = Failure(f"http {code}", code, read_detail(response.body), retryable=retryable)
        elif not isinstance(document, dict):
            failure = Failure("malformed", code, f"no JSON object: {excerpt(response.body)}")
        elif isinstance(word, str | int):
            raise UnknownState(call.state, word, code, *(hint or ())[:2])
        else:
            said = f"no {call.state}" if word is None else f"{call.state} is no word: {json.dumps(word)}"
            failure = Failure("malformed", code, cut(said))
        raise StatusReadFailed(failure, *(hint or ())[:2])

    def _status(
        self,
        state: JobState,
        response: Response,
        document: object,
        hint: Hint | None = None,
        result_url: str | None = None,
    ) -> JobStatus:
        call = self.status
        job_id = find(document, call.id)
        ago = _finite(find(document, call.finished_ago))
        if ago is None and call.finished_at is not None:
            ago = since(find(document, call.finished_at), response.header("Date"), response.now_epoch)
        return JobStatus(
            id=job_id if isinstance(job_id, str) else None,
            status=state,
            progress=_finite(find(document, call.progress)),
            finished_ago=ago,
            retry_after=hint.seconds if hint else None,
            hint=hint.name if hint else None,
            result_url=result_url,
        )

    def _hint(self, response: Response, document: object) -> Hint | None:
        return read_hint(response, document, self.status.hints)

    def _path(self, job_id: str | None) -> str:
        call = self.status
        return call.implicit if job_id is None else call.path.replace("{id}", quote(job_id, safe=""))


NATIVE: Final = Dialect()
"""The dialect of ``python -m server``."""


def _can_be_polled(url: str) -> bool:
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


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) else None
