"""How far polls keep in step: the Rayleigh periodogram of the moments at which they were sent.

At a period of P seconds the resultant length is ``R = |mean of exp(2 pi i t / P)|`` over all polls: 1 when
all come at one moment of the period, 0 when they are spread over it evenly (Mardia and Jupp, *Directional
Statistics*, 2000; over many trial periods: Leahy, Elsner and Weisskopf, *Astrophysical Journal* 272, 1983).
Of n clients whose phases are random it is ``sqrt(pi / 4n)`` on average, and more than r with the probability
``exp(-n r^2)``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Annotated, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

BINS_PER_SECOND: Final = 128
"""Times are counted in bins; a power of two keeps the bin of a time exact."""

_MOST: Final = 2**19  # places: 4 MB of counts, and the transform of eight times as many takes 0.2 s
_SHORTEST: Final = 16  # places per period, of whose R the width of a place then takes 0.6 % at most
_FINER: Final = 8  # as many trial periods as are independent: R between two of them is 0.6 % higher at most
_FEWEST: Final = 4  # of a period in the visit: fewer, and its beginning and end are all there is to see
_PER_OCTAVE: Final = 4
_BY_CHANCE: Final = 0.05
_AS_GOOD: Final = 0.95
_RANGE: Final = (0.5, 2.5)  # of a job's mean wait; on a clock that is down to half of the period

_Period = Annotated[float, Field(gt=0, le=1e15)]
_Share = Annotated[float, Field(ge=0, le=1.001)]


class Phase(NamedTuple):
    """The resultant length R of polls at a period, from 0 (evenly spread) to 1 (all at one moment of it)."""

    period_s: _Period
    concentration: _Share


class PhaseCounter:
    """Counts polls by time, in memory that does not grow with the visit: places widen as it gets longer."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, dtype=np.int64)
        self._width = 1  # bins in a place

    def add(self, bins: NDArray[np.int64], counts: NDArray[np.int64] | int = 1) -> None:
        """Count so many polls in each of these bins, in any order."""
        last = int(bins.max(initial=0))
        while last // self._width >= _MOST:
            pairs = np.append(self._counts, np.zeros(self._counts.size % 2, dtype=np.int64))
            self._counts, self._width = pairs.reshape(-1, 2).sum(axis=1), 2 * self._width
        missing = last // self._width + 1 - self._counts.size
        if missing > 0:
            room = min(max(missing, self._counts.size), _MOST - self._counts.size)
            self._counts = np.append(self._counts, np.zeros(room, dtype=np.int64))
        np.add.at(self._counts, bins // self._width, counts)

    def phases(self) -> tuple[Phase, ...]:
        """Return the most concentrated period of every quarter of an octave, the shortest first."""
        counts = np.trim_zeros(self._counts, "b")
        if counts.size < _FEWEST * _SHORTEST:
            return ()
        size = 2 ** math.ceil(math.log2(_FINER * counts.size))
        lowest, highest = math.ceil(_FEWEST * size / counts.size), size // _SHORTEST
        lengths = np.abs(np.fft.rfft(counts, size)[lowest : highest + 1]) / counts.sum()
        periods = size * self._width / BINS_PER_SECOND / np.arange(lowest, highest + 1)
        cells = np.floor(np.log2(periods) * _PER_OCTAVE)
        # By cell, then by length: the last of each cell is its longest.
        order = np.lexsort((lengths, cells))
        best = order[np.flatnonzero(np.append(cells[order][1:] != cells[order][:-1], True))]
        return tuple(Phase(float(periods[i]), float(lengths[i])) for i in best)


def phases_of(sent_at_s: NDArray[np.float64]) -> tuple[Phase, ...]:
    """Return the same of polls sent at these times, in seconds from the start of the visit."""
    counter = PhaseCounter()
    counter.add(np.floor(np.maximum(sent_at_s, 0.0) * BINS_PER_SECOND).astype(np.int64))
    return counter.phases()


class InStep(NamedTuple):
    """R at a setting's own period, and what clients out of step exceed in one visit of twenty."""

    concentration: float
    period_s: float
    by_chance: float


def in_step(phases: Iterable[Phase], wait_s: float, polls: NDArray[Any], span_s: float) -> InStep | None:
    """Return the most concentrated period from half to two and a half times the mean wait between polls.

    ``polls`` has each job's number of polls. Those of one job are not independent, so jobs count: by Kish's
    effective size, ``(sum k)^2 / sum k^2``. ``span_s`` is the time of the polls. By it so many periods of the
    range can be told apart, and an even load has ``R = P / (pi span)`` at most because it begins and ends;
    that is no herd, and added to what chance gives. None where the visit is too short for any period.
    """
    low, high = (times * wait_s for times in _RANGE)
    found = [each for each in phases if low <= each.period_s <= high]
    if not found:
        return None
    polls = polls.astype(np.float64)
    clients = float(polls.sum() ** 2 / (polls**2).sum())
    trials = max(span_s * (1 / low - 1 / high), 1.0)
    random = math.sqrt(math.log(trials / _BY_CHANCE) / clients)

    def by_ends(phase: Phase) -> float:
        return phase.period_s / (math.pi * span_s)

    def beyond_ends(phase: Phase) -> float:
        return phase.concentration - by_ends(phase)

    # Who meets every two seconds meets every second too: the longest of those that are about as good.
    best = max(map(beyond_ends, found))
    enough = best - abs(best) * (1 - _AS_GOOD)
    most = max((each for each in found if beyond_ends(each) >= enough), key=lambda each: each.period_s)
    return InStep(most.concentration, most.period_s, min(random + by_ends(most), 1.0))
