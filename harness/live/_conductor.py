"""The controlling side: visits the settings one after another and gathers what the lanes report.

It runs in the standalone process or in the master. The cycle of one visit is

    start `lanes` users of the setting -> give each process its lane numbers -> jobs are submitted,
    polled and drained -> every process reports done -> the server's counts are read -> back to 0 users

Going through 0 users is not optional: Locust ignores a change of user classes at an equal user count.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING, MasterRunner

from harness._refusal import FAILED, INTERRUPTED
from harness.live._lanes import Orders
from harness.live._process import Simulator, SimulatorError
from harness.measure import JobRow, PollRow, ServerCounts, Visit
from scenarios import Scenario, planned
from scenarios import Visit as PlannedVisit

logger = logging.getLogger("backoff")

LEAD_S = 0.3  # orders must have reached every process before a visit's time zero
MANNING_TIMEOUT_S = 30.0
CHECK_TIMEOUT_S = 30.0
ABORT_TIMEOUT_S = 5.0
POLL_S = 0.05
MAX_SPAWN_RATE = 100.0  # above it Locust itself warns of trouble

Tick = tuple[int, float, list[type[Any]]]


@dataclass
class Record:
    """Everything one run has measured so far; kept whatever happens to the run."""

    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    visits: list[Visit] = field(default_factory=list)
    jobs: list[JobRow] = field(default_factory=list)
    polls: list[PollRow] = field(default_factory=list)
    incomplete: str | None = None


@dataclass
class Current:
    """The visit under way."""

    plan: PlannedVisit
    workers: list[str]
    started_at: float
    waiting_for: set[str]
    first_job: int  # where its rows begin in the record
    lost: set[str] = field(default_factory=set)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    finished: int = 0
    polls: int = 0


class Conductor:
    """Owns one run at a time: ``tick`` is Locust's shape, ``on_rows``/``on_done`` are what lanes report."""

    def __init__(self, environment: Environment, scenario: Scenario) -> None:
        self._environment = environment
        self._scenario = scenario
        self.simulator: Simulator | None = None
        self.record: Record | None = None
        self.current: Current | None = None
        self.plans: list[PlannedVisit] = []
        self._pending: Iterator[PlannedVisit] = iter(())
        self._manned: PlannedVisit | None = None
        self._stopping = False
        self._started = False  # whether Locust has been told to start users
        self._accepted: set[str] = set()
        self._refused: set[str] = set()
        self.on_progress: Callable[[Conductor], None] = lambda _conductor: None

    # -- Locust's shape ------------------------------------------------------------------------------

    def tick(self) -> Tick | None:
        """What Locust should run now: the lanes of one setting, nobody, or (None) nothing any more."""
        if self.record is None:
            self._begin()
        if self.record is None or self.record.incomplete:
            return None
        if self._manned is None:
            self._wait_until_unmanned()
            plan = next(self._pending, None)
            if plan is None or not self._check_workers():
                if not self._started:  # Locust tells nobody of the end of a run that never had users
                    self.take_record()
                return None
            self._manned, self._started = plan, True
            return self._users(self._scenario.workload.lanes, plan.setting)
        plan, self._manned = self._manned, None
        try:
            self._conduct(plan)
        except SimulatorError as error:
            self.fail(str(error))
            return None
        return self._users(0, plan.setting)

    def _wait_until_unmanned(self) -> None:
        # Locust stops users in the background and ticks on at once; users of the setting to come that are
        # still about would pass for its lanes.
        give_up = time.monotonic() + MANNING_TIMEOUT_S
        while sum(self._workers().values()) and time.monotonic() < give_up:
            gevent.sleep(POLL_S)

    def _users(self, count: int, setting: str) -> Tick:
        user_class = self._environment.user_classes_by_name[setting]
        return count, min(MAX_SPAWN_RATE, max(1.0, float(self._scenario.workload.lanes))), [user_class]

    def _begin(self) -> None:
        self.record = Record()
        self._environment.process_exit_code = None  # a failed run before this one is no fault of this one
        # The command line or the web page's class picker may have left out some settings.
        chosen = [user_class.__name__ for user_class in self._environment.user_classes]
        self.plans = self._scenario.visits(chosen)
        self._pending = iter(self.plans)
        self._manned, self._started, self._stopping = None, False, False

    def fail(self, reason: str) -> None:
        """End the run early: what was measured is kept and marked with ``reason``."""
        if self.record is not None and self.record.incomplete is None:
            self.record.incomplete = reason
        self._environment.process_exit_code = FAILED
        logger.error("%s", reason)

    # -- distributed runs ----------------------------------------------------------------------------

    def _workers(self) -> dict[str, int]:
        """Lanes now on each process that generates load: {node id: count}."""
        runner = self._environment.runner
        if isinstance(runner, MasterRunner):
            return {node.id: node.user_count for node in runner.clients.all if node.state != STATE_MISSING}
        return {"local": runner.user_count}

    def _check_workers(self) -> bool:
        """Ask every worker for its scenario until all that are connected run the same one as we do.

        Before each visit, for a worker may join at any time. False when too few of them do.
        """
        runner = self._environment.runner
        if not isinstance(runner, MasterRunner):
            return True
        wanted = max(1, self._environment.parsed_options.expect_workers or 1)
        give_up = time.monotonic() + CHECK_TIMEOUT_S
        while time.monotonic() < give_up:
            present = set(self._workers())
            unknown = present - self._accepted - self._refused
            for node in unknown:
                data = {"sha256": self._scenario.sha256, "name": self._scenario.name}
                runner.send_message("backoff_check", data, node)
            if present <= self._accepted and len(present) >= (1 if self._started else wanted):
                return True
            gevent.sleep(0.2)
        running = len(set(self._workers()) & self._accepted)
        self.fail(f"{running} of {wanted} workers run this scenario")
        return False

    def on_checked(self, node: str, accepted: bool, reason: str) -> None:
        """A worker has compared its scenario with ours."""
        if accepted:
            self._accepted.add(node)
        elif node not in self._refused:
            self._refused.add(node)
            logger.error("worker %s refused: %s", node, reason)
            if not self._started:
                # It is about to quit, and Locust ends a test whose last worker quits; others may yet come.
                self._environment.runner.clients.pop(node, None)

    # -- one visit -----------------------------------------------------------------------------------

    def _conduct(self, plan: PlannedVisit) -> None:
        lanes = self._scenario.workload.lanes
        give_up = time.monotonic() + MANNING_TIMEOUT_S + lanes / MAX_SPAWN_RATE
        while sum(self._workers().values()) != lanes:
            if time.monotonic() > give_up:
                self.fail(f"only {sum(self._workers().values())} of {lanes} lanes of {plan.setting} started")
                return
            gevent.sleep(POLL_S)
        before = self._reset_simulator()
        self._give_orders(plan)
        while self.current is not None and (self.current.waiting_for or self._stopping):
            if not self._stopping:  # else the visit is closed by `_collect`, and this greenlet killed
                self._note_lost_workers(self.current)
                self.on_progress(self)
                self._check_simulator()
            gevent.sleep(POLL_S)
        self._close_visit(before, complete=True)

    def _reset_simulator(self) -> dict[str, Any] | None:
        if self.simulator is None:
            return None
        before = None
        with contextlib.suppress(SimulatorError):  # unreadable counts are a trust check, not the end
            self.simulator.reset(LEAD_S)
            before = self.simulator.counters()
        self._check_simulator()
        return before

    def _check_simulator(self) -> None:
        if self.simulator is not None and (death := self.simulator.death()):
            raise SimulatorError(death)

    def _give_orders(self, plan: PlannedVisit) -> None:
        workers = {node: count for node, count in sorted(self._workers().items()) if count}
        first_job = len(self.record.jobs) if self.record else 0
        self.current = Current(plan, list(workers), time.monotonic() + LEAD_S, set(workers), first_job)
        first = 0
        for node, count in workers.items():
            orders = Orders(
                visit=plan.index,
                setting=plan.setting,
                repeat=plan.repeat,
                host=self.simulator.url if self.simulator else "",
                lanes=list(range(first, first + count)),
                starts_in=LEAD_S,
            )
            first += count
            self._send("backoff_orders", asdict(orders), node)

    def _send(self, kind: str, data: dict[str, Any], node: str) -> None:
        self._environment.runner.send_message(kind, data, node)

    def _note_lost_workers(self, current: Current) -> None:
        gone = current.waiting_for - set(self._workers())
        if gone:
            # The others finish this visit; the next ones would run with fewer lanes than the scenario says.
            self.fail(f"{len(gone)} of {len(current.workers)} workers lost during {current.plan.setting}")
        current.lost |= gone
        current.waiting_for -= gone

    def on_rows(self, data: dict[str, Any]) -> None:
        """Rows that a process has finished (as lists after a trip through msgpack)."""
        if self.record is None:
            return
        jobs = [JobRow._make(row) for row in data["jobs"]]
        polls = [PollRow._make(row) for row in data["polls"]]
        self.record.jobs.extend(jobs)
        self.record.polls.extend(polls)
        if self.current is not None and self.current.plan.index == data["visit"]:
            self.current.finished += len(jobs)
            self.current.polls += len(polls)

    def on_done(self, node: str, data: dict[str, Any]) -> None:
        """A process has ended all of its jobs of a visit."""
        if self.current is not None and self.current.plan.index == data["visit"]:
            self.current.summaries.append(data)
            self.current.waiting_for.discard(node)

    def _close_visit(self, before: dict[str, Any] | None, *, complete: bool) -> None:
        server = self._server_counts(before)  # while it is asked for, a stop must still find the visit
        current, self.current = self.current, None
        if current is None or self.record is None:
            return
        workload, plan = self._scenario.workload, current.plan
        jobs = self.record.jobs[current.first_job :]
        ended = [float(s["ended_at_s"]) for s in current.summaries]
        self.record.visits.append(
            Visit(
                setting=plan.setting,
                repeat=plan.repeat,
                index=plan.index,
                duration_s=max(ended, default=time.monotonic() - current.started_at),
                submit_window_s=workload.duration or max((job.planned_at_s for job in jobs), default=0.0),
                lanes=workload.lanes,
                planned_jobs=self._planned_jobs(plan.repeat, len(jobs), current.summaries),
                workers_expected=len(current.workers),
                workers_lost=len(current.lost),
                generator_cpu=[float(s["cpu_mean"]) for s in current.summaries],
                generator_cpu_peak=max((float(s["cpu_peak"]) for s in current.summaries), default=0.0),
                server=server,
                complete=complete and not current.lost,
            )
        )

    def _planned_jobs(self, repeat: int, submitted: int, summaries: Sequence[dict[str, Any]]) -> int:
        """How many jobs should have been submitted; in a closed loop, as many as the lanes tried to."""
        if self._scenario.workload.arrivals.is_open:
            return sum(1 for _ in planned(self._scenario, repeat))
        return submitted + sum(int(each["failed_submissions"]) for each in summaries)

    def _server_counts(self, before: dict[str, Any] | None) -> ServerCounts | None:
        if before is None or self.simulator is None:
            return None
        try:
            after = self.simulator.counters()
        except SimulatorError:
            return None
        return ServerCounts(
            submissions=after["submissions"],
            polls=after["polls"],
            replies=after["replies"],
            cpu_seconds=after["cpu_seconds"] - before["cpu_seconds"],
            busy_seconds=after["busy_seconds"],
        )

    # -- the end -------------------------------------------------------------------------------------

    def stopping(self) -> None:
        """Locust stops the run (its end, Ctrl-C, the web page's button): call in what is still out there."""
        if self.record is not None and len(self.record.visits) < len(self.plans):
            self._stopping = True
            if self.record.incomplete is None:
                self.record.incomplete = "stopped before the end"
                self._environment.process_exit_code = (
                    INTERRUPTED if self._environment.parsed_options.headless else None
                )
            for node in sorted(self.current.waiting_for if self.current else ()):
                self._send("backoff_abort", {}, node)
            # Now: as soon as Locust has stopped the shape, its main greenlet quits and hears workers no more.
            self._collect()

    def _collect(self) -> None:
        """Wait, boundedly, for the last rows of a visit that was cut short, and close it as incomplete."""
        current = self.current
        if current is None:
            return
        give_up = time.monotonic() + ABORT_TIMEOUT_S
        # Two may wait here: Locust also stops a run when its last worker quits.
        while self.current is current and current.waiting_for and time.monotonic() < give_up:
            self._note_lost_workers(current)
            gevent.sleep(POLL_S)
        self._close_visit(None, complete=False)

    def take_record(self) -> Record | None:
        """The finished run's record, once; the next run starts afresh."""
        record, self.record, self.current, self._manned = self.record, None, None, None
        return record
