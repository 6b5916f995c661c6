"""The driver of the schedule of visits: it waits, sends and asks, and decides nothing.

It runs in the standalone process or in the master. Locust's shape calls ``tick``; what Locust fires when it
stops, and the messages of the lanes, come in from other greenlets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, assert_never

import gevent

from harness._refusal import FAILED, INTERRUPTED
from harness.live._budget import Ledger, OverBudget, Share
from harness.live._commands import (
    Abort,
    CheckWorkers,
    CloseVisit,
    Command,
    Failed,
    Finished,
    Refuse,
    ResetTarget,
    StartShares,
    Users,
    Wait,
)
from harness.live._journal import Journal
from harness.live._messages import (
    AbortVisit,
    BadMessage,
    CheckScenario,
    Halted,
    Message,
    Rows,
    Runner,
    ScenarioChecked,
    ShareDone,
    StartVisit,
    receive,
    send,
)
from harness.live._processes import Processes
from harness.live._record import Record
from harness.live._schedule import Schedule
from harness.live._states import State
from harness.live._sweep import Sweep
from harness.live._target import Target
from scenarios import Scenario, more_than_allowed

if TYPE_CHECKING:  # importing Locust patches the process
    from locust.env import Environment

logger = logging.getLogger("backoff")

_POLL_S: Final = 0.05

Tick = tuple[int, float, list[type[Any]]]
Observer = Callable[[Sweep, float], None]


class Conductor:
    """Own one run at a time, from Locust's first ``tick`` until its record is taken.

    sweep: is told what happens. observers: each is called with it, and the time, some 20 times a second.
    journal: keeps the record on disk while it grows.
    """

    def __init__(
        self,
        environment: Environment,
        runner: Runner,
        scenario: Scenario,
        processes: Processes,
        sweep: Sweep,
        observers: Sequence[Observer] = (),
        journal: Journal | None = None,
    ) -> None:
        self._environment = environment
        self._runner = runner
        self._scenario = scenario
        self._processes = processes
        self._observers = observers
        self.sweep = sweep
        self._journal = journal
        self.target: Target | None = None
        self._ledger: Ledger | None = None  # of the run under way, if the target has limits
        self._run = ""  # what tells the run under way from others, on a target
        self._visit = 0  # the number of the visit under way
        self._schedule = Schedule(
            scenario, accepted=processes.accepted, workers=processes.wanted, sweep=sweep
        )
        schedule, bad = self._schedule, self._on_bad
        receive(runner, ScenarioChecked, lambda node, told: self._obey(schedule.checked(node, told)), bad)
        receive(runner, Rows, lambda _node, told: self._obey(schedule.rows(told)), bad)
        receive(runner, ShareDone, self._on_done, bad)
        receive(runner, Halted, self._on_halted, bad)

    @property
    def is_under_way(self) -> bool:
        """Whether a run has begun whose record is not taken."""
        return self._schedule.state is not State.IDLE

    # -- what Locust calls ---------------------------------------------------------------------------

    def tick(self) -> Tick | None:
        """Return what Locust should run now: the lanes of one setting, nobody, or None: nothing any more."""
        if self._schedule.state is State.IDLE:
            self._begin()
        while True:
            command = self._next()
            if isinstance(command, Users):
                return command.count, command.rate, [self._environment.user_classes_by_name[command.setting]]
            if isinstance(command, Finished):
                if not command.had_users:  # Locust tells nobody of the end of a run that never had users
                    self.take_record()
                    if self._journal is not None:
                        self._journal.discard()
                return None
            before = time.monotonic()
            gevent.sleep(_POLL_S)
            self._schedule.overslept(time.monotonic() - before - _POLL_S)

    def stopping(self) -> None:
        """Call in what is still out there: Locust stops the run (its end, Ctrl-C, the web page's button).

        Now and here, for as soon as Locust has stopped the shape, its main greenlet quits and hears workers
        no more.
        """
        if self._schedule.state is State.RUNNING:
            self._next()  # Locust stops when it has lost its last worker, and that is the reason then
        self._obey(self._schedule.stop(time.monotonic()))
        while self._schedule.state is State.COLLECTING:
            self._obey(self._schedule.tick(time.monotonic(), self._processes.lanes()))
            if self._schedule.state is State.COLLECTING:
                gevent.sleep(_POLL_S)

    def take_record(self) -> Record | None:
        """Return the finished run's record, once; the next run starts afresh."""
        return None if self._schedule.state is State.IDLE else self._schedule.take()

    def _begin(self) -> None:
        self._environment.process_exit_code = None  # a failed run before this one is no fault of this one
        # The command line or the web page's class picker may have left out some settings.
        chosen = [user_class.__name__ for user_class in self._environment.user_classes]
        record = Record(datetime.now(UTC), self._scenario.visits(chosen))
        self._schedule.begin(time.monotonic(), record)
        if self._journal is not None:
            self._journal.begin(record)
        if (target := self._scenario.target) is not None:
            self._run = f"{record.started_at:%Y%m%dT%H%M%SZ}"
            self._ledger = Ledger(target.limits)
            if reason := more_than_allowed(self._scenario, chosen):
                self._obey(self._schedule.error(reason))

    # -- what the schedule is told, and says ---------------------------------------------------------

    def _next(self) -> Command:
        """Do what is to be done now, and return it; a fault of ours ends the run, whose rows are kept."""
        try:
            return self._obey(self._look())
        except Exception as fault:
            logger.exception("the harness failed")
            return self._obey(self._schedule.error(f"the harness failed: {fault!r}"))

    def _look(self) -> Command:
        now = time.monotonic()
        if self._journal is not None:
            self._journal.keep(now)
        if self._schedule.state is State.RUNNING and self.target:
            self.target.sample()
        if self._schedule.state is State.RUNNING and (death := self._death()):
            return self._schedule.error(death)
        for observe in self._observers:
            observe(self.sweep, now)
        return self._schedule.tick(now, self._processes.lanes())

    def _death(self) -> str | None:
        return self.target.death() if self.target else None

    def _on_bad(self, node: str, error: BadMessage) -> None:
        self._obey(self._schedule.error(f"process {node} sent a message that cannot be used: {error}"))

    def _on_done(self, node: str, told: ShareDone) -> None:
        if told.visit == self._visit and self._ledger is not None:
            self._ledger.settle(node, told.submissions, told.left)
        if told.failed_submissions:
            by_response = ", ".join(f"{name} x{n}" for name, n in sorted(told.failed_submissions.items()))
            count = sum(told.failed_submissions.values())
            logger.warning(
                "%d submissions were not accepted (%s), the last: %s", count, by_response, told.failure
            )
        self._obey(self._schedule.done(node, told))

    def _on_halted(self, _node: str, told: Halted) -> None:
        if told.visit == self._visit and self._schedule.state is State.RUNNING:
            self._obey(self._schedule.error(told.reason))

    def _obey(self, command: Command) -> Command:
        """Do what the schedule says, and return the command that it came to; some are for Locust's shape."""
        match command:
            case ResetTarget(lead_s):
                ago_s = self.target.reset(lead_s) if self.target else 0.0
                if death := self._death():
                    return self._obey(self._schedule.error(death))
                return self._obey(self._schedule.reset(time.monotonic(), self._processes.lanes(), ago_s))
            case CloseVisit():
                counts = self.target.counters() if self.target else None
                return self._obey(self._schedule.closed(time.monotonic(), counts))
            case CheckWorkers(nodes):
                for node in nodes:
                    self._send(
                        CheckScenario(scenario=self._scenario.name, sha256=self._scenario.sha256), node
                    )
            case Refuse(node, reason, forget):
                logger.error("worker %s refused: %s", node, reason)
                if forget:
                    self._processes.forget(node)
            case StartShares():
                self._start(command)
            case Abort(nodes, cut_short):
                if cut_short:
                    headless = self._environment.parsed_options.headless
                    self._environment.process_exit_code = INTERRUPTED if headless else None
                for node in nodes:
                    self._send(AbortVisit(), node)
            case Failed(reason):
                self._environment.process_exit_code = FAILED
                logger.error("%s", reason)
            case Wait() | Users() | Finished():
                pass
            case _:
                assert_never(command)
        return command

    def _start(self, command: StartShares) -> None:
        self._visit = command.visit
        shares: dict[str, Share] = {}
        if self._ledger is not None:
            try:
                planned = self._scenario.planned_jobs(command.repeat)
                shares = self._ledger.lend(command.lanes, planned, self._schedule.visits_to_come + 1)
            except OverBudget as error:
                self._obey(self._schedule.error(str(error)))
                return
        for node, lanes in command.lanes.items():
            share = StartVisit(
                visit=command.visit,
                setting=command.setting,
                repeat=command.repeat,
                host=self.target.url if self.target else "",
                lanes=list(lanes),
                starts_in=command.starts_in,
                run=self._run,
                limits=shares.get(node),
            )
            self._send(share, node)

    def _send(self, message: Message, node: str) -> None:
        send(self._runner, message, node)
