"""When jobs arrive: the shapes of load, and the plan of one visit."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from scenarios.documents import Count, Model, Positive, PositiveSeconds, describe_seconds, require_type
from scenarios.draws import Distribution, Fixed, MeasuredTimes, Stream, uniform

if TYPE_CHECKING:
    from scenarios._scenario import Scenario

KEYS_PER_REPEAT = 10**9
"""Each repeat has jobs of its own: its keys start at this many times its number."""


class Arrival(NamedTuple):
    """A planned submission: the job's ``key``, the ``lane`` that sends it, ``at`` seconds into the visit."""

    key: int
    lane: int
    at: float


class _Arrivals(Model, ABC):
    is_open: ClassVar[bool] = True
    """Jobs arrive whether or not earlier ones are done; the plan is known beforehand."""

    @property
    def most(self) -> int | None:
        """How many jobs there can be at all; None: any number."""
        return None

    @abstractmethod
    def describe(self) -> str:
        """Return the arrivals in a few English words."""


class _Open(_Arrivals):
    @abstractmethod
    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        """Yield the planned times in order, with ``draw(index)`` the uniform number that belongs to a job."""


class Constant(_Open):
    """One job every 1/rate seconds, the first at 0."""

    type: Literal["constant"] = "constant"
    rate: Positive
    """Jobs per second, over all lanes."""

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        del draw
        return (index / self.rate for index in count())

    def describe(self) -> str:
        return f"{self.rate:g} jobs/s, evenly spaced"


class Poisson(_Open):
    """Independent customers: the gaps between jobs are exponentially distributed."""

    type: Literal["poisson"] = "poisson"
    rate: Positive
    """Jobs per second on average, over all lanes."""

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        at = 0.0
        for index in count():
            at -= math.log1p(-draw(index)) / self.rate
            yield at

    def describe(self) -> str:
        return f"{self.rate:g} jobs/s on average, at random (Poisson)"


class Burst(_Open):
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

    def describe(self) -> str:
        again = "" if self.every is None else f", again every {describe_seconds(self.every)}"
        return f"{self.size} jobs at once{again}"


class Recorded(MeasuredTimes, _Open):
    """Arrivals as they were measured: a ``column`` of seconds since the start in a CSV ``file``."""

    type: Literal["trace"] = "trace"

    @property
    def most(self) -> int | None:
        return len(self.seconds)

    def times(self, draw: Callable[[int], float]) -> Iterator[float]:
        del draw
        return iter(sorted(self.seconds))

    def describe(self) -> str:
        return f"{len(self.seconds)} recorded arrivals"


class Closed(_Arrivals):
    """Each lane submits its next job when the last one has ended and it has thought for a while."""

    is_open: ClassVar[bool] = False
    type: Literal["closed"] = "closed"
    think: Distribution = Fixed(value=0.0)
    """Seconds from the end of a job to the lane's next submission."""

    def describe(self) -> str:
        return f"closed loop, one job per lane at a time, think time {self.think.describe()}"


Arrivals = Annotated[
    Constant | Poisson | Burst | Closed | Recorded,
    Field(discriminator="type"),
    BeforeValidator(lambda value: require_type(value, ("constant", "poisson", "burst", "closed", "trace"))),
]
"""Any shape of load, chosen by its ``type``."""


def planned(scenario: Scenario, repeat: int) -> Iterator[Arrival]:
    """Yield the planned submissions of a repeat in order of time, the same under every setting.

    Job ``index`` has the key ``repeat * 10**9 + index`` and belongs to lane ``index % lanes``. The plan ends
    at the workload's ``duration`` (a job planned for that very moment is not in it) or after ``jobs``.
    Raises ValueError for a closed loop, in which every job waits for the one before.
    """
    workload = scenario.workload
    arrivals = workload.arrivals
    if not isinstance(arrivals, _Open):
        raise ValueError("a closed loop has no plan; ask closed_key and think_time instead")
    first = repeat * KEYS_PER_REPEAT
    for index, at in enumerate(
        arrivals.times(lambda index: uniform(scenario.seed, Stream.ARRIVAL, first + index))
    ):
        if workload.is_over(at, index):
            return
        yield Arrival(first + index, index % workload.lanes, at)


def closed_key(repeat: int, lane: int, iteration: int, lanes: int) -> int:
    """Return the key of a lane's job number ``iteration`` (from 0) in a closed loop."""
    return repeat * KEYS_PER_REPEAT + lane + iteration * lanes


def think_time(scenario: Scenario, key: int) -> float:
    """Return the seconds from the end of the closed loop's job ``key`` to its lane's next submission.

    Raises ValueError for open arrivals, which wait for nobody.
    """
    arrivals = scenario.workload.arrivals
    if not isinstance(arrivals, Closed):
        raise ValueError("only a closed loop has think times; ask planned instead")
    return arrivals.think.ppf(uniform(scenario.seed, Stream.THINK, key))
