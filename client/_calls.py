"""A dialect's data: how one API is asked, and where its replies say what. Checked when it is made.

Wherever a reply's member is named, any expression of JMESPath will do: ``data.status``, ``jobs[0].id``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from inspect import signature
from typing import Any, Final, TypeVar
from urllib.parse import quote

from ._checks import InvalidSetting, put
from ._events import JobState
from ._expressions import checked_expression, find
from ._hints import HintField
from ._sent import check_name, check_sent, check_token
from ._wire import Response

_T = TypeVar("_T")
IMPLICIT: Final = "/status"
"""Where the service's one implicit job is, unless a dialect says where."""
_STATES: Final[tuple[JobState, ...]] = ("pending", "completed", "error")
_IGNORED: Final = str.maketrans("", "", "_-")
_ID: Final = re.compile(r"\{(\+?)id\}")
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_.~-]*")
_IN_PATHS: Final = "/:@!$&'()*+,;="  # what RFC 3986 lets stand in a path, unescaped


@dataclass(frozen=True, slots=True)
class Source:
    """Where a reply says something: a header, or a member of its body; give one of the two.

    Raises InvalidSetting.
    """

    header: str | None = None
    body: str | None = None

    def __post_init__(self) -> None:
        if (self.header is None) == (self.body is None):
            raise InvalidSetting("location", self.header, "give a header or a body, and one of the two")
        check_name("location.header", self.header)
        if self.body is not None:
            checked_expression("location.body", self.body)

    def find(self, response: Response, document: Any) -> Any:
        """Return the value that the reply has here, a header's as text; None when it has none."""
        return response.header(self.header) if self.header else find(document, self.body or "")

    def read(self, response: Response, document: Any) -> str | None:
        """Return the text that the reply has here, None when it has none."""
        value = self.find(response, document)
        return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class SubmitCall:
    """How a job is submitted.

    json: the body. headers, query: sent to the service alone, never to another origin. ``${NAME}`` in these
    three is a secret: it is taken from the environment when a request is sent, and shown nowhere.
    key: the member added to the body that carries a job's key, key_header: a header that does; None to send
    none.
    accepted: the status codes of an accepted job. id: where the reply names the job, by text or number.
    location: where the reply says at which address to poll, whole or relative to where it came from; None, or
    a reply without one: ``StatusCall.path``. status: where the reply tells the job's state, None: where
    replies to status requests do. A job that has ended by then is not polled. problem: as in ``StatusCall``.

    Raises InvalidSetting naming the field, its value and what would be right.
    """

    method: str = "POST"
    path: str = "/jobs"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    key_header: str | None = None
    accepted: tuple[int, ...] = (200, 201, 202)
    id: str = "id"
    location: Source | None = Source(header="Location")
    status: str | None = None
    problem: str | None = None

    def __post_init__(self) -> None:
        _check_method(self.method)
        check_name("key_header", self.key_header)
        _check_path("path", self.path)
        put(self, "accepted", _codes("accepted", self.accepted))
        checked_expression("id", self.id)
        for name in ("status", "problem"):
            _checked_optional(name, getattr(self, name))
        if self.location is not None:
            put(self, "location", made(Source, "location", self.location))
        if self.key is not None and not isinstance(self.key, str):
            raise InvalidSetting("key", self.key, "give the name of a member of the body")
        check_sent(self)


@dataclass(frozen=True, slots=True)
class StatusCall:
    """How a job's status is read. What a reply means comes from its code and its body together.

    path: with ``{id}`` for the job's id, or ``{+id}`` for one whose slashes are part of the path (RFC 6570).
    implicit: the path of the service's one implicit job; None: it has none, as far as the command is
    concerned, and a request without an id goes to ``/status``. headers, query: as in ``SubmitCall``.
    attempt: the header that carries the number of the request, None to send none.
    state: where the reply holds the job's state, one of the words in ``pending``, ``completed`` and
    ``error``; case, blanks, ``_`` and ``-`` do not count.
    not_ready: codes that say "pending", unless the reply is a 2xx whose state says otherwise.
    retryable: codes of failed reads that are worth another try, besides those that always are.
    problem: the member that a 2xx has when it is about a request that failed: such a reply tells no state.
    progress: a member. finished_ago: a member, or a ``Source``: seconds since the job's end by the server's
    clock. finished_at: instead, the moment of the job's end, compared with the reply's own Date.
    hints: where replies, those to submissions included, say when to come back, besides the usual headers.

    Raises InvalidSetting naming the field, its value and what would be right: for a word in two lists, a path
    without ``{id}``, an expression that does not parse.
    """

    method: str = "GET"
    path: str = "/jobs/{id}"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    implicit: str | None = None
    attempt: str | None = None
    id: str = "id"
    state: str = "status"
    pending: tuple[str, ...] = ("pending",)
    completed: tuple[str, ...] = ("completed",)
    error: tuple[str, ...] = ("error",)
    not_ready: tuple[int, ...] = ()
    retryable: tuple[int, ...] = ()
    problem: str | None = None
    progress: str | None = "progress"
    finished_ago: str | Source | None = "finished_ago"
    finished_at: str | None = None
    hints: tuple[HintField, ...] = ()
    _states: Mapping[str, JobState] = field(init=False, repr=False, compare=False)
    _around: tuple[str, ...] = field(init=False, repr=False, compare=False)  # the path without the ids

    def __post_init__(self) -> None:
        _check_method(self.method)
        check_name("attempt", self.attempt)
        if self.implicit is not None:
            _check_path("implicit", self.implicit)
        _check_path("path", self.path)
        if not _ID.search(self.path):
            raise InvalidSetting("path", self.path, "put {id} where the job's id belongs")
        for name in ("id", "state"):
            checked_expression(name, getattr(self, name))
        for name in ("problem", "progress", "finished_at"):
            _checked_optional(name, getattr(self, name))
        put(self, "finished_ago", _source("finished_ago", self.finished_ago))
        for name in ("not_ready", "retryable"):
            put(self, name, _codes(name, getattr(self, name)))
        if not isinstance(self.hints, list | tuple):
            raise InvalidSetting("hints", self.hints, "give a list of headers and members")
        put(self, "hints", tuple(made(HintField, "hints", each) for each in self.hints))
        states: dict[str, JobState] = {}
        for state in _STATES:
            put(self, state, _words(state, getattr(self, state)))
            for word in getattr(self, state):
                known = states.setdefault(_plain(word), state)
                if known != state:
                    raise InvalidSetting(state, word, f"it is in {known} too; keep it in one of the two")
        put(self, "_states", states)
        put(self, "_around", tuple(_ID.split(self.path)[::2]))
        check_sent(self)

    def place(self, job_id: str | None) -> str:
        """Return the path at which a job is read; None: the implicit one's."""
        if job_id is None:
            return self.implicit or IMPLICIT
        if _UNQUOTED.fullmatch(job_id):  # as most are, and this is asked at every poll
            return job_id.join(self._around)
        return _ID.sub(lambda found: quote(job_id, safe=_IN_PATHS if found[1] else ""), self.path)

    def state_of(self, word: object) -> JobState | None:
        """Return what a word of the server says of the job, None if it is no such word."""
        if not isinstance(word, str | int):
            return None
        exactly = self._states.get(word) if isinstance(word, str) else None
        return exactly or self._states.get(_plain(word))


def _checked_optional(field: str, expression: str | None) -> None:
    if expression is not None:
        checked_expression(field, expression)


def _source(field: str, given: str | Source | Mapping[str, Any] | None) -> str | Source | None:
    """Return where something lies: a member's expression as it is, the rest as a Source."""
    if given is None or isinstance(given, str):
        _checked_optional(field, given)
        return given
    try:
        return made(Source, field, given)
    except InvalidSetting as error:
        raise InvalidSetting(field, error.value, error.remedy) from None


def made(kind: type[_T], field: str, data: _T | Mapping[str, Any]) -> _T:
    """Return an instance, made from plain data unless it is one; raise InvalidSetting for unknown names."""
    if isinstance(data, kind):
        return data
    if not isinstance(data, Mapping):
        raise InvalidSetting(field, data, f"give a {kind.__name__} or its fields")
    known = list(signature(kind).parameters)
    for name in data:
        if name not in known:
            near = get_close_matches(str(name), known, 1)
            also = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise InvalidSetting(field, name, f"it is no field of this; {also}")
    return kind(**data)


def _plain(word: object) -> str:
    """Return a state as it is compared: ``In Progress``, ``IN_PROGRESS`` and ``inProgress`` are one word."""
    return "".join(str(word).casefold().split()).translate(_IGNORED)


def _check_method(method: object) -> None:
    check_token("method", method if method is not None else "", "a method of HTTP, such as GET or POST")


def _check_path(field: str, path: object) -> None:
    if not isinstance(path, str) or not path.startswith(("/", "http://", "https://")):
        raise InvalidSetting(field, path, "begin it with a slash: it hangs below the base address")
    if "${" in path:
        raise InvalidSetting(field, path, "put secrets into headers, query or json; paths are shown")
    if "#" in path or not path.isprintable():
        raise InvalidSetting(field, path, "leave away what no request can send: a fragment, line breaks")


def _codes(field: str, codes: int | Iterable[int]) -> tuple[int, ...]:
    if isinstance(codes, int):
        codes = (codes,)
    if not isinstance(codes, Iterable):
        raise InvalidSetting(field, codes, "give a list of status codes")
    found = tuple(codes)
    for code in found:
        if not isinstance(code, int) or not 100 <= code <= 599:
            raise InvalidSetting(field, code, "give status codes, from 100 to 599")
    return found


def _words(field: str, words: Iterable[str]) -> tuple[str, ...]:
    if isinstance(words, str | Mapping) or not isinstance(words, Iterable):
        raise InvalidSetting(field, words, "give a list of words")
    found = tuple(words)
    for word in found:
        if not isinstance(word, str | int) or not _plain(word):
            raise InvalidSetting(field, word, "give words")
    return found
