"""``reports/index.html``: every run, and how each scenario's settings fared from run to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from harness._refusal import FAILED, Refusal
from harness._runs import ListedRun, has_file
from harness.measure import FIGURES, Results, RunFolderError, number, percent, render_page, write_text
from scenarios.documents import counted

_SHOWN: Final = ("polls_per_job", "detection_lag_s")
_WIDTH, _HEIGHT, _EDGE = 160.0, 36.0, 4.0


@dataclass(frozen=True)
class Trend:
    """A figure of a setting over runs, oldest first: a line from 0 up to the largest, and words for it.

    ``points`` are an SVG polyline's; ``edits`` the places at which the scenario was another than before.
    """

    points: str
    last: tuple[float, float]
    edits: tuple[float, ...]
    now: str
    change: str
    words: str


def trend(values: Sequence[float | None], edits: Sequence[int] = ()) -> Trend | None:
    """Return the trend of these values, None where the last is unknown; ``edits`` are places among them."""
    if not values or values[-1] is None:
        return None
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    across = (_WIDTH - 2 * _EDGE) / max(len(values) - 1, 1)
    up = (_HEIGHT - 2 * _EDGE) / (max(value for _, value in known) or 1.0)
    at = [
        (round(_EDGE + place * across, 1), round(_HEIGHT - _EDGE - value * up, 1)) for place, value in known
    ]
    first, last = known[0][1], known[-1][1]
    return Trend(
        points=" ".join(f"{x:g},{y:g}" for x, y in at),
        last=at[-1],
        edits=tuple(round(_EDGE + (place - 0.5) * across, 1) for place in edits),
        now=number(last),
        change=percent(last / first - 1, sign=True) if len(known) > 1 and first else "",
        words=f"over {counted(len(values), 'run')}: {', '.join(number(value) for value in values)}",
    )


@dataclass(frozen=True)
class Group:
    """The runs of one scenario by one engine, newest first, and trends over those to be trusted.

    The settings are those of the newest such run: what it lacks has no "now".
    """

    scenario: str
    engine: str
    runs: list[ListedRun]
    trends: dict[str, list[Trend | None]]
    counted: int


def groups_of(runs: Sequence[ListedRun]) -> list[Group]:
    """Return the runs by scenario and engine, whose figures are not to be mixed; the newest group first.

    Trends are of runs that are complete and to be trusted (``Results.is_trustworthy``).
    """
    found: dict[tuple[str, str], list[ListedRun]] = {}
    for run in runs:
        if run.results is not None:
            found.setdefault((run.results.scenario.name, run.results.engine), []).append(run)
    groups = []
    for (scenario, engine), of in found.items():
        good = [each.results for each in reversed(of) if each.results and each.results.is_trustworthy]
        trends = {name: _trends(name, good) for name in (good[-1].settings if good else ())}
        groups.append(Group(scenario, engine, of, trends, len(good)))
    return groups


def _trends(setting: str, good: Sequence[Results]) -> list[Trend | None]:
    edits = [
        place
        for place in range(1, len(good))
        if good[place].scenario.sha256 != good[place - 1].scenario.sha256
    ]
    of = [results.settings.get(setting) for results in good]
    return [
        trend([None if each is None else FIGURES[name].read(each) for each in of], edits) for name in _SHOWN
    ]


def write_index(reports: Path, runs: Sequence[ListedRun]) -> Path:
    """Write the page, at once or not at all, and return where it is; raise ``Refusal`` when that fails."""
    page = reports / "index.html"
    text = render_page(
        "harness",
        "runs.html",
        groups=groups_of(runs),
        figures=[FIGURES[name].words for name in _SHOWN],
        faults=[run for run in runs if run.fault],
        report=_report,
    )
    try:
        write_text(page, text)
    except RunFolderError as error:
        raise Refusal(str(error), FAILED) from error
    return page


def _report(run: ListedRun) -> str | None:
    """Return the address of a run's report from the page's, None where there is none."""
    there = has_file(run.folder, "report.html")
    return f"{quote(os.fsencode(run.folder.name))}/report.html" if there else None
