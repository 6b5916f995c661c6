"""``client.Backoff`` for arrays of jobs: the same waits, bit for bit, from the same numbers."""

from __future__ import annotations

import sys

import numpy as np

from client import FARTHEST, JITTERS, Backoff
from scenarios.draws import Floats, Integers


class ArrayLaw:
    """One backoff law for many jobs at once. The ceilings are the client's own, computed once each."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._ceilings = np.empty(0)
        jitter = JITTERS[backoff.jitter]
        self._draw = jitter.draw
        self.remembers = jitter.grows is not None
        """Whether a wait depends on the one before."""
        self._most = sys.float_info.max
        if jitter.capped and backoff.maximum is not None:
            self._most = backoff.maximum
        self.first_previous = backoff.ceiling(1)
        """Seconds: the first ceiling, which jitter that grows takes for the delay before the first one."""

    def waits(self, attempts: Integers, previous: Floats, u: Floats) -> Floats:
        """Return delay number ``attempts`` (from 1) of each job, in seconds; see ``Backoff.delay``."""
        ceilings: Floats | float = self.first_previous
        basis: Floats | float = self.first_previous
        if self.remembers:
            basis = np.minimum(previous, FARTHEST)
        elif attempts.size:
            self._extend(int(attempts.max()))
            ceilings = self._ceilings[attempts - 1]
        with np.errstate(over="ignore"):  # an uncapped curve may stand at the largest float already
            drawn: Floats = np.minimum(self._most, self._draw(ceilings, basis, u))
        return drawn

    def _extend(self, attempt: int) -> None:
        known = self._ceilings.size
        if attempt > known:
            more = [self._backoff.ceiling(k) for k in range(known + 1, max(attempt, 2 * known, 16) + 1)]
            self._ceilings = np.concatenate([self._ceilings, more])
