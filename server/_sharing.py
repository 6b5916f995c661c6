"""Processor sharing: workers that divide themselves evenly among all requests in service.

Theory
------
With ``n`` requests in service and ``c`` workers each request progresses at the rate ``r(n) = min(1, c/n)``:
nobody waits in line, and everybody slows down (L. Kleinrock, "Time-shared systems: a theoretical treatment",
Journal of the ACM 14(2), 1967; M. Harchol-Balter, "Performance Modeling and Design of Computer Systems",
2013, chapter 30). All progress alike, so one number serves for all: the work ``V`` that a request present
throughout would have received, ``dV/dt = r(n)``. A request of ``S`` seconds of work that arrives at ``V = v``
leaves when ``V = v + S``, however many come and go between. These marks are settled at the arrival and kept
in order; only when ``V`` gets there depends on later arrivals, which slow it down. So a departure is certain
once it is there, and before that there is the earliest time for it: that at which it happens if nobody else
arrives.

Under Poisson arrivals at a load ``rho < 1`` of one worker, the mean sojourn is ``E[S] / (1 - rho)`` whatever
the law of ``S``. With several workers it is that of M/M/c, again whatever the law (F. P. Kelly,
"Reversibility and Stochastic Networks", 1979, chapter 3: a symmetric queue).

An arrival takes O(log n) comparisons, and the memory is that of the requests in service.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Generic, TypeVar

T = TypeVar("T")


class Sharing(Generic[T]):
    """Who shares ``workers``. Times are seconds on one clock; calls come with times that never decrease."""

    def __init__(self, workers: int, now: float) -> None:
        self._workers = workers
        self._now = now
        self._received = 0.0  # the V of the theory
        self._sequence = count()
        self._marks: list[tuple[float, int, T]] = []  # in the order of leaving

    def arrive(self, now: float, work: float, item: T) -> float:
        """Take in an item with so many seconds of work, and return the mark at which it leaves.

        Departures by now have been taken out before.
        """
        self._received = self.received(now)
        self._now = now
        mark = self._received + work
        insort(self._marks, (mark, next(self._sequence), item))
        return mark

    def received(self, now: float) -> float:
        """Return the work that one present throughout has received, in seconds: the V of the theory.

        It is counted from the last arrival or departure, however often somebody looks: sums of many small
        steps would be lost to rounding. With nobody in service it is 0, for small numbers are exact.
        """
        if not self._marks:
            return 0.0
        received = self._received + (now - self._now) * self.rate
        return min(received, self._marks[0][0])  # where the sum rounds

    @property
    def rate(self) -> float:
        """Return the speed at which all in service progress; 1 is full speed."""
        return self._rate(max(1, len(self._marks)))

    @property
    def next_departure(self) -> float:
        """Return when the first item leaves, if none arrives before; infinity without any."""
        if not self._marks:
            return inf
        return self._now + (self._marks[0][0] - self._received) / self.rate

    def foreseen(self, item: T) -> float:
        """Return when this item leaves, if none arrives before. Raises KeyError for one not in service."""
        at, received, present = self._now, self._received, len(self._marks)
        for mark, _, each in self._marks:
            at += (mark - received) / self._rate(present)
            if each is item:
                return at
            received = mark
            present -= 1
        raise KeyError(item)

    def departures(self, now: float) -> Iterator[tuple[float, T]]:
        """Take out the items that leave by now, and yield them with the times of it, in order.

        While one is looked at, all is as it is at that time.
        """
        while self._marks and (at := self.next_departure) <= now:
            mark, _, item = self._marks.pop(0)
            self._now, self._received = at, mark
            yield at, item

    def items(self) -> list[T]:
        """Return all in service, in the order of leaving."""
        return [item for _, _, item in self._marks]

    def _rate(self, present: int) -> float:
        return min(1.0, self._workers / present)
