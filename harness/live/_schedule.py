"""The machine that visits the settings of a run: ``_states`` has its theory and its table.

It does no input or output: events go in, each returns the command that the driver is to obey.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar

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
from harness.live._messages import Rows, ScenarioChecked, ShareDone
from harness.live._ramp import SPAWN_RATE, deal, users_for
from harness.live._record import Record
from harness.live._states import TRANSITIONS, Answer, Event, State
from harness.live._sweep import Sweep
from harness.live._visit import VisitUnderWay
from harness.measure import ServerCounts, Visit
from scenarios import Scenario
from scenarios import Visit as PlannedVisit

_LEAD_S: Final = 0.3  # what starts a visit must have reached every process before its time zero
_CLEARING_TIMEOUT_S: Final = 30.0
_CHECKING_TIMEOUT_S: Final = 30.0
_SPAWNING_TIMEOUT_S: Final = 30.0
_COLLECTING_TIMEOUT_S: Final = 5.0
_ASK_AGAIN_S: Final = (
    0.2  # a worker that has just connected may not listen yet, and Locust drops the question
)

_A = TypeVar("_A", bound=Answer)


class IllegalEvent(RuntimeError):
    """The schedule was told what cannot happen in its state: a fault of the driver."""


class Schedule:
    """Decide what a run does next; see the module's theory. It does no input or output.

    accepted: the processes that need not be asked for their scenario (the standalone one). workers: how many
    processes a run needs to start. sweep: is told what happens, for people to look at.

    Each event is a method and returns one command; those that time matters to are stamped. ``lanes`` is how
    many users each process has now, ``{node: count}``. An event that the state does not allow raises
    IllegalEvent and changes nothing.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        accepted: Iterable[str] = (),
        workers: int = 1,
        sweep: Sweep | None = None,
    ) -> None:
        self._scenario = scenario
        self._sweep = sweep or Sweep(scenario)
        self._wanted = workers
        self._accepted = set(accepted)
        self._refused: set[str] = set()
        self._state = State.IDLE
        self._record: Record | None = None
        self._pending: list[PlannedVisit] = []
        self._had_users = False
        self._users_wanted = 0  # of the visit under way
        self._give_up = 0.0  # when the wait under way has lasted too long
        self._ask_at = 0.0  # when workers may be asked for their scenario (again)
        self._numbers = 0  # how many visits any run has started
        self._first_number = 0  # the number of this run's first visit
        self._current: VisitUnderWay | None = None

    @property
    def state(self) -> State:
        """Where the schedule stands."""
        return self._state

    @property
    def visits_to_come(self) -> int:
        """How many visits of the run have not begun."""
        return len(self._pending)

    def overslept(self, seconds: float) -> None:
        """Note how late the driver was this time; it may be told whatever the state."""
        if self._current is not None:
            self._current.late_s = max(self._current.late_s, seconds)

    # -- the run's own course ------------------------------------------------------------------------

    def begin(self, now: float, record: Record) -> Wait:
        """Begin a run: its ``record`` has its plans, and is filled from here on."""
        self._admit(Event.BEGIN)
        self._record = record
        self._pending = list(record.plans)
        self._had_users = False
        self._first_number = self._numbers + 1
        self._sweep.begin(now, record.plans)
        return self._clear(Event.BEGIN, now, Wait())

    def tick(self, now: float, lanes: Mapping[str, int]) -> Command:
        """Look at who is there, and move on if what was waited for has come."""
        self._admit(Event.TICK)
        match self._state:
            case State.CLEARING:
                return self._look_clear(now, lanes)
            case State.CHECKING:
                return self._look_checked(now, lanes)
            case State.SPAWNING:
                return self._look_spawned(now, lanes)
            case State.RUNNING | State.COLLECTING:
                return self._look_done(now, lanes)
            case State.ENDED:
                return self._finish()
            case _:  # STOPPED; no other admits a tick
                return self._issue(Event.TICK, Wait(), State.STOPPED)

    def reset(self, now: float, lanes: Mapping[str, int], ago_s: float = 0.0) -> StartShares | Wait:
        """Start the visit: the target starts afresh, or did not answer, which its counts will show.

        ago_s: how long ago it was told so. Clients and target must have one time zero, for outages have
        their times.
        """
        self._admit(Event.RESET)
        if self._state is not State.RESETTING:
            return self._issue(Event.RESET, Wait(), self._state)
        plan = self._pending.pop(0)
        shares = deal(self._scenario.workload.lanes, lanes)
        self._numbers += 1
        left = max(0.0, _LEAD_S - ago_s)
        self._current = VisitUnderWay(plan, self._numbers, shares, now + left)
        self._sweep.start(now + left, self._numbers, plan)
        start = StartShares(self._numbers, plan.setting, plan.repeat, shares, left)
        return self._issue(Event.RESET, start, State.RUNNING)

    def closed(self, now: float, counts: ServerCounts | None) -> Users | Wait:
        """Close the visit with the target's counts of it, None if it could not tell them."""
        self._admit(Event.CLOSED)
        if self._state is not State.CLOSING:
            return self._issue(Event.CLOSED, Wait(), self._state)
        visit = self._close(now, counts, complete=True)
        return self._clear(Event.CLOSED, now, self._users(0, visit.setting))

    # -- messages ------------------------------------------------------------------------------------

    def checked(self, node: str, answer: ScenarioChecked) -> Refuse | Wait:
        """Note that a worker has compared its scenario with ours."""
        self._admit(Event.CHECKED)
        if answer.accepted:
            self._accepted.add(node)
        elif node not in self._refused:
            self._refused.add(node)
            # It is about to quit, and Locust ends a test whose last worker quits; others may yet come.
            refuse = Refuse(node, answer.reason, forget=not self._had_users)
            return self._issue(Event.CHECKED, refuse, self._state)
        return self._issue(Event.CHECKED, Wait(), self._state)

    def rows(self, rows: Rows) -> Wait:
        """Keep what a process has measured."""
        self._admit(Event.ROWS)
        if self._record is not None and rows.visit >= self._first_number:
            self._record.jobs.extend(rows.jobs)
            self._record.polls.extend(rows.polls)
        if self._current is not None:
            self._current.rows(rows)
        self._sweep.rows(rows)
        return self._issue(Event.ROWS, Wait(), self._state)

    def done(self, node: str, done: ShareDone) -> Wait:
        """Note that a process has ended all of its jobs of a visit."""
        self._admit(Event.DONE)
        if self._current is not None:
            self._current.done(node, done, called_in=self._state is not State.RUNNING)
        return self._issue(Event.DONE, Wait(), self._state)

    # -- ends ----------------------------------------------------------------------------------------

    def error(self, reason: str) -> Failed:
        """End the run: nothing more can come of it, and what was measured is marked with ``reason``."""
        self._admit(Event.ERROR)
        stays = self._state in (State.IDLE, State.COLLECTING, State.STOPPED)
        return self._fail(Event.ERROR, reason, self._state if stays else State.ENDED)

    def stop(self, now: float) -> Abort:
        """Call in what is still out there: Locust stops the run (its end, Ctrl-C, the web page's button)."""
        self._admit(Event.STOP)
        if self._record is None:
            return self._issue(Event.STOP, Abort((), cut_short=False), State.IDLE)
        cut_short = self._record.incomplete is None and len(self._record.visits) < len(self._record.plans)
        if cut_short:
            self._record.incomplete = "stopped before the end"
        if self._current is None:
            return self._issue(Event.STOP, Abort((), cut_short), State.STOPPED)
        self._current.call_in()
        if self._state is not State.COLLECTING:
            self._give_up = now + _COLLECTING_TIMEOUT_S
        nodes = tuple(sorted(self._current.waiting_for))
        return self._issue(Event.STOP, Abort(nodes, cut_short), State.COLLECTING)

    def take(self) -> Record:
        """Return the record of the run that has ended, once; the next run starts afresh."""
        self._admit(Event.TAKE)
        record, self._record, self._current = self._run, None, None
        self._sweep.end(record.incomplete)
        return self._issue(Event.TAKE, record, State.IDLE)

    # -- what each wait looks at ---------------------------------------------------------------------

    def _look_clear(self, now: float, lanes: Mapping[str, int]) -> Command:
        # Locust stops users in the background and ticks on at once; users of the setting to come that are
        # still about would pass for its lanes.
        if self._run.incomplete is None and any(lanes.values()) and now < self._give_up:
            return self._issue(Event.TICK, Wait(), State.CLEARING)
        if self._run.incomplete is not None or not self._pending:
            return self._finish()
        self._give_up, self._ask_at = now + _CHECKING_TIMEOUT_S, now
        return self._issue(Event.TICK, Wait(), State.CHECKING)

    def _look_checked(self, now: float, lanes: Mapping[str, int]) -> Command:
        # Before each visit, for a worker may join at any time.
        present, wanted = set(lanes), 1 if self._had_users else self._wanted
        if present <= self._accepted and len(present) >= wanted:
            plan, self._had_users = self._pending[0], True
            count = self._users_wanted = users_for(self._scenario.workload.lanes, len(present))
            self._give_up = now + _SPAWNING_TIMEOUT_S + count / SPAWN_RATE
            return self._issue(Event.TICK, self._users(count, plan.setting), State.SPAWNING)
        if now >= self._give_up:
            reason = f"{len(present & self._accepted)} of {self._wanted} workers run this scenario"
            return self._fail(Event.TICK, reason, State.ENDED)
        unknown = present - self._accepted - self._refused
        if not unknown or now < self._ask_at:
            return self._issue(Event.TICK, Wait(), State.CHECKING)
        self._ask_at = now + _ASK_AGAIN_S
        return self._issue(Event.TICK, CheckWorkers(tuple(sorted(unknown))), State.CHECKING)

    def _look_spawned(self, now: float, lanes: Mapping[str, int]) -> Command:
        spawned, wanted = sum(lanes.values()), self._users_wanted
        if spawned == wanted:
            return self._issue(Event.TICK, ResetTarget(_LEAD_S), State.RESETTING)
        if now < self._give_up:
            return self._issue(Event.TICK, Wait(), State.SPAWNING)
        reason = f"only {spawned} of {wanted} users of {self._pending[0].setting} started"
        return self._fail(Event.TICK, reason, State.ENDED)

    def _look_done(self, now: float, lanes: Mapping[str, int]) -> Command:
        current = self._visit
        if lost := current.lose(lanes.keys()):
            reason = f"{lost} of {len(current.nodes)} workers lost during {current.plan.setting}"
            return self._fail(Event.TICK, reason, self._state)
        if self._state is State.RUNNING:
            if current.waiting_for:
                return self._issue(Event.TICK, Wait(), State.RUNNING)
            return self._issue(Event.TICK, CloseVisit(), State.CLOSING)
        if current.waiting_for and now < self._give_up:
            return self._issue(Event.TICK, Wait(), State.COLLECTING)
        self._close(now, None, complete=False)
        return self._issue(Event.TICK, Wait(), State.STOPPED)

    # -- the pieces of events ------------------------------------------------------------------------

    @property
    def _run(self) -> Record:
        if self._record is None:
            raise AssertionError("the table lets nothing but messages and ends happen without a run")
        return self._record

    @property
    def _visit(self) -> VisitUnderWay:
        if self._current is None:
            raise AssertionError("a visit is under way in these states")
        return self._current

    def _admit(self, event: Event) -> None:
        """Refuse an event that has no row in the table."""
        if event not in TRANSITIONS[self._state]:
            raise IllegalEvent(f"{event.value}() is not allowed while {self._state.value}")

    def _issue(self, event: Event, answer: _A, state: State) -> _A:
        """Give an answer and go where it leads; the table must have promised both."""
        if (type(answer), state) not in TRANSITIONS[self._state][event]:
            raise AssertionError(f"{event} while {self._state} cannot give {answer} and lead to {state}")
        self._state = state
        return answer

    def _clear(self, event: Event, now: float, command: _A) -> _A:
        self._give_up = now + _CLEARING_TIMEOUT_S
        return self._issue(event, command, State.CLEARING)

    def _users(self, count: int, setting: str) -> Users:
        return Users(count, min(SPAWN_RATE, max(1.0, float(self._users_wanted))), setting)

    def _finish(self) -> Finished:
        return self._issue(Event.TICK, Finished(self._run.incomplete, self._had_users), State.ENDED)

    def _fail(self, event: Event, reason: str, state: State) -> Failed:
        if self._record is not None and self._record.incomplete is None:
            self._record.incomplete = reason
        return self._issue(event, Failed(reason), state)

    def _close(self, now: float, counts: ServerCounts | None, *, complete: bool) -> Visit:
        """Enter the visit under way in the record."""
        current, run = self._visit, self._run
        self._current = None
        visit = current.record(now, self._scenario, counts, complete=complete)
        run.visits.append(visit)
        self._sweep.close(now, visit)
        return visit
