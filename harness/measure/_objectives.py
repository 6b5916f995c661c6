"""Holding a setting against the scenario's objectives."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness.measure._intervals import Floats, needed, quantile, quantile_interval, supports
from harness.measure._metrics import job_values
from harness.measure._numbers import percent
from scenarios import OBJECTIVES, Objective

LOST_SHARE_ALLOWED = 0.01
"""Up to this share of lost jobs an average over the others still speaks for the setting."""


def judge_objectives(
    objectives: Mapping[str, float], jobs: pd.DataFrame, metrics: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Hold a setting against the objectives: ``{name: {limit, value, met, note}}``.

    Giving up must not pay. A lost job counts as infinitely late in every quantile and maximum; a mean cannot
    hold infinities, so means and loads are judged only while at most 1 % of the jobs were lost. ``met`` is
    None when too few jobs support the quantile. Raises ValueError for an unknown objective.
    """
    for name in objectives:
        if name not in OBJECTIVES:
            raise ValueError(f"unknown objective {name!r}")
    return {name: _judge(OBJECTIVES[name], limit, jobs, metrics) for name, limit in objectives.items()}


def _judge(
    objective: Objective, limit: float, jobs: pd.DataFrame, metrics: Mapping[str, Any]
) -> dict[str, Any]:
    lost, p = metrics["lost_jobs"]["share"], objective.p
    part, key = objective.result
    if p is not None:
        ordered = _with_lost_jobs(jobs, part)
        if p < 1 and not supports(p, ordered.size):
            note = f"{ordered.size} jobs are too few to judge {objective.statistic}; {needed(p)} are needed"
            return _judged(limit, None, None, note)
        value = quantile(ordered, p) if p < 1 else float(ordered.max(initial=-np.inf))
        if value is None or np.isinf(value):
            return _judged(
                limit, None, False, f"{percent(lost)} of the jobs were lost and count as infinitely late"
            )
        return _judged(limit, value, value <= limit, _closeness(quantile_interval(ordered, p), limit))
    value, interval = metrics[part][key], metrics[part].get("ci95")
    if value is None or lost > LOST_SHARE_ALLOWED:
        return _judged(limit, value, False, f"{percent(lost)} of the jobs were lost, more than 1 %")
    return _judged(limit, value, value <= limit, _closeness(interval, limit))


def _closeness(interval: Sequence[float] | None, limit: float) -> str | None:
    if interval is None or not interval[0] <= limit <= interval[1]:
        return None
    return "a close call: the limit lies within the figure's 95 % interval"


def _with_lost_jobs(jobs: pd.DataFrame, column: str) -> Floats:
    lost = job_values(jobs, "lost_share") == 1
    values = np.where(lost, np.inf, job_values(jobs, column))
    return np.sort(values[~np.isnan(values)])


def _judged(limit: float, value: float | None, met: bool | None, note: str | None) -> dict[str, Any]:
    return {"limit": limit, "value": value, "met": met, "note": note}
