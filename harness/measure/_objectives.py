"""Holding a setting against the scenario's objectives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure._figures import Interval, Judged, SettingFigures, job_values
from harness.measure._intervals import Floats, needed, quantile, quantile_interval, supports
from harness.measure._numbers import percent
from scenarios import OBJECTIVES, Objective

if TYPE_CHECKING:
    import polars as pl

LOST_SHARE_ALLOWED: Final = 0.01
"""Up to this share of lost jobs an average over the others still speaks for the setting."""


def judge_objectives(
    objectives: Mapping[str, float], jobs: pl.DataFrame, figures: SettingFigures
) -> dict[str, Judged]:
    """Hold a setting's jobs and figures against upper bounds, by name.

    Giving up is not rewarded. A lost job counts as infinitely late in every quantile and maximum; a mean
    cannot hold infinities, so means and loads are judged only while at most 1 % of the jobs were lost.
    ``met`` is None when too few jobs support the quantile. Raises ValueError for an unknown objective.
    """
    for name in objectives:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}")
    return {name: _judge(OBJECTIVES[name], bound, jobs, figures) for name, bound in objectives.items()}


def _judge(objective: Objective, bound: float, jobs: pl.DataFrame, figures: SettingFigures) -> Judged:
    lost, p = percent(figures.lost_jobs.share), objective.p
    part, key = objective.result

    def judged(value: float | None, met: bool | None, note: str | None) -> Judged:
        return Judged(bound=bound, value=value, met=met, note=note)

    if p is not None:
        ordered = _with_lost_jobs(jobs, part)
        if p < 1 and not supports(p, ordered.size):
            few = f"{ordered.size} jobs are too few to judge {objective.statistic}; {needed(p)} are needed"
            return judged(None, None, few)
        value = quantile(ordered, p) if p < 1 else float(ordered.max(initial=-np.inf))
        if value is None or np.isinf(value):
            return judged(None, False, f"{lost} of the jobs were lost and count as infinitely late")
        return judged(value, value <= bound, _closeness(quantile_interval(ordered, p), bound))
    summary = getattr(figures, part)
    value = getattr(summary, key)
    if value is None or figures.lost_jobs.share > LOST_SHARE_ALLOWED:
        return judged(value, False, f"{lost} of the jobs were lost, more than 1 %")
    return judged(value, value <= bound, _closeness(getattr(summary, "ci95", None), bound))


def _closeness(interval: Interval | None, bound: float) -> str | None:
    if interval is None or not interval[0] <= bound <= interval[1]:
        return None
    return "a close call: the limit lies within the figure's 95 % interval"


def _with_lost_jobs(jobs: pl.DataFrame, figure: str) -> Floats:
    lost = job_values(jobs, "lost_share") == 1
    values = np.where(lost, np.inf, job_values(jobs, figure))
    return np.sort(values[~np.isnan(values)])
