"""The pictures with a bar for each setting: where a job's time goes, and how bunched the requests come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.measure._numbers import in_seconds, number, percent
from harness.measure._phases import in_step
from harness.measure._pictures import Picture, Rows, Style, Trace, by_setting, height_of
from harness.measure._rows import DETECTED, PollAggregate, Run

if TYPE_CHECKING:
    import polars as pl

# What a latency is made of, with a colour and a pattern that says the same in print.
_PARTS: Final = (
    ("until it was accepted", "#8a94a0", ""),
    ("queued or slowed", "#e0a100", "x"),
    ("work", "#b9c0c8", ""),
    ("detection lag", "#0072b2", "/"),
)
_LAST: Final = 0.98  # of the polls: the drain's last few say nothing of a herd
_BUSIEST: Final = 0.1


def latency_parts(run: Run, styles: Mapping[str, Style]) -> Picture | None:
    """Draw what the mean latency is made of; None where the service does not say when jobs finish."""
    rows: Rows = []
    found: dict[str, list[float]] = {}
    for name in styles:
        parts = _parts(run.jobs.filter(run.jobs["setting"] == name))
        if parts is not None:
            found[name] = parts
            rows.append([name, *map(in_seconds, parts), in_seconds(sum(parts))])
    if not found:
        return None
    places = [place for place, name in enumerate(styles) if name in found]
    traces: list[Trace] = []
    for i, (words, colour, pattern) in enumerate(_PARTS):
        values = [round(max(each[i], 0.0), 4) for each in found.values()]
        marker: dict[str, Any] = {"color": colour, "line": {"width": 0}}
        if pattern:
            marker["pattern"] = {"shape": pattern, "solidity": 0.35}
        traces.append(_bars(places, list(found), values, marker, f"{words} %{{x:.3g}} s") | {"name": words})
    return Picture(
        id="latency-parts",
        title="Where a job's time goes",
        note="The mean latency of the jobs whose end was learnt, from the planned submission: only the "
        "last part is the polling's, unless polls slow the service.",
        alt="; ".join(f"{row[0]}: {row[4]} of {row[5]} are detection lag" for row in rows),
        figure={"data": traces, "layout": _layout("seconds", list(styles), legend=True)},
        headings=("setting", *(words for words, _, _ in _PARTS), "latency"),
        rows=rows,
    )


def _parts(jobs: pl.DataFrame) -> list[float] | None:
    """Return the mean seconds of each part, of the jobs whose end was learnt."""
    jobs = jobs.filter(jobs["outcome"].is_in(DETECTED))
    finished = jobs["finished_at_s"]
    if jobs.is_empty() or finished.null_count() or jobs["duration_s"].null_count():
        return None
    columns = [
        jobs["submitted_at_s"] - jobs["planned_at_s"],
        finished - jobs["submitted_at_s"] - jobs["duration_s"],
        jobs["duration_s"],
        jobs["detection_lag_s"],
    ]
    means = [float(np.mean(each.to_numpy())) for each in columns]
    # A job's work begins when its submission arrives, half a round trip before the reply is heard.
    if means[1] < 0:
        means[0], means[1] = means[0] + means[1], 0.0
    return means


def herd(run: Run, styles: Mapping[str, Style]) -> Picture | None:
    """Draw how far the busiest second stands above the mean; None where nothing was polled."""
    rows: Rows = []
    ratios: dict[str, float] = {}
    for name in styles:
        visits = [each for each in run.polls if each.setting == name and each.total]
        if not visits:
            continue
        peak = float(np.mean([each.peak_per_second for each in visits]))
        busy = [_busy(each) for each in visits]
        mean = float(np.mean([each.mean() for each in busy]))
        bunched = float(np.mean([_bunched(each) for each in busy]))
        ratios[name] = peak / mean
        in_phase = _in_phase(visits, run.jobs.filter(run.jobs["setting"] == name))
        rows.append([name, number(mean), number(peak), number(peak / mean), percent(bunched), *in_phase])
    if not ratios:
        return None
    places = [place for place, name in enumerate(styles) if name in ratios]
    marker = {"color": [styles[name].colour for name in ratios], "line": {"width": 0}}
    words = "busiest second %{x:.3g} times the mean"
    values = [float(f"{each:.4g}") for each in ratios.values()]
    return Picture(
        id="herd",
        title="Do the clients move in a herd?",
        note="The busiest second beside the mean second, until 98 % of the requests were sent. 1 is an even "
        "load; a service must be sized for the peak. The numbers below also say which share of the requests "
        "fell into the busiest tenth of the seconds (10 % if even), and how far the clients keep in step: R "
        "from 0 (spread evenly over their interval) to 1 (all at one moment of it), what chance gives "
        "in one visit of twenty, and the interval.",
        alt="; ".join(
            f"{row[0]}: busiest second {row[3]} times the mean, in step {row[5]} (by chance {row[6]})"
            for row in rows
        ),
        figure={
            "data": [_bars(places, list(ratios), values, marker, words)],
            "layout": _layout("busiest second, times the mean", list(styles), legend=False),
        },
        headings=(
            "setting",
            "requests/s, mean",
            "busiest second",
            "peak to mean",
            "in the busiest tenth",
            "in step, R",
            "R by chance",
            "every",
        ),
        rows=rows,
    )


def _in_phase(visits: Sequence[PollAggregate], jobs: pl.DataFrame) -> list[str]:
    """Return how far the clients keep in step, R by chance, and the period if it is more than that."""
    found = []
    for visit in visits:
        mine = jobs.filter((jobs["repeat"] == visit.repeat) & (jobs["polls"] > 0))
        known = mine.filter(mine["detected_at_s"].is_not_null() & mine["submitted_at_s"].is_not_null())
        waited = float((known["detected_at_s"] - known["submitted_at_s"]).sum())
        if waited > 0:
            wait = waited / float(known["polls"].sum())
            found.append(in_step(visit.phases, wait, mine["polls"].to_numpy(), visit.per_second.size))
    known_of = [each for each in found if each is not None]
    if not known_of:
        return ["–", "–", "–"]
    most = max(known_of, key=lambda each: each.concentration)
    concentration = float(np.mean([each.concentration for each in known_of]))
    by_chance = float(np.mean([each.by_chance for each in known_of]))
    every = in_seconds(most.period_s) if concentration > by_chance else "–"
    return [number(concentration, 2), number(by_chance, 2), every]


def _busy(polls: PollAggregate) -> Any:
    """Return the requests of each second until nearly all were sent."""
    until = int(np.searchsorted(np.cumsum(polls.per_second), _LAST * polls.total)) + 1
    return polls.per_second[:until]


def _bunched(per_second: Any) -> float:
    """Return the share of the requests in the busiest tenth of the seconds, to the fraction of a second."""
    falling = np.sort(per_second)[::-1]
    tenth = _BUSIEST * falling.size
    whole = int(tenth)
    most = float(falling[:whole].sum()) + (tenth - whole) * float(
        falling[whole] if whole < falling.size else 0
    )
    return most / float(falling.sum())


def _bars(
    places: Sequence[int], names: Sequence[str], values: Sequence[float], marker: dict[str, Any], hover: str
) -> Trace:
    return {
        "type": "bar",
        "orientation": "h",
        "x": values,
        "y": places,
        "width": 0.6,
        "customdata": [escape(name) for name in names],
        "meta": {"settings": places},
        "marker": marker,
        "hovertemplate": f"<b>%{{customdata}}</b><br>{hover}<extra></extra>",
    }


def _layout(title: str, names: Sequence[str], legend: bool) -> dict[str, Any]:
    return {
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "yaxis": by_setting("", names),
        "height": height_of(len(names)) + (40 if legend else 0),
        "showlegend": legend,
    }
