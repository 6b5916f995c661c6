"""Meters of rate limits: requests with a time stamp go in, what they are allowed comes out.

``METERS`` has a row for each of ``scenarios.RATE_LIMITS``. A meter counts the requests of one service, client
or job; ``Limiter`` keeps one for each that has a limit of its own, and forgets those that are as new again:
its memory does not grow with the number of jobs.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from math import ceil, floor
from typing import Any, Final, NamedTuple, Protocol

from scenarios import FixedWindow, Limit, SlidingWindow, TokenBucket

# A request due within a nanosecond is let in: repeated sums of 1/rate round.
_TOLERANCE: Final = 1e-9


class Allowance(NamedTuple):
    """What a request is allowed. Times are seconds from now.

    wait: 0: it is let in; else when it would be. remaining: requests that would be let in at once after it.
    reset: when there will be more.
    """

    wait: float
    remaining: int
    reset: float


class Meter(Protocol):
    """Counts what one service, client or job is let in to."""

    def take(self, now: float) -> Allowance:
        """Let a request in, or say how long it must wait."""

    @property
    def forgets_at(self) -> float:
        """Return from when on this meter is like a new one."""


class _Bucket:
    """At most ``burst + rate * T`` requests are let in during any ``T`` seconds.

    Kept as the time at which the bucket would be full again (the generic cell rate algorithm), since one
    comparison then takes the place of refilling by sums of small fractions.
    """

    __slots__ = ("_burst", "_interval", "forgets_at")

    def __init__(self, limit: TokenBucket) -> None:
        self._interval = 1.0 / limit.rate
        self._burst = limit.burst
        self.forgets_at = float("-inf")

    def take(self, now: float) -> Allowance:
        wait = self.forgets_at - (self._burst - 1) * self._interval - now - _TOLERANCE
        if wait > 0.0:
            return Allowance(wait, 0, wait)
        self.forgets_at = max(self.forgets_at, now) + self._interval
        missing = (self.forgets_at - now) / self._interval
        left = floor(self._burst - missing + _TOLERANCE)
        return Allowance(0.0, left, (missing - ceil(missing - 1 - _TOLERANCE)) * self._interval)


class _Fixed:
    """Counts anew in each window; windows begin at multiples of their length."""

    __slots__ = ("_count", "_limit", "_window", "forgets_at")

    def __init__(self, limit: FixedWindow) -> None:
        self._limit, self._window = limit.limit, limit.window
        self._count = 0
        self.forgets_at = float("-inf")

    def take(self, now: float) -> Allowance:
        if now >= self.forgets_at - _TOLERANCE:
            self._count = 0
            self.forgets_at = (floor((now + _TOLERANCE) / self._window) + 1) * self._window
        reset = self.forgets_at - now
        if self._count == self._limit:
            return Allowance(reset, 0, reset)
        self._count += 1
        return Allowance(0.0, self._limit - self._count, reset)


class _Sliding:
    """Remembers when each request of the last window was let in."""

    __slots__ = ("_limit", "_window", "_within")

    def __init__(self, limit: SlidingWindow) -> None:
        self._limit, self._window = limit.limit, limit.window
        self._within: deque[float] = deque()

    def take(self, now: float) -> Allowance:
        within = self._within
        while within and within[0] + self._window <= now + _TOLERANCE:
            within.popleft()
        if len(within) == self._limit:
            wait = within[0] + self._window - now
            return Allowance(wait, 0, wait)
        within.append(now)
        return Allowance(0.0, self._limit - len(within), within[0] + self._window - now)

    @property
    def forgets_at(self) -> float:
        return self._within[-1] + self._window if self._within else float("-inf")


METERS: Final[Mapping[type[Limit], Callable[[Any], Meter]]] = {
    TokenBucket: _Bucket,
    FixedWindow: _Fixed,
    SlidingWindow: _Sliding,
}
"""How each kind of limit is counted."""


class Limiter:
    """Meters for each that has a limit of its own. Calls come with times that never decrease, from 0 on."""

    def __init__(self, limit: Limit) -> None:
        self._limit = limit
        self._new = METERS[type(limit)]
        self._only = self._new(limit) if limit.per == "service" else None
        self._meters: OrderedDict[Hashable, Meter] = OrderedDict()  # those asked last at the end

    def take(self, now: float, key: int, client: Hashable) -> Allowance:
        """Let a request of this job and client in, or say how long it must wait."""
        if self._only is not None:
            return self._only.take(now)
        who = client if self._limit.per == "client" else key
        self._forget(now)
        meter = self._meters.get(who)
        if meter is None:
            meter = self._meters[who] = self._new(self._limit)
        else:
            self._meters.move_to_end(who)
        return meter.take(now)

    def __len__(self) -> int:
        """Return how many meters are kept."""
        return len(self._meters)

    def _forget(self, now: float) -> None:
        while self._meters:
            oldest = next(iter(self._meters.values()))
            if oldest.forgets_at > now:
                return
            self._meters.popitem(last=False)
