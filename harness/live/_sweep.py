"""How far a sweep over the settings is, and what it has found so far; the terminal and the page show this.

A machine without input or output: the conductor tells it what happens, each event with its time, and whoever
wants to look asks for a ``SweepNow``. Nothing here decides anything, and the report is made of the rows,
not of these figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Final, NamedTuple

from harness.live._messages import Rows
from harness.live._ramp import seconds_before_visit
from harness.live._so_far import Figures, Overheads, SoFar
from harness.measure import Check, Recommendation, Results, Visit, headline, trust_so_far
from scenarios import Scenario, VisitCost
from scenarios import Visit as PlannedVisit


class SweepState(StrEnum):
    """Where the sweep is."""

    READY = "ready"  # nothing has run yet
    RUNNING = "running"
    REPORTING = "reporting"  # the rows are written, and then the report is made of them
    ENDED = "ended"


class VisitState(StrEnum):
    """Where a visit of the sweep is."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDED = "ended"
    CUT_SHORT = "cut short"
    LEFT_OUT = "left out"  # the run ended first


_NOT_BEGUN: Final = (VisitState.WAITING, VisitState.LEFT_OUT)


class Expected(NamedTuple):
    """What is known of a setting's visit beforehand: seconds, and jobs; None where that is not known."""

    seconds: float | None = None
    jobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class VisitNow(Figures):
    """One visit as far as it has come.

    repeat: from 0. elapsed_s: since its time zero. jobs: those that are to be submitted, None where nobody
    knows.
    """

    setting: str
    repeat: int
    state: VisitState = VisitState.WAITING
    elapsed_s: float = 0.0
    jobs: int | None = None


@dataclass(frozen=True, kw_only=True)
class SettingNow(Figures):
    """All that visits have told of one setting; ``visits`` is how many have begun."""

    setting: str
    visits: int = 0


@dataclass(frozen=True)
class SweepNow:
    """A sweep as far as it has come.

    visits: in the order in which they run, ``current`` the place of the one under way among them, None
    between visits. settings: in the order of the visits. progress: from 0 to 1, of the time that the sweep
    takes; it never falls. eta_s: seconds that are left, None where nothing is known. trust: what the checks
    have found that need no rows, and at the end all. incomplete: why the sweep ended early. report: the run's
    folder. verdict: what the report recommends, once it is there, and headline: the same in a few words.
    """

    scenario: str
    question: str
    state: SweepState
    visits: tuple[VisitNow, ...]
    settings: tuple[SettingNow, ...]
    current: int | None
    elapsed_s: float
    progress: float
    eta_s: float | None
    trust: tuple[Check, ...]
    incomplete: str | None
    report: str | None
    verdict: Recommendation | None
    headline: str | None

    @property
    def visit(self) -> VisitNow | None:
        """The visit under way."""
        return None if self.current is None else self.visits[self.current]


class Sweep:
    """Follow one sweep at a time; times are seconds on the driver's clock.

    costs: what ``visit_costs`` says of each setting, for the time left; a visit that has run says it better.
    overheads: where replies can be held against the delays that were drawn for them.
    """

    def __init__(
        self,
        scenario: Scenario,
        costs: Mapping[str, VisitCost | str] | None = None,
        overheads: Overheads | None = None,
    ) -> None:
        self.reports: list[str] = []
        """The folders of all sweeps that have a report, the latest last."""
        self._overheads = overheads
        self._scenario = scenario
        self._costs = costs or {}
        self._before_visit_s = seconds_before_visit(scenario.workload.lanes)
        self._clear(scenario.visits(), SweepState.READY, 0.0)

    def _clear(self, plans: Sequence[PlannedVisit], state: SweepState, now: float) -> None:
        self._state = state
        self._expected = [expected(self._scenario, self._costs.get(plan.setting), plan) for plan in plans]
        self._visits = [
            VisitNow(setting=plan.setting, repeat=plan.repeat, jobs=jobs)
            for plan, (_, jobs) in zip(plans, self._expected, strict=True)
        ]
        self._began_at = self._told_at = self._started_at = now
        self._over = False
        self._current: int | None = None
        self._number = 0
        self._so_far = SoFar()  # the visit under way
        self._before = {plan.setting: SoFar() for plan in plans}  # the visits of each setting that are over
        self._progress = 0.0
        self._incomplete: str | None = None
        self._report: str | None = None
        self._closed: list[Visit] = []
        self._trust: tuple[Check, ...] = ()
        self._verdict: Recommendation | None = None
        self._headline: str | None = None

    # -- events --------------------------------------------------------------------------------------

    def begin(self, now: float, plans: Sequence[PlannedVisit]) -> None:
        """Begin a sweep of these visits; what was known of one before is forgotten."""
        self._clear(plans, SweepState.RUNNING, now)

    def start(self, started_at: float, number: int, plan: PlannedVisit) -> None:
        """Begin a visit, whose time zero is given and may lie ahead; ``number`` is what its rows carry."""
        self._current, self._number, self._started_at = plan.index, number, started_at
        self._told_at = started_at
        self._visits[plan.index] = replace(self._visits[plan.index], state=VisitState.RUNNING)
        self._so_far = SoFar()

    def rows(self, rows: Rows) -> None:
        """Count what a process has measured, if it is of the visit under way."""
        if self._current is not None and rows.visit == self._number:
            self._so_far.add(rows, self._overheads)

    def close(self, now: float, visit: Visit) -> None:
        """End the visit under way; ``visit`` is its record."""
        if self._current is None:
            return
        state = VisitState.ENDED if visit.complete else VisitState.CUT_SHORT
        self._visits[self._current] = replace(self._now(self._current, now), state=state)
        self._before[visit.setting] = self._before[visit.setting].merged(self._so_far)
        taken, self._told_at = now - self._started_at, now
        for place, each in enumerate(self._visits):
            if visit.complete and each.setting == visit.setting and each.state is VisitState.WAITING:
                self._expected[place] = self._expected[place]._replace(seconds=taken)
        self._current = None
        self._closed.append(visit)
        self._trust = tuple(trust_so_far(self._closed, own=self._scenario.target is not None))

    def end(self, incomplete: str | None) -> None:
        """End the sweep with its last event, early for a reason; a report follows if a visit began."""
        begun = any(each.state not in _NOT_BEGUN for each in self._visits)
        left_out = {VisitState.WAITING: VisitState.LEFT_OUT, VisitState.RUNNING: VisitState.CUT_SHORT}
        self._visits = [replace(each, state=left_out.get(each.state, each.state)) for each in self._visits]
        self._current, self._incomplete, self._over = None, incomplete, True
        self._state = SweepState.REPORTING if begun else SweepState.ENDED

    def reporting(self, report: str) -> None:
        """Note where the rows are, of which the report is made now."""
        self._report = report

    def reported(self, report: str | None, said: Results | None) -> None:
        """Note that the report is there, and what it says; None: it, or not even rows, could not be made.

        The next sweep may have begun meanwhile.
        """
        if said is not None and report is not None:
            self.reports.append(report)
        if report != self._report:
            return
        self._state = SweepState.ENDED
        if said is not None:
            self._verdict, self._headline = said.recommendation, headline(said)
            self._trust = tuple(said.trust)

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
            settings=tuple(self._setting(name, visits) for name in self._before),
            current=self._current,
            elapsed_s=elapsed,
            progress=self._progress,
            eta_s=left,
            trust=self._trust,
            incomplete=self._incomplete,
            report=self._report,
            verdict=self._verdict,
            headline=self._headline,
        )

    def _now(self, place: int, now: float) -> VisitNow:
        self._so_far.elapsed_s = max(0.0, now - self._started_at)
        return replace(
            self._visits[place],
            elapsed_s=self._so_far.elapsed_s,
            **asdict(self._so_far.figures()),
        )

    def _setting(self, name: str, visits: Sequence[VisitNow]) -> SettingNow:
        known, current = self._before[name], self._current
        if current is not None and visits[current].setting == name:
            known = known.merged(self._so_far)
        begun = sum(each.setting == name and each.state not in _NOT_BEGUN for each in visits)
        return SettingNow(setting=name, visits=begun, **asdict(known.figures()))

    def _left(self, visits: Sequence[VisitNow]) -> float | None:
        """Return how long the visits to come and the rest of the one under way will take."""
        left = 0.0
        for each, (seconds, _) in zip(visits, self._expected, strict=True):
            if each.state is VisitState.WAITING and seconds is not None:
                left += self._before_visit_s + seconds
            elif each.state is VisitState.RUNNING and seconds is not None:
                left += max(0.0, seconds - each.elapsed_s)
            elif seconds is None and each.state in (VisitState.WAITING, VisitState.RUNNING):
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
