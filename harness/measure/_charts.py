"""The pictures of load and lag: against each other, over time, and how they are distributed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final

import numpy as np

from harness.measure._figures import Interval, job_values
from harness.measure._intervals import Floats
from harness.measure._lags import Lags, lags_of
from harness.measure._numbers import in_seconds, number, percent
from harness.measure._pictures import (
    NEUTRAL,
    Picture,
    Style,
    Trace,
    axis,
    line,
    log_axis,
    mark,
    places_of,
    points_of,
    significant,
)
from harness.measure._results import LimitPoint, Results
from harness.measure._rows import PollAggregate, Run
from scenarios import OBJECTIVES

_SMALLEST_LAG_S: Final = 0.001  # A logarithmic axis has no zero.
_NAMED_POINTS: Final = 8  # settings: more names would lie upon each other
_LONG_NAME: Final = 28
_NEAR: Final = 0.4  # of lags, as the logarithm of their ratio: names at them would touch
_TAIL: Final = 0.02  # of the polls, at the end of long visits, that the picture over time may leave out
_FAR_APART: Final = 30  # times: peaks that no linear axis shows together


def load_versus_lag(results: Results, styles: Mapping[str, Style]) -> Picture | None:
    """Draw each setting's load and lag, and the limit that no schedule passes; None without any lag."""
    traces: list[Trace] = []
    points: list[tuple[float, float]] = []
    shown = {
        name: (figures.polls_per_job.mean, figures.detection_lag_s.mean, figures)
        for name, figures in results.settings.items()
        if figures.polls_per_job.mean is not None and figures.detection_lag_s.mean is not None
    }
    if not shown:
        return None
    apart = _apart({name: (polls, lag) for name, (polls, lag, _) in shown.items()})
    places = places_of(list(styles))
    for name, (polls, lag, figures) in shown.items():
        x_interval, y_interval = figures.polls_per_job.ci95, figures.detection_lag_s.ci95
        points += zip(x_interval or (polls,) * 2, y_interval or (lag,) * 2, strict=True)
        style = styles[name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text" if name in apart else "markers",
                "name": escape(name),
                "meta": {"setting": places[name]},
                "text": [escape(name)],
                "textposition": apart.get(name, "top right"),
                "cliponaxis": False,
                "x": [polls],
                "y": [lag],
                "error_x": _error(polls, x_interval, style),
                "error_y": _error(lag, y_interval, style),
                "marker": {"color": style.colour, "symbol": style.symbol, "size": 13},
                "hovertemplate": f"<b>{escape(name)}</b><br>%{{x:.3g}} polls per job"
                "<br>mean lag %{y:.3g} s<extra></extra>",
            }
        )
    if points:
        # A curve runs far beyond the settings at both ends; show the part that they can be held against.
        most_polls, most_lag = max(x for x, _ in points) * 1.5, max(y for _, y in points) * 1.5
        for name, dash, curve in limit_curves(results):
            near = [(x, y) for x, y in curve if x <= most_polls and y <= most_lag] or curve
            traces.insert(0, _limit_line(name, dash, near))
            points += near
    said = (
        f"{name}: {polls:.3g} polls per job, mean lag {in_seconds(lag)}"
        for name, (polls, lag, _) in shown.items()
    )
    note = (
        "Each point is a setting: further left loads the server less, further down learns sooner. Bars are "
        "95 % confidence intervals."
    )
    if results.limit_bound:
        note += (
            " No schedule can lie left of or below the dotted limit of these very durations on average; the "
            "dashed line is what schedules fitted to one half of them achieve on the other half."
        )
    elif results.limit_curve:
        note += (
            " On average no schedule can lie left of or below the dotted limit; a small sample may scatter "
            "across it."
        )
    return Picture(
        id="load-versus-lag",
        title="Load against lag",
        note=note,
        alt="; ".join(said),
        figure={
            "data": traces,
            "layout": {
                "xaxis": axis("polls per job", [x for x, _ in points]),
                "yaxis": axis("mean detection lag (s)", [y for _, y in points]),
            },
        },
        headings=("setting", "polls per job", "mean lag", "fewest polls of any schedule at this lag"),
        rows=[
            [
                name,
                number(polls),
                in_seconds(lag),
                number(figures.limit.polls_at_same_lag if figures.limit else None),
            ]
            for name, (polls, lag, figures) in shown.items()
        ],
    )


def _apart(points: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """Return the settings whose names have room at their points, and on which side of them."""
    if len(points) > _NAMED_POINTS:
        return {}
    across = [x for x, _ in points.values()]
    middle = (min(across, default=0.0) + max(across, default=0.0)) / 2
    room = 0.4 * max(max(across, default=0.0), 1e-9)
    return {
        name: "top left" if x > middle else "top right"
        for name, (x, y) in points.items()
        if len(name) <= _LONG_NAME
        and not any(
            abs(x - other_x) < room and abs(math.log(max(y, 1e-9) / max(other_y, 1e-9))) < _NEAR
            for other, (other_x, other_y) in points.items()
            if other != name
        )
    }


def limit_curves(results: Results) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """Return the limit, and of measured durations what was achieved, by falling lag: name, dash, points.

    The planner's curve ends somewhere; the limit at a setting's own lag is a point of the same curve, so that
    it reaches every setting.
    """

    def reaching(curve: Sequence[LimitPoint], least: str) -> list[tuple[float, float]]:
        points = [(each.polls, each.lag_s) for each in curve]
        lowest, highest = min(y for _, y in points), max(y for _, y in points)
        for figures in results.settings.values():
            lag, limit = figures.detection_lag_s.mean, figures.limit
            polls = None if limit is None else getattr(limit, least)
            if lag is not None and polls is not None and not lowest <= lag <= highest:
                points.append((polls, lag))
        return sorted(points)

    curves = []
    if results.limit_bound or results.limit_curve:
        least = "bound_polls_at_same_lag" if results.limit_bound else "polls_at_same_lag"
        curves.append(("limit", "dot", reaching(results.limit_bound or results.limit_curve, least)))
    if results.limit_bound and results.limit_curve:
        achieved = reaching(results.limit_curve, "polls_at_same_lag")
        curves.append(("fitted, on other jobs", "dash", achieved))
    return curves


def _limit_line(name: str, dash: str, points: Sequence[tuple[float, float]]) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": NEUTRAL, "width": 2, "dash": dash},
        "hovertemplate": f"{name}: %{{x:.3g}} polls per job<br>for mean lag %{{y:.3g}} s<extra></extra>",
    }


def _error(mean: float, interval: Interval | None, style: Style) -> dict[str, Any]:
    low, high = interval or (mean, mean)
    return {
        "type": "data",
        "array": [high - mean],
        "arrayminus": [mean - low],
        "color": style.colour,
        "thickness": 1.5,
        "width": 5,
    }


def load_over_time(
    run: Run, styles: Mapping[str, Style], outages: Sequence[tuple[float, float]]
) -> Picture | None:
    """Draw status requests per second, if any; ``outages`` are (start, end) in seconds of a visit."""
    visits = {name: [each for each in run.polls if each.setting == name] for name in styles}
    visits = {name: each for name, each in visits.items() if any(visit.total for visit in each)}
    if not visits:
        return None
    whole = max(each.per_second.size for mine in visits.values() for each in mine)
    until, later = _window(visits, whole)
    points = points_of(len(styles))
    places = places_of(list(styles))
    traces, rows, peaks = [], [], []
    for name, mine in visits.items():
        times, rates = _mean_rate(mine, until, points)
        hover = "%{y:.3g} polls/s at %{x} s"
        traces.append(line(name, places[name], styles[name], times, rates, hover))
        peaks.append(max(rates))
        busiest = max(mine, key=lambda each: each.peak_per_second)
        seconds = max(each.per_second.size for each in mine)
        mean = sum(each.total for each in mine) / len(mine) / seconds
        peak = busiest.peak_per_second
        at = number(int(busiest.per_second.argmax()))
        rows.append([name, number(mean), number(peak), at, number(seconds)])
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "time since the start of the visit (s)"}, "range": [0, until]},
        "yaxis": {"title": {"text": "status requests per second"}, "rangemode": "tozero"},
        "shapes": [],
        "annotations": [],
    }
    if peaks and max(peaks) > _FAR_APART * min(peaks):
        lowest = min((rate for each in traces for rate in each["y"] if rate > 0), default=0.1)
        layout["yaxis"] = log_axis(
            "status requests per second", max(lowest, max(peaks) / 1e4), max(peaks) * 1.3
        )
        for each in traces:
            each["y"] = [rate if rate > 0 else None for rate in each["y"]]
    for start, end in outages:
        if start < until:
            layout["shapes"].append(_outage(start, min(end, until)))
            layout["annotations"].append(mark(start, "outage", layout["xaxis"])[1] | {"xanchor": "left"})
    ends = [visit.submit_window_s for visit in run.visits]
    if ends and 0.02 * until < (end := sum(ends) / len(ends)) < 0.98 * until:
        shape, text = mark(end, "submissions end", layout["xaxis"], level=1 if outages else 0)
        layout["shapes"].append(shape)
        layout["annotations"].append(text)
    repeats = len({visit.repeat for visit in run.visits})
    note = "What the server had to answer in each second of a visit"
    note += f", averaged over {repeats} repeats." if repeats > 1 else "."
    if outages:
        note += " In the shaded time it answered with errors."
    if later:
        note += (
            f" The picture ends where the load is nearly over: {percent(later)} of each setting's requests, "
            f"on average, come later, the last after {number(whole)} s."
        )
    return Picture(
        id="load-over-time",
        title="Status requests over time",
        note=note,
        alt="Status requests per second: "
        + "; ".join(f"{row[0]} {row[1]} on average and {row[2]} in the busiest second" for row in rows),
        figure={"data": traces, "layout": layout},
        headings=("setting", "requests/s, mean", "in the busiest second", "at, s", "until, s"),
        rows=rows,
    )


def _outage(start: float, end: float) -> dict[str, Any]:
    box = {"type": "rect", "x0": start, "x1": end, "y0": 0, "y1": 1, "yref": "paper", "layer": "below"}
    return box | {"line": {"width": 0}, "fillcolor": NEUTRAL, "opacity": 0.25}


def _window(visits: Mapping[str, Sequence[PollAggregate]], whole: int) -> tuple[int, float]:
    """Return until which second to draw, and the share of polls after it; every setting counts alike."""
    share = np.zeros(whole)
    for mine in visits.values():
        total = sum(each.total for each in mine)
        for each in mine:
            share[: each.per_second.size] += each.per_second / total / len(visits)
    until = int(np.searchsorted(np.cumsum(share), 1 - _TAIL)) + 1
    # Leaving out a little is worth a gap in the picture only if that makes the rest visible.
    return (until, float(share[until:].sum())) if 2 * until < whole else (whole, 0.0)


def _mean_rate(visits: Sequence[PollAggregate], until: int, points: int) -> tuple[list[int], list[float]]:
    """Return polls per second, averaged over the repeats and the seconds that a point must stand for."""
    seconds = min(until, max(each.per_second.size for each in visits))
    width = max(1, math.ceil(seconds / points))
    total = np.zeros(math.ceil(seconds / width) * width)
    for each in visits:
        part = each.per_second[: total.size]
        total[: part.size] += part
    rates = total.reshape(-1, width).mean(axis=1) / len(visits)
    # A last zero closes the final step.
    return [*range(0, total.size, width), total.size], [*rates.round(3).tolist(), 0.0]


def lag_distribution(results: Results, run: Run, styles: Mapping[str, Style]) -> Picture | None:
    """Draw which share of the jobs was learnt of within which lag; None if none was."""
    jobs = run.jobs.select("setting", "outcome", "detection_lag_s")
    lags = lags_of(run)
    points = points_of(len(styles))
    places = places_of(list(styles))
    traces: list[Trace] = []
    rows = []
    for name, style in styles.items():
        mine = jobs.filter(jobs["setting"] == name)
        if mine.is_empty():
            continue
        summary = results.settings[name].detection_lag_s
        known = _lags_of(lags, name, len(mine), job_values(mine, "detection_lag_s"), summary.basis)
        times, shares = _distribution(known, points)
        hover = "%{y:.1%} learnt within %{x:.3g} s"
        traces.append(line(name, places[name], style, times, shares, hover))
        quantiles = (summary.p50, summary.p90, summary.p95, summary.p99, summary.max)
        rows.append([name, *map(in_seconds, quantiles), percent(results.settings[name].lost_jobs.share)])
    every = [value for trace in traces for value in trace["x"] if value > 0]
    if not every:
        return None
    goals = sorted(
        (bound, OBJECTIVES[name])
        for name, bound in results.objectives.items()
        if OBJECTIVES[name].figure == "lag" and OBJECTIVES[name].p is not None
    )
    shown = [*every, *(bound for bound, _ in goals)]
    across = {"range": [0, 1.06 * max(shown)], **axis("detection lag (s)", shown)}
    marks = [
        mark(bound, f"{each.words()} ≤ {each.format(bound)}", across, i)
        for i, (bound, each) in enumerate(goals)
    ]
    layout: dict[str, Any] = {
        "xaxis": across,
        "yaxis": {"title": {"text": "share of jobs"}, "tickformat": ".0%", "range": [0, 1.03]},
        "shapes": [shape for shape, _ in marks],
        "annotations": [text for _, text in marks],
    }
    traces += [_goal(bound, each.p or 1.0) for bound, each in goals]
    note = (
        "The share of all jobs whose end was known within a given time: further left is sooner. Lost jobs "
        "keep a curve below 100 %."
    )
    if goals:
        note += " A star is an objective: a curve that passes above it meets it."
    return Picture(
        id="lag-distribution",
        title="How late clients learnt of the end",
        note=note,
        alt="Detection lag, median and 95th percentile: "
        + "; ".join(f"{row[0]} {row[1]} and {row[3]}" for row in rows),
        figure={"data": traces, "layout": layout},
        headings=("setting", "p50", "p90", "p95", "p99", "longest", "jobs lost"),
        rows=rows,
    )


def _lags_of(lags: Lags | None, name: str, jobs: int, known: Floats, basis: str) -> Floats:
    return lags.of_setting(name, jobs) if lags and basis == "interval" else known


def _goal(bound: float, share: float) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "objective",
        "x": [bound],
        "y": [share],
        "marker": {"symbol": "star", "size": 14, "color": NEUTRAL},
        "hovertemplate": "objective: %{y:.0%} within %{x:.3g} s<extra></extra>",
    }


def _distribution(lags: Floats, points: int) -> tuple[list[float], list[float]]:
    """Return the share of *all* jobs learnt of within each lag: lost jobs keep the curve below one."""
    known = np.sort(np.maximum(lags[~np.isnan(lags)], _SMALLEST_LAG_S))
    if known.size == 0:
        return [], []
    ranks = np.unique(np.linspace(0, known.size - 1, points).round().astype(np.int64))
    shares = (ranks + 1) / lags.size
    return significant(known[ranks].tolist()), shares.round(6).tolist()
