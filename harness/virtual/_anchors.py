"""What the waits of many jobs are counted from: ``client.ANCHORS`` for arrays, operation by operation.

Each class keeps what the client's keeps of one job, in arrays with an entry per job. Waits are computed for
all jobs, and the cadence of those that ``moves`` marks goes on by one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from client import EDGE_S, PollingPolicy
from harness.virtual._law import ArrayBeats, ArrayLaw
from scenarios.draws import Floats, Integers

Flags = NDArray[np.bool_]

_EXACT: Final = 2.0**53


class ArrayAnchor(Protocol):
    """The cadences of jobs under way; ``restarts`` keeps room for starting again."""

    def __init__(self, policy: PollingPolicy, law: ArrayLaw, started: Floats) -> None: ...

    def keep(self, places: Integers) -> None:
        """Drop all jobs but those at these places."""

    def restart(self, which: Flags, now: Floats) -> None:
        """Start these cadences again, now."""

    def next(self, now: Floats, u: Floats, moves: Flags | None) -> Floats:
        """Return when the next waits end, which are computed now; ``moves``: of which jobs; None: of all."""

    def put_off(self, which: Flags, until: Floats) -> None:
        """Take the beats of these jobs up to these times as done."""


class FromReplies:
    """Each wait begins when it is computed."""

    def __init__(self, policy: PollingPolicy, law: ArrayLaw, started: Floats) -> None:
        del policy
        self._law = law
        self._count = np.zeros(started.size, dtype=np.int64)
        self._previous = np.full(started.size, law.first_previous) if law.remembers else None
        self._origin = started if law.timed else None

    def keep(self, places: Integers) -> None:
        """Drop all jobs but those at these places."""
        self._count = self._count.take(places)
        if self._previous is not None:
            self._previous = self._previous.take(places)
        if self._origin is not None:
            self._origin = self._origin.take(places)

    def restart(self, which: Flags, now: Floats) -> None:
        """Let delay 1 come next."""
        self._count = np.where(which, 0, self._count)
        if self._previous is not None:
            self._previous = np.where(which, self._law.first_previous, self._previous)
        if self._origin is not None:
            self._origin = np.where(which, now, self._origin)

    def next(self, now: Floats, u: Floats, moves: Flags | None) -> Floats:
        """Return now and the next delay."""
        count = self._count + 1
        elapsed = None if self._origin is None else now - self._origin
        waits = self._law.waits(count, self._previous, u, elapsed)
        self._count = count if moves is None else np.where(moves, count, self._count)
        if self._previous is not None:
            self._previous = waits if moves is None else np.where(moves, waits, self._previous)
        return now + waits

    def put_off(self, which: Flags, until: Floats) -> None:
        """Change nothing: there are no beats."""


class FromStarts:
    """Polls fall on beats that are counted from the start."""

    def __init__(self, policy: PollingPolicy, law: ArrayLaw, started: Floats) -> None:
        self._law = law
        self._beats = ArrayBeats(policy.cadence)
        self._skips = policy.missed == "skip"
        self._origin = started
        self._beat = np.zeros(started.size, dtype=np.int64)

    def keep(self, places: Integers) -> None:
        """Drop all jobs but those at these places."""
        self._origin = self._origin.take(places)
        self._beat = self._beat.take(places)

    def restart(self, which: Flags, now: Floats) -> None:
        """Let beat 1 come next, counted from now."""
        self._origin = np.where(which, now, self._origin)
        self._beat = np.where(which, 0, self._beat)

    def next(self, now: Floats, u: Floats, moves: Flags | None) -> Floats:
        """Return the times of the next beats' polls; at once where they are owed."""
        beat = self._beat + 1
        due = now - self._origin - EDGE_S
        if self._skips:
            beat = np.maximum(beat, self._beats.first(due))
        drawn = self._drawn(beat, u)
        if self._skips and (late := drawn < due).any():
            beat = beat + late
            drawn = self._drawn(beat, u)
        self._beat = beat if moves is None else np.where(moves, beat, self._beat)
        return np.maximum(now, self._origin + drawn)

    def put_off(self, which: Flags, until: Floats) -> None:
        """Take the beats up to these times as done."""
        done = self._beats.first(until - self._origin + EDGE_S) - 1
        self._beat = np.where(which, np.maximum(self._beat, done), self._beat)

    def _drawn(self, beat: Integers, u: Floats) -> Floats:
        begin = self._beats.end(beat - 1)
        return begin + self._law.waits(self._beats.curtailed(beat), None, u, begin)


class OnClocks:
    """Polls fall on multiples of the ceiling on the visit's clock, which is the one of all times here."""

    def __init__(self, policy: PollingPolicy, law: ArrayLaw, started: Floats) -> None:
        self._law = law
        self._skips = policy.missed == "skip"
        self._origin = started
        self._beat_at = started
        self._count = np.zeros(started.size, dtype=np.int64)

    def keep(self, places: Integers) -> None:
        """Drop all jobs but those at these places."""
        self._origin = self._origin.take(places)
        self._beat_at = self._beat_at.take(places)
        self._count = self._count.take(places)

    def restart(self, which: Flags, now: Floats) -> None:
        """Let delay 1 come next."""
        self._origin = np.where(which, now, self._origin)
        self._count = np.where(which, 0, self._count)
        self.put_off(which, now)

    def next(self, now: Floats, u: Floats, moves: Flags | None) -> Floats:
        """Return the times of the next beats' polls; at once where they are owed."""
        count = self._count + 1
        elapsed, due = now - self._origin, now - EDGE_S
        ceiling = np.maximum(self._law.ceilings(count, elapsed), EDGE_S)
        delay = self._law.waits(count, None, u, elapsed)
        after = self._beat_at + EDGE_S
        beat = _first_multiple(ceiling, np.maximum(after, due) if self._skips else after)
        if self._skips:
            beat = beat + ((beat - 1) * ceiling + delay < due)
        beat_at = beat * ceiling
        self._beat_at = beat_at if moves is None else np.where(moves, beat_at, self._beat_at)
        self._count = count if moves is None else np.where(moves, count, self._count)
        return np.maximum(now, (beat - 1) * ceiling + delay)

    def put_off(self, which: Flags, until: Floats) -> None:
        """Take the beats up to these times as done."""
        self._beat_at = np.where(which, np.maximum(self._beat_at, until), self._beat_at)


def _first_multiple(step: Floats, at: Floats) -> Floats:
    """Return the least whole numbers of steps that do not end before these times."""
    number = np.ceil(np.maximum(-_EXACT, np.minimum(at / step, _EXACT)))
    short = number * step < at
    return np.where(short, number + 1, np.where((number - 1) * step >= at, number - 1, number))


def up_to(edge: Floats, until: Floats, now: Floats) -> Floats:
    """Return when waits that should end at ``until`` do: at the edge, by the deadline, at the latest."""
    return np.where(until > edge - EDGE_S, np.maximum(now, edge), until)


ARRAY_ANCHORS: Final[Mapping[str, type[ArrayAnchor]]] = MappingProxyType(
    {"reply": FromReplies, "start": FromStarts, "clock": OnClocks}
)
"""The anchors by name, read-only; a test holds them to the client's."""
