"""Anchors: what the waits of a cadence are counted from. One class a kind; readers of the table need no edit.

=========  ============================================================================
anchor     poll number k is due
=========  ============================================================================
reply      delay k after the reply before it
start      on beat k: the sum of the first k ceilings after the start
clock      on the next multiple of ceiling k on the clock
=========  ============================================================================

A beat ends a *slot*, which begins at the beat before (on the clock: one ceiling before). Jitter draws where
in its slot a poll falls: the delay, drawn under the ceiling, counts from the slot's beginning. So jitter
spreads polls, but does not make them more.

**Missed beats.** A beat has passed when its own moment, or the one drawn for its poll, is over by the time
that the next wait is computed. With ``skip`` the next poll takes the first later beat that has not passed;
with ``catch_up`` it takes the very next beat, and follows at once where that has passed.

**Put off.** A wait that a hint lengthens ends when the hint says, off the beat. Beats up to then count as
done: nobody makes up for what the server asked to be left out. Retries of failed reads are no part of the
cadence and take no beat.

**Start again.** ``restart`` begins the cadence anew at this moment: delay 1 is next, and beats and the ends
of tiers are counted from here. The clock stays what it is.

Times are seconds on the driver's clock. ``epoch`` is the moment at which the clock that ``clock`` means shows
a multiple of everything, such as 1970 or the start of an experiment. A beat within ``EDGE_S`` of now has not
passed.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from types import MappingProxyType
from typing import ClassVar, Final, Literal, Protocol, TypeAlias

from ._backoff import Backoff
from ._curves import EDGE_S, LONGEST

Missed: TypeAlias = Literal["skip", "catch_up"]
_EXACT: Final = 2.0**53  # beyond, whole numbers have gaps as floats


class Anchor(Protocol):
    """The waits of one job's cadence: counts them, and remembers what the next one is counted from."""

    words: ClassVar[str]
    """What is said of it in English; nothing of the usual one."""
    beats: ClassVar[bool]
    """Whether polls fall on beats, which can be missed and which no jitter may grow by itself."""

    def __init__(self, backoff: Backoff, *, missed: Missed, epoch: float) -> None: ...

    def start(self, now: float) -> None:
        """Begin, and begin again: the cadence starts now."""

    def next(self, now: float, u: float) -> float:
        """Return when the next wait ends, which is computed now, with u uniform in [0, 1)."""

    def put_off(self, until: float) -> None:
        """Take the beats up to this time as done."""


class FromReply:
    """Each wait begins when it is computed: a slow server is polled less often, never in bursts."""

    __slots__ = ("_backoff", "_origin", "_previous", "count")
    words: ClassVar[str] = ""
    beats: ClassVar[bool] = False

    def __init__(self, backoff: Backoff, *, missed: Missed = "skip", epoch: float = 0.0) -> None:
        del missed, epoch
        self._backoff = backoff
        self._origin = 0.0
        self._previous: float | None = None
        self.count = 0
        """Waits since the start."""

    def start(self, now: float) -> None:
        """Begin with delay 1."""
        self._origin = now
        self._previous = None
        self.count = 0

    def next(self, now: float, u: float) -> float:
        """Return now and the next delay."""
        self.count += 1
        self._previous = self._backoff.delay(self.count, self._previous, u, now - self._origin)
        return now + self._previous

    def put_off(self, until: float) -> None:
        """Change nothing: there are no beats."""


class FromStart:
    """Polls fall on beats, counted from the start whatever replies take: a fixed rate."""

    __slots__ = ("_backoff", "_beat", "_origin", "_skips")
    words: ClassVar[str] = "counted from the start"
    beats: ClassVar[bool] = True

    def __init__(self, backoff: Backoff, *, missed: Missed = "skip", epoch: float = 0.0) -> None:
        del epoch
        self._backoff = backoff
        self._skips = missed == "skip"
        self._origin = 0.0
        self._beat = 0  # the last that is done

    def start(self, now: float) -> None:
        """Let beat 1 come next, counted from now."""
        self._origin = now
        self._beat = 0

    def next(self, now: float, u: float) -> float:
        """Return the time of the next beat's poll; at once where it is owed."""
        beats = self._backoff.beats
        self._beat += 1
        due = now - self._origin - EDGE_S
        if self._skips:
            self._beat = max(self._beat, beats.first(due))
        drawn = self._drawn(u)
        if self._skips and drawn < due:
            self._beat += 1
            drawn = self._drawn(u)
        return max(now, self._origin + drawn)

    def put_off(self, until: float) -> None:
        """Take the beats up to this time as done."""
        self._beat = max(self._beat, self._backoff.beats.first(until - self._origin + EDGE_S) - 1)

    def _drawn(self, u: float) -> float:
        """Return where in the slot of the beat its poll falls, in seconds from the start."""
        begin = self._backoff.beats.end(self._beat - 1)
        return begin + self._backoff.delay(self._beat, None, u, begin)


class OnClock:
    """Polls fall on multiples of the ceiling on a clock that all clients share, as cron jobs do."""

    __slots__ = ("_backoff", "_beat_at", "_count", "_epoch", "_origin", "_skips")
    words: ClassVar[str] = "at multiples of it on the clock"
    beats: ClassVar[bool] = True

    def __init__(self, backoff: Backoff, *, missed: Missed = "skip", epoch: float = 0.0) -> None:
        self._backoff = backoff
        self._skips = missed == "skip"
        self._epoch = epoch
        self._origin = 0.0
        self._count = 0
        self._beat_at = -LONGEST  # the last beat that is done, or the start, on the clock

    def start(self, now: float) -> None:
        """Begin with delay 1."""
        self._origin = now
        self._count = 0
        self._beat_at = max(self._beat_at, now - self._epoch)

    def next(self, now: float, u: float) -> float:
        """Return the time of the next beat's poll; at once where it is owed."""
        self._count += 1
        elapsed, due = now - self._origin, now - self._epoch - EDGE_S
        ceiling = max(self._backoff.ceiling(self._count, elapsed), EDGE_S)
        delay = self._backoff.delay(self._count, None, u, elapsed)
        after = self._beat_at + EDGE_S
        beat = _first_multiple(ceiling, max(after, due) if self._skips else after)
        if self._skips and (beat - 1) * ceiling + delay < due:
            beat += 1
        self._beat_at = beat * ceiling
        return max(now, self._epoch + ((beat - 1) * ceiling + delay))

    def put_off(self, until: float) -> None:
        """Take the beats up to this time as done."""
        self._beat_at = max(self._beat_at, until - self._epoch)


def _first_multiple(step: float, at: float) -> float:
    """Return the least whole number of steps that does not end before this time."""
    number = float(ceil(max(-_EXACT, min(at / step, _EXACT))))
    if number * step < at:
        return number + 1
    return number - 1 if (number - 1) * step >= at else number


ANCHORS: Final[Mapping[str, type[Anchor]]] = MappingProxyType(
    {"reply": FromReply, "start": FromStart, "clock": OnClock}
)
"""The anchors by name, read-only."""
