"""Counting polls without keeping them: per second, in the busiest second, and by reply time.

Poll times are counted in bins of 1/128 s. A power of two keeps the bin of a time exact, so that the counts
per second made of them are exact too. The busiest second is sought among the windows that begin with a bin;
one that begins in between might hold a few polls more, at most those of the 1/128 s that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from scenarios.draws import Floats, Integers

BINS_PER_SECOND: Final = 128
_BIN_SHIFT: Final = 7
_BUFFER: Final = 2**17  # times held back before they are counted: 1 MB, which stays in cache
_MICROSECONDS: Final = 1e6
_THIN: Final = 8  # places per value, from which on values lie thinly
_MOST_PLACES: Final = 2**22  # 32 MB

_Counted: TypeAlias = tuple[Integers, Integers]  # different values in order, and how often each occurs
_NOTHING: Final[_Counted] = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))

LONGEST_VISIT_S: Final = 366 * 86_400.0
"""A visit may last a year: the counts per second are kept for all of it."""


class VisitTooLong(ValueError):
    """A poll would be sent after more than a year of virtual time; the message says what to change."""


@dataclass(frozen=True, eq=False)
class PollCounts:
    """Polls of some jobs: how many in each bin that has any (both sorted by bin), and how they were answered.

    ``latency_us`` and ``latency_counts`` do the same for reply times, in whole microseconds.
    """

    bins: Integers
    counts: Integers
    latency_us: Integers
    latency_counts: Integers
    responses: Mapping[str, int]

    @property
    def total(self) -> int:
        """How many polls there are."""
        return int(self.counts.sum())


class _Held:
    """Values, scaled by a unit, held back until there are enough to count them together."""

    def __init__(self, unit: float) -> None:
        self._unit = unit
        self._values = np.empty(_BUFFER)
        self._size = 0

    def add(self, values: Floats) -> Iterator[Floats]:
        """Take these values in; yield what is held whenever it is enough."""
        start = 0
        while start < values.size:
            taken = min(values.size - start, _BUFFER - self._size)
            held = self._values[self._size : self._size + taken]
            np.multiply(values[start : start + taken], self._unit, out=held)
            self._size += taken
            start += taken
            if self._size == _BUFFER:
                yield self.rest()

    def rest(self) -> Floats:
        """Return what is held, and hold it no longer; it is good until more is added."""
        size, self._size = self._size, 0
        return self._values[:size]


class PollCounter:
    """Counts polls as they come, in any order, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._times, self._latencies = _Held(BINS_PER_SECOND), _Held(_MICROSECONDS)
        self._bins, self._latency = _Histogram(), _Histogram()
        self.responses: dict[str, int] = {}

    def sent(self, times: Floats) -> None:
        """Count polls sent at these times."""
        for held in self._times.add(times):
            self._count_times(held)

    def latencies(self, seconds: Floats) -> None:
        """Count these reply times."""
        for held in self._latencies.add(seconds):
            self._count_latencies(held)

    def same_latency(self, seconds: float, number: int) -> None:
        """Count that many polls, all with this reply time."""
        self._latency.add_counted((np.array([round(seconds * _MICROSECONDS)]), np.array([number])))

    def answered(self, response: str, number: int) -> None:
        """Count polls that got this response."""
        self.responses[response] = self.responses.get(response, 0) + number

    def take(self) -> PollCounts:
        """Return what was counted."""
        self._count_times(self._times.rest())
        self._count_latencies(self._latencies.rest())
        return PollCounts(*self._bins.counted(), *self._latency.counted(), dict(self.responses))

    def _count_times(self, bins: Floats) -> None:
        if not bins.max(initial=0.0) < LONGEST_VISIT_S * BINS_PER_SECOND:
            raise VisitTooLong(
                f"a poll would be sent {bins.max() / BINS_PER_SECOND:.3g} s after the start of the visit, "
                "beyond a year of virtual time; give the setting a maximum or a deadline, or raise the rate"
            )
        self._bins.add(bins.astype(np.int64))

    def _count_latencies(self, microseconds: Floats) -> None:
        self._latency.add(np.rint(microseconds).astype(np.int64))


class VisitCounter:
    """Puts the polls of a visit's parts together: per second, the busiest second, reply times.

    Parts come in order of their first job, so the time before that job is finished with and forgotten:
    memory holds what is under way, and one number per second of the visit.
    """

    def __init__(self) -> None:
        self._open = self._latency = _NOTHING
        self._per_second = np.zeros(0, dtype=np.int64)
        self.responses: dict[str, int] = {}
        self._peak = 0

    def add(self, part: PollCounts, finished_before: float) -> None:
        """Add a part; no later part has a poll before the time ``finished_before``."""
        if part.bins.size:
            seconds = part.bins >> _BIN_SHIFT
            missing = int(seconds[-1]) + 1 - self._per_second.size
            if missing > 0:
                room = max(missing, self._per_second.size // 2)
                self._per_second = np.concatenate([self._per_second, np.zeros(room, dtype=np.int64)])
            np.add.at(self._per_second, seconds, part.counts)
        for response, number in part.responses.items():
            self.responses[response] = self.responses.get(response, 0) + number
        self._latency = _merged([self._latency, (part.latency_us, part.latency_counts)])
        self._open = _merged([self._open, (part.bins, part.counts)])
        self._settle(int(min(finished_before, LONGEST_VISIT_S)) * BINS_PER_SECOND)

    def _settle(self, limit: int) -> None:
        """Look at every window that ends by bin ``limit``, and forget the bins where those began."""
        bins, counts = self._open
        first_open = int(np.searchsorted(bins, limit - BINS_PER_SECOND, side="right"))
        if first_open == 0:
            return
        # A fullest window can be moved right until it begins at a bin with polls, so only those need a look.
        starts = bins[:first_open]
        ends = np.searchsorted(bins, starts + BINS_PER_SECOND, side="left")
        below = np.concatenate([[0], np.cumsum(counts)])
        self._peak = max(self._peak, int((below[ends] - below[:first_open]).max()))
        self._open = bins[first_open:], counts[first_open:]

    def per_second(self) -> Integers:
        """Polls sent in each second of the visit, up to the last that has any."""
        used = np.flatnonzero(self._per_second)
        return self._per_second[: int(used[-1]) + 1] if used.size else self._per_second[:0]

    def peak(self) -> int:
        """The largest number of polls in one second that begins at a multiple of 1/128 s; ends the count."""
        self._settle(int(LONGEST_VISIT_S) * BINS_PER_SECOND + 2 * BINS_PER_SECOND)
        return self._peak

    def latencies(self) -> tuple[Floats, Integers]:
        """The different reply times in seconds, to the microsecond, and how often each occurred."""
        values, counts = self._latency
        return values / _MICROSECONDS, counts


class _Histogram:
    """How often each integer occurs: densely kept where they lie close together, as a list elsewhere."""

    def __init__(self) -> None:
        self._low = 0
        self._dense = np.zeros(0, dtype=np.int64)
        self._sparse = _NOTHING

    def add(self, values: Integers) -> None:
        """Count these."""
        if values.size == 0:
            return
        low, high = int(values.min()), int(values.max())
        if high - low <= _THIN * values.size and self._reach(low, high):
            self._dense[low - self._low : high + 1 - self._low] += np.bincount(values - low)
        else:  # sorting beats counting into mostly empty places
            different, often = np.unique(values, return_counts=True)
            self.add_counted((different, often.astype(np.int64)))

    def add_counted(self, counted: _Counted) -> None:
        """Count values that are counted already."""
        self._sparse = _merged([self._sparse, counted])

    def counted(self) -> _Counted:
        """What was counted."""
        places = np.flatnonzero(self._dense)
        return _merged([self._sparse, (places + self._low, self._dense[places])])

    def _reach(self, low: int, high: int) -> bool:
        """Make the dense array reach from low to high, unless that takes too much memory."""
        if self._dense.size:
            low, high = min(low, self._low), max(high, self._low + self._dense.size - 1)
        if high - low >= _MOST_PLACES:
            return False
        if high + 1 - low > self._dense.size:
            grown = np.zeros(max(high + 1 - low, min(2 * self._dense.size, _MOST_PLACES)), dtype=np.int64)
            start = self._low - low if self._dense.size else 0
            grown[start : start + self._dense.size] = self._dense
            self._low, self._dense = low, grown
        return True


def _merged(parts: Iterable[_Counted]) -> _Counted:
    """The sums of such counts."""
    filled = [part for part in parts if part[0].size]
    if not filled:
        return _NOTHING
    if len(filled) == 1:
        return filled[0]
    values = np.concatenate([part[0] for part in filled])
    order = np.argsort(values, kind="stable")
    values = values[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sums = np.add.reduceat(np.concatenate([part[1] for part in filled])[order], starts)
    return values[starts], sums
