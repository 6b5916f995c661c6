"""Count polls without keeping them: per second, in the busiest second, and by reply time.

Poll times are counted in bins of 1/128 s. A power of two keeps the bin of a time exact, so that the counts
per second made of them are exact too. The busiest second is sought among the windows that begin with a bin;
one that begins in between might hold a few polls more, at most those of the 1/128 s that follows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from harness.measure import BINS_PER_SECOND
from scenarios.documents import YEAR
from scenarios.draws import Floats, Integers

_MICROSECONDS: Final = 1e6
_HELD: Final = 2**18  # values held back to be counted together: 2 MB
_THIN: Final = 4  # places per value, from which on values lie too thinly to be counted by place

_Counted: TypeAlias = tuple[Integers, Integers]  # different values in order, and how often each occurs
_NOTHING: Final[_Counted] = (np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


class VisitTooLong(ValueError):
    """A poll would be sent after more than a year of virtual time; the message says what to change."""


@dataclass(frozen=True, eq=False)
class PollCounts:
    """Polls of some jobs: how many in each bin that has any, and how they were answered.

    ``bins`` (of 1/128 s, in order) and ``counts`` are parallel; so are ``latency_us``, the different reply
    times in whole microseconds, in order, and ``latency_counts``.
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


class PollCounter:
    """Counts polls as they come, in any order, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._bins, self._latencies = _Histogram(), _Histogram()
        self._responses: Counter[str] = Counter()

    def add(self, sent: Floats, latencies: Floats) -> None:
        """Count polls sent at these times, in seconds of the visit, with these reply times in seconds.

        Raises VisitTooLong for one that is sent after a year.
        """
        latest = float(sent.max(initial=0.0))
        if not latest < YEAR:
            raise VisitTooLong(
                f"a poll would be sent {latest:.3g} s after the start of the visit, "
                "beyond a year of virtual time; give the setting a maximum or a deadline, or raise the rate"
            )
        self._bins.add(sent * BINS_PER_SECOND)
        self._latencies.add(np.rint(latencies * _MICROSECONDS))

    def answered(self, response: str, number: int) -> None:
        """Count polls that got this response."""
        self._responses[response] += number

    def take(self) -> PollCounts:
        """Return what was counted."""
        return PollCounts(*self._bins.counted(), *self._latencies.counted(), dict(self._responses))


class VisitCounter:
    """Puts the polls of a visit's parts together: per second, the busiest second, reply times.

    Parts come in order of their first job, so the time before that job is finished with and forgotten:
    memory holds what is under way, and one number per second of the visit.
    """

    def __init__(self) -> None:
        self._open = self._latencies = _NOTHING
        self._per_second = np.zeros(0, dtype=np.int64)
        self._peak = 0
        self.responses: Counter[str] = Counter()

    def add(self, part: PollCounts, finished_before: float) -> None:
        """Add a part; no later part has a poll before the time ``finished_before``, in seconds."""
        if part.bins.size:
            seconds = part.bins // BINS_PER_SECOND
            missing = int(seconds[-1]) + 1 - self._per_second.size
            if missing > 0:
                room = max(missing, self._per_second.size // 2)
                self._per_second = np.concatenate([self._per_second, np.zeros(room, dtype=np.int64)])
            np.add.at(self._per_second, seconds, part.counts)
        self.responses.update(part.responses)
        self._latencies = _merged(self._latencies, (part.latency_us, part.latency_counts))
        self._open = _merged(self._open, (part.bins, part.counts))
        self._settle(int(min(finished_before, YEAR)) * BINS_PER_SECOND)

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
        """Return the polls sent in each second of the visit, up to the last that has any."""
        used = np.flatnonzero(self._per_second)
        return self._per_second[: int(used[-1]) + 1] if used.size else self._per_second[:0]

    def peak(self) -> int:
        """Return the most polls in one second that begins at a multiple of 1/128 s, and end the count."""
        self._settle((int(YEAR) + 2) * BINS_PER_SECOND)
        return self._peak

    def latencies(self) -> tuple[Floats, Integers]:
        """Return the different reply times in seconds, to the microsecond, and how often each occurred."""
        values, counts = self._latencies
        return values / _MICROSECONDS, counts


class _Histogram:
    """How often each whole number occurs; values are held back until there are many to be counted at once."""

    def __init__(self) -> None:
        self._counted = _NOTHING
        self._held = np.empty(_HELD, dtype=np.int64)
        self._size = 0

    def add(self, values: Floats) -> None:
        """Count these, rounded down."""
        while values.size:
            taken = min(values.size, _HELD - self._size)
            self._held[self._size : self._size + taken] = values[:taken]
            self._size += taken
            values = values[taken:]
            if self._size == _HELD:
                self.counted()

    def counted(self) -> _Counted:
        """Return what was counted so far."""
        self._counted = _merged(self._counted, _count(self._held[: self._size]))
        self._size = 0
        return self._counted


def _count(values: Integers) -> _Counted:
    if values.size == 0:
        return _NOTHING
    low, high = int(values.min()), int(values.max())
    if high - low <= _THIN * values.size:
        often = np.bincount(values - low)
        places = np.flatnonzero(often)
        return places + low, often[places]
    different, counts = np.unique(values, return_counts=True)
    return different, counts.astype(np.int64)


def _merged(one: _Counted, other: _Counted) -> _Counted:
    """Return the sums of both counts."""
    if not (one[0].size and other[0].size):
        return one if one[0].size else other
    values = np.concatenate([one[0], other[0]])
    order = np.argsort(values, kind="stable")  # quick for two runs in order
    values = values[order]
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return values[starts], np.add.reduceat(np.concatenate([one[1], other[1]])[order], starts)
