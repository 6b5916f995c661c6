"""When jobs arrive: the shapes of load, each as single times and as arrays."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count, islice, takewhile
from typing import Annotated, Final, Literal, NamedTuple

import numpy as np

from scenarios.documents import Count, Model, OneOf, PositiveSeconds, Rate, counted, spell_seconds
from scenarios.draws import Distribution, Fixed, Floats, Integers, MeasuredTimes, Wanted, describe_steps

KEYS_PER_REPEAT: Final = 10**9
"""Each repeat has jobs of its own: its keys start at this many times its number.

No visit has more jobs than this, and 64-bit keys leave room for 9.2 * 10**9 repeats: nobody runs as many.
"""


class Arrival(NamedTuple):
    """A planned submission: the job's ``key``, the ``lane`` that sends it, ``at`` seconds into the visit."""

    key: int
    lane: int
    at: float


class Block(NamedTuple):
    """Consecutive planned submissions, column by column: one ``Arrival`` in each row."""

    keys: Integers
    lanes: Integers
    times: Floats


Draws = Callable[[Integers], Floats]
"""The uniform numbers in [0, 1) that belong to the jobs of these indices (from 0)."""


class Shape(Model, ABC):
    """A shape of load; its ``type`` is its name in YAML."""

    @property
    def is_open(self) -> bool:
        """Whether jobs arrive whatever becomes of earlier ones: ``OpenArrivals``, which have a plan."""
        return isinstance(self, OpenArrivals)

    @property
    def most(self) -> int | None:
        """How many jobs there can be at all; None: any number."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return the arrivals in a few English words."""


class OpenArrivals(Shape):
    """Jobs arrive whether or not earlier ones are done, so that their times are known beforehand."""

    @abstractmethod
    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        """Yield the planned times in order, with ``draw(index)`` the uniform number that belongs to a job."""

    @abstractmethod
    def expected(self, duration: float) -> float:
        """Return how many jobs are expected within so many seconds."""

    def blocks(self, draws: Draws, size: int, jobs: int | None, until: float) -> Iterator[Floats]:
        """Yield the ``times`` before ``until`` seconds of the first ``jobs`` jobs (None: all) by ``size``.

        ``draws(indices)`` gives the uniform numbers that belong to these jobs. No array is empty.
        """
        times = islice(takewhile(lambda at: at < until, self.times(_InTurn(draws, size))), jobs)
        while (block := np.fromiter(islice(times, size), dtype=np.float64)).size:
            yield block


class _InTurn:
    """The draw of each job in turn, made by the block: one at a time they would cost most."""

    def __init__(self, draws: Draws, most: int) -> None:
        self._draws = draws
        self._next = 0
        self._most = most
        self._size = min(256, most)  # doubled time and again: a plan may be short
        self._ready: Iterator[float] = iter(())

    def __call__(self, index: int) -> float:
        """Return the draw of job ``index``; jobs must be asked for one after another."""
        del index
        for u in self._ready:
            return u
        indices = np.arange(self._next, self._next + self._size, dtype=np.int64)
        self._next += self._size
        self._size = min(2 * self._size, self._most)
        self._ready = iter(self._draws(indices).tolist())
        return next(self._ready)


class Constant(OpenArrivals):
    """One job every 1/rate seconds, the first at 0."""

    type: Literal["constant"] = "constant"
    rate: Rate
    """Jobs per second, over all lanes."""

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        del draw
        return (index / self.rate for index in count())

    def expected(self, duration: float) -> float:
        return self.rate * duration

    def blocks(self, draws: Draws, size: int, jobs: int | None, until: float) -> Iterator[Floats]:
        """Yield the times as every shape does; no draws, so no need to go through Python's numbers."""
        del draws
        for start in count(0, size):
            end = start + size if jobs is None else min(start + size, jobs)
            at = np.arange(start, end, dtype=np.int64) / self.rate
            at = at[: np.searchsorted(at, until)]
            if at.size:
                yield at
            if at.size < size:
                return

    def describe(self) -> str:
        return f"{self.rate:g} jobs/s, evenly spaced"


class Poisson(OpenArrivals):
    """Independent customers: the gaps between jobs are exponentially distributed."""

    type: Literal["poisson"] = "poisson"
    rate: Rate
    """Jobs per second on average, over all lanes."""

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        at = 0.0
        for index in count():
            at -= math.log1p(-draw(index)) / self.rate
            yield at

    def expected(self, duration: float) -> float:
        return self.rate * duration

    def describe(self) -> str:
        return f"{self.rate:g} jobs/s on average, at random (Poisson)"


class Burst(OpenArrivals):
    """Many jobs at once: at 0, and again every so often."""

    type: Literal["burst"] = "burst"
    size: Count
    """Jobs that arrive together."""
    every: PositiveSeconds | None = None
    """Seconds from one burst to the next; null: there is one burst only."""

    @property
    def most(self) -> int | None:
        return self.size if self.every is None else None

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        del draw
        if self.every is None:
            return (0.0 for _ in range(self.size))
        return (index // self.size * self.every for index in count())

    def expected(self, duration: float) -> float:
        return self.size * (1.0 if self.every is None else math.ceil(duration / self.every))

    def describe(self) -> str:
        again = "" if self.every is None else f", again every {spell_seconds(self.every)}"
        return f"{counted(self.size, 'job')} at once{again}"


class Recorded(MeasuredTimes, OpenArrivals):
    """Arrivals as they were measured: a ``column`` of moments in a ``file``, counted from the first."""

    type: Literal["trace"] = "trace"

    @property
    def most(self) -> int | None:
        return len(self.seconds)

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        at = np.sort(self.seconds)
        if (steps := self.steps) is not None:
            u = np.fromiter((draw(index) for index in range(at.size)), dtype=np.float64, count=at.size)
            at = np.sort(at + u * steps[np.argsort(self.seconds, kind="stable")])
        return iter((at - at[0]).tolist())

    def expected(self, duration: float) -> float:
        del duration
        return float(len(self.seconds))

    def describe(self) -> str:
        rounded = "" if self.steps is None else f", rounded to {describe_steps(self.steps)}"
        return f"{len(self.seconds)} recorded arrivals{rounded}"

    def _wanted(self) -> Wanted:
        return super()._wanted()._replace(kind="moments")

    def _notes(self) -> Iterator[str]:
        yield from super()._notes()
        if self.origin:
            yield f"the first time is {_spell_moment(self.origin)}; arrivals are counted from it"


_EPOCH: Final = 1e8  # seconds; no recording of times since its own start lasts three years


def _spell_moment(seconds: float) -> str:
    """Return a time for people; a large one counts from 1970."""
    plain = f"{seconds:.15g} s"
    if abs(seconds) < _EPOCH:
        return plain
    return f"{plain} ({datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC)"


class Closed(Shape):
    """Each lane submits its next job when the last one has ended and it has thought for a while."""

    type: Literal["closed"] = "closed"
    think: Distribution = Fixed(value=0.0)
    """Seconds from the end of a job to the lane's next submission."""

    def describe(self) -> str:
        return f"closed loop, one job per lane at a time, think time {self.think.describe()}"


ARRIVALS: Final[tuple[type[Shape], ...]] = (Constant, Poisson, Burst, Closed, Recorded)
"""Every shape of load that a scenario may name; a new one is a class and its place in this table."""

Arrivals = Annotated[Shape, OneOf(*ARRIVALS)]
"""Any of the ``ARRIVALS``, chosen by its ``type``."""
