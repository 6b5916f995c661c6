"""Checks of a run's own numbers, each with the figure it rests on; ``TRUST_CHECKS`` is the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from harness.measure._evidence import Evidence, Finding, graded, named_visit
from harness.measure._figures import FIGURES, SettingFigures, detected, job_values
from harness.measure._frames import as_the_row_before, jobs_with_other_durations
from harness.measure._intervals import FEWEST_BATCHES, batch_means
from harness.measure._lags import Looks
from harness.measure._numbers import in_seconds, percent
from harness.measure._results import Check, Status
from harness.measure._rows import TRANSPORT_ERROR, Held, Run, Visit

if TYPE_CHECKING:
    import polars as pl

# Lateness is an error of the instrument: a tenth of what is measured is worth a word, half of it is noise.
_LATENESS_WARN: Final = 0.10
_LATENESS_INVALID: Final = 0.50
# No schedule is resolved finer than a request's own round trip, so lateness below this cannot matter.
_LATENESS_FLOOR_S: Final = 0.005
# A processor that is busy more than about 70 % of the time queues noticeably (at 90 %, tenfold in M/M/1).
_CPU_WARN: Final = 0.70
_CPU_INVALID: Final = 0.90
# Jobs cut off by the end of the run are the slow ones: their absence flatters every figure.
_CENSORED_WARN: Final = 0.01
_CENSORED_INVALID: Final = 0.05
# An arrival that was never sent thins the load; more than one in a hundred is another workload.
_MISSED_INVALID: Final = 0.01
# Learning of an end before it happened is impossible; clocks read in two processes may differ this much.
_CLOCK_NOISE_S: Final = 0.005
# Neighbouring batches that correlate by more than three standard errors (1/sqrt(batches)) are no accident.
_DRIFT_WARN: Final = 3.0
_RESOLUTION_S: Final = 1e-6  # Of the records; differences below it are rounding.


def _run_complete(e: Evidence) -> Finding:
    cut = [named_visit(visit) for visit, _ in e.visits if not visit.complete]
    visited = {(visit.setting, visit.repeat) for visit, _ in e.visits}
    repeats = {repeat for _, repeat in visited} or {0}
    unvisited = [
        f"{name} (repeat {repeat})"
        for name in e.settings
        for repeat in sorted(repeats)
        if (name, repeat) not in visited
    ]
    if e.run.info.incomplete:
        return "invalid", f"the run ended early: {e.run.info.incomplete}"
    if cut or unvisited:
        what = f"cut short: {', '.join(cut)}" if cut else f"never visited: {', '.join(unvisited)}"
        return "invalid", what
    return "pass", f"all {len(e.visits)} visits were drained"


def _jobs_conserved(e: Evidence) -> Finding:
    total = len(e.run.jobs)
    if total == 0:
        return "invalid", "no job was recorded"
    for visit, _ in e.visits:
        recorded = e.totals_of(visit).jobs
        if visit.server is not None and visit.server.submissions != recorded:
            there = f"{visit.server.submissions} submitted to the server"
            return "invalid", f"{named_visit(visit)}: {recorded} jobs recorded, {there}"
    strays = set(e.totals) - {(visit.setting, visit.repeat) for visit, _ in e.visits}
    if strays:
        return "invalid", f"jobs of {len(strays)} visits that are not on record"
    if any(as_the_row_before(jobs.select("repeat", "key")).any() for jobs in e.jobs.values()):
        return "invalid", "a job is on record twice"
    return "pass", f"all {total} jobs have one row and one outcome"


def _rows_consistent(e: Evidence) -> Finding:
    """Hold each row against itself, and each job against itself under other settings."""
    jobs, at = e.run.jobs, e.column
    learnt = detected(jobs)
    lag, latency = at("detection_lag_s"), at("completion_latency_s")
    faults = {
        "learnt, but without a lag": learnt & np.isnan(lag) & (not e.own),
        "not learnt, but with a lag": ~learnt & ~np.isnan(lag),
        "a lag that is not detection less finish": np.abs(at("detected_at_s") - at("finished_at_s") - lag)
        > _CLOCK_NOISE_S,
        "a latency that is not detection less plan": np.abs(
            at("detected_at_s") - at("planned_at_s") - latency
        )
        > _CLOCK_NOISE_S,
        "more wasted polls than polls": at("wasted_polls") > at("polls"),
        "submitted before it was sent": at("submitted_at_s") < at("sent_at_s") - _RESOLUTION_S,
        "detected before it was submitted": at("detected_at_s") < at("submitted_at_s") - _RESOLUTION_S,
    }
    counts = {fault: int(rows.sum()) for fault, rows in faults.items()}
    counts["another duration than under other settings"] = jobs_with_other_durations(jobs, 2 * _RESOLUTION_S)
    for fault, count in counts.items():
        if count:
            return "invalid", f"{count} jobs: {fault}"
    return "pass", "every row agrees with itself" + (
        "" if e.own else ", every job with itself under other settings"
    )


def _missed_arrivals(e: Evidence) -> Finding:
    planned = [visit for visit, _ in e.visits if visit.planned_jobs is not None]
    missed, of, where = 0, 0, ""
    for visit in planned:
        recorded = e.totals_of(visit).jobs
        if abs((visit.planned_jobs or 0) - recorded) > abs(missed):
            missed, of, where = (
                (visit.planned_jobs or 0) - recorded,
                visit.planned_jobs or 0,
                named_visit(visit),
            )
    if not planned:
        return "pass", "closed loops plan no fixed number of jobs"
    if missed:
        status = graded(abs(missed), 0, _MISSED_INVALID * of)
        return status, f"{where}: {missed} of {of} planned jobs were not submitted"
    return "pass", "every planned job was submitted"


def _censored_jobs(e: Evidence) -> Finding:
    shares = {
        name: figures.jobs.censored / figures.jobs.submitted
        for name, figures in e.settings.items()
        if figures.jobs.submitted
    }
    worst = max(shares, key=lambda name: shares[name], default=None)
    if worst is None or shares[worst] == 0:
        return "pass", "the run outlasted every job"
    detail = f"{worst}: {percent(shares[worst])} of the jobs were cut off by the end of the run"
    return graded(shares[worst], _CENSORED_WARN, _CENSORED_INVALID), detail


def _polls_reconciled(e: Evidence) -> Finding:
    total, unsure = 0, ""
    for visit, polls in e.visits:
        sent = polls.total if polls else 0
        total += sent
        counted = e.totals_of(visit).polls
        if counted != sent:
            return "invalid", f"{named_visit(visit)}: {sent} polls sent, but jobs count {counted}"
        if visit.server is None:
            if e.run.info.engine == "live" and not e.own:
                return "invalid", f"{named_visit(visit)}: the server's count is missing"
            continue
        gap = sent - visit.server.polls
        lost = polls.responses.get(TRANSPORT_ERROR, 0) if polls else 0
        if gap < 0 or gap > lost:
            detail = (
                f"{named_visit(visit)}: clients sent {sent} polls, the server counted {visit.server.polls}"
            )
            return "invalid", detail
        if gap:
            unsure = f"{named_visit(visit)}: {gap} of {sent} polls failed before they reached the server"
    if unsure:
        return "warn", unsure
    counted_by = "the records and the jobs" if e.own else "the records, the jobs and the server"
    return "pass", f"{total} polls by {counted_by}"


def _finish_times(e: Evidence) -> Finding:
    lag = e.column("detection_lag_s")
    early_detected = int((lag < -_CLOCK_NOISE_S).sum())
    early_finish = int((e.column("finished_at_s") < e.column("sent_at_s") - _CLOCK_NOISE_S).sum())
    if early_detected:
        detail = f"{early_detected} jobs were known to be done before they were; lowest lag " + in_seconds(
            float(np.nanmin(lag))
        )
        return "invalid", detail
    if early_finish:
        return "invalid", f"{early_finish} jobs finished before they were sent"
    if e.own:
        return _named_finishes(e)
    return "pass", "no job was known to be done before it was"


def _named_finishes(e: Evidence) -> Finding:
    """Hold the finishes that a service names against the polls that saw the jobs before and after them."""
    named = int((~np.isnan(e.column("finished_at_s"))).sum())
    if not named:
        return "warn", "cannot know when jobs finished, for replies do not say it: lags are estimates"
    resolution = e.run.info.finish_resolution_s
    looks = Looks.of(e.run.jobs, np.inf)  # so coarse that only the polls bound the finishes
    finished = e.column("finished_at_s") - e.column("sent_at_s")
    off = np.fmax(looks.certain.lower - finished, finished - looks.certain.upper)
    contradicted = int((off > resolution + _CLOCK_NOISE_S).sum())
    if contradicted:
        most = in_seconds(float(np.nanmax(off)))
        detail = f"{contradicted} of {named} finishes that the service names contradict the polls"
        return "warn", f"{detail}, by up to {most}: its clock is off, or it means another moment"
    if resolution:
        detail = f"{named} finishes by the clock of the service, known to {in_seconds(resolution)}"
        return "warn", f"{detail}, as exactly as replies are dated; lags are estimates within that"
    return "pass", f"{named} finishes by the clock of the service, each between the polls around it"


def _steady_conditions(e: Evidence) -> Finding:
    worst, where = 0.0, ""
    # Where lags are estimates, what is known of each job is how long it took as a whole.
    metric, words = ("completion_latency_s", "latency") if e.own else ("detection_lag_s", "detection lag")
    for name, jobs in e.jobs.items():
        values = job_values(jobs, metric)
        values = values[~np.isnan(values)]
        means = batch_means(values)
        if not FEWEST_BATCHES <= means.size < values.size or np.ptp(means) < _RESOLUTION_S:
            continue
        off = means - means.mean()
        correlation = float((off[:-1] * off[1:]).sum() / (off**2).sum())
        # In units of the standard error that this correlation has among independent batches.
        score = correlation * float(np.sqrt(means.size))
        if score > worst:
            worst, where = score, name
    if worst > _DRIFT_WARN:
        detail = f"{where}: {words} drifts along the run, so the interval of its mean may mislead"
        return "warn", f"{detail} ({worst:.1f} standard errors)"
    return "pass", f"no drift of the {words} along the run"


def _poll_lateness(e: Evidence) -> Finding:
    late = [(polls.lateness, visit) for visit, polls in e.visits if polls and polls.lateness]
    if not late:
        return "pass", "no poll was sent"
    lateness, visit = max(late, key=lambda pair: pair[0].p99_s)
    spread = f"{named_visit(visit)}: {_spread(*lateness)}{_held(e, lambda each: each.held_polls)}"
    return _against_mean(e, spread, lateness.p99_s, "detection_lag_s", "a smallest mean lag")


def _arrival_lateness(e: Evidence) -> Finding:
    late = e.column("sent_at_s") - e.column("planned_at_s")
    late = late[~np.isnan(late)]
    if late.size == 0:
        return "pass", "no job was submitted"
    p50, p99 = (float(each) for each in np.quantile(late, [0.5, 0.99]))
    spread = _spread(p50, p99, float(late.max())) + _held(e, lambda each: each.held_jobs)
    against = "a smallest mean completion latency"
    return _against_mean(e, spread, p99, "completion_latency_s", against)


def _against_mean(e: Evidence, spread: str, p99_s: float, metric: str, against: str) -> Finding:
    """Judge lateness in proportion to what is measured: the smallest mean over the settings."""
    means = [mean for each in e.settings.values() if (mean := FIGURES[metric].read(each)) is not None]
    if not means:
        return "warn", f"{spread}, with nothing to hold it against: no job's end was learnt"
    return _late(p99_s, min(means)), f"{spread} against {against} of {in_seconds(min(means))}"


def _spread(p50_s: float, p99_s: float, max_s: float) -> str:
    return f"late by {in_seconds(p50_s)} (median), {in_seconds(p99_s)} (p99), {in_seconds(max_s)} (at most)"


def _held(e: Evidence, which: Callable[[Visit], Held]) -> str:
    """Say what the run's own limits held back, which is not the machine's fault."""
    held = Held()
    for visit, _ in e.visits:
        held |= which(visit)
    if not held.requests:
        return ""
    most = in_seconds(held.max_s)
    return f" ({held.requests} held back by target.limits, {most} at most: raise them or submit more slowly)"


def _late(p99_s: float, reference_s: float) -> Status:
    if p99_s <= _LATENESS_FLOOR_S:
        return "pass"
    return graded(p99_s, _LATENESS_WARN * reference_s, _LATENESS_INVALID * reference_s)


def _generator_cpu(e: Evidence) -> Finding:
    busy = [(max(visit.generator_cpu), visit) for visit, _ in e.visits if visit.generator_cpu]
    if not busy:
        return "warn", "the load generator's processor time was not measured"
    share, visit = max(busy, key=lambda pair: pair[0])
    peak = (
        f", {percent(visit.generator_cpu_peak)} at its peak" if visit.generator_cpu_peak is not None else ""
    )
    detail = f"{named_visit(visit)}: the busiest process used {percent(share)} of a core{peak}"
    return graded(share, _CPU_WARN, _CPU_INVALID), detail


def _server_cpu(e: Evidence) -> Finding:
    if e.own:
        return "warn", "cannot know the processor time of a service that is not ours"
    busy = [
        (visit.server.cpu_seconds / visit.duration_s / visit.server.processes, visit)
        for visit, _ in e.visits
        if visit.server and visit.server.cpu_seconds is not None and visit.duration_s > 0
    ]
    if not busy:
        return "warn", "the simulator's processor time was not measured"
    share, visit = max(busy, key=lambda pair: pair[0])
    detail = f"{named_visit(visit)}: the simulator used {percent(share)} of a core per process"
    return graded(share, _CPU_WARN, _CPU_INVALID), detail


def _workers_lost(e: Evidence) -> Finding:
    lost = [visit for visit, _ in e.visits if visit.workers_lost]
    if lost:
        visit = lost[0]
        detail = f"{named_visit(visit)}: {visit.workers_lost} of {visit.workers_expected} workers were lost"
        return "invalid", detail
    return "pass", "no worker was lost"


class TrustCheck(NamedTuple):
    """A check: what finds its status and detail, and whether it is about real time, so of live runs only.

    ``unknown`` is what the check would need of the user's own service, which only our simulator tells; what
    can be checked without still is.
    """

    find: Callable[[Evidence], Finding]
    live_only: bool = False
    unknown: str = ""

    def finding(self, e: Evidence) -> Finding:
        """Return status and detail; what passes with a part unknown is a warning."""
        status, detail = self.find(e)
        if e.own and self.unknown and status == "pass":
            return "warn", f"cannot know {self.unknown}; {detail}"
        return status, detail


TRUST_CHECKS: Final[Mapping[str, TrustCheck]] = MappingProxyType(
    {
        "run complete": TrustCheck(_run_complete),
        "jobs conserved": TrustCheck(_jobs_conserved, unknown="what the service counted as submitted"),
        "rows consistent": TrustCheck(_rows_consistent),
        "missed arrivals": TrustCheck(_missed_arrivals),
        "censored jobs": TrustCheck(_censored_jobs),
        "polls counted alike": TrustCheck(_polls_reconciled, unknown="how many polls the service counted"),
        "finish times": TrustCheck(_finish_times),
        "steady conditions": TrustCheck(_steady_conditions),
        "poll lateness": TrustCheck(_poll_lateness, live_only=True),
        "arrival lateness": TrustCheck(_arrival_lateness, live_only=True),
        "generator CPU": TrustCheck(_generator_cpu, live_only=True),
        "server CPU": TrustCheck(_server_cpu, live_only=True),
        "workers": TrustCheck(_workers_lost, live_only=True),
    }
)
"""Every check by the name that reports give it; a new one is a function and a row here."""


def trust_checks(
    run: Run, settings: Mapping[str, SettingFigures], jobs: Mapping[str, pl.DataFrame]
) -> list[Check]:
    """Return the finding of every check; those about real time are left out of a virtual run."""
    polls = {(each.setting, each.repeat): each for each in run.polls}
    visits = tuple((visit, polls.get((visit.setting, visit.repeat))) for visit in run.visits)
    evidence = Evidence(run, settings, jobs, visits)
    findings = {
        name: check.finding(evidence)
        for name, check in TRUST_CHECKS.items()
        if run.info.engine == "live" or not check.live_only
    }
    return [Check(check=name, status=status, detail=detail) for name, (status, detail) in findings.items()]
