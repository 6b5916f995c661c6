"""``client.Backoff`` for arrays of jobs: the same waits, bit for bit, from the same numbers."""

from __future__ import annotations

import sys
from typing import Final

import numpy as np

from client import EDGE_S, FARTHEST, JITTERS, Backoff
from scenarios.draws import Floats, Integers

_EXACT: Final = 2.0**53


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
        self.timed = bool(backoff.until)
        """Whether a wait depends on the time that has passed."""
        # The delays before those that end in time come once; no curve but a schedule has any.
        self._once = max(0, len(backoff.delays) - 1 - len(backoff.until))
        self._until = np.array(backoff.until)
        self._tiers = np.array([backoff.ceiling(self._once + 1, end) for end in (0.0, *backoff.until)])

    def ceilings(self, attempts: Integers, elapsed: Floats | None) -> Floats:
        """Return the ceilings of delay number ``attempts`` (from 1) of each job, in seconds.

        elapsed: seconds from the start of each cadence; None where the law is not ``timed``.
        """
        if elapsed is None or not self.timed:
            self._extend(int(attempts.max(initial=1)))
            return self._ceilings[attempts - 1]
        self._extend(max(1, self._once))
        once = self._ceilings[np.minimum(attempts, self._ceilings.size) - 1]
        tiers = self._tiers[np.searchsorted(self._until, elapsed + EDGE_S, side="right")]
        return np.where(attempts <= self._once, once, tiers)

    def waits(
        self, attempts: Integers, previous: Floats | None, u: Floats, elapsed: Floats | None = None
    ) -> Floats:
        """Return delay number ``attempts`` (from 1) of each job, in seconds; see ``Backoff.delay``.

        previous: the delays before; needed by laws that remember them.
        """
        ceilings: Floats | float = self.first_previous
        basis: Floats | float = self.first_previous
        if self.remembers:
            basis = np.minimum(FARTHEST, basis if previous is None else previous)
        else:
            ceilings = self.ceilings(attempts, elapsed)
        with np.errstate(over="ignore"):  # an uncapped curve may stand at the largest float already
            drawn: Floats = np.minimum(self._most, self._draw(ceilings, basis, u))
        return drawn

    def _extend(self, attempt: int) -> None:
        known = self._ceilings.size
        if attempt > known:
            more = [self._backoff.ceiling(k) for k in range(known + 1, max(attempt, 2 * known, 16) + 1)]
            self._ceilings = np.concatenate([self._ceilings, more])


class ArrayBeats:
    """The beats of one law for many jobs at once; ``client`` knows when they are."""

    def __init__(self, backoff: Backoff) -> None:
        self._beats = backoff.beats
        self._ends = np.empty(0)
        self._step: float | None = None

    def first(self, at: Floats) -> Integers:
        """Return the first beats that are not before these times, in seconds from each start."""
        self._know(float(at.max(initial=0.0)))
        beat = np.searchsorted(self._ends, at, side="left").astype(np.int64)
        if self._step is None:
            return beat
        last = self._ends.size - 1
        behind = at > self._ends[last]
        steps = np.ceil(np.minimum((at - self._ends[last]) / self._step, _EXACT))
        later = last + np.maximum(steps, 0.0).astype(np.int64)
        later = np.where(
            self.end(later) < at, later + 1, np.where(self.end(later - 1) >= at, later - 1, later)
        )
        return np.where(behind, later, beat)

    def end(self, beat: Integers) -> Floats:
        """Return these beats (from 0, the start) in seconds from each start."""
        self._know_beat(int(beat.max(initial=0)))
        last = self._ends.size - 1
        ends = self._ends[np.minimum(np.maximum(beat, 0), last)]
        if self._step is None:
            return ends
        later = np.minimum(self._ends[last] + (beat - last) * self._step, sys.float_info.max)
        return np.where(beat > last, later, ends)

    def curtailed(self, beat: Integers) -> Integers:
        """Return the first beats whose slots are as long as those of these."""
        return beat if self._step is None else np.minimum(beat, self._ends.size)

    def _know(self, at: float) -> None:
        if self._step is None and (self._ends.size == 0 or at > self._ends[-1]):
            self._take(*self._beats.known(at))

    def _know_beat(self, beat: int) -> None:
        if self._step is None and beat >= self._ends.size:
            self._beats.end(beat)
            self._take(*self._beats.known(0.0))

    def _take(self, ends: list[float], step: float | None) -> None:
        self._ends, self._step = np.array(ends), step
