"""Many jobs polled by one process: one heap of due times, a budget for each host. No input or output.

A driver is a pump, as for a single conversation; ``order`` is a request that is due:

    fleet.add(talk)                                   # any number, at any time
    for order in fleet.due(now()):                    # each is to be sent at once, and answered with
        fleet.replied(order, now(), response)         # what came back,
        fleet.broke(order, now(), cause)              # or why nothing did
    sleep_until(fleet.next_at)                        # or until a reply arrives, or a job is added

Every job is polled at the very times that its own conversation asks for, unless a budget or the spreading of
phases holds it back: it never goes out earlier, and ``Order.held`` says by how much it was late for that.
Each event costs O(log n) for n jobs. Times are seconds on the driver's monotonic clock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Final, NamedTuple, Protocol

from ._checks import number, put, whole
from ._conversation import SendRequest
from ._errors import IllegalEvent
from ._events import Wait
from ._records import Result
from ._wire import Response

_LEAST_RATE: Final = 1e-9  # one request in thirty years
_GOLDEN: Final = (math.sqrt(5) - 1) / 2  # any number of its multiples, modulo 1, lie about evenly


class Talk(Protocol):
    """What a fleet carries: a ``Conversation``, or a machine that is pumped like one."""

    @property
    def due(self) -> float | None:
        """Return when its next request is due; None while one is in flight, and when it has ended."""

    def next(self, now: float) -> Wait | SendRequest | Result:
        """Return what to do now."""

    def replied(self, now: float, response: Response) -> object:
        """Take a reply."""

    def broke(self, now: float, cause: str, *, retryable: bool = True) -> object:
        """Note that no whole reply came."""

    def cancelled(self, now: float) -> object:
        """End before the job does."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What one host may be asked for, whatever its jobs would like.

    rate: requests per second; None for any number. burst: this many may go at once after a quiet time.
    in_flight: requests under way at once; None for any number.

    In any t seconds at most ``burst + rate * t`` requests go out (the generic cell rate algorithm of ATM,
    ITU-T I.371). Raises InvalidSetting naming the field, its value and what would be right.
    """

    rate: float | None = None
    burst: int = 1
    in_flight: int | None = None

    def __post_init__(self) -> None:
        if self.rate is not None:
            put(self, "rate", number("rate", self.rate, at_least=_LEAST_RATE))
        put(self, "burst", whole("burst", self.burst, at_least=1))
        if self.in_flight is not None:
            put(self, "in_flight", whole("in_flight", self.in_flight, at_least=1))


class Order(NamedTuple):
    """A request that is due: send it to ``host`` at once.

    held: seconds that the fleet kept it beyond its time; what the driver itself was late is not in it.
    """

    number: int
    talk: Talk
    send: SendRequest
    host: str
    held: float


class _Due(NamedTuple):
    """A job in the heap: when the fleet lets it go, a number to break ties, and when it wanted to go."""

    at: float
    number: int
    wanted: float
    talk: Talk
    host: str


class _Host:
    """One host's budget, and the jobs that are due and wait for it, first come, first served."""

    __slots__ = ("_budget", "_freed_at", "_in_flight", "_recovered_at", "noted_at", "queue")

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._in_flight = 0
        self._freed_at = -math.inf  # when a reply last made room where there was none
        self._recovered_at = -math.inf  # when the rate will have made up for all that was sent
        self.queue: deque[_Due] = deque()
        self.noted_at = math.inf  # the one entry of the fleet's openings that is up to date

    @property
    def opens_at(self) -> float:
        """Return when the next request may go; infinite while only a reply can make room."""
        if self._in_flight == self._budget.in_flight:
            return math.inf
        if self._budget.rate is None:
            return self._freed_at
        return max(self._freed_at, self._recovered_at - (self._budget.burst - 1) / self._budget.rate)

    def sent(self, now: float) -> None:
        """Take a request off the budget."""
        self._in_flight += 1
        if self._budget.rate is not None:
            self._recovered_at = max(self._recovered_at, now) + 1 / self._budget.rate

    def answered(self, now: float) -> None:
        """Make room for another request."""
        if self._in_flight == self._budget.in_flight:
            self._freed_at = now
        self._in_flight -= 1


class Fleet:
    """All jobs that one process polls; see the module's pump.

    budget: what each host may be asked for. budgets: of some hosts, by name, instead.
    spread: share, from 0 to 1, of a job's first wait by which its first poll may be held back, so that jobs
        which were submitted together do not poll together: the n-th job by the share
        ``spread * frac(n * golden ratio)`` of its wait, which spaces any number of jobs about evenly.

    Raises InvalidSetting. An answer to an order that is not out raises IllegalEvent and changes nothing.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        *,
        budgets: Mapping[str, Budget] | None = None,
        spread: float = 0.0,
    ) -> None:
        self._budget = budget or Budget()
        self._hosts = {name: _Host(own) for name, own in (budgets or {}).items()}
        self._spread = number("spread", spread, at_least=0, at_most=1)
        self._waiting: list[_Due] = []
        self._opening: list[tuple[float, int, str]] = []  # when hosts with a queue open; some are out of date
        self._queued = 0
        self._out: dict[int, Order] = {}
        self._numbers = count()
        self._added = 0
        self.held = 0
        """Requests that the fleet let go later than they were wanted."""

    def __len__(self) -> int:
        """Return how many jobs wait, are held back, or have a request in flight."""
        return len(self._waiting) + self._queued + len(self._out)

    @property
    def next_at(self) -> float:
        """Return when ``due`` will next have something, unless more happens: infinite for never."""
        while self._opening and self._opening[0][0] != self._hosts[self._opening[0][2]].noted_at:
            heappop(self._opening)
        first = self._waiting[0].at if self._waiting else math.inf
        return min(first, self._opening[0][0]) if self._opening else first

    def add(self, now: float, talk: Talk, host: str = "") -> None:
        """Carry a job from now on; one that has ended already is left out. ``host`` names its budget."""
        wanted = talk.due
        if wanted is None:
            return
        self._added += 1
        share = self._spread * (self._added * _GOLDEN % 1.0)
        self._wait(talk, host, wanted, wanted + share * max(0.0, wanted - now))

    def due(self, now: float, most: float = math.inf) -> list[Order]:
        """Return the requests to be sent now, in the order of their times.

        most: how many at most; for a driver that takes them one by one, each when it can send it.
        """
        orders: list[Order] = []
        while self._waiting and self._waiting[0].at <= now and len(orders) < most:
            due = heappop(self._waiting)
            host = self._hosts.get(due.host) or self._host(due.host)
            if not host.queue and (opens_at := host.opens_at) <= now:
                self._let_go(now, due, host, opens_at, orders)
                continue
            host.queue.append(due)
            self._queued += 1
            self._release(now, due.host, host, orders, most)
        while self._opening and self._opening[0][0] <= now and len(orders) < most:
            at, _, name = heappop(self._opening)
            host = self._hosts[name]
            if at == host.noted_at:
                host.noted_at = math.inf
                self._release(now, name, host, orders, most)
        return orders

    def replied(self, order: Order, now: float, response: Response) -> None:
        """Take the reply to an order."""
        self._back(order, now)
        order.talk.replied(now, response)
        self._again(order)

    def broke(self, order: Order, now: float, cause: str, *, retryable: bool = True) -> None:
        """Note that no whole reply to an order came, and why; see ``Conversation.broke``."""
        self._back(order, now)
        order.talk.broke(now, cause, retryable=retryable)
        self._again(order)

    def cancelled(self, now: float) -> None:
        """End every job before its time; their outcome is "censored"."""
        held = (due.talk for host in self._hosts.values() for due in host.queue)
        talks = [*(due.talk for due in self._waiting), *held, *(order.talk for order in self._out.values())]
        self._waiting.clear()
        self._opening.clear()
        self._out.clear()
        self._queued = 0
        self._hosts.clear()
        for talk in talks:
            talk.cancelled(now)

    def _host(self, name: str) -> _Host:
        if name not in self._hosts:
            self._hosts[name] = _Host(self._budget)
        return self._hosts[name]

    def _wait(self, talk: Talk, host: str, wanted: float, at: float) -> None:
        heappush(self._waiting, _Due(at, next(self._numbers), wanted, talk, host))

    def _release(self, now: float, name: str, host: _Host, orders: list[Order], most: float) -> None:
        """Let go what the host's budget allows, and note when it will allow more."""
        while host.queue and len(orders) < most and (opens_at := host.opens_at) <= now:
            due = host.queue.popleft()
            self._queued -= 1
            self._let_go(now, due, host, opens_at, orders)
        self._note_opening(name, host)

    def _let_go(self, now: float, due: _Due, host: _Host, opens_at: float, orders: list[Order]) -> None:
        """Let a job's request go, for which its host is open since ``opens_at``."""
        if due.talk.due is None or isinstance(send := due.talk.next(now), Result):
            return  # its owner has cancelled it, or it is over
        assert isinstance(send, SendRequest)  # noqa: S101 - it was due
        since = max(opens_at, due.at)
        held = since - due.wanted if since > due.wanted else 0.0
        number = next(self._numbers)
        order = self._out[number] = Order(number, due.talk, send, due.host, held)
        self.held += held > 0
        host.sent(now)
        orders.append(order)

    def _note_opening(self, name: str, host: _Host) -> None:
        opens_at = host.opens_at if host.queue else math.inf
        if opens_at != host.noted_at:
            host.noted_at = opens_at
            if opens_at < math.inf:
                heappush(self._opening, (opens_at, next(self._numbers), name))

    def _back(self, order: Order, now: float) -> None:
        if self._out.get(order.number) is not order:
            raise IllegalEvent(f"order {order.number} is not out")
        del self._out[order.number]
        host = self._hosts[order.host]
        host.answered(now)
        if host.queue:
            self._note_opening(order.host, host)

    def _again(self, order: Order) -> None:
        if (due := order.talk.due) is not None:
            self._wait(order.talk, order.host, due, due)
