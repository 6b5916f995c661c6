"""The harness confesses: checks of a run's own numbers, each with the figure it rests on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from harness.measure._intervals import FEWEST_BATCHES, batch_means
from harness.measure._metrics import job_values
from harness.measure._numbers import in_seconds, percent
from harness.measure._rows import JOB_KEY, LEARNT, PollAggregate, Run, Visit

Status = Literal["pass", "warn", "invalid"]
Check = dict[str, str]

# Lateness is an error of the instrument: a tenth of what is measured is worth a word, half of it is noise.
LATENESS_WARN, LATENESS_INVALID = 0.10, 0.50
# No schedule is resolved finer than a request's own round trip, so lateness below this cannot matter.
LATENESS_FLOOR_S = 0.005
# A processor that is busy more than about 70 % of the time queues noticeably (at 90 %, tenfold in M/M/1).
CPU_WARN, CPU_INVALID = 0.70, 0.90
# Jobs cut off by the end of the run are the slow ones: their absence flatters every figure.
CENSORED_WARN, CENSORED_INVALID = 0.01, 0.05
# An arrival that was never sent thins the load; more than one in a hundred is another workload.
MISSED_INVALID = 0.01
# Learning of an end before it happened is impossible; clocks read in two processes may differ this much.
CLOCK_NOISE_S = 0.005
# Neighbouring batches that correlate by more than three standard errors (1/sqrt(batches)) are no accident.
DRIFT_WARN = 3.0
RESOLUTION_S = 1e-6  # Of the records; differences below it are rounding.


@dataclass(frozen=True)
class _Evidence:
    """What the checks look at; ``jobs`` by setting in (repeat, key) order, ``visits`` with their polls."""

    run: Run
    settings: Mapping[str, Any]
    jobs: Mapping[str, pd.DataFrame]
    visits: tuple[tuple[Visit, PollAggregate | None], ...]


def trust_checks(run: Run, settings: Mapping[str, Any], jobs: Mapping[str, pd.DataFrame]) -> list[Check]:
    """Every check as ``{check, status, detail}``; those about real time are left out of a virtual run."""
    polls = {(each.setting, each.repeat): each for each in run.polls}
    visits = tuple((visit, polls.get((visit.setting, visit.repeat))) for visit in run.visits)
    evidence = _Evidence(run, settings, jobs, visits)
    checks: list[Callable[[_Evidence], Check]] = [
        _run_complete,
        _jobs_conserved,
        _rows_consistent,
        _missed_arrivals,
        _censored_jobs,
        _polls_reconciled,
        _finish_times,
        _steady_conditions,
    ]
    if run.info.engine == "live":
        checks += [_poll_lateness, _arrival_lateness, _generator_cpu, _server_cpu, _workers_lost]
    return [check(evidence) for check in checks]


def worst_status(trust: list[Check]) -> Status:
    """The worst status among the checks."""
    seen = {each["status"] for each in trust}
    return "invalid" if "invalid" in seen else "warn" if "warn" in seen else "pass"


def _check(name: str, status: Status, detail: str) -> Check:
    return {"check": name, "status": status, "detail": detail}


def _graded(value: float, warn: float, invalid: float) -> Status:
    return "invalid" if value > invalid else "warn" if value > warn else "pass"


def _of(visit: Visit) -> str:
    return f"{visit.setting} (repeat {visit.repeat})"


def _run_complete(e: _Evidence) -> Check:
    cut = [_of(visit) for visit, _ in e.visits if not visit.complete]
    visited = {(visit.setting, visit.repeat) for visit, _ in e.visits}
    repeats = {repeat for _, repeat in visited} or {0}
    unvisited = [
        f"{name} (repeat {repeat})"
        for name in e.settings
        for repeat in sorted(repeats)
        if (name, repeat) not in visited
    ]
    if e.run.info.incomplete:
        return _check("run complete", "invalid", f"the run ended early: {e.run.info.incomplete}")
    if cut or unvisited:
        what = f"cut short: {', '.join(cut)}" if cut else f"never visited: {', '.join(unvisited)}"
        return _check("run complete", "invalid", what)
    return _check("run complete", "pass", f"all {len(e.visits)} visits were drained")


def _jobs_conserved(e: _Evidence) -> Check:
    name = "jobs conserved"
    rows = e.run.jobs.groupby(["setting", "repeat"]).size().to_dict()
    total = len(e.run.jobs)
    if total == 0:
        return _check(name, "invalid", "no job was recorded")
    for visit, _ in e.visits:
        recorded = int(rows.get((visit.setting, visit.repeat), 0))
        if visit.server is not None and visit.server.submissions != recorded:
            detail = (
                f"{_of(visit)}: {recorded} jobs recorded, {visit.server.submissions} submitted to the server"
            )
            return _check(name, "invalid", detail)
    strays = set(rows) - {(visit.setting, visit.repeat) for visit, _ in e.visits}
    if strays:
        return _check(name, "invalid", f"jobs of {len(strays)} visits that are not on record")
    if e.run.jobs.duplicated(JOB_KEY).any():
        return _check(name, "invalid", "a job is on record twice")
    return _check(name, "pass", f"all {total} jobs have one row and one outcome")


def _rows_consistent(e: _Evidence) -> Check:
    """Each row must agree with itself, and a job must need the same work under every setting."""
    name, jobs = "rows consistent", e.run.jobs
    learnt = jobs["outcome"].isin(LEARNT)
    lag = jobs["detected_at_s"] - jobs["finished_at_s"] - jobs["detection_lag_s"]
    latency = jobs["detected_at_s"] - jobs["planned_at_s"] - jobs["completion_latency_s"]
    work = jobs.groupby(["repeat", "key"])["duration_s"]
    faults = {
        "learnt, but without a lag": learnt & jobs["detection_lag_s"].isna(),
        "not learnt, but with a lag": ~learnt & jobs["detection_lag_s"].notna(),
        "a lag that is not detection less finish": lag.abs() > CLOCK_NOISE_S,
        "a latency that is not detection less plan": latency.abs() > CLOCK_NOISE_S,
        "more wasted polls than polls": jobs["wasted_polls"] > jobs["polls"],
        "submitted before it was sent": jobs["submitted_at_s"] < jobs["sent_at_s"] - RESOLUTION_S,
        "detected before it was submitted": jobs["detected_at_s"] < jobs["submitted_at_s"] - RESOLUTION_S,
        "another duration than under other settings": work.transform("max") - work.transform("min")
        > 2 * RESOLUTION_S,
    }
    for fault, rows in faults.items():
        if rows.any():
            return _check(name, "invalid", f"{int(rows.sum())} jobs: {fault}")
    return _check(name, "pass", "every row agrees with itself, every job with itself under other settings")


def _missed_arrivals(e: _Evidence) -> Check:
    name = "missed arrivals"
    rows = e.run.jobs.groupby(["setting", "repeat"]).size().to_dict()
    planned = [visit for visit, _ in e.visits if visit.planned_jobs is not None]
    missed, of, where = 0, 0, ""
    for visit in planned:
        recorded = int(rows.get((visit.setting, visit.repeat), 0))
        if abs((visit.planned_jobs or 0) - recorded) > abs(missed):
            missed, of, where = (visit.planned_jobs or 0) - recorded, visit.planned_jobs or 0, _of(visit)
    if not planned:
        return _check(name, "pass", "closed loops plan no fixed number of jobs")
    if missed:
        status = _graded(abs(missed), 0, MISSED_INVALID * of)
        return _check(name, status, f"{where}: {missed} of {of} planned jobs were not submitted")
    return _check(name, "pass", "every planned job was submitted")


def _censored_jobs(e: _Evidence) -> Check:
    shares = {
        name: figures["jobs"]["censored"] / figures["jobs"]["submitted"]
        for name, figures in e.settings.items()
        if figures["jobs"]["submitted"]
    }
    worst = max(shares, key=lambda name: shares[name], default=None)
    if worst is None or shares[worst] == 0:
        return _check("censored jobs", "pass", "the run outlasted every job")
    detail = f"{worst}: {percent(shares[worst])} of the jobs were cut off by the end of the run"
    return _check("censored jobs", _graded(shares[worst], CENSORED_WARN, CENSORED_INVALID), detail)


def _polls_reconciled(e: _Evidence) -> Check:
    name = "polls counted alike"
    by_jobs = e.run.jobs.groupby(["setting", "repeat"])["polls"].sum().to_dict()
    total, unsure = 0, ""
    for visit, polls in e.visits:
        sent = polls.total if polls else 0
        total += sent
        counted = int(by_jobs.get((visit.setting, visit.repeat), 0))
        if counted != sent:
            return _check(name, "invalid", f"{_of(visit)}: {sent} polls sent, but jobs count {counted}")
        if visit.server is None:
            if e.run.info.engine == "live":
                return _check(name, "invalid", f"{_of(visit)}: the server's count is missing")
            continue
        gap = sent - visit.server.polls
        lost = polls.responses.get("transport_error", 0) if polls else 0
        if gap < 0 or gap > lost:
            detail = f"{_of(visit)}: clients sent {sent} polls, the server counted {visit.server.polls}"
            return _check(name, "invalid", detail)
        if gap:
            unsure = f"{_of(visit)}: {gap} of {sent} polls failed before they reached the server"
    if unsure:
        return _check(name, "warn", unsure)
    return _check(name, "pass", f"{total} polls by the records, the jobs and the server")


def _finish_times(e: _Evidence) -> Check:
    jobs = e.run.jobs
    early_learnt = int((jobs["detection_lag_s"] < -CLOCK_NOISE_S).sum())
    early_finish = int((jobs["finished_at_s"] < jobs["sent_at_s"] - CLOCK_NOISE_S).sum())
    if early_learnt:
        detail = f"{early_learnt} jobs were known to be done before they were; lowest lag " + in_seconds(
            float(jobs["detection_lag_s"].min())
        )
        return _check("finish times", "invalid", detail)
    if early_finish:
        return _check("finish times", "invalid", f"{early_finish} jobs finished before they were sent")
    return _check("finish times", "pass", "no job was known to be done before it was")


def _steady_conditions(e: _Evidence) -> Check:
    worst, where = 0.0, ""
    for name, jobs in e.jobs.items():
        values = job_values(jobs, "detection_lag_s")
        values = values[~np.isnan(values)]
        means = batch_means(values)
        if not FEWEST_BATCHES <= means.size < values.size or np.ptp(means) < RESOLUTION_S:
            continue
        off = means - means.mean()
        correlation = float((off[:-1] * off[1:]).sum() / (off**2).sum())
        # In units of the standard error that this correlation has among independent batches.
        score = correlation * float(np.sqrt(means.size))
        if score > worst:
            worst, where = score, name
    if worst > DRIFT_WARN:
        detail = f"{where}: detection lag drifts along the run, so the interval of its mean may mislead"
        return _check("steady conditions", "warn", f"{detail} ({worst:.1f} standard errors)")
    return _check("steady conditions", "pass", "no drift of the detection lag along the run")


def _poll_lateness(e: _Evidence) -> Check:
    late = [(polls.lateness, visit) for visit, polls in e.visits if polls and polls.lateness]
    if not late:
        return _check("poll lateness", "pass", "no poll was sent")
    lateness, visit = max(late, key=lambda pair: pair[0].p99_s)
    spread = f"{_of(visit)}: {_spread(*lateness)}"
    return _held_against(e, "poll lateness", spread, lateness.p99_s, "detection_lag_s", "a smallest mean lag")


def _arrival_lateness(e: _Evidence) -> Check:
    late = (e.run.jobs["sent_at_s"] - e.run.jobs["planned_at_s"]).dropna()
    if late.empty:
        return _check("arrival lateness", "pass", "no job was submitted")
    p50, p99 = (float(each) for each in np.quantile(late, [0.5, 0.99]))
    spread = _spread(p50, p99, float(late.max()))
    against = "a smallest mean completion latency"
    return _held_against(e, "arrival lateness", spread, p99, "completion_latency_s", against)


def _held_against(e: _Evidence, check: str, spread: str, p99_s: float, metric: str, against: str) -> Check:
    """Lateness matters in proportion to what is measured: the smallest mean over the settings."""
    means = [each[metric]["mean"] for each in e.settings.values() if each[metric]["mean"] is not None]
    if not means:
        return _check(check, "warn", f"{spread}, with nothing to hold it against: no job's end was learnt")
    return _check(check, _late(p99_s, min(means)), f"{spread} against {against} of {in_seconds(min(means))}")


def _spread(p50_s: float, p99_s: float, max_s: float) -> str:
    return f"late by {in_seconds(p50_s)} (median), {in_seconds(p99_s)} (p99), {in_seconds(max_s)} (at most)"


def _late(p99_s: float, reference_s: float) -> Status:
    if p99_s <= LATENESS_FLOOR_S:
        return "pass"
    return _graded(p99_s, LATENESS_WARN * reference_s, LATENESS_INVALID * reference_s)


def _generator_cpu(e: _Evidence) -> Check:
    busy = [(max(visit.generator_cpu), visit) for visit, _ in e.visits if visit.generator_cpu]
    if not busy:
        return _check("generator CPU", "warn", "the load generator's processor time was not measured")
    share, visit = max(busy, key=lambda pair: pair[0])
    peak = (
        f", {percent(visit.generator_cpu_peak)} at its peak" if visit.generator_cpu_peak is not None else ""
    )
    detail = f"{_of(visit)}: the busiest process used {percent(share)} of a core{peak}"
    return _check("generator CPU", _graded(share, CPU_WARN, CPU_INVALID), detail)


def _server_cpu(e: _Evidence) -> Check:
    busy = [
        (visit.server.cpu_seconds / visit.duration_s / visit.server.processes, visit)
        for visit, _ in e.visits
        if visit.server and visit.server.cpu_seconds is not None and visit.duration_s > 0
    ]
    if not busy:
        return _check("server CPU", "warn", "the simulator's processor time was not measured")
    share, visit = max(busy, key=lambda pair: pair[0])
    detail = f"{_of(visit)}: the simulator used {percent(share)} of a core per process"
    return _check("server CPU", _graded(share, CPU_WARN, CPU_INVALID), detail)


def _workers_lost(e: _Evidence) -> Check:
    lost = [visit for visit, _ in e.visits if visit.workers_lost]
    if lost:
        visit = lost[0]
        detail = f"{_of(visit)}: {visit.workers_lost} of {visit.workers_expected} workers were lost"
        return _check("workers", "invalid", detail)
    return _check("workers", "pass", "no worker was lost")
