"""Beats: the moments at which delays end if each begins where the one before ended, whatever replies take.

Beat k is the sum of the first k ceilings, in seconds from the start of the cadence. Once ceilings stay the
same, beats are equally far apart for good: from there on they are a product, not a sum. So no rounding errors
add up, and the beat that follows a week's sleep is found without counting.
"""

from __future__ import annotations

from bisect import bisect_left
from math import ceil
from typing import Final, NamedTuple

from ._curves import LONGEST, Curve

_EXACT: Final = 2.0**53  # beyond, whole numbers have gaps as floats


class _Known(NamedTuple):
    """The first beats (from beat 0, the start), and how far apart all later ones are; None: not known yet."""

    ends: list[float]
    step: float | None


class Beats:
    """The beats of a curve under its cap, computed as far as they are asked for.

    Shared by all pollers of a setting, in any thread: what is known is replaced as a whole.
    """

    __slots__ = ("_cap", "_curve", "_known")

    def __init__(self, curve: Curve, cap: float) -> None:
        self._curve = curve
        self._cap = cap
        self._known = _Known([0.0], None)

    def end(self, k: int) -> float:
        """Return beat k (from 0, the start) in seconds from the start; finite."""
        ends, step = self._known
        if k < len(ends):
            return ends[k]
        if step is None:
            self._extend(0.0, k)
            return self.end(k)
        return min(ends[-1] + (k - (len(ends) - 1)) * step, LONGEST)

    def first(self, at: float) -> int:
        """Return the first beat not before this time, in seconds from the start (where beat 0 is)."""
        ends, step = self._known
        if at <= ends[-1]:
            return bisect_left(ends, at)
        if step is None:
            self._extend(at, 0)
            return self.first(at)
        k = len(ends) - 1 + ceil(min((at - ends[-1]) / step, _EXACT))
        if self.end(k) < at:
            return k + 1
        return k - 1 if self.end(k - 1) >= at else k

    def known(self, at: float) -> tuple[list[float], float | None]:
        """Return the first beats, to this time at least, or else to where they are equally far apart.

        The second item is how far that is; None: the beats reach that time without.
        """
        if self._known.step is None and at > self._known.ends[-1]:
            self._extend(at, 0)
        return self._known

    def _extend(self, at: float, k: int) -> None:
        """Compute the beats to this time and number, and at least as many again as are known."""
        ends = self._known.ends.copy()
        wanted = 2 * len(ends)
        while ends[-1] < at or len(ends) <= k or len(ends) < wanted:
            number, elapsed = len(ends), ends[-1]
            ceiling = min(self._cap, self._curve.ceiling(number, elapsed))
            if self._curve.settled(number, elapsed, self._cap):
                self._known = _Known(ends, ceiling)
                return
            ends.append(min(elapsed + ceiling, LONGEST))
        self._known = _Known(ends, None)
