"""How far a sweep over the settings is, and what it has found so far; the terminal and the page show this.

A machine without input or output: the conductor tells it what happens, each event with its time, and whoever
wants to look asks for a ``SweepNow``. Nothing here decides anything, and the report is made of the rows, not
of these figures. Telling costs little whoever looks: sums and a histogram of each message's rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.live._messages import Rows
from harness.live._ramp import seconds_before_visit
from harness.measure import Visit
from scenarios import Scenario, VisitCost
from scenarios import Visit as PlannedVisit


class SweepState(StrEnum):
    """Where the sweep is."""

    READY = "ready"  # nothing has run yet
    RUNNING = "running"
    REPORTING = "reporting"  # the rows are written, and the report is made of them
    ENDED = "ended"


class VisitState(StrEnum):
    """Where a visit of the sweep is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    CUT_SHORT = "cut short"
    LEFT_OUT = "left out"  # the run ended first


class Expected(NamedTuple):
    """What is known of a setting's visit beforehand: seconds, and jobs; None where that is not known."""

    seconds: float | None = None
    jobs: int | None = None


@dataclass(frozen=True)
class VisitNow:
    """One visit as far as it has come; times are seconds, and what no job has told yet is None.

    repeat: from 0. jobs: those that are to be submitted. lost: ended without that their client learnt the
    end. lag: from the end until the reply that told it left; ``lag_p95_s`` is right to a thousandth of
    itself. requests_per_s: status requests, on average since the visit's time zero. late_mean_s: how much
    later than planned they were sent.
    """

    setting: str
    repeat: int
    state: VisitState = VisitState.WAITING
    elapsed_s: float = 0.0
    jobs: int | None = None
    submitted: int = 0
    ended: int = 0
    lost: int = 0
    polls: int = 0
    polls_per_job: float | None = None
    lag_mean_s: float | None = None
    lag_p95_s: float | None = None
    requests_per_s: float | None = None
    late_mean_s: float | None = None


@dataclass(frozen=True)
class SweepNow:
    """A sweep as far as it has come.

    visits: in the order in which they run. current: the place of the one under way among them, None between
    visits. progress: from 0 to 1, of the time that the sweep takes; it never falls. eta_s: seconds that are
    left, None where nothing is known. incomplete: why the sweep ended early. report: the run's folder.
    """

    scenario: str
    question: str
    state: SweepState
    visits: tuple[VisitNow, ...]
    current: int | None
    elapsed_s: float
    progress: float
    eta_s: float | None
    incomplete: str | None
    report: str | None

    @property
    def visit(self) -> VisitNow | None:
        """The visit under way."""
        return None if self.current is None else self.visits[self.current]


class Sweep:
    """Follow one sweep at a time; times are seconds on the driver's clock.

    costs: what ``visit_costs`` says of each setting, for the time left; a visit that has run says it better.
    """

    def __init__(self, scenario: Scenario, costs: Mapping[str, VisitCost | str] | None = None) -> None:
        self._scenario = scenario
        self._costs = costs or {}
        self._before_visit_s = seconds_before_visit(scenario.workload.lanes)
        self._clear(scenario.visits(), SweepState.READY, 0.0)

    def _clear(self, plans: Sequence[PlannedVisit], state: SweepState, now: float) -> None:
        self._state = state
        self._expected = [expected(self._scenario, self._costs.get(plan.setting), plan) for plan in plans]
        self._visits = [
            VisitNow(plan.setting, plan.repeat, jobs=jobs)
            for plan, (_, jobs) in zip(plans, self._expected, strict=True)
        ]
        self._began_at = self._told_at = self._started_at = now
        self._over = False
        self._current: int | None = None
        self._number = 0
        self._sums = _Sums()
        self._progress = 0.0
        self._incomplete: str | None = None
        self._report: str | None = None

    # -- events --------------------------------------------------------------------------------------

    def begin(self, now: float, plans: Sequence[PlannedVisit]) -> None:
        """Begin a sweep of these visits; what was known of one before is forgotten."""
        self._clear(plans, SweepState.RUNNING, now)

    def start(self, started_at: float, number: int, plan: PlannedVisit) -> None:
        """Begin a visit, whose time zero is given and may lie ahead; ``number`` is what its rows carry."""
        self._current, self._number, self._started_at = plan.index, number, started_at
        self._told_at = started_at
        self._sums = _Sums()

    def rows(self, rows: Rows) -> None:
        """Count what a process has measured, if it is of the visit under way."""
        if self._current is not None and rows.visit == self._number:
            self._sums.add(rows)

    def close(self, now: float, visit: Visit) -> None:
        """End the visit under way; ``visit`` is its record."""
        if self._current is None:
            return
        state = VisitState.ENDED if visit.complete else VisitState.CUT_SHORT
        self._visits[self._current] = replace(self._now(self._current, now), state=state)
        taken, self._told_at = now - self._started_at, now
        for place, each in enumerate(self._visits):
            if visit.complete and each.setting == visit.setting and each.state is VisitState.WAITING:
                self._expected[place] = self._expected[place]._replace(seconds=taken)
        self._current = None

    def end(self, incomplete: str | None) -> None:
        """End the sweep with its last event, early if there is a reason; its report may be to come."""
        left_out = {VisitState.WAITING: VisitState.LEFT_OUT, VisitState.RUNNING: VisitState.CUT_SHORT}
        self._visits = [replace(each, state=left_out.get(each.state, each.state)) for each in self._visits]
        self._current, self._incomplete, self._over = None, incomplete, True
        self._state = SweepState.ENDED

    def reporting(self, report: str) -> None:
        """Note where the rows are, of which the report is made now."""
        self._state, self._report = SweepState.REPORTING, report

    def reported(self) -> None:
        """Note that the report is there, or will never be."""
        self._state = SweepState.ENDED

    # -- looking -------------------------------------------------------------------------------------

    def look(self, now: float) -> SweepNow:
        """Return how far the sweep is."""
        visits = list(self._visits)
        if self._current is not None:
            visits[self._current] = self._now(self._current, now)
        ready = self._state is SweepState.READY
        elapsed = 0.0 if ready else (self._told_at if self._over else now) - self._began_at
        left = 0.0 if self._over else self._left(visits)
        if self._over and self._incomplete is None:
            self._progress = 1.0
        elif left is not None and elapsed > 0 and not self._over:
            self._progress = max(self._progress, elapsed / (elapsed + left))
        return SweepNow(
            scenario=self._scenario.name,
            question=self._scenario.question,
            state=self._state,
            visits=tuple(visits),
            current=self._current,
            elapsed_s=elapsed,
            progress=self._progress,
            eta_s=left,
            incomplete=self._incomplete,
            report=self._report,
        )

    def _now(self, place: int, now: float) -> VisitNow:
        elapsed = max(0.0, now - self._started_at)
        known = replace(self._visits[place], state=VisitState.RUNNING, elapsed_s=elapsed)
        return self._sums.told(known)

    def _left(self, visits: Sequence[VisitNow]) -> float | None:
        """Return how long the visits to come and the rest of the one under way will take."""
        left = 0.0
        for each, (seconds, _) in zip(visits, self._expected, strict=True):
            if each.state is VisitState.WAITING and seconds is not None:
                left += self._before_visit_s + seconds
            elif each.state is VisitState.RUNNING and seconds is not None:
                left += max(0.0, seconds - each.elapsed_s)
            elif seconds is None:
                return None
        return left


def expected(scenario: Scenario, cost: VisitCost | str | None, plan: PlannedVisit) -> Expected:
    """Return how long a visit takes and how many jobs it has, as far as its cost tells."""
    workload = scenario.workload
    if not isinstance(cost, VisitCost):
        return Expected(None, workload.jobs)
    if cost.all_jobs:  # so they are few
        return Expected(cost.seconds, scenario.planned_jobs(plan.repeat))
    if workload.duration is not None:  # the first jobs say how long one is followed at least
        return Expected(workload.duration + cost.seconds / 2, workload.jobs)
    return Expected(cost.seconds * (workload.jobs or cost.jobs) / cost.jobs, workload.jobs)


_FINEST_S: Final = 1e-6
_GROWTH: Final = 1.001  # from one bucket to the next
_LOG_GROWTH: Final = math.log(_GROWTH)
_BUCKETS: Final = 1 + math.ceil(math.log(1e9 / _FINEST_S) / _LOG_GROWTH)


class _Sums:
    """What the rows of one visit add up to."""

    def __init__(self) -> None:
        self.submitted = self.ended = self.learnt = self.polls = self.polls_of_ended = 0
        self._late_s = self._lag_s = 0.0
        self._lags: NDArray[np.int64] | None = None  # how many there are in each bucket

    def add(self, rows: Rows) -> None:
        """Count one message's rows."""
        self.submitted += rows.submitted
        if polls := len(rows.polls):
            self.polls += polls
            self._late_s += float((rows.polls.column("sent_at_s") - rows.polls.column("planned_at_s")).sum())
        if not (ended := len(rows.jobs)):
            return
        self.ended += ended
        self.learnt += int(np.isfinite(rows.jobs.column("detected_at_s")).sum())
        self.polls_of_ended += int(rows.jobs.column("polls").sum())
        lags = rows.jobs.column("detection_lag_s")
        lags = lags[np.isfinite(lags)]
        if lags.size:
            self._lag_s += float(lags.sum())
            places = np.log(np.maximum(lags, _FINEST_S) / _FINEST_S) / _LOG_GROWTH
            found = np.bincount(np.minimum(places.astype(np.int64), _BUCKETS - 1), minlength=_BUCKETS)
            self._lags = found if self._lags is None else self._lags + found

    def told(self, visit: VisitNow) -> VisitNow:
        """Return the visit with these figures."""
        lags = 0 if self._lags is None else int(self._lags.sum())
        return replace(
            visit,
            submitted=self.submitted,
            ended=self.ended,
            lost=self.ended - self.learnt,
            polls=self.polls,
            polls_per_job=self.polls_of_ended / self.ended if self.ended else None,
            lag_mean_s=self._lag_s / lags if lags else None,
            lag_p95_s=self._lag_quantile(0.95, lags) if lags else None,
            requests_per_s=self.polls / visit.elapsed_s if visit.elapsed_s else None,
            late_mean_s=self._late_s / self.polls if self.polls else None,
        )

    def _lag_quantile(self, q: float, count: int) -> float:
        """Return what NumPy's would be, with each lag in the middle of its bucket."""
        assert self._lags is not None  # noqa: S101 - there are lags
        rank = q * (count - 1)
        ends = np.cumsum(self._lags)
        below, above = np.searchsorted(ends, [math.floor(rank), math.ceil(rank)], side="right")
        low, high = (_FINEST_S * math.exp((int(place) + 0.5) * _LOG_GROWTH) for place in (below, above))
        return low + (rank - math.floor(rank)) * (high - low)
