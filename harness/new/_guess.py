"""How an API speaks, guessed from one reply to a submission. Pure: data in, data out.

A known dialect is taken if the reply has its shape. Else the reply's members are looked through for those
that are called like an id, a state or an address, and words are sorted into states by what they mean
elsewhere. What the reply does not show is assumed, and said to be.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple
from urllib.parse import urljoin, urlsplit

from client import DIALECTS, ClientError, Dialect, JobRef, Response, Source, StatusCall, SubmitCall
from harness.new._telling import (
    DONE,
    ENDS,
    IDS,
    LOCATIONS,
    OF_REQUESTS,
    PLACES,
    STATES,
    WAITS,
    WORDS,
    Telling,
    meaning,
    plain,
)

_MOST_MEMBERS: Final = 400
_DEEPEST: Final = 6
_LONGEST_WORD: Final = 40
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_DOTTED: Final = re.compile(r"[A-Za-z_][\w-]*", re.ASCII)


class _Member(NamedTuple):
    """A member of the reply: its path, and its value, which is no mapping and no list."""

    path: tuple[str | int, ...]
    value: Any

    @property
    def name(self) -> str:
        names = [part for part in self.path if isinstance(part, str)]
        return "".join(each for each in (names[-1] if names else "").lower() if each not in "_-. ")

    @property
    def above(self) -> tuple[str | int, ...]:
        return self.path[:-1]


@dataclass(frozen=True)
class Guess:
    """A dialect, and what it rests on.

    dialect: the name of a known one, or a mapping as YAML has it. prefix: what the path of the submission has
    before the dialect's own. found: what the reply shows, in lines. assumed: what it does not, by the
    mapping's keys. job: the job that the reply is then about.
    """

    dialect: str | dict[str, Any]
    prefix: str
    found: tuple[str, ...]
    assumed: Mapping[str, str]
    job: JobRef

    @property
    def made(self) -> Dialect:
        """The dialect as the client has it."""
        return DIALECTS[self.dialect] if isinstance(self.dialect, str) else Dialect.of(self.dialect)


class NoJob(ValueError):
    """The reply names no job; says what it has instead."""


def guess(response: Response, method: str, path: str, *, by_name: bool = True) -> Guess:
    """Return how the API speaks that has answered a submission so.

    by_name: whether the submission is like that of a known dialect but for its body, so that a name may do.
    Raises NoJob when the reply names no job.
    """
    for name, dialect in DIALECTS.items():
        if dialect.submit.method == method and (job := _job_of(dialect, response)) is not None:
            own = dialect.submit.path
            if by_name and path.endswith(own):
                return Guess(name, path.removesuffix(own), (f"the reply has the shape of {name}",), {}, job)
            if _is_telling(dialect):
                return _like(name, dialect, response, method, path, job)
    return _own(response, method, path)


def _job_of(dialect: Dialect, response: Response) -> JobRef | None:
    """Return the job that a reply names in a dialect, None if it does not have the dialect's shape."""
    try:
        job = dialect.accepted(response)
    except ClientError:
        return None
    place = dialect.submit.location
    if not job.id or (place and place.read(response, response.document()) is None):
        return None
    if "{+id}" in dialect.status.path and "/" not in job.id:
        return None
    try:
        dialect.read(response)
    except ClientError:  # without a state, an id where no other API has it is enough
        return job if "." in dialect.submit.id else None
    return job


def _is_telling(dialect: Dialect) -> bool:
    """Return whether a dialect's shape alone says which it is, wherever its paths are."""
    return dialect.submit.id != "id" or dialect.submit.location is not None


def _like(name: str, dialect: Dialect, response: Response, method: str, path: str, job: JobRef) -> Guess:
    """Return a known dialect at another path."""
    data = {"submit": _given(dialect.submit, SubmitCall()), "status": _given(dialect.status, StatusCall())}
    data["submit"] |= {"path": path} | ({} if method == "POST" else {"method": method})
    version = re.match(r"/v\d\w*(?=/)", path)
    if dialect.submit.location is not None:
        data["status"]["path"] = _template(urlsplit(job.url or "").path, job.id, path)
    elif "{+id}" in dialect.status.path:
        data["status"]["path"] = f"{version[0] if version else ''}/{{+id}}"
    else:
        data["status"]["path"] = f"{path.rstrip('/')}/{{id}}"
    made = Dialect.of(data)
    assumed = {} if dialect.submit.location else {"status.path": "the reply names no address"}
    return Guess(data, "", (f"the reply has the shape of {name}",), assumed, made.accepted(response))


def _given(call: Any, usual: Any) -> dict[str, Any]:
    """Return a call as YAML has it: what differs from the usual one."""
    data = {}
    for each in fields(call):
        value = getattr(call, each.name)
        if each.init and value != getattr(usual, each.name):
            if isinstance(value, Source):
                value = {"header": value.header} if value.header else {"body": value.body}
            data[each.name] = list(value) if isinstance(value, tuple) else value
    return data


def _own(response: Response, method: str, path: str) -> Guess:
    members = list(_members(response.document()))
    place = _place(response, members)
    url = urljoin(response.url, place.url) if place else None
    identity = _identity(members, url)
    if identity is None and place is None:
        raise NoJob(_described(members))
    found, assumed = [], dict[str, str]()
    submit: dict[str, Any] = ({} if method == "POST" else {"method": method}) | {"path": path}
    status: dict[str, Any] = {}
    if response.status_code not in SubmitCall().accepted:
        submit["accepted"] = [response.status_code]
    job_id = None
    if identity is not None:
        submit["id"] = _expression(identity.path)
        job_id = str(identity.value)
        found.append(f"the job's id at {submit['id']}")
    submit["location"] = None if place is None else place.source
    if place is not None:
        found.append(f"where to poll in {place.said}")
    else:
        assumed["status.path"] = "the reply names no address"
    status["path"] = _template(urlsplit(url or "").path, job_id, path)
    status |= _state(members, identity, found, assumed)
    if identity is not None:
        status["id"] = submit["id"]
    if ends := _best(members, ENDS, _is_moment):
        status["finished_at"] = _expression(ends.path)
        found.append(f"the moment of the end at {status['finished_at']}")
    if waits := _best(
        members, WAITS, lambda each: isinstance(each.value, int | float) and each.value is not True
    ):
        unit = "ms" if re.search(r"ms$|millis$", waits.name) else "s"
        status["hints"] = [{"body": _expression(waits.path), "unit": unit}]
        found.append(f"when to come back at {_expression(waits.path)}")
    data = {"submit": submit, "status": status}
    return Guess(data, "", tuple(found), assumed, Dialect.of(data).accepted(response))


def _is_moment(member: _Member) -> bool:
    """Return whether this may be when the job ended; null: it has not yet."""
    return member.value is None or (isinstance(member.value, str | int | float) and member.value is not True)


def _members(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[_Member]:
    """Yield what the reply has, of lists the first item."""
    stack: list[tuple[Any, tuple[str | int, ...]]] = [(value, path)]
    seen = 0
    while stack and seen < _MOST_MEMBERS:
        value, path = stack.pop()
        seen += 1
        if isinstance(value, Mapping) and len(path) < _DEEPEST:
            stack += [(inner, (*path, name)) for name, inner in reversed(list(value.items()))]
        elif isinstance(value, list) and value and len(path) < _DEEPEST:
            stack.append((value[0], (*path, 0)))
        elif path and not isinstance(value, Mapping | list):
            yield _Member(path, value)


def _expression(path: tuple[str | int, ...]) -> str:
    """Return a member's path as JMESPath has it, and as a dotted name where that will do."""
    if all(isinstance(part, str) and _DOTTED.fullmatch(part) for part in path):
        return ".".join(map(str, path))
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _PLAIN.fullmatch(part) else json.dumps(part)
            text += f".{name}" if text else name
    return text


def _best(
    members: list[_Member],
    names: Telling,
    fits: Callable[[_Member], bool],
    bonus: Callable[[_Member], int] = lambda _member: 0,
) -> _Member | None:
    """Return the member whose name says most of those that fit; None if there is none."""
    best, most = None, 0
    for member in filter(fits, members):
        points = next((points for name, points in names if re.fullmatch(name, member.name)), 0)
        if points and (points := points + bonus(member) - len(member.path)) > most:
            best, most = member, points
    return best


class _Where(NamedTuple):
    url: str
    source: dict[str, str]
    said: str


def _place(response: Response, members: list[_Member]) -> _Where | None:
    """Return where the reply says at which address to poll: in a header, else in a member."""
    for name in LOCATIONS:
        if value := response.header(name):
            return _Where(value, {"header": name}, f"the header {name}")

    def leads(member: _Member) -> bool:
        return isinstance(member.value, str) and re.match(r"https?://|/\w", member.value) is not None

    found = _best(members, PLACES, leads)
    if found is None:
        return None
    return _Where(found.value, {"body": _expression(found.path)}, _expression(found.path))


def _identity(members: list[_Member], url: str | None) -> _Member | None:
    """Return the member that names the job: one that stands in its address, or else is called like an id."""
    segments = {part for part in urlsplit(url or "").path.split("/") if part}

    def fits(member: _Member) -> bool:
        value = member.value
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            return False
        return len(str(value)) <= 512 and not re.search(r"\s|://", str(value))

    def bonus(member: _Member) -> int:
        return 100 if str(member.value) in segments else 0

    return _best(members, IDS, fits, bonus)


def _template(place: str, job_id: str | None, path: str) -> str:
    """Return the path of a job with ``{id}`` in it, from its address if that names it."""
    if job_id is not None and "/" in job_id and place.endswith(job_id):
        return f"{place.removesuffix(job_id)}{{+id}}"
    parts = place.split("/")
    if job_id is not None and job_id in parts:
        parts[len(parts) - 1 - parts[::-1].index(job_id)] = "{id}"
        return "/".join(parts)
    return f"{path.rstrip('/')}/{{{'+' if job_id and '/' in job_id else ''}id}}"


def _state(
    members: list[_Member], identity: _Member | None, found: list[str], assumed: dict[str, str]
) -> dict[str, Any]:
    """Return the state's keys, and note whether the reply shows them."""
    home = identity.above if identity else ()
    lists: dict[str, list[str]] = {state: list(words) for state, words in WORDS.items()}

    def fits(member: _Member) -> bool:
        value = member.value
        if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_WORD or not plain(value):
            return False
        # What ended, and stands outside of the job, speaks of the request: {"status": "done", "data": ...}.
        ended = (meaning(value) or "pending") != "pending"
        return not ended or (member.above == home and plain(value) not in OF_REQUESTS)

    def bonus(member: _Member) -> int:
        return 50 * (meaning(member.value) is not None) + 15 * (member.above == home)

    if member := _best(members, STATES, fits, bonus):
        word = member.value
        known = meaning(word)
        lists[known or "pending"] = [
            word,
            *(each for each in lists[known or "pending"] if plain(each) != plain(word)),
        ]
        expression = _expression(member.path)
        found.append(f"the state at {expression}: {word!r}")
        if known is None:
            assumed["status.pending"] = f"{word!r} is taken for a job that is not finished"
        return {"state": expression, **lists}
    if done := _best(members, DONE, lambda each: each.value is False):
        name = _expression(done.path)
        error = _expression((*done.above, "error"))
        found.append(f"the state at {name}: false until the end")
        assumed["status.state"] = f"a job that is done and has {error} ended badly"
        ended = f"{name} && ({error} && 'error' || 'completed')"
        return {"state": f"{ended} || {name} == `false` && 'pending' || `null`"}
    assumed["status.state"] = "the reply tells no state"
    taken = {member.path for member in members}
    name = next((name for name in ("status", "state", "phase") if (*home, name) not in taken), "job_status")
    return {"state": _expression((*home, name)), **lists}


def _described(members: list[_Member]) -> str:
    names = [_expression(member.path) for member in members[:12]]
    return f"its members are {', '.join(names)}" if names else "it holds no JSON object"
