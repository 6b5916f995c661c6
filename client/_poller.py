"""The polling machine, without input or output: events with a time stamp go in, commands come out.

Theory
------
A client that polls does one thing at a time: it waits, or it has a request in flight, or it is finished. Each
event moves it along one row of this table, and the command it gives *is* its next state:

=========  ================================  ==============  ======================
state      event                             command         next state
=========  ================================  ==============  ======================
READY      start (the submit reply is here)  Wait            WAITING
WAITING    wake  (the wait is over)          Send            POLLING
POLLING    reply (a status was read)         Wait or Done    WAITING or DONE
POLLING    fail  (the read failed)           Wait or Done    WAITING or DONE
not DONE   cancel (the run ended first)      Done            DONE
DONE       --                                --              --
=========  ================================  ==============  ======================

Any other pair raises IllegalEvent and changes nothing. The driver decides nothing: it obeys commands and
reports.

**Time.** The start is t = 0. With the anchor ``reply`` the first wait starts there, each later one when a
reply (or failure) arrives, so a slow server is polled less often, never in bursts. With ``start`` and
``clock`` polls fall on beats, which pass whether replies come or not: ``_anchors`` has their theory. Time
only moves forward: an event stamped earlier than the one before, or a wake earlier than its wait (a timer may
fire a hair early), counts as on time. The machine has no clock.

**Two questions, two budgets.** "Not finished yet" is answered by the cadence: wait k follows its k-th delay,
and ``max_attempts`` bounds the polls answered pending. "This read failed" is answered by the error policy:
the wait after the n-th failed read in a row follows its n-th delay, from the failure on whatever the anchor,
and more than ``max_consecutive`` in a row give up. A failed read does not advance the cadence; a good one
clears the run of failures. Neither budget touches the other.

**Hints** (Retry-After, on any reply) only lengthen a wait, and only up to a cap; see HintPolicy. Beats that a
hint passes over are done.

**Progress** starts the cadence again under ``restart_on``, when a reply tells another progress than the last
one that told any. The first progress told is what others are compared with.

**Randomness** is an argument: ``uniform(n)`` is the draw for the n-th computed wait, n = 1, 2, 3..., whether
the cadence or the error policy asks. The same draw spreads a hint.

**The deadline** is exact both ways. No wait ends after the edge (start + deadline), and no request sent
before it may run past it. One poll is sent at the edge itself, allowed ``last_poll_timeout``: if it does not
bring the job's end, the outcome is "timeout". So nobody stops short of the time they were given, and nobody
overruns it by more than that allowance. A poll still in flight when the edge passes is followed by the edge
poll at once. The job's end beats the timeout whenever it arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NoReturn

from ._anchors import ANCHORS, Anchor, FromReply
from ._curves import EDGE_S, LONGEST, spell
from ._errors import IllegalEvent
from ._events import Done, Failure, JobState, Outcome, Send, Wait
from ._maker import maker
from ._policy import PollingPolicy


class State(Enum):
    """Where a poller stands; ``TRANSITIONS`` says what may happen there."""

    # Members are singletons; Enum's own hash is computed in Python, and every event looks one up.
    __hash__ = object.__hash__

    READY = "ready"
    WAITING = "waiting"
    POLLING = "polling"
    DONE = "done"


class Event(Enum):
    """What a driver may tell a poller; each is the method of the same name."""

    __hash__ = object.__hash__

    START = "start"
    WAKE = "wake"
    REPLY = "reply"
    FAIL = "fail"
    CANCEL = "cancel"


_Command = Wait | Send | Done

TRANSITIONS: Final[Mapping[State, Mapping[Event, tuple[type[_Command], ...]]]] = MappingProxyType(
    {
        State.READY: {Event.START: (Wait,), Event.CANCEL: (Done,)},
        State.WAITING: {Event.WAKE: (Send,), Event.CANCEL: (Done,)},
        State.POLLING: {Event.REPLY: (Wait, Done), Event.FAIL: (Wait, Done), Event.CANCEL: (Done,)},
        State.DONE: {},
    }
)
AFTER: Final[Mapping[type[_Command], State]] = MappingProxyType(
    {Wait: State.WAITING, Send: State.POLLING, Done: State.DONE}
)

# A poll is two events. An Enum's attribute, a look into a table and the built-in max each take as long as
# several lines of this machine, so events compare with these and tests hold them to the tables.
_wait: Final = maker(Wait)
_send: Final = maker(Send)
_WAITING: Final = State.WAITING
_POLLING: Final = State.POLLING


class Poller:
    """Decides when to poll one job and when to stop; see the module's theory. It does no input or output.

    policy: the setting. uniform: ``uniform(n)`` gives the random number in [0, 1) for the n-th computed wait.
    epoch: when the clock of ``anchor="clock"`` shows 0, on the driver's clock.

        poller = Poller(policy, uniform=lambda n: random.random())
        command = poller.start(now)
        # Wait -> wake(now) -> Send -> reply(now, ...) or fail(now, ...) -> Wait ... Done

    Times are seconds on one monotonic clock of the driver's choosing. An event that the state does not allow
    raises IllegalEvent and changes nothing.
    """

    __slots__ = (
        "_at_edge",
        "_attempts",
        "_cadence",
        "_draws",
        "_edge",
        "_errors",
        "_failures",
        "_now",
        "_policy",
        "_started",
        "_state",
        "_told",
        "_uniform",
        "_until",
        "_wasted",
    )

    def __init__(self, policy: PollingPolicy, uniform: Callable[[int], float], *, epoch: float = 0.0) -> None:
        self._policy = policy
        self._uniform = uniform
        self._state = State.READY
        self._now = -math.inf
        self._started = math.nan
        self._edge = math.inf
        self._until = -math.inf  # when the wait under way ends
        self._at_edge = False  # whether the request in flight is the last one
        self._cadence: Anchor = ANCHORS[policy.anchor](policy.cadence, missed=policy.missed, epoch=epoch)
        self._errors = FromReply(policy.errors.backoff)
        self._told: object = None  # the last progress
        self._draws = 0
        self._attempts = 0
        self._wasted = 0
        self._failures = 0

    @property
    def state(self) -> State:
        """Where the poller stands."""
        return self._state

    def start(self, now: float, retry_after: float | None = None) -> Wait:
        """Begin: the submit reply has arrived, perhaps with a hint. This is t = 0 of the deadline."""
        self._admit(Event.START, now)
        self._started = self._now
        self._cadence.start(self._now)
        if self._policy.deadline is not None:
            self._edge = self._started + self._policy.deadline
        if self._policy.first_poll == "immediately":
            if retry_after is not None:
                return self._wait(None, retry_after)
            return self._until_then(self._now)
        return self._wait(self._cadence, retry_after)

    def wake(self, now: float) -> Send:
        """End the wait: the next status request is due."""
        if self._state is not _WAITING:
            self._refuse(Event.WAKE)
        if now < self._until:
            now = self._until
        self._now = now
        self._attempts += 1
        self._state = _POLLING
        left = self._edge - now
        self._at_edge = left <= 0.0
        if self._at_edge:
            return _send(self._attempts, self._policy.last_poll_timeout)
        if left > self._policy.request_timeout:
            left = self._policy.request_timeout
        return _send(self._attempts, left)

    def reply(
        self, now: float, status: JobState, retry_after: float | None = None, progress: object = None
    ) -> Wait | Done:
        """Take the status that was read. ``retry_after`` is the server's hint in seconds.

        progress: whatever the reply told of it, to be compared with what others told; None for nothing.

        Raises ValueError, changing nothing, when the status is not "pending", "completed" or "error".
        """
        if status not in ("pending", "completed", "error"):
            raise ValueError(
                f"status={status!r} cannot be used: report anything but a known status with fail()"
            )
        self._hear(Event.REPLY, now)
        if status != "pending":
            return self._finish(status, f"the job ended: {status}")
        self._wasted += 1
        if self._errors.count:
            self._errors.start(self._now)
        if self._at_edge:
            return self._time_out("the last poll was answered 'pending'")
        if self._wasted == self._policy.max_attempts:
            return self._finish("gave_up", f"{_count(self._wasted, 'poll')} answered 'pending' is the limit")
        if self._policy.restart_on is not None and progress is not None:
            if self._told is not None and progress != self._told:
                self._cadence.start(self._now)
            self._told = progress
        return self._wait(self._cadence, retry_after)

    def fail(self, now: float, failure: Failure, retry_after: float | None = None) -> Wait | Done:
        """Take a failed read, which says nothing of the job. ``retry_after``: the hint in seconds."""
        self._hear(Event.FAIL, now)
        self._failures += 1
        if self._at_edge:
            return self._time_out(f"the last poll failed: {failure}")
        if not (failure.retryable or self._may_yet_appear(failure)):
            return self._finish("gave_up", f"no retry can mend a failed read of this kind: {failure}")
        if self._errors.count >= self._policy.errors.max_consecutive:
            return self._finish(
                "gave_up", f"{_count(self._errors.count + 1, 'failed read')} in a row, the last: {failure}"
            )
        return self._wait(self._errors, retry_after)

    def cancel(self, now: float) -> Done:
        """End before the job does: outcome "censored". Legal in every state but DONE."""
        self._admit(Event.CANCEL, now)
        return self._finish("censored", "polling was cancelled")

    def _admit(self, event: Event, now: float) -> None:
        """Refuse an event that has no row in the table; otherwise move time forward, never back."""
        if event not in TRANSITIONS[self._state]:
            self._refuse(event)
        self._now = max(self._now, now)

    def _hear(self, event: Event, now: float) -> None:
        """Do what ``_admit`` does, for what may happen only while a request is in flight."""
        if self._state is not _POLLING:
            self._refuse(event)
        if now > self._now:
            self._now = now

    def _refuse(self, event: Event) -> NoReturn:
        raise IllegalEvent(f"{event.value}() is not allowed while {self._state.value}")

    def _wait(self, waits: Anchor | None, hint: float | None) -> Wait:
        """Compute the next wait (None: there is none of our own), lengthen it, and clamp it to the edge."""
        self._draws += 1
        u = self._uniform(self._draws)
        now = self._now
        until = now if waits is None else waits.next(now, u)
        if hint is not None:
            hinted = now + self._policy.hints.lengthen(0.0, hint, u)
            if hinted > until:
                until = hinted
                self._cadence.put_off(until)
        if until > LONGEST:
            until = LONGEST  # even "for ever" twice over is a time
        if until > self._edge - EDGE_S:
            until = max(now, self._edge)
        return self._until_then(until)

    def _until_then(self, until: float) -> Wait:
        self._until = until
        self._state = _WAITING
        return _wait(until)

    def _may_yet_appear(self, failure: Failure) -> bool:
        return failure.status_code == 404 and self._now - self._started <= self._policy.errors.not_found_grace

    def _time_out(self, last_poll: str) -> Done:
        return self._finish(
            "timeout", f"the deadline of {spell(self._policy.deadline or 0.0)} passed; {last_poll}"
        )

    def _finish(self, outcome: Outcome, reason: str) -> Done:
        self._state = State.DONE
        return Done(outcome, self._now, self._attempts, self._wasted, self._failures, reason)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
