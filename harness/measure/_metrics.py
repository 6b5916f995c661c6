"""The figures of one setting, from its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np

from harness.measure._basis import Basis
from harness.measure._figures import (
    LEVELS,
    USUAL_RESPONSES,
    CountSummary,
    JobCounts,
    LagSummary,
    Limit,
    LostJobs,
    PollOverhead,
    ServerTime,
    SettingFigures,
    StatusLatency,
    StatusRequests,
    Summary,
    TimeSummary,
    detected,
    job_values,
)
from harness.measure._intervals import Floats, Interval, quantile, supports
from harness.measure._lags import SettingLags
from harness.measure._objectives import judge_objectives
from harness.measure._rows import OUTCOMES, PollAggregate, Visit
from harness.measure._twin import Spread

if TYPE_CHECKING:
    import polars as pl

_PER_JOB: Final = ("wasted_polls", "detection_lag_s", "completion_latency_s")

_Summary = TypeVar("_Summary", bound=Summary)


def job_order(jobs: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return each setting's jobs in (repeat, key) order, which batch means rely on."""
    kept = jobs.select("repeat", "key", "outcome", "polls", *_PER_JOB)
    order = {}
    for name in jobs["setting"].unique(maintain_order=True):
        rows = np.flatnonzero(jobs["setting"] == name)
        # Rows that stand together, as the twin's do, are looked at where they are: there may be millions.
        together = rows[-1] - rows[0] + 1 == rows.size
        order[name] = _in_order(kept[rows[0] : rows[-1] + 1] if together else kept[rows])
    return order


def _in_order(jobs: pl.DataFrame) -> pl.DataFrame:
    repeat, key = jobs["repeat"].to_numpy(), jobs["key"].to_numpy()
    later = (repeat[1:] > repeat[:-1]) | ((repeat[1:] == repeat[:-1]) & (key[1:] >= key[:-1]))
    return jobs if later.all() else jobs.sort("repeat", "key", maintain_order=True)


def setting_figures(
    name: str,
    description: str,
    jobs: pl.DataFrame,
    visits: Sequence[Visit],
    polls: Sequence[PollAggregate],
    objectives: Mapping[str, float],
    basis: Basis,
    limit: Limit | None = None,
    lags: SettingLags | None = None,
    overhead: Spread | None = None,
) -> SettingFigures:
    """Return everything that is known about one setting; ``jobs`` are in (repeat, key) order.

    ``basis`` makes the intervals. ``lags`` is given where the service does not name the finishes of all these
    jobs, ``overhead`` where it is known what replies took beyond the delays that were drawn for them.
    Raises ValueError for an unknown objective.
    """
    outcomes = Counter(dict(jobs["outcome"].value_counts().iter_rows()))
    summarised = partial(_summarise, basis, name, jobs)
    lost = _lost_jobs(jobs)
    wasted = summarised("wasted_polls_per_job", Summary)
    figures = SettingFigures(
        description=description,
        jobs=JobCounts(submitted=len(jobs), **{name: outcomes[name] for name in OUTCOMES}),
        lost_jobs=lost,
        lost_jobs_ci95=basis.share(name, "lost_share", lost.n, len(jobs), jobs["repeat"].n_unique()),
        polls_per_job=summarised("polls_per_job", CountSummary),
        wasted_polls_per_job=wasted.mean,
        wasted_polls_per_job_ci95=wasted.ci95,
        detection_lag_s=_estimated(basis, lags) if lags else summarised("detection_lag_s", LagSummary),
        completion_latency_s=summarised("completion_latency_s", TimeSummary),
        status_requests=_status_requests(visits, polls),
        status_latency_s=_status_latency(polls),
        overhead_s=_overhead(overhead),
        responses=_responses(polls),
        server=_server(visits),
        limit=limit,
        objectives={},
    )

    def interval(objective: str, ordered: Floats, p: float) -> Interval | None:
        return basis.quantile(name, objective, ordered, p, jobs["repeat"].n_unique())

    judged = judge_objectives(objectives, jobs, figures, interval, lags)
    return figures.model_copy(update={"objectives": judged})


def _estimated(basis: Basis, lags: SettingLags) -> LagSummary:
    """Return the figures of lags that are estimates; their interval takes jobs for independent."""
    summary = lags.summary()
    return summary.model_copy(update={"ci95": None}) if basis.kind == "none" else summary


def _summarise(basis: Basis, name: str, jobs: pl.DataFrame, figure: str, kind: type[_Summary]) -> _Summary:
    """Return the summary of the values that are known, with the quantiles that its kind has."""
    values = job_values(jobs, figure)
    known = values[~np.isnan(values)]
    estimate = basis.mean(name, figure, jobs)
    figures: dict[str, Any] = {
        "n": known.size,
        "mean": estimate.mean if estimate else None,
        "ci95": estimate.interval() if estimate else None,
    }
    levels = {name: p for name, p in LEVELS.items() if name in kind.model_fields}
    if levels:
        ordered, repeats = np.sort(known), jobs["repeat"].n_unique()
        figures |= {name: quantile(ordered, p) for name, p in levels.items()}
        figures["max"] = float(ordered[-1]) if ordered.size else None
        spans: dict[str, Interval | None] = {
            level: basis.quantile(name, f"{figure}.{level}", ordered, p, repeats)
            for level, p in levels.items()
            if supports(p, ordered.size)
        }
        figures["quantiles_ci95"] = {level: span for level, span in spans.items() if span is not None}
    return kind(**figures)


def _lost_jobs(jobs: pl.DataFrame) -> LostJobs:
    """Without jobs all of them are lost: nothing measured is nothing proved."""
    lost = int((~detected(jobs)).sum())
    return LostJobs(n=lost, share=lost / len(jobs) if len(jobs) else 1.0)


def _status_requests(visits: Sequence[Visit], polls: Sequence[PollAggregate]) -> StatusRequests:
    total = sum(each.total for each in polls)
    measured_s = sum(visit.duration_s for visit in visits)
    return StatusRequests(
        total=total,
        measured_s=measured_s,
        per_second_mean=total / measured_s if measured_s > 0 else None,
        per_second_peak=max((each.peak_per_second for each in polls), default=0),
    )


def _status_latency(polls: Sequence[PollAggregate]) -> StatusLatency:
    values = np.concatenate([np.empty(0), *(each.latency_s for each in polls)])
    counts = np.concatenate([np.empty(0, np.int64), *(each.latency_count for each in polls)])
    order = np.argsort(values, kind="stable")
    values, counts = values[order], counts[order]
    quantiles = {name: quantile(values, LEVELS[name], counts) for name in ("p50", "p95", "p99")}
    return StatusLatency(n=int(counts.sum()), **quantiles, max=float(values[-1]) if values.size else None)


def _overhead(spread: Spread | None) -> PollOverhead:
    if spread is None:
        return PollOverhead(n=0, p50=None, p99=None, max=None)
    known = {name: supports(LEVELS[name], spread.n) for name in ("p50", "p99")}
    return PollOverhead(
        n=spread.n,
        p50=spread.p50_s if known["p50"] else None,
        p99=spread.p99_s if known["p99"] else None,
        max=spread.max_s,
    )


def _responses(polls: Sequence[PollAggregate]) -> dict[str, int]:
    seen = Counter(dict.fromkeys(USUAL_RESPONSES, 0))
    for each in polls:
        seen.update(each.responses)
    return dict(sorted(seen.items()))


def _server(visits: Sequence[Visit]) -> ServerTime:
    def total(values: list[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if known and len(known) == len(values) else None

    counts = [visit.server for visit in visits]
    return ServerTime(
        cpu_seconds=total([each.cpu_seconds if each else None for each in counts]),
        busy_seconds=total([each.busy_seconds if each else None for each in counts]),
    )
