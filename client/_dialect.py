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
from typing import Final
from urllib.parse import quote, urljoin

from ._checks import InvalidSetting, put
from ._errors import StatusReadFailed, SubmitFailed, UnknownState
from ._events import Failure, JobState, is_retryable
from ._hints import Hint, HintField, read_hint
from ._records import JobRef, JobStatus
from ._wire import Request, Response, cut, excerpt, find, read_detail

_ACCEPT: Final[Mapping[str, str]] = {"Accept": "application/json"}
_FRESH: Final[Mapping[str, str]] = {"Cache-Control": "no-cache"}  # ask the service, not a cache before it
_STATES: Final[tuple[JobState, ...]] = ("pending", "completed", "error")
_IGNORED: Final = str.maketrans("", "", "_-")


def _plain(word: object) -> str:
    """Return a state as it is compared: ``In Progress``, ``IN_PROGRESS`` and ``inProgress`` are one word."""
    return "".join(str(word).casefold().split()).translate(_IGNORED)


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
    """How a job's status is read. What a reply means comes from its code and its body together.

    path: with ``{id}`` for the job's id. implicit: the path of the service's one implicit job.
    attempt: the header that carries the number of the request.
    state: the member of the reply that holds the job's state, one of the words in ``pending``, ``completed``
    and ``error``; case, blanks, ``_`` and ``-`` do not count. A dot leads into a member: ``data.status``.
    not_ready: codes that say "pending", unless the reply is a 2xx whose state says otherwise.
    retryable: codes of failed reads that are worth another try, besides those that always are.
    progress, finished_ago: members; finished_ago in seconds by the server's clock.
    hints: where replies, those to submissions included, say when to come back, besides the usual headers.

    Raises InvalidSetting for a word in two lists, and for a member that is no dotted name.
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
    not_ready: tuple[int, ...] = ()
    retryable: tuple[int, ...] = ()
    progress: str = "progress"
    finished_ago: str = "finished_ago"
    hints: tuple[HintField, ...] = ()
    _states: Mapping[str, JobState] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        states: dict[str, JobState] = {}
        for state in _STATES:
            for word in getattr(self, state):
                known = states.setdefault(_plain(word), state)
                if known != state:
                    raise InvalidSetting(state, word, f"it is in {known} too; keep it in one of the two")
        put(self, "_states", states)

    def state_of(self, word: object) -> JobState | None:
        """Return what a word of the server says of the job, None if it is no such word."""
        return self._states.get(_plain(word)) if isinstance(word, str | int) else None


@dataclass(frozen=True, slots=True)
class Dialect:
    """One API's way to submit a job and to tell its status; by default that of ``python -m server``."""

    submit: SubmitCall = SubmitCall()
    status: StatusCall = StatusCall()

    def submission(self, key: int | None = None) -> Request:
        """Return the request that submits a job; without a key the service chooses its course."""
        body = {} if key is None else {self.submit.key: key}
        return Request(self.submit.method, self.submit.path, _ACCEPT, body)

    def accepted(self, response: Response) -> JobRef:
        """Return the job that a reply to a submission accepted, or raise SubmitFailed."""
        if response.status_code not in self.submit.accepted:
            raise SubmitFailed(response.status_code, read_detail(response.body))
        job_id = find(response.document(), self.submit.id)
        if not isinstance(job_id, str) or not job_id:
            raise SubmitFailed(response.status_code, f"the reply names no job id: {excerpt(response.body)}")
        location = response.header(self.submit.location)
        return JobRef(job_id, urljoin(response.url, self._path(job_id) if location is None else location))

    def hint(self, response: Response) -> Hint | None:
        """Return when a reply, to a submission or a status request, says to come back."""
        return self._hint(response, response.document())

    def poll(self, job: JobRef, attempt: int | None = None) -> Request:
        """Return status request number ``attempt`` (from 1; None: not one of a count) for this job."""
        counted = {} if attempt is None else {self.status.attempt: str(attempt)}
        return Request(self.status.method, self._path(job.id), {**_ACCEPT, **_FRESH, **counted})

    def read(self, response: Response) -> JobStatus:
        """Return the status that a reply to a status request tells, or raise StatusReadFailed.

        A 2xx is what its state says, whatever the number; a code in ``not_ready`` is a pending job; all else
        is a failed read, which says nothing of the job. A 2xx whose state is no word of the dialect raises
        UnknownState. Only the state decides: a progress or finished_ago that is no number is dropped rather
        than costing the client the job's end.
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
        if state is not None:
            job_id = find(document, call.id)
            return JobStatus(
                id=job_id if isinstance(job_id, str) else None,
                status=state,
                progress=_finite(find(document, call.progress)),
                finished_ago=_finite(find(document, call.finished_ago)),
                retry_after=hint.seconds if hint else None,
                hint=hint.name if hint else None,
            )
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

    def _hint(self, response: Response, document: object) -> Hint | None:
        return read_hint(response, document, self.status.hints)

    def _path(self, job_id: str | None) -> str:
        return self.status.implicit if job_id is None else self.status.path.format(id=quote(job_id, safe=""))


NATIVE: Final = Dialect()
"""The dialect of ``python -m server``."""


def _finite(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        return None
    return number if math.isfinite(number) else None
