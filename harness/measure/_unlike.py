"""In what two runs differ: keys of the scenario, versions, the machine; and whether they can be compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import yaml

from harness.measure._rows import Run
from scenarios.documents import DocumentError, parse_document, parse_rate, parse_seconds

_CONDITIONS: Final = ("job", "service", "target", "workload")
"""What is polled, and under which load: with another of these, another experiment was run."""
_LIKE: Final = ("workload.repeats", "workload.transport")
"""How much and with what is measured, not what."""
_NAMES: Final = ("name", "question", "anchors")
"""What is only said of a scenario; so is any key in x-."""
_ABSENT: Final = "nothing"


class Unlike(NamedTuple):
    """A difference of two runs in words, and whether it makes them different experiments."""

    words: str
    experiment: bool


def unlike(ours: Run, theirs: Run) -> list[Unlike]:
    """Return what differs between a run and its reference, as "workload.arrivals.rate: 10, was 12"."""
    found = [
        Unlike(_said(path, new, old), _is_condition(path))
        for path, new, old in _changes(_document(ours), _document(theirs))
    ]
    info, other = ours.info, theirs.info
    if info.target != other.target:
        found.append(Unlike(_said("target", info.target, other.target), experiment=True))
    if info.seed != other.seed and not any(each.words.startswith("seed:") for each in found):
        found.append(Unlike(_said("seed", info.seed, other.seed), experiment=False))
    if info.engine != other.engine:
        found.append(Unlike(_said("engine", info.engine, other.engine), experiment=False))
    jobs = [_planned(run) for run in (ours, theirs)]
    if None not in jobs and jobs[0] != jobs[1] and not any("workload." in each.words for each in found):
        # Where jobs wait for each other, longer visits see longer queues.
        waiting = info.waiting is not None
        found.append(Unlike(_said("jobs in a visit", jobs[0], jobs[1]), experiment=waiting))
    machine = _changes(_machine(info.environment), _machine(other.environment))
    return found + [Unlike(_said(path, new, old), experiment=False) for path, new, old in machine]


def _said(path: str, new: object, old: object) -> str:
    return f"{path}: {new}, was {old}"


def _is_condition(path: str) -> bool:
    return path.split(".")[0] in _CONDITIONS and not path.startswith(_LIKE)


def _document(run: Run) -> dict[str, Any]:
    """Return the scenario as it was written, without what is only said of it."""
    try:
        document = parse_document(run.info.scenario.text, "scenario.yaml")
    except DocumentError:
        return {}
    return {
        key: value for key, value in document.data.items() if key not in _NAMES and not key.startswith("x-")
    }


def _machine(environment: Mapping[str, Any]) -> dict[str, Any]:
    return {name: environment.get(name) for name in ("python", "packages", "host_cores", "platform")}


def _planned(run: Run) -> int | None:
    """Return how many jobs a visit is planned to have, if that is the same for all."""
    planned = {visit.planned_jobs for visit in run.visits if visit.repeat == 0}
    return planned.pop() if len(planned) == 1 else None


def _changes(ours: Any, theirs: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield path, new and old value of every leaf that differs."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in dict.fromkeys((*theirs, *ours)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _changes(ours.get(key, _ABSENT), theirs.get(key, _ABSENT), inner)
    elif _meant(ours) != _meant(theirs):
        yield path, _short(ours), _short(theirs)


def _meant(value: Any) -> Any:
    """Return what a leaf says, however it is spelt: seconds, a rate per second, or the value itself.

    No key may be a duration in one file and a rate in another. A null is a key that is not there.
    """
    if isinstance(value, list):
        return [_meant(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _meant(each) for key, each in value.items()}
    for read in (parse_seconds, parse_rate) if isinstance(value, str) else ():
        with contextlib.suppress(ValueError):
            return read(value)
    return _ABSENT if value is None else value


def _short(value: object) -> str:
    text = (
        yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")
    )
    return text if len(text) <= 60 else f"{text[:57]}..."
