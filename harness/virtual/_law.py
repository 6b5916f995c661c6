"""``client.Backoff`` for arrays of jobs: the same waits, bit for bit, from the same numbers."""

from __future__ import annotations

import sys

import numpy as np

from client import Backoff
from harness.virtual._draws import Floats, Integers


class ArrayLaw:
    """One backoff law for many jobs at once. The ceilings are the client's own, computed once each."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._ceilings = np.empty(0)
        self.remembers = backoff.jitter == "decorrelated"
        self.first_previous = backoff.initial or 0.0
        """What decorrelated jitter takes for the delay before the first one."""

    def ceiling(self, attempt: int) -> float:
        """The ceiling of this delay (from 1)."""
        self._extend(attempt)
        return float(self._ceilings[attempt - 1])

    def waits(self, attempts: Integers, previous: Floats, u: Floats) -> Floats:
        """Delay number ``attempts`` (from 1) of each job, in seconds; see ``Backoff.delay``."""
        if self.remembers:
            low = self.first_previous
            cap = sys.float_info.max if self._backoff.maximum is None else self._backoff.maximum
            with np.errstate(over="ignore"):
                high = np.minimum(np.maximum(low, 3 * previous), sys.float_info.max)
            return np.minimum(cap, low + (high - low) * u)
        if attempts.size:
            self._extend(int(attempts.max()))
        ceilings = self._ceilings[attempts - 1]
        match self._backoff.jitter:
            case "full":
                return ceilings * u
            case "equal":
                return ceilings / 2 + ceilings / 2 * u
            case _:
                return ceilings

    def _extend(self, attempt: int) -> None:
        known = self._ceilings.size
        if attempt > known:
            more = [self._backoff.ceiling(k) for k in range(known + 1, max(attempt, 2 * known, 16) + 1)]
            self._ceilings = np.concatenate([self._ceilings, more])
