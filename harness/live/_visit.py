"""The books of the visit under way: who works on it, what they have told, and the record that comes of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from functools import reduce
from operator import add, or_

import numpy as np

from harness.live._messages import Rows, ShareDone
from harness.measure import Held, ServerCounts, Visit
from scenarios import Scenario
from scenarios import Visit as PlannedVisit


class VisitUnderWay:
    """One visit from the start of its shares to its record. Times are the driver's, in seconds.

    number: its own, in all runs. lanes: which of its lanes each process has. started_at: its time zero.
    """

    def __init__(
        self,
        plan: PlannedVisit,
        number: int,
        lanes: Mapping[str, Sequence[int]],
        started_at: float,
    ) -> None:
        self.plan = plan
        self.number = number
        self.nodes = frozenset(lanes)
        self.waiting_for = set(lanes)
        """The processes that still work on it."""
        self.late_s = 0.0
        """How late the driver was at most."""
        self._started_at = started_at
        self._leaving: set[str] = set()
        self._lost = 0
        self._jobs = 0
        self._last_planned_s = 0.0
        self._done: list[ShareDone] = []

    def rows(self, rows: Rows) -> None:
        """Count the jobs among what a process has measured, if that is of this visit."""
        if rows.visit == self.number and rows.jobs:
            self._jobs += len(rows.jobs)
            self._last_planned_s = max(self._last_planned_s, float(np.max(rows.jobs.column("planned_at_s"))))

    def done(self, node: str, done: ShareDone, *, called_in: bool) -> None:
        """Note that a process has ended its share, if it is of this visit and was waited for.

        One that has cut its jobs short without being ``called_in`` was told to quit, and is about to be lost.
        """
        if done.visit != self.number or node not in self.waiting_for - self._leaving:
            return
        self._done.append(done)
        if done.cut_short and not called_in:
            self._leaving.add(node)
        else:
            self.waiting_for.discard(node)

    def call_in(self) -> None:
        """Wait no more for processes that have cut their jobs short already."""
        self.waiting_for -= self._leaving

    def lose(self, present: Set[str]) -> int:
        """Wait no more for processes that are gone; return how many these are."""
        gone = self.waiting_for - present
        self._lost += len(gone)
        self.waiting_for -= gone
        return len(gone)

    def record(
        self,
        now: float,
        scenario: Scenario,
        counts: ServerCounts | None,
        *,
        complete: bool,
    ) -> Visit:
        """Return the record of the visit, which ends now."""
        workload = scenario.workload
        # Below 0 where the run was stopped before the visit's time zero.
        ended_at = max((each.ended_at_s for each in self._done), default=now - self._started_at)
        return Visit(
            setting=self.plan.setting,
            repeat=self.plan.repeat,
            index=self.plan.index,
            duration_s=max(0.0, ended_at),
            submit_window_s=workload.duration or self._last_planned_s,
            lanes=workload.lanes,
            planned_jobs=self._planned_jobs(scenario),
            workers_expected=len(self.nodes),
            workers_lost=self._lost,
            generator_cpu=tuple(each.cpu_mean for each in self._done),
            generator_cpu_peak=max((each.cpu_peak for each in self._done), default=0.0),
            conductor_late_s=self.late_s,
            server=counts,
            complete=complete and not self._lost and not any(each.spent for each in self._done),
            failed_submissions=reduce(
                add, (Counter(each.failed_submissions) for each in self._done), Counter()
            ),
            held_jobs=reduce(or_, (each.held_jobs for each in self._done), Held()),
            held_polls=reduce(or_, (each.held_polls for each in self._done), Held()),
            left_jobs=sum(each.left for each in self._done),
        )

    def _planned_jobs(self, scenario: Scenario) -> int:
        """Return how many jobs should have been submitted; in a closed loop, as many as lanes tried to."""
        if scenario.workload.arrivals.is_open:
            return sum(1 for _ in scenario.planned(self.plan.repeat))
        return self._jobs + sum(sum(each.failed_submissions.values()) for each in self._done)
