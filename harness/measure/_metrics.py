"""The figures of one setting, from its rows."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from harness.measure._intervals import Floats, estimate_mean, quantile, quantile_interval
from harness.measure._rows import LEARNT, OUTCOMES, PollAggregate, Visit

USUAL_RESPONSES = ("200", "429", "503", "transport_error")  # Always listed, so that a zero can be read.
JOB_METRICS = ("detection_lag_s", "polls_per_job", "completion_latency_s", "lost_share")


def job_order(jobs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Each setting's jobs in (repeat, key) order, which batch means rely on."""
    ordered = jobs.sort_values(["repeat", "key"], kind="stable")
    return {str(name): group for name, group in ordered.groupby("setting", sort=False)}


def learnt(jobs: pd.DataFrame) -> NDArray[np.bool_]:
    """Which jobs' clients learnt of the end."""
    return jobs["outcome"].isin(LEARNT).to_numpy(dtype=np.bool_)


def job_values(jobs: pd.DataFrame, metric: str) -> Floats:
    """One number per job for a metric of :data:`JOB_METRICS`, NaN where the job has none.

    A lost job has no lag and no latency; its polls count, since the server had to answer them.
    """
    if metric == "polls_per_job":
        return jobs["polls"].to_numpy(dtype=np.float64)
    found = learnt(jobs)
    if metric == "lost_share":
        return (~found).astype(np.float64)
    return np.where(found, jobs[metric].to_numpy(dtype=np.float64), np.nan)


def setting_metrics(
    description: str, jobs: pd.DataFrame, visits: Sequence[Visit], polls: Sequence[PollAggregate]
) -> dict[str, Any]:
    """The ``settings.<name>`` part of the results; ``jobs`` are in (repeat, key) order."""
    outcomes = Counter(jobs["outcome"])
    wasted = summary(jobs["wasted_polls"].to_numpy(dtype=np.float64), ())
    return {
        "description": description,
        "jobs": {"submitted": len(jobs), **{name: int(outcomes[name]) for name in OUTCOMES}},
        "lost_jobs": lost_jobs(jobs),
        "polls_per_job": summary(job_values(jobs, "polls_per_job"), (50, 95, 99)),
        "wasted_polls_per_job": wasted["mean"],
        "wasted_polls_per_job_ci95": wasted["ci95"],
        "detection_lag_s": summary(job_values(jobs, "detection_lag_s"), (50, 90, 95, 99)),
        "completion_latency_s": summary(job_values(jobs, "completion_latency_s"), (50, 90, 95, 99)),
        "status_requests": _status_requests(visits, polls),
        "status_latency_s": _status_latency(polls),
        "responses": _responses(polls),
        "server": _server(visits),
        "limit": None,
    }


def lost_jobs(jobs: pd.DataFrame) -> dict[str, Any]:
    """How many jobs' ends were not learnt, and their share of all (1.0 without jobs)."""
    lost = int((~learnt(jobs)).sum())
    return {"n": lost, "share": lost / len(jobs) if len(jobs) else 1.0}


def summary(values: Floats, percents: Sequence[int]) -> dict[str, Any]:
    """Count, mean with its interval, quantiles with theirs, and maximum of the values that are known."""
    known = values[~np.isnan(values)]
    estimate = estimate_mean(known)
    interval = estimate.interval() if estimate else None
    figures: dict[str, Any] = {
        "n": int(known.size),
        "mean": estimate.mean if estimate else None,
        "ci95": list(interval) if interval else None,
    }
    if percents:
        ordered = np.sort(known)
        figures |= {f"p{percent}": quantile(ordered, percent / 100) for percent in percents}
        figures["max"] = float(ordered[-1]) if ordered.size else None
        figures["quantiles_ci95"] = {
            f"p{percent}": list(span)
            for percent in percents
            if (span := quantile_interval(ordered, percent / 100)) is not None
        }
    return figures


def _status_requests(visits: Sequence[Visit], polls: Sequence[PollAggregate]) -> dict[str, Any]:
    """The load in time, over whole visits: the drain counts, so slow finders look lighter than they are.

    No interval: the number of jobs and the length of the drain vary together with the polls.
    """
    total = sum(each.total for each in polls)
    measured_s = sum(visit.duration_s for visit in visits)
    return {
        "total": total,
        "measured_s": measured_s,
        "per_second_mean": total / measured_s if measured_s > 0 else None,
        "per_second_peak": max((each.peak_per_second for each in polls), default=0),
    }


def _status_latency(polls: Sequence[PollAggregate]) -> dict[str, Any]:
    values = np.concatenate([np.empty(0), *(each.latency_s for each in polls)])
    counts = np.concatenate([np.empty(0, np.int64), *(each.latency_count for each in polls)])
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    figures = {f"p{percent}": quantile(values, percent / 100, counts) for percent in (50, 95, 99)}
    return {"n": int(counts.sum()), **figures, "max": float(values[-1]) if values.size else None}


def _responses(polls: Sequence[PollAggregate]) -> dict[str, int]:
    seen = Counter(dict.fromkeys(USUAL_RESPONSES, 0))
    for each in polls:
        seen.update(each.responses)
    return dict(sorted(seen.items()))


def _server(visits: Sequence[Visit]) -> dict[str, float | None]:
    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if known and len(known) == len(values) else None

    counts = [visit.server for visit in visits]
    return {
        "cpu_seconds": total([each.cpu_seconds if each else None for each in counts]),
        "busy_seconds": total([each.busy_seconds if each else None for each in counts]),
    }
