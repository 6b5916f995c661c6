"""Checks of a live run against virtual time: what the run claims beyond what the scenario drew for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure._evidence import (
    MEAN_ERROR,
    TAIL_ERROR,
    Bounds,
    Evidence,
    Finding,
    worst,
)
from harness.measure._figures import detected
from harness.measure._frames import JOB_KEY
from harness.measure._intervals import FEWEST_BATCHES, Floats, batch_means, supports
from harness.measure._numbers import in_seconds, number
from harness.measure._trust_rows import RESOLUTION_S
from harness.measure._twin import Spread, VisitResiduals

if TYPE_CHECKING:
    import polars as pl

_EARLY_S: Final = 2e-3
"""Nothing is done before its time, but timers may go off a millisecond early."""
_STANDARD_ERRORS: Final = 3.0
_SURE: Final = 0.99865
"""The normal law's share below three standard errors; of few twins, Student's law needs more of them."""
_DRIFT_WARN: Final = 3.0


_FINISH_ERROR: Final = Bounds(0.01, 0.03, 0.003, 0.006)
_FINISH_TAIL: Final = Bounds(0.05, 0.20, 0.010, 0.030)
"""Narrow, for a machine that is merely slow leaves no residual at all."""


def finish_residual(e: Evidence) -> Finding:
    """Hold each finish against submission and work, within what the round trips leave open.

    Whatever is wrong with a finish or with the clocks lands in what is left.
    """
    return worst(
        (_finish(e, each, each.finish) for each in e.twin.residuals if each.finish is not None),
        otherwise="no end was learnt of a job whose work is its own",
    )


def _finish(e: Evidence, each: VisitResiduals, spread: Spread) -> Finding:
    where, reference = _place(each), e.mean(each.setting, "detection_lag_s") or 0.0
    said = f"{where}: {_words(spread)} beyond what the round trips leave open"
    if each.queued:  # one job before another moves single finishes by whole jobs
        return _FINISH_ERROR.judge(abs(spread.p50_s), reference), said
    if spread.least_s < -_EARLY_S:
        return "invalid", f"{where}: a finish {in_seconds(-spread.least_s)} before it can have been"
    return worst(
        [
            (_FINISH_ERROR.judge(spread.mean_s, reference), said),
            (_FINISH_TAIL.judge(spread.tail_s, reference), said),
        ],
        otherwise=said,
    )


def poll_overhead(e: Evidence) -> Finding:
    """Hold each reply's latency against the delay drawn for it: what is left is the machine's."""
    polled = any(polls and polls.total for _, polls in e.visits)
    return worst(
        (_overhead(e, each, each.overhead) for each in e.twin.residuals if each.overhead is not None),
        otherwise="what a reply took cannot be told from its wait for the service's workers"
        if polled
        else "no poll was sent",
    )


def _overhead(e: Evidence, each: VisitResiduals, spread: Spread) -> Finding:
    where, reference = _place(each), e.mean(each.setting, "detection_lag_s") or 0.0
    if spread.least_s < -_EARLY_S:
        return "invalid", f"{where}: a reply {in_seconds(-spread.least_s)} sooner than the service gives it"
    # The median too, which no few extremes make or hide.
    bias, said = max(spread.mean_s, spread.p50_s), f"{where}: {_words(spread)}"
    return worst(
        [(MEAN_ERROR.judge(bias, reference), said), (TAIL_ERROR.judge(spread.tail_s, reference), said)],
        otherwise=said,
    )


def _place(each: VisitResiduals) -> str:
    return f"{each.setting} (repeat {each.repeat})"


def _words(spread: Spread) -> str:
    mean, p99, most = (in_seconds(each) for each in (spread.mean_s, spread.p99_s, spread.max_s))
    return f"{mean} (mean), {p99} (p99), {most} (at most)"


# -- figures against the twins' ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Held:
    """A figure of a setting that is held against the twins'; ``of`` names the mean its bounds are shares of.

    ``p`` is given where it is a quantile, not the mean.
    """

    words: str
    column: str
    bounds: Bounds
    of: str
    p: float | None = None


_HELD: Final = (
    _Held("mean lag", "detection_lag_s", Bounds(0.05, 0.10, 0.005, 0.010), "detection_lag_s"),
    _Held("p95 lag", "detection_lag_s", Bounds(0.10, 0.20, 0.020, 0.050), "detection_lag_s", 0.95),
    _Held("mean latency", "completion_latency_s", Bounds(0.05, 0.10, 0.010, 0.020), "completion_latency_s"),
    _Held("polls per job", "polls", Bounds(0.03, 0.06, 0.0, 0.0), "polls"),
    _Held("wasted polls per job", "wasted_polls", Bounds(0.03, 0.06, 0.0, 0.0), "polls"),
    _Held("share of lost jobs", "lost", Bounds(0.0, 0.0, 0.01, 0.02), "lost"),
)
"""What of a setting is compared; a new row is a new figure that must agree."""

_PLANNED: Final = {"planned_at_s": 2 * RESOLUTION_S, "duration_s": 2 * RESOLUTION_S}


def twin_residual(e: Evidence) -> Finding:
    """Hold the run's jobs and figures against those of its twins.

    A figure is off by how far it lies beyond what another twin might show: mean ± t s sqrt(1 + 1/k), with s
    the standard deviation of k twins (the prediction interval of one more value at three standard errors).
    Where jobs wait for each other and a hair decides for whole seconds the twins differ among themselves, and
    the run may differ as much. How its own jobs scatter plays no part, for that may be the error itself.
    """
    if e.twin.jobs.is_empty():
        return "warn", f"cannot be held against virtual time: {e.twin.reason}"
    if fault := _other_jobs(e):
        return "invalid", fault
    return worst(_figures_off(e), otherwise="no setting has jobs")


def _other_jobs(e: Evidence) -> str:
    """Say which jobs of the run are not those of the scenario; empty if all are."""
    import polars as pl

    plan = e.twin.jobs.filter(pl.col("twin") == 0)
    jobs = e.run.jobs
    both = jobs.join(plan, on=JOB_KEY, suffix="_twin")
    # In closed loops the machine's speed decides how many jobs there are.
    if all(visit.planned_jobs is not None for visit, _ in e.visits) and not _closed(e):
        failed = sum(sum(visit.failed_submissions.values()) for visit, _ in e.visits)
        missing, extra = plan.height - both.height, jobs.height - both.height
        if missing > failed or extra > 0:
            return f"{missing} of {plan.height} jobs are missing, and {extra} are not the scenario's"
    for column, most in _PLANNED.items():
        if column == "planned_at_s" and _closed(e):
            continue
        off = int(((both[column] - both[f"{column}_twin"]).abs() > most).sum())
        if off:
            return f"{off} jobs have another {column} than the scenario gives them"
    other = both.filter(
        detected(both) & detected(both.rename({"outcome": "_", "outcome_twin": "outcome"}))
    ).filter(pl.col("outcome").cast(pl.String) != pl.col("outcome_twin").cast(pl.String))
    return f"{other.height} jobs ended otherwise than the scenario lets them end" if other.height else ""


def _closed(e: Evidence) -> bool:
    """Whether the twins themselves do not agree on which jobs there are, or when: a closed loop."""
    import polars as pl

    spread = e.twin.jobs.group_by(JOB_KEY).agg(n=pl.len(), at=pl.col("planned_at_s").n_unique())
    return bool(((spread["n"] != e.twin.count) | (spread["at"] > 1)).any())


def _figures_off(e: Evidence) -> Iterator[Finding]:
    import polars as pl

    jobs = e.run.jobs.with_columns(lost=(~pl.Series(detected(e.run.jobs))).cast(pl.Float64))
    twins = e.twin.jobs.with_columns(lost=(~pl.Series(detected(e.twin.jobs))).cast(pl.Float64))
    for name in e.run.info.settings:
        ours, theirs = jobs.filter(pl.col("setting") == name), twins.filter(pl.col("setting") == name)
        if ours.is_empty() or theirs.is_empty():
            continue
        each = theirs.partition_by("twin", maintain_order=True)
        for held in _HELD:
            finding = _off(name, held, ours, each)
            if finding is not None:
                yield finding


def _off(name: str, held: _Held, ours: pl.DataFrame, twins: list[pl.DataFrame]) -> Finding | None:
    from scipy import special  # slow to load

    mine, theirs = _value(ours, held), [_value(each, held) for each in twins]
    known = np.array([value for value in theirs if value is not None])
    if mine is None or known.size == 0:
        return None
    mean = float(known.mean())
    if known.size > 1:
        spread = float(known.std(ddof=1))
        allowed = float(special.stdtrit(known.size - 1, _SURE)) * np.sqrt(1 + 1 / known.size) * spread
    else:
        spread = _standard_error(ours, twins[0], held)
        allowed = _STANDARD_ERRORS * spread
    sure = max(abs(mine - mean) - allowed, 0.0)
    reference = float(np.mean([_mean(each, held.of) or 0.0 for each in twins]))
    said = f"{name}: {held.words} {number(mine)}, by the twin {number(mean)} ± {number(spread)}"
    return held.bounds.judge(sure, reference), said


def _mean(jobs: pl.DataFrame, column: str) -> float | None:
    value = jobs[column].mean()
    return float(value) if isinstance(value, float) else None


def _value(jobs: pl.DataFrame, held: _Held) -> float | None:
    if held.p is None:
        return _mean(jobs, held.column)
    known = jobs[held.column].drop_nulls()
    return float(known.quantile(held.p, "linear") or 0.0) if supports(held.p, len(known)) else None


def _standard_error(ours: pl.DataFrame, twin: pl.DataFrame, held: _Held) -> float:
    """Return the standard error of a mean difference by job, where there is only one twin."""
    both = ours.join(twin, on=JOB_KEY, suffix="_twin")
    difference = (both[held.column] - both[f"{held.column}_twin"]).drop_nulls()
    return float(np.std(difference.to_numpy())) / float(np.sqrt(max(len(difference), 1)))


# -- conditions along the run --------------------------------------------------------------------------


_DRIFTS: Final = {
    "detection_lag_s": ("detection lag", 0.010),
    "completion_latency_s": ("latency", 0.010),
    "polls": ("polls", 0.0),
}
_MATERIAL: Final = 0.05
"""A drift of less than this share of the mean is no more than is allowed of the mean itself."""


def steady_conditions(e: Evidence) -> Finding:
    """Look for a drift along the run of what the scenario does not explain: the run less its twins, by job.

    On a service that is not ours nothing explains anything, and latency is what is known of every job.
    """
    found: list[tuple[float, str]] = []
    for name, jobs in e.jobs.items():
        if e.twin.jobs.is_empty():
            metric = "completion_latency_s"
            score = _score(jobs[metric].to_numpy().astype(np.float64), 0.0)
            found.append((score, f"{name}: {_DRIFTS[metric][0]}"))
        else:
            found.extend(_drifts(e, name, jobs))
    score, where = max(found, default=(0.0, ""))
    if score > _DRIFT_WARN:
        detail = f"{where} drifts along the run, so the interval of its mean may mislead"
        return "warn", f"{detail} ({score:.1f} standard errors)"
    whose = "" if e.twin.jobs.is_empty() else ", beyond what the scenario does itself"
    return "pass", f"no drift of lag, latency or polls along the run{whose}"


def _drifts(e: Evidence, name: str, jobs: pl.DataFrame) -> Iterator[tuple[float, str]]:
    import polars as pl

    mine = e.twin.jobs.filter(pl.col("setting") == name)
    by_job = mine.group_by("repeat", "key").agg(pl.col("planned_at_s").first(), pl.col(*_DRIFTS).mean())
    both = jobs.join(by_job, on=["repeat", "key"], suffix="_twin", how="left", maintain_order="left")
    # Jobs of one moment are taken one after the other all the same: that is their queue, no drift.
    residuals = both.group_by("repeat", "planned_at_s", maintain_order=True).agg(
        (pl.col(column) - pl.col(f"{column}_twin")).mean() for column in _DRIFTS
    )
    for column, (words, floor_s) in _DRIFTS.items():
        material = max(_MATERIAL * (_mean(mine, column) or 0.0), floor_s)
        residual = residuals[column].to_numpy().astype(np.float64)
        yield _score(residual, material), f"{name}: {words}"


def _score(values: Floats, material: float) -> float:
    """Return how neighbouring batches correlate, in standard errors (1/sqrt(batches)); 0: immaterially."""
    values = values[~np.isnan(values)]
    means = batch_means(values)
    if not FEWEST_BATCHES <= means.size < values.size or np.ptp(means) < max(RESOLUTION_S, material):
        return 0.0
    off = means - means.mean()
    return float((off[:-1] * off[1:]).sum() / (off**2).sum() * np.sqrt(means.size))
