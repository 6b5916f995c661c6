"""Holding a setting against the scenario's objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure._figures import Interval, Judged, SettingFigures, job_values
from harness.measure._intervals import Floats, quantile, supports
from harness.measure._lags import SettingLags
from harness.measure._numbers import in_seconds, percent, too_few
from scenarios import OBJECTIVES, Objective
from scenarios.draws import needed

if TYPE_CHECKING:
    import polars as pl

Closeness = Callable[[str, Floats, float], Interval | None]

LOST_SHARE_ALLOWED: Final = 0.01
"""Up to this share of lost jobs an average over the others still speaks for the setting."""


def judge_objectives(
    objectives: Mapping[str, float],
    jobs: pl.DataFrame,
    figures: SettingFigures,
    closeness: Closeness,
    lags: SettingLags | None = None,
) -> dict[str, Judged]:
    """Hold a setting's jobs and figures against upper bounds, by name.

    Giving up is not rewarded. A lost job counts as infinitely late in every quantile and maximum; a mean
    cannot hold infinities, so means and loads are judged only while at most 1 % of the jobs were lost.
    ``met`` is None when too few jobs support the quantile. ``closeness`` gives the interval of an
    objective's figure by name, of ascending values at a level. Raises ValueError for an unknown objective.

    Estimated ``lags`` are judged by the estimate, unless the bounds decide for certain, or the limit lies
    where the polls leave the figure open: then ``met`` is None.
    """
    for name in objectives:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}")
    judged = {}
    for name, bound in objectives.items():
        objective = OBJECTIVES[name]
        if lags is not None and objective.figure == "lag":
            judged[name] = _judge_lag(objective, bound, figures, lags)
        else:
            judged[name] = _judge(objective, bound, jobs, figures, closeness)
    return judged


def _judge_lag(objective: Objective, bound: float, figures: SettingFigures, lags: SettingLags) -> Judged:
    lost, p = figures.lost_jobs, objective.p
    share = percent(lost.share)
    most: float | None  # what the figure is at most, for certain; then what the polls leave open of it
    if p is None:
        if lost.share > LOST_SHARE_ALLOWED:
            note = f"{share} of the jobs were lost, more than 1 %"
            return Judged(bound=bound, value=lags.mean.mean, met=False, note=note)
        value, off = lags.mean.mean, lags.mean.unresolved
        low, high, most = value - off, value + off, float(lags.most.mean())
    elif p < 1:
        jobs = lags.most.size + lost.n
        if not supports(p, jobs):
            few = f"{too_few(jobs)} to judge {objective.statistic}; {needed(p)} are needed"
            return Judged(bound=bound, value=None, met=None, note=few)
        samples = (lags.sample, lags.nearest, lags.farthest, lags.most)
        value, low, high, most = (lags.quantile(each, p, lost.n) or 0.0 for each in samples)
    else:
        value = low = 0.0
        high = most = float("inf") if lost.n else float(lags.most[-1])
    if np.isinf(low) or (p == 1 and lost.n):
        note = f"{share} of the jobs were lost and count as infinitely late"
        return Judged(bound=bound, value=None, met=False, note=note)
    shown = None if p == 1 else value
    if most <= bound:
        return Judged(bound=bound, value=shown, met=True, note=None)
    if low <= bound < high:
        left = f"the polls leave open where it lies between {in_seconds(low)} and {in_seconds(high)}"
        return Judged(bound=bound, value=shown, met=None, note=left)
    note = f"by an estimate; certain is only that it is at most {in_seconds(most)}"
    return Judged(bound=bound, value=shown, met=value <= bound, note=note, estimated=True)


def _judge(
    objective: Objective, bound: float, jobs: pl.DataFrame, figures: SettingFigures, closeness: Closeness
) -> Judged:
    lost, p = percent(figures.lost_jobs.share), objective.p
    part, key = objective.result

    def judged(value: float | None, met: bool | None, note: str | None) -> Judged:
        return Judged(bound=bound, value=value, met=met, note=note)

    if p is not None:
        ordered = with_lost_jobs(jobs, part)
        if p < 1 and not supports(p, ordered.size):
            few = f"{too_few(ordered.size)} to judge {objective.statistic}; {needed(p)} are needed"
            return judged(None, None, few)
        value = quantile(ordered, p) if p < 1 else float(ordered.max(initial=-np.inf))
        if value is None or np.isinf(value):
            return judged(None, False, f"{lost} of the jobs were lost and count as infinitely late")
        return judged(value, value <= bound, _closeness(closeness(objective.name, ordered, p), bound))
    summary = getattr(figures, part)
    value = getattr(summary, key)
    if value is None or figures.lost_jobs.share > LOST_SHARE_ALLOWED:
        return judged(value, False, f"{lost} of the jobs were lost, more than 1 %")
    return judged(value, value <= bound, _closeness(getattr(summary, "ci95", None), bound))


def _closeness(interval: Interval | None, bound: float) -> str | None:
    if interval is None or not interval[0] <= bound <= interval[1]:
        return None
    return "a close call: the limit lies within the figure's 95 % interval"


def with_lost_jobs(jobs: pl.DataFrame, figure: str) -> Floats:
    """Return a figure of every job in ascending order, lost jobs as infinitely late."""
    lost = job_values(jobs, "lost_share") == 1
    values = np.where(lost, np.inf, job_values(jobs, figure))
    return np.sort(values[~np.isnan(values)])
