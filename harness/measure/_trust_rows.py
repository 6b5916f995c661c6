"""Checks of a run's rows and counts: against each other, against the server's, and against the plan."""

from __future__ import annotations

from typing import Final

import numpy as np

from harness.measure._evidence import Evidence, Finding, graded, named_visit
from harness.measure._figures import detected
from harness.measure._frames import as_the_row_before, jobs_with_other_durations
from harness.measure._lags import Looks
from harness.measure._numbers import in_seconds, percent
from harness.measure._rows import TRANSPORT_ERROR
from scenarios.documents import counted

# Jobs cut off by the end of the run are the slow ones: their absence flatters every figure.
_CENSORED_WARN: Final = 0.01
_CENSORED_INVALID: Final = 0.05
# An arrival that was never sent thins the load; more than one in a hundred is another workload.
_MISSED_INVALID: Final = 0.01
# Learning of an end before it happened is impossible; clocks read in two processes may differ this much.
_CLOCK_NOISE_S: Final = 0.005
RESOLUTION_S: Final = 1e-6
"""Of the records; differences below it are rounding."""


def run_complete(e: Evidence) -> Finding:
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
    return "pass", f"{counted(len(e.visits), 'visit')}, drained to the end"


def jobs_conserved(e: Evidence) -> Finding:
    total = len(e.run.jobs)
    if total == 0:
        return "invalid", "no job was recorded"
    for visit, _ in e.visits:
        recorded = e.totals_of(visit).jobs
        if visit.server is not None and visit.server.submissions != recorded:
            there = f"{visit.server.submissions} submitted to the server"
            return "invalid", f"{named_visit(visit)}: {counted(recorded, 'job')} recorded, {there}"
    strays = set(e.totals) - {(visit.setting, visit.repeat) for visit, _ in e.visits}
    if strays:
        return "invalid", f"jobs of {counted(len(strays), 'visit')} not on record"
    if any(as_the_row_before(jobs.select("repeat", "key")).any() for jobs in e.jobs.values()):
        return "invalid", "a job is on record twice"
    return "pass", f"{counted(total, 'job')}, one row and one outcome each"


def rows_consistent(e: Evidence) -> Finding:
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
        "sent before it was planned": at("sent_at_s") < at("planned_at_s") - _CLOCK_NOISE_S,
        "submitted before it was sent": at("submitted_at_s") < at("sent_at_s") - RESOLUTION_S,
        "detected before it was submitted": at("detected_at_s") < at("submitted_at_s") - RESOLUTION_S,
    }
    counts = {fault: int(rows.sum()) for fault, rows in faults.items()}
    counts["another duration than under other settings"] = jobs_with_other_durations(jobs, 2 * RESOLUTION_S)
    for fault, count in counts.items():
        if count:
            return "invalid", f"{counted(count, 'job')}: {fault}"
    for each in e.twin.residuals:
        for fault, count in each.contradictions.items():
            return "invalid", f"{each.setting} (repeat {each.repeat}): {counted(count, 'job')}: {fault}"
    return "pass", "every row agrees with itself" + (
        "" if e.own else ", every job with itself under other settings"
    )


def missed_arrivals(e: Evidence) -> Finding:
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


def censored_jobs(e: Evidence) -> Finding:
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


def polls_reconciled(e: Evidence) -> Finding:
    total, unsure = 0, ""
    for visit, polls in e.visits:
        sent = polls.total if polls else 0
        total += sent
        told = e.totals_of(visit).polls
        if told != sent:
            return "invalid", f"{named_visit(visit)}: {counted(sent, 'poll')} sent, but jobs count {told}"
        if visit.server is None:
            if e.run.info.engine == "live" and not e.own:
                return "invalid", f"{named_visit(visit)}: the server's count is missing"
            continue
        gap = sent - visit.server.polls
        lost = polls.responses.get(TRANSPORT_ERROR, 0) if polls else 0
        if gap < 0 or gap > lost:
            said = f"clients sent {counted(sent, 'poll')}, the server counted {visit.server.polls}"
            detail = f"{named_visit(visit)}: {said}"
            return "invalid", detail
        if gap:
            unsure = f"{named_visit(visit)}: {gap} of {sent} polls failed before they reached the server"
    if unsure:
        return "warn", unsure
    counted_by = "the records and the jobs" if e.own else "the records, the jobs and the server"
    return "pass", f"{counted(total, 'poll')} by {counted_by}"


def finish_times(e: Evidence) -> Finding:
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
