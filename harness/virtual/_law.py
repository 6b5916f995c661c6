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
        self._cap = sys.float_info.max if backoff.maximum is None else backoff.maximum
        self.first_previous = backoff.initial or 0.0
        """Seconds: what jitter that grows takes for the delay before the first one."""

    def waits(self, attempts: Integers, previous: Floats, u: Floats) -> Floats:
        """Return delay number ``attempts`` (from 1) of each job, in seconds; see ``Backoff.delay``."""
        if self.remembers:
            since = np.minimum(previous, FARTHEST)
            grown: Floats = np.minimum(self._cap, self._draw(self.first_previous, since, u))
            return grown
        if attempts.size:
            self._extend(int(attempts.max()))
        drawn: Floats = self._draw(self._ceilings[attempts - 1], None, u)
        return drawn

    def _extend(self, attempt: int) -> None:
        known = self._ceilings.size
        if attempt > known:
            more = [self._backoff.ceiling(k) for k in range(known + 1, max(attempt, 2 * known, 16) + 1)]
            self._ceilings = np.concatenate([self._ceilings, more])
