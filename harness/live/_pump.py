"""The driver of a fleet over gevent: it sleeps and sends for any number of jobs, and decides nothing.

A greenlet for each request in flight, none for a job that waits: after a reply it looks whether something
else is due and carries that itself, so that a busy generator switches greenlets as little as it can.

Orders are taken from the fleet one by one, each when it can be sent at once: so the time that is on record is
the time at which it was sent, however many are due together. What waits for the processor waits in the fleet,
and is on record as late.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

import gevent
from gevent.hub import get_hub
from greenlet import getcurrent, greenlet

from client import Cause, Fleet, Order, Response, Talk

_LONGEST_SLEEP_S: Final = 3600.0
_AFTER_REPLIES: Final = -1  # libev's order of what is ready at the same time; sockets have 0
_AHEAD_S: Final = 1.0  # jobs join the fleet this long before their submission: early enough to be on time

Send = Callable[[Order], Response]
"""Carries one order to its reply, or raises OSError."""


class Arrival(NamedTuple):
    """A job that is to be carried from ``at`` on; ``join`` is called when that is near, to ``add`` it."""

    at: float
    join: Callable[[], None]


class Pump:
    """Carries a fleet's orders until no job is left.

    send: how one order is carried. explain: why that broke, of its OSError. now: the clock of the fleet.
    """

    def __init__(
        self, fleet: Fleet, send: Send, explain: Callable[[OSError], Cause], now: Callable[[], float]
    ) -> None:
        self._fleet = fleet
        self._send = send
        self._explain = explain
        self._now = now
        self._arrivals: Iterator[Arrival] = iter(())
        self._next: Arrival | None = None
        self._idle: list[Any] = []  # greenlets that wait for an order, the one used last at the end
        self._busy: set[Any] = set()
        self._runner: Any = None
        self._sleeps_until: float | None = None  # None while the runner is awake
        self._fault: BaseException | None = None
        self._is_over = False  # stopped, or run to the end: nothing is sent any more, no reply is told

    def add(self, talk: Talk) -> None:
        """Carry another job from now on."""
        self._fleet.add(self._now(), talk)
        self._wake_for_what_is_sooner()

    def run(self, arrivals: Iterable[Arrival] = ()) -> None:
        """Carry the fleet's jobs, and those of ``arrivals`` (in the order of their times), to their ends.

        Raises what a job's machine or the recording of it raises: such a fault is not the service's.
        """
        self._arrivals = iter(arrivals)
        self._next = next(self._arrivals, None)
        self._runner = getcurrent()
        try:
            while self._goes_on():
                self._admit(self._now())
                while self._goes_on() and (due := self._fleet.due(self._now(), 1)):
                    self._hand_over(due[0])
                if self._is_done():
                    break
                self._sleep()
            if self._fault is not None:  # the job that it hit may have been the last
                raise self._fault
        finally:
            self.stop()

    def stop(self) -> None:
        """End every job before its time, and every request; from another greenlet, ``run`` then returns."""
        self._is_over = True  # first, for the runner and carriers have their turns while requests end
        self._arrivals, self._next = iter(()), None
        carriers = [each for each in (*self._idle, *self._busy) if each is not getcurrent()]
        self._idle.clear()
        self._busy.clear()
        for each in carriers:
            get_hub().loop.run_callback(each.throw, gevent.GreenletExit)
        while not all(each.dead for each in carriers):
            gevent.sleep(0)
        self._fleet.cancelled(self._now())
        self._wake_for_what_is_sooner()

    def _goes_on(self) -> bool:
        return self._fault is None and not self._is_over

    def _is_done(self) -> bool:
        return not self._fleet and self._next is None

    def _admit(self, now: float) -> None:
        """Let those join the fleet whose time is near."""
        while self._next is not None and self._next.at <= now + _AHEAD_S:
            self._next.join()
            self._next = next(self._arrivals, None)

    def _next_at(self) -> float:
        """Return when the runner is needed again."""
        if not self._goes_on() or self._is_done():
            return -math.inf
        joins_at = math.inf if self._next is None else self._next.at - _AHEAD_S
        return min(self._fleet.next_at, joins_at)

    # -- the runner's sleep: a callback of the hub ends it, and only once ----------------------------------

    def _sleep(self) -> None:
        self._sleeps_until = until = self._next_at()
        hub = get_hub()
        timer = hub.loop.timer(min(max(0.0, until - self._now()), _LONGEST_SLEEP_S))
        timer.start(self._wake)
        try:
            hub.switch()
        finally:
            self._sleeps_until = None
            timer.close()

    def _wake(self) -> None:
        if self._sleeps_until is not None:
            self._sleeps_until = None
            self._runner.switch()

    def _wake_for_what_is_sooner(self) -> None:
        if self._sleeps_until is not None and self._next_at() < self._sleeps_until:
            get_hub().loop.run_callback(self._wake)

    # -- those who carry ------------------------------------------------------------------------------

    def _hand_over(self, order: Order) -> None:
        """Have an order sent here and now: the runner goes on when that waits for its reply.

        It goes on after the replies that have come: those who read them carry on with what is due. So what
        is more than can be done waits in the fleet, rather than as requests under way, each with a greenlet,
        a connection and a timeout that runs.
        """
        hub = get_hub()
        carrier = self._idle.pop() if self._idle else greenlet(self._carry_on, hub)
        self._busy.add(carrier)
        turn = hub.loop.timer(0.0, priority=_AFTER_REPLIES)
        turn.start(self._runner.switch)
        try:
            carrier.switch(order)
        finally:
            turn.close()  # the runner may have been killed meanwhile

    def _carry_on(self, order: Order) -> None:
        me = getcurrent()
        try:
            while True:
                self._carry(order)
                if self._goes_on() and (due := self._fleet.due(self._now(), 1)):
                    order = due[0]
                else:
                    self._busy.discard(me)
                    self._idle.append(me)
                    self._wake_for_what_is_sooner()
                    order = get_hub().switch()
        except Exception as fault:
            self._fault = self._fault or fault
            self._wake_for_what_is_sooner()

    def _carry(self, order: Order) -> None:
        try:
            response = self._send(order)
        except OSError as error:
            if not self._is_over:
                cause = self._explain(error)
                self._fleet.broke(order, self._now(), cause.words, retryable=cause.passing)
        else:
            if not self._is_over:
                self._fleet.replied(order, self._now(), response)
