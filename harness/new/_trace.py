"""``new --trace FILE``: a scenario of jobs that take as long as was measured."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import ValidationError

from harness._refusal import UNUSABLE, Refusal
from harness.new._draft import Draft
from harness.new._pieces import HEAD, Start, comment, flow, named, objectives, quoted, spelled
from scenarios import ARRIVALS
from scenarios.draws import Trace, columns_of

_SHORTEST_S: Final = 1e-3
_MOST_TRIED: Final = 8  # columns without a telling name that are read to see whether they hold durations
_MOST_SHOWN: Final = 30

# What columns are called, the most telling first; names are compared in lower case without signs.
_DURATIONS: Final = (
    r"(?:job|task|total|processing|run|wall|execution|exec|response)*(?:duration|elapsed|runtime|took)",
    r"(?:processing|execution|exec|run|response|service|wall|wallclock|total|elapsed|job|task)time",
    r"time(?:taken|spent|elapsed)",
    r"(?:job|task|total|response)*latency",
    r"(?:seconds|secs?|millis|milliseconds|ms)",
)
_UNITS: Final = r"(?:in)?(?:s|secs?|seconds|ms|millis|milliseconds|us|micros|ns|nanos|min|minutes|h|hours)?"
_STARTS: Final = (  # for whoever waits for a job, it begins when it is asked for
    r"(?:job|task)?(?:submit|submitted|submission|request|requested|arrival|arrived|created|queued|enqueued)",
    r"(?:job|task)?(?:start|started|begin|began)",
)
_ENDS: Final = r"(?:job|task)?(?:end|ended|finish|finished|complete|completed|completion|stop|stopped|done)"
_OUTCOMES: Final = r"(?:job|task)?(?:status|state|outcome|result)"
_MOMENTS: Final = r"(?:at|on|time|timestamp|ts|date|datetime|ms|s|us|ns)*"


@dataclass(frozen=True)
class _Found:
    """Where a file has durations: the keys of the distribution, and the distribution itself."""

    keys: dict[str, Any]
    trace: Trace


def from_trace(file: str, column: str | None, folder: Path) -> Draft:
    """Return a scenario of jobs whose durations a file has.

    column: which of the file's; None: by the names of all, or the one that can be read. folder: where the
    scenario will be, for the path that it names the file by. Raises ``Refusal`` where there are none.
    """
    path = Path(file)
    try:
        names = columns_of(path)
    except ValueError as error:
        raise Refusal(str(error), UNUSABLE) from None
    found = _durations(path, names, column)
    typical = max(float(np.median(found.trace.seconds)), _SHORTEST_S)
    start = Start(typical)
    began = found.keys.get("start") or next(iter(_starts(names)), None)
    rate, came = _rate(path, began)
    relative = os.path.relpath(path.absolute(), folder.absolute())
    seen = tuple(_seen(found.trace))
    name = named(path.name.partition(".")[0], "measured")
    asked = f"Which polling suits jobs like those of {path.name}?"
    why = (
        came
        or "such that about twenty jobs are under way at a time; the file does not say how often they come"
    )
    recorded = flow({"type": "trace", "file": relative, "column": began})
    replay = [] if came is None else comment(f"or just when they came: arrivals: {recorded}", 2)
    lines = [
        *comment(asked),
        *HEAD,
        f"name: {name}",
        f"question: {quoted(asked)}",
        "seed: 1",
        "job:",
        *(line for each in seen for line in comment(each, 2)),
        *comment(
            f"half of the jobs take {spelled(typical)} or less; rows are drawn anew, each equally likely", 2
        ),
        *(line for each in _sorted_out(names) for line in comment(each, 2)),
        f"  duration: {flow({'type': 'trace', 'file': relative, **found.keys})}",
        "service:",
        "  delay: {type: lognormal, median: 20ms, p99: 100ms}   # what a reply takes; a guess",
        *start.workload(rate, why=why),
        *replay,
        "settings:",
        *start.settings(start.known),
        *objectives(start.bound_s),
        f"baseline: {start.constant}   # the others are compared with it",
    ]
    return Draft(name, "\n".join(lines) + "\n", found=seen)


def _sorted_out(names: Sequence[str]) -> Iterator[str]:
    """Yield how some rows could be left out, if the file has a column that tells them apart."""
    for name in _called(_OUTCOMES, names)[:1]:
        yield f"to keep some rows only, add for instance: where: '{name} == \"success\"'"


def _durations(path: Path, names: Sequence[str], column: str | None) -> _Found:
    if column is not None:
        found = _read(path, {"column": column})
        if isinstance(found, str):
            raise Refusal(found, UNUSABLE)
        return found
    why = "none of its columns is called like a duration, or like a start and an end"
    for keys in _candidates(names):
        found = _read(path, keys)
        if isinstance(found, _Found):
            return found
        why = found
    if len(names) <= _MOST_TRIED:
        able = [found for each in names if isinstance(found := _read(path, {"column": each}), _Found)]
        if len(able) == 1:
            return able[0]
    shown = ", ".join(map(repr, names[:_MOST_SHOWN])) + (", ..." if len(names) > _MOST_SHOWN else "")
    raise Refusal(f"{path}: no durations found ({why}); name theirs with --column: {shown}", UNUSABLE)


def _candidates(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield where durations may be, by the names of columns, the likeliest first."""
    for pattern in _DURATIONS:
        yield from ({"column": name} for name in _called(pattern + _UNITS, names))
    for began in _starts(names):
        yield from ({"start": began, "end": ended} for ended in _called(_ENDS + _MOMENTS, names))


def _starts(names: Sequence[str]) -> list[str]:
    return [name for pattern in _STARTS for name in _called(pattern + _MOMENTS, names)]


def _called(pattern: str, names: Iterable[str]) -> list[str]:
    return [name for name in names if re.fullmatch(pattern, re.sub(r"[\W_]", "", name.lower()))]


def _read(path: Path, keys: dict[str, Any]) -> _Found | str:
    """Return the durations there, rows without any left out if there are such; else why there are none."""
    why = ""
    for more in ({}, {"missing": "skip"}):
        try:
            trace = Trace.model_validate({"type": "trace", "file": str(path.absolute()), **keys, **more})
        except ValidationError as error:
            why = why or _said(error)
        else:
            return _Found({**keys, **more}, trace)
    return why


def _said(error: ValidationError) -> str:
    return "; ".join(each["msg"].removeprefix("Value error, ") for each in error.errors()[:3])


def _seen(trace: Trace) -> Iterator[str]:
    """Yield what was found, as ``check`` says it."""
    yield trace.describe()
    yield from trace.found().notes


def _rate(path: Path, began: str | None) -> tuple[float | None, str | None]:
    """Return how many jobs came per second, and that in words; None where the file does not tell."""
    if began is None:
        return None, None
    (recorded,) = (each for each in ARRIVALS if each.model_fields["type"].default == "trace")
    keys = {"type": "trace", "file": str(path.absolute()), "column": began, "missing": "skip"}
    try:
        arrivals: Any = recorded.model_validate(keys)
    except ValidationError:
        return None, None
    moments = np.sort(arrivals.seconds)
    span = float(moments[-1] - moments[0])
    if moments.size < 2 or span <= 0:
        return None, None
    rate = float(f"{(moments.size - 1) / span:.2g}")
    return rate, f"as often as in {path.name}: {moments.size:,} jobs in {spelled(span)}, by {began!r}"
