"""The report's pictures as Plotly figures in plain data; colours of text and grid are the page's own."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, NamedTuple

import numpy as np

from harness.measure._figures import Interval, job_values
from harness.measure._intervals import Floats
from harness.measure._lags import lags_of
from harness.measure._numbers import in_seconds, number
from harness.measure._results import Results
from harness.measure._rows import PollAggregate, Run
from scenarios import OBJECTIVES

# Okabe and Ito's palette, which the colour-blind can tell apart; shapes and dashes say the same again.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SYMBOLS: Final = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")
_DASHES: Final = ("solid", "dash", "dot", "dashdot")
_MOST_POINTS: Final = 300  # More than a screen can show; keeps a million jobs from swelling the file.
_SMALLEST_LAG_S: Final = 0.001  # A logarithmic axis has no zero.


class Style(NamedTuple):
    """How a setting is drawn in every chart."""

    colour: str
    symbol: str
    dash: str


def styles_of(settings: Sequence[str]) -> dict[str, Style]:
    """Return a style per setting, by its place in the scenario."""
    return {
        name: Style(
            _COLOURS[i % len(_COLOURS)],
            _SYMBOLS[i % len(_SYMBOLS)],
            _DASHES[i // len(_COLOURS) % len(_DASHES)],
        )
        for i, name in enumerate(settings)
    }


def charts(results: Results, run: Run) -> dict[str, dict[str, Any]]:
    """Return the figures by the id of their place in the page."""
    styles = styles_of(list(results.settings))
    return {
        "load-versus-lag": _load_versus_lag(results, styles),
        "load-over-time": _load_over_time(run, styles),
        "lag-distribution": _lag_distribution(results, run, styles),
    }


def _load_versus_lag(results: Results, styles: Mapping[str, Style]) -> dict[str, Any]:
    traces: list[dict[str, Any]] = []
    points: list[tuple[float, float]] = []
    for name, figures in results.settings.items():
        polls, lag = figures.polls_per_job, figures.detection_lag_s
        if polls.mean is None or lag.mean is None:
            continue
        points += zip(polls.ci95 or (polls.mean,) * 2, lag.ci95 or (lag.mean,) * 2, strict=True)
        style = styles[name]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": escape(name),
                "x": [polls.mean],
                "y": [lag.mean],
                "error_x": _error(polls.mean, polls.ci95, style),
                "error_y": _error(lag.mean, lag.ci95, style),
                "marker": {"color": style.colour, "symbol": style.symbol, "size": 13},
                "hovertemplate": f"<b>{escape(name)}</b><br>%{{x:.3g}} polls per job"
                "<br>mean lag %{y:.3g} s<extra></extra>",
            }
        )
    if points:
        # A curve runs far beyond the settings at both ends; show the part that they can be held against.
        most_polls, most_lag = max(x for x, _ in points) * 1.5, max(y for _, y in points) * 1.5
        bound, achieved = results.limit_bound, results.limit_curve
        for name, dash, curve in (
            ("limit", "dot", bound or achieved),
            ("fitted, on other jobs", "dash", achieved if bound else []),
        ):
            every = sorted((point.polls, point.lag_s) for point in curve)
            near = [(x, y) for x, y in every if x <= most_polls and y <= most_lag] or every
            if near:
                traces.insert(0, _limit_line(name, dash, near))
                points += near
    return {
        "data": traces,
        "layout": {
            "xaxis": _axis("polls per job", [x for x, _ in points]),
            "yaxis": _axis("mean detection lag (s)", [y for _, y in points]),
        },
    }


def _limit_line(name: str, dash: str, points: Sequence[tuple[float, float]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [x for x, _ in points],
        "y": [y for _, y in points],
        "line": {"color": "#888888", "width": 2, "dash": dash},
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


def _axis(title: str, values: Sequence[float]) -> dict[str, Any]:
    positive = [value for value in values if value > 0]
    # Beyond a factor of ten a linear axis crowds the small ones together.
    if not positive or len(positive) < len(values) or max(positive) / min(positive) <= 10:
        return {"title": {"text": title}, "rangemode": "tozero"}
    low, high = math.log10(min(positive) / 1.3), math.log10(max(positive) * 1.3)
    # Plotly would label the twos and fives of a decade without their zeros.
    steps = (1, 2, 5) if high - low <= 3.5 else (1,)
    decades = range(math.floor(low), math.ceil(high))
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return {
        "title": {"text": title},
        "type": "log",
        "range": [low, high],
        "tickvals": ticks,
        "ticktext": [number(tick, 1) for tick in ticks],
    }


def _load_over_time(run: Run, styles: Mapping[str, Style]) -> dict[str, Any]:
    traces = []
    for name, style in styles.items():
        visits = [each for each in run.polls if each.setting == name]
        if not visits:
            continue
        times, rates = _mean_rate(visits)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(name),
                "x": times,
                "y": rates,
                "line": {"color": style.colour, "dash": style.dash, "width": 2, "shape": "hv"},
                "hovertemplate": f"<b>{escape(name)}</b><br>%{{y:.3g}} polls/s at %{{x}} s<extra></extra>",
            }
        )
    return {
        "data": traces,
        "layout": {
            "xaxis": {"title": {"text": "time since the start of the visit (s)"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "status requests per second"}, "rangemode": "tozero"},
        },
    }


def _mean_rate(visits: Sequence[PollAggregate]) -> tuple[list[int], list[float]]:
    """Return polls per second, averaged over the repeats and the seconds that a point must stand for."""
    seconds = max(each.per_second.size for each in visits)
    width = max(1, math.ceil(seconds / _MOST_POINTS))
    total = np.zeros(math.ceil(seconds / width) * width)
    for each in visits:
        total[: each.per_second.size] += each.per_second
    rates = total.reshape(-1, width).mean(axis=1) / len(visits)
    # A last zero closes the final step.
    return [*range(0, total.size, width), total.size], [*rates.round(3).tolist(), 0.0]


def _lag_distribution(results: Results, run: Run, styles: Mapping[str, Style]) -> dict[str, Any]:
    jobs = run.jobs.select("setting", "outcome", "detection_lag_s")
    lags = lags_of(run)
    traces: list[dict[str, Any]] = []
    for name, style in styles.items():
        mine = jobs.filter(jobs["setting"] == name)
        if mine.is_empty():
            continue
        known = job_values(mine, "detection_lag_s")
        if lags and results.settings[name].detection_lag_s.basis == "interval":
            known = lags.of_setting(name, len(mine))
        times, shares = _distribution(known)
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(name),
                "x": times,
                "y": shares,
                "line": {"color": style.colour, "dash": style.dash, "width": 2, "shape": "hv"},
                "hovertemplate": f"<b>{escape(name)}</b><br>%{{y:.1%}} learnt within %{{x:.3g}} s"
                "<extra></extra>",
            }
        )
    goals = {
        objective.p: bound
        for objective, bound in ((OBJECTIVES[name], bound) for name, bound in results.objectives.items())
        if objective.figure == "lag" and objective.p is not None and objective.p < 1
    }
    if goals:
        traces.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": "objective",
                "x": list(goals.values()),
                "y": list(goals),
                "text": ["objective"] * len(goals),
                "textposition": "bottom right",
                "marker": {"symbol": "star", "size": 14, "color": "#888888"},
                "hovertemplate": "objective: %{y:.0%} within %{x:.3g} s<extra></extra>",
            }
        )
    every = [value for trace in traces for value in trace["x"]]
    axis = _axis("detection lag (s)", [value for value in every if value > 0])
    return {
        "data": traces,
        "layout": {
            "xaxis": axis,
            "yaxis": {"title": {"text": "share of jobs"}, "tickformat": ".0%", "range": [0, 1.03]},
        },
    }


def _distribution(lags: Floats) -> tuple[list[float], list[float]]:
    """Return the share of *all* jobs learnt of within each lag: lost jobs keep the curve below one."""
    known = np.sort(np.maximum(lags[~np.isnan(lags)], _SMALLEST_LAG_S))
    if known.size == 0:
        return [], []
    ranks = np.unique(np.linspace(0, known.size - 1, _MOST_POINTS).round().astype(np.int64))
    shares = (ranks + 1) / lags.size
    return known[ranks].round(6).tolist(), shares.round(6).tolist()


def describe_load_versus_lag(results: Results) -> str:
    """Say what the first chart shows, for those who cannot see it."""
    said = (
        f"{name}: {figures.polls_per_job.mean:.3g} polls per job, "
        f"mean lag {in_seconds(figures.detection_lag_s.mean)}"
        for name, figures in results.settings.items()
        if figures.detection_lag_s.mean is not None
    )
    return "; ".join(said)
