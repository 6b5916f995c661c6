"""What of a user's own dialect the simulator speaks: expressions turned round, from finding to placing.

A client may find a job's state by any expression of JMESPath. To say it, the simulator must know where to put
it, so each expression has to be a plain path: names and whole numbers, ``data.jobs[0].status``. All else that
it cannot say is told here as well, at the key that would have to change; what was left away and is in the way
of something else is not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import parse_qsl

from scenarios._dialect import OwnDialect
from scenarios.documents import LocalDiagnostic, YamlPath

Place: TypeAlias = tuple[str | int, ...]
"""Where in a JSON value something stands: names of members, and indices of lists."""

RESERVED_PATHS: Final = ("/admin", "/healthz", "/metrics")
"""Below these the simulator speaks for itself, whatever the dialect."""

_STEP: Final = re.compile(
    r'(?:^|\.)(?:([A-Za-z_][\w-]*)|"((?:[^"\\]|\\["\\/])*)")|\[([0-9]{1,2})\]', re.ASCII
)
_ID: Final = re.compile(r"\{\+?id\}")
_NO_BODY: Final = (204, 205, 304)
_PLAIN: Final = (
    "the simulator speaks plain paths alone, such as data.jobs[0].status; write one, or run against a target"
)


class Address(NamedTuple):
    """Where a request goes: a path, with ``{id}`` or without, and the parameter that names the job."""

    path: str
    query: str | None


def plain_place(expression: str) -> Place | None:
    """Return the place that a plain path names, None for an expression that is more than that."""
    place: list[str | int] = []
    at = 0
    while at < len(expression):
        step = _STEP.match(expression, at)
        if step is None:
            return None
        name, quoted, index = step.groups()
        place.append(int(index) if index else name or re.sub(r"\\(.)", r"\1", quoted))
        at = step.end()
    return tuple(place) or None


def address(path: str) -> Address:
    """Return how a dialect's path is served; its constant parameters are not asked for."""
    rule, _, query = path.partition("#")[0].partition("?")
    for name, value in parse_qsl(query, keep_blank_values=True):
        if _ID.fullmatch(value.replace(" ", "+")):
            return Address(_ID.sub("{id}", rule), name)
    return Address(_ID.sub("{id}", rule), None)


def has_body(code: int) -> bool:
    """Say whether a reply with this status code has one."""
    return code not in _NO_BODY


def submission_places(dialect: OwnDialect) -> dict[str, Place]:
    """Return where the reply to a submission says what: ``id``, ``url``, ``hint``, ``state``."""
    return _apart(_submission(dialect))


def status_places(dialect: OwnDialect) -> dict[str, Place]:
    """Return where a status reply says what.

    That is ``state``, ``hint``, ``id``, ``finished_ago``, ``finished_at`` and ``progress``, as far as they
    are said at all.
    """
    return _apart(_status(dialect))


class _Said(NamedTuple):
    path: YamlPath
    expression: str
    given: bool


def _submission(dialect: OwnDialect) -> Iterator[tuple[str, _Said]]:
    submit = dialect.submit
    yield "id", _Said(("submit", "id"), submit.id, "id" in submit.model_fields_set)
    if submit.location is not None and submit.location.body is not None:
        yield "url", _Said(("submit", "location", "body"), submit.location.body, True)
    yield from _hint(dialect)
    if submit.status is not None:
        yield "state", _Said(("submit", "status"), submit.status, True)
    else:
        yield "state", _Said(("status", "state"), dialect.status.state, False)


def _status(dialect: OwnDialect) -> Iterator[tuple[str, _Said]]:
    status = dialect.status
    yield "state", _Said(("status", "state"), status.state, True)
    yield from _hint(dialect)
    ago = status.finished_ago
    if ago is not None and not isinstance(ago, str):
        ago = ago.body
    members = {"id": status.id, "finished_ago": ago, "finished_at": status.finished_at}
    for name, expression in {**members, "progress": status.progress}.items():
        if expression is not None:
            yield name, _Said(("status", name), expression, name in status.model_fields_set)


def _hint(dialect: OwnDialect) -> Iterator[tuple[str, _Said]]:
    hints = dialect.status.hints
    if hints and hints[0].body is not None:
        yield "hint", _Said(("status", "hints", 0, "body"), hints[0].body, True)


def _apart(said: Iterator[tuple[str, _Said]]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for name, each in said:
        place = plain_place(each.expression)
        if place is not None and not any(_overlap(place, other) for other in places.values()):
            places[name] = place
    return places


def _overlap(one: Place, other: Place) -> bool:
    """Say whether two things cannot both be said: one stands in the other, or a list would be a mapping."""
    for mine, theirs in zip(one, other, strict=False):
        if type(mine) is not type(theirs):
            return True
        if mine != theirs:
            return False
    return True


def unspeakable(dialect: OwnDialect) -> Iterator[LocalDiagnostic]:
    """Yield what the simulator cannot say in this dialect, each with what would be right."""
    faults = {
        **_misplaced(dict(_submission(dialect)), submission_places(dialect), dialect.submit.problem),
        **_misplaced(dict(_status(dialect)), status_places(dialect), dialect.status.problem),
    }
    yield from faults.items()
    yield from _codes_and_words(dialect)
    yield from _paths(dialect)


def _misplaced(
    said: Mapping[str, _Said], places: Mapping[str, Place], problem: str | None
) -> dict[YamlPath, str]:
    faults: dict[YamlPath, str] = {}
    wrong = plain_place(problem) if problem else None
    for name, (path, expression, given) in said.items():
        place = plain_place(expression)
        if place is None and given:
            faults[path] = f"{expression!r} computes what it finds; {_PLAIN}"
        elif place is not None and name not in places and given:
            other = next(said[other] for other in places if _overlap(place, places[other]))
            faults[path] = (
                f"{expression!r} and {other.expression!r} are in each other's way; move one of them"
            )
        elif name in places and wrong is not None and places[name][: len(wrong)] == wrong:
            faults[path] = f"{expression!r} lies in {problem!r}, which says that a request failed; move one"
    return faults


def _codes_and_words(dialect: OwnDialect) -> Iterator[LocalDiagnostic]:
    submit, status = dialect.submit, dialect.status
    if not submit.accepted or submit.accepted[0] < 200:
        yield ("submit", "accepted"), "the simulator answers with the first of these; let it be 200 to 599"
    elif not has_body(submit.accepted[0]) and (submit.location is None or submit.location.header is None):
        yield (
            ("submit", "accepted"),
            (f"a reply with {submit.accepted[0]} has no body to name the job in; put another code first"),
        )
    if not status.pending and not (status.not_ready and status.not_ready[0] >= 200):
        yield (
            ("status", "pending"),
            ("the simulator has no word for a pending job; give one, or a code of 200 to 599 in not_ready"),
        )
    if not status.completed:
        yield ("status", "completed"), "the simulator has no word for a completed job; give one"


def _paths(dialect: OwnDialect) -> Iterator[LocalDiagnostic]:
    submit, status = dialect.submit, dialect.status
    given = {("submit", "path"): submit.path, ("status", "path"): status.path}
    if status.implicit is not None:
        given["status", "implicit"] = status.implicit
    for path, written in given.items():
        where, query = address(written)
        if not where.startswith("/"):
            yield (
                path,
                f"the simulator cannot answer at {written}; write what follows the host, from the slash on",
            )
        elif any(where == ours or where.startswith(f"{ours}/") for ours in RESERVED_PATHS):
            yield path, f"the simulator answers at {where} itself; take another path"
        elif re.search("[<>]", where):
            yield path, "the simulator cannot serve a path with < or > in it; take another"
        elif path == ("status", "path") and where.count("{id}") + bool(query) != 1:
            yield path, "the simulator finds {id} once: in the path, or as the whole value of a parameter"
    if (submit.method, address(submit.path).path) == (status.method, address(status.path).path):
        yield (
            ("status", "path"),
            "it is where jobs are submitted, too; the simulator cannot tell the two apart",
        )
