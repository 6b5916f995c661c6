"""A dialect of a user's own, spoken as its YAML says: every place that the client looks in is filled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from scenarios import OwnDialect, Place, address, has_body, status_places, submission_places
from server._dialects import DIALECTS
from server._speaking import FINISHED_AGO_HEADER, Dialect, HintHeader, Route, Says, Subject, iso

_IMPLICIT: Final = "/status"  # where the implicit job is, unless a dialect says where
_PER_SECOND: Final = {"ms": 1000, "s": 1, "m": 1 / 60, "h": 1 / 3600}


def spoken(dialect: str | OwnDialect) -> Dialect:
    """Return the speaking half of what a scenario's ``service.dialect`` names or declares."""
    return DIALECTS[dialect] if isinstance(dialect, str) else own_dialect(dialect)


def own_dialect(given: OwnDialect) -> Dialect:
    """Return the speaking half of what a scenario declares: its first words and codes, its paths, its hint.

    ``given`` has been found speakable when the scenario was read.
    """
    submit, status = given.submit, given.status
    pending = status.pending[0] if status.pending else ""
    code = 200 if pending else status.not_ready[0]
    location = submit.location.header if submit.location else None
    ago = None if isinstance(status.finished_ago, str | None) else status.finished_ago.header
    hint = status.hints[0] if status.hints else None
    unit = _PER_SECOND[hint.unit] if hint else 1
    header: HintHeader | None = HintHeader("Retry-After")
    if hint is not None and hint.header is not None:
        header = HintHeader(hint.header, unit)
    elif hint is not None and has_body(code):
        header = None
    return Dialect(
        source="the scenario",
        submit=(Route.of(f"{submit.method} {address(submit.path).path}"),),
        status=tuple(_status_routes(given)),
        words={
            "queued": pending,
            "running": pending,
            "completed": status.completed[0],
            "error": status.error[0] if status.error else "",
        },
        says=_says(status_places(given), unit),
        accepts=_says(submission_places(given), unit),
        accepted=submit.accepted[0],
        codes={"queued": code, "running": code},
        place=lambda job: {location: job.url} if location else {},
        hint=header,
        key=submit.key,
        ago=(FINISHED_AGO_HEADER, *([ago] if ago else ())),
    )


def _status_routes(given: OwnDialect) -> Iterator[Route]:
    """Yield where a job is read, and where the implicit one is, unless jobs are submitted there."""
    where = address(given.status.path)
    first = Route(given.status.method, where.path.replace("{id}", "<job_id>"), where.query)
    yield first
    implicit = Route(given.status.method, address(given.status.implicit or _IMPLICIT).path, None)
    if implicit.rule != first.rule and implicit != Route.of(
        f"{given.submit.method} {address(given.submit.path).path}"
    ):
        yield implicit


def _says(places: Mapping[str, Place], per_second: float) -> Says:
    def says(job: Subject, word: str) -> Any:
        body: Any = {}
        for name, value in _values(job, word, per_second):
            if name in places and value is not None:
                body = _put(body, places[name], value)
        return body

    return says


def _values(job: Subject, word: str, per_second: float) -> Iterator[tuple[str, Any]]:
    yield "id", job.id
    yield "state", word or None
    yield "url", job.url
    yield "hint", None if job.hint is None else job.hint * per_second
    yield "progress", job.progress
    if job.finished is not None and job.finished_ago is not None:
        yield "finished_at", iso(job.finished)
        yield "finished_ago", round(job.finished_ago, 6)


def _put(tree: Any, place: Place, value: Any) -> Any:
    """Return the JSON value with ``value`` at its place; what lists lack before it is null."""
    if not place:
        return value
    step, rest = place[0], place[1:]
    if isinstance(step, int):
        items = tree if isinstance(tree, list) else []
        items += [None] * (step + 1 - len(items))
        items[step] = _put(items[step], rest, value)
        return items
    members = tree if isinstance(tree, dict) else {}
    members[step] = _put(members.get(step), rest, value)
    return members
