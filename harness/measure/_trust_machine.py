"""Checks of the machine that a live run had: whether it was in time, and had time to spare."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from harness.measure._evidence import MEAN_ERROR, Evidence, Finding, graded, named_visit, worst
from harness.measure._figures import FIGURES
from harness.measure._headroom import capacity
from harness.measure._numbers import in_seconds, percent
from harness.measure._rows import Held, Lateness, PollAggregate, Visit

# A processor that is busy more than about 70 % of the time queues noticeably (at 90 %, tenfold in M/M/1).
_CPU_WARN: Final = 0.70
_CPU_INVALID: Final = 0.90


def poll_lateness(e: Evidence) -> Finding:
    """Judge the mean: what is late by x on average puts no mean off by more.

    Of all polls, and of those that told of an end, for how late these were is in the lags.
    """
    held = _held(e, lambda each: each.held_polls)
    telling = {(each.setting, each.repeat): each.telling_late_s for each in e.twin.residuals}
    found = []
    for visit, polls in e.visits:
        if polls and polls.lateness:
            said, mean_s = f"{named_visit(visit)}: {_spread(polls.lateness)}", polls.lateness.mean_s
            told = telling.get((visit.setting, visit.repeat))
            if told is not None and told > mean_s:
                said, mean_s = f"{said}, {in_seconds(told)} (mean of those that told of an end)", told
            found.append(_late(e, visit.setting, f"{said}{held}", mean_s))
    return worst(found, otherwise="no poll was sent")


def arrival_lateness(e: Evidence) -> Finding:
    """Judge the mean lateness of submissions in proportion to the completion latency, which holds it."""
    held = _held(e, lambda each: each.held_jobs)
    parts = e.run.jobs.partition_by("setting", "repeat", as_dict=True, maintain_order=True)
    found = []
    for (setting, repeat), jobs in parts.items():
        late = (jobs["sent_at_s"] - jobs["planned_at_s"]).drop_nulls().to_numpy()
        if late.size:
            lateness = Lateness.of(late)
            said = f"{setting} (repeat {repeat}): {_spread(lateness)}{held}"
            found.append(_late(e, setting, said, lateness.mean_s, "completion_latency_s"))
    return worst(found, otherwise="no job was submitted")


def _late(e: Evidence, setting: str, said: str, mean_s: float, column: str = "detection_lag_s") -> Finding:
    reference = e.mean(setting, column)
    if reference is None:
        return "warn", f"{said}, with nothing to hold it against: no job's end was learnt"
    whose = "its" if e.twin.jobs.is_empty() else "its twin's"
    against = f"{whose} {FIGURES[column].words.removesuffix(', s')} is {in_seconds(reference)}"
    return MEAN_ERROR.judge(mean_s, reference), f"{said}; {against}"


def _spread(late: Lateness) -> str:
    mean, p99, most = (in_seconds(each) for each in (late.mean_s, late.p99_s, late.max_s))
    return f"late by {mean} (mean), {p99} (p99), {most} (at most)"


def _held(e: Evidence, which: Callable[[Visit], Held]) -> str:
    """Say what the run's own limits held back, which is not the machine's fault."""
    held = Held()
    for visit, _ in e.visits:
        held |= which(visit)
    if not held.requests:
        return ""
    most = in_seconds(held.max_s)
    return f" ({held.requests} held back by target.limits, {most} at most: raise them or submit more slowly)"


_BEHIND_FROM_S: Final = 0.1


def generator_cpu(e: Evidence) -> Finding:
    """Judge the busiest second: a mean over the whole visit has the drain in it, when little happens."""
    busy = [
        (max(visit.generator_cpu_peak or 0.0, *visit.generator_cpu), visit, polls)
        for visit, polls in e.visits
        if visit.generator_cpu
    ]
    if not busy:
        return "warn", "the load generator's processor time was not measured"
    share, visit, polls = max(busy, key=lambda each: each[0])
    used = f"{percent(share)} of a core at its peak, {percent(max(visit.generator_cpu))} on average"
    detail = f"{named_visit(visit)}: the busiest process used {used}{_headroom(share, polls)}"
    return graded(share, _CPU_WARN, _CPU_INVALID), f"{detail}{_behind(e)}"


def _headroom(share: float, polls: PollAggregate | None) -> str:
    """Say what this machine could send: as much more as the busiest second left of the processor."""
    most = capacity(polls, share)
    if polls is None or most is None:
        return ""
    return f" (this machine: {polls.peak_per_second:,} of about {most:,.0f} polls/s)"


def _behind(e: Evidence) -> str:
    """Say how late the loop of the process was that gathers the rows."""
    late = max((visit.conductor_late_s or 0.0 for visit, _ in e.visits), default=0.0)
    return f"; who gathers the rows was late by {in_seconds(late)} at most" if late >= _BEHIND_FROM_S else ""


def server_cpu(e: Evidence) -> Finding:
    """Judge the busiest second, where that is known; the mean where not."""
    if e.own:
        return "warn", "cannot know the processor time of a service that is not ours"
    busy = [
        (max(visit.server.cpu_seconds / visit.duration_s / visit.server.processes, peak or 0.0), peak, visit)
        for visit, _ in e.visits
        if visit.server and visit.server.cpu_seconds is not None and visit.duration_s > 0
        for peak in (visit.server.cpu_peak,)
    ]
    if not busy:
        return "warn", "the simulator's processor time was not measured"
    share, peak, visit = max(busy, key=lambda each: each[0])
    when = "on average" if peak is None else "at its peak"
    detail = f"{named_visit(visit)}: the simulator used {percent(share)} of a core per process {when}"
    return graded(share, _CPU_WARN, _CPU_INVALID), detail


def workers_lost(e: Evidence) -> Finding:
    lost = [visit for visit, _ in e.visits if visit.workers_lost]
    if lost:
        visit = lost[0]
        detail = f"{named_visit(visit)}: {visit.workers_lost} of {visit.workers_expected} workers were lost"
        return "invalid", detail
    return "pass", "no worker was lost"
