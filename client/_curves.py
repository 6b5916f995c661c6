"""Curves: how the ceiling of the delays grows. One class a kind; readers of the table need no edit.

=============  =========================================================================
curve          ceiling of delay k (k = 1, 2, 3...)
=============  =========================================================================
constant       initial
linear         initial + increment * (k - 1); the increment is ``initial`` unless given
exponential    initial * multiplier ** (k - 1)
fibonacci      initial * F(k), with F = 1, 1, 2, 3, 5, 8...
schedule       delays[k - 1]; the last delay repeats. With ``until``, see below
=============  =========================================================================

A schedule's ``until`` gives the delays before the last one ends in time: with m of them, the m delays before
the last repeat, each until so many seconds of the cadence have passed; the delays before those come once
each. ``delays=(1, 5, 15, 30), until=(120, 600)``: once 1 s, every 5 s until 120 s, every 15 s until 600 s,
then every 30 s.

The fields of a curve's class are its parameters, those without a default are required. ``Backoff`` has all
parameters of all curves; it checks them and refuses those that its curve has no use for.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from itertools import groupby, pairwise
from types import MappingProxyType
from typing import Any, Final, Protocol

from ._checks import InvalidSetting

LONGEST: Final = sys.float_info.max  # where an uncapped curve saturates: "for ever", yet finite
DOUBLING: Final = 2.0
_MOST_SINGLY: Final = 9  # equal delays that are told one by one

# Sums of decimal fractions miss a round number by a rounding error. What is due a picosecond before the edge
# of a deadline, before a beat or before the end of a tier is due on it.
EDGE_S: Final = 1e-6
"""Seconds: times this close together are one, where a deadline, a beat or the end of a tier is met."""


class Curve(Protocol):
    """What every curve can do."""

    def ceiling(self, k: int, elapsed: float) -> float:
        """Return the ceiling of delay k (from 1) in seconds, before any cap; infinity past all floats.

        elapsed: seconds from the start of the cadence to that of the delay.
        """

    def settled(self, k: int, elapsed: float, cap: float) -> bool:
        """Return whether no later ceiling differs from that of delay k, under this cap."""

    def words(self, maximum: float | None) -> str:
        """Return the curve in English, up to its cap: "0.5 s doubling to at most 10 s"."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same ceiling each time."""

    initial: float

    def ceiling(self, k: int, elapsed: float) -> float:
        """Return ``initial``."""
        del k, elapsed
        return self.initial

    def settled(self, k: int, elapsed: float, cap: float) -> bool:
        """Return True."""
        del k, elapsed, cap
        return True

    def words(self, maximum: float | None) -> str:
        """Return "every 1 s"; a cap changes nothing here."""
        del maximum
        return f"every {spell(self.initial)}"


@dataclass(frozen=True, slots=True)
class Linear:
    """A ceiling that grows by the same seconds each time: by ``initial`` unless told otherwise."""

    initial: float
    increment: float | None = None

    @property
    def _step(self) -> float:
        return self.initial if self.increment is None else self.increment

    def ceiling(self, k: int, elapsed: float) -> float:
        """Return ``initial + increment * (k - 1)``."""
        del elapsed
        return self.initial + self._step * (k - 1)

    def settled(self, k: int, elapsed: float, cap: float) -> bool:
        """Return whether the cap is reached, or nothing grows."""
        return self._step == 0 or self.ceiling(k, elapsed) >= cap

    def words(self, maximum: float | None) -> str:
        """Return "1 s growing by 1 s to at most 5 s"."""
        return f"{spell(self.initial)} growing by {spell(self._step)} {up_to(maximum)}"


@dataclass(frozen=True, slots=True)
class Exponential:
    """A ceiling that grows by the same factor each time."""

    initial: float
    multiplier: float = DOUBLING

    def ceiling(self, k: int, elapsed: float) -> float:
        """Return ``initial * multiplier ** (k - 1)``."""
        del elapsed
        try:
            return self.initial * self.multiplier ** (k - 1)
        except OverflowError:
            return math.inf

    def settled(self, k: int, elapsed: float, cap: float) -> bool:
        """Return whether the cap is reached, or nothing grows."""
        return self.multiplier == 1 or self.ceiling(k, elapsed) >= cap

    def words(self, maximum: float | None) -> str:
        """Return "0.5 s doubling to at most 10 s"."""
        usual = {2.0: "doubling", 3.0: "tripling"}
        growing = usual.get(self.multiplier, f"growing {self.multiplier:g}-fold")
        return f"{spell(self.initial)} {growing} {up_to(maximum)}"


@dataclass(frozen=True, slots=True)
class Fibonacci:
    """A ceiling that grows by the Fibonacci numbers: slower than doubling, faster than any line."""

    initial: float

    def ceiling(self, k: int, elapsed: float) -> float:
        """Return ``initial * F(k)``."""
        del elapsed
        return self.initial * _FIBONACCI[k - 1] if k <= len(_FIBONACCI) else math.inf

    def settled(self, k: int, elapsed: float, cap: float) -> bool:
        """Return whether the cap is reached."""
        return self.ceiling(k, elapsed) >= cap

    def words(self, maximum: float | None) -> str:
        """Return "1 s growing by Fibonacci numbers to at most 5 s"."""
        return f"{spell(self.initial)} growing by Fibonacci numbers {up_to(maximum)}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ceilings one by one; the last repeats, so it must be more than 0, and so do those with an ``until``."""

    delays: tuple[float, ...]
    until: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not (self.delays and self.delays[-1] > 0):
            raise InvalidSetting(
                "delays",
                self.delays,
                "give at least one delay, and a last one of more than 0 seconds, for it repeats",
            )
        if len(self.until) >= len(self.delays):
            raise InvalidSetting(
                "until", self.until, "give it one item less than delays at most: the last delay never ends"
            )
        for index, (before, after) in enumerate(pairwise((0.0, *self.until))):
            if not before < after:
                raise InvalidSetting("until", after, f"give more than the {before:g} s before it", index)
        for index in range(self._once, len(self.delays)):
            if not self.delays[index] > 0:
                raise InvalidSetting("delays", self.delays[index], "give it some time: it repeats", index)

    @property
    def _once(self) -> int:
        """How many delays come first, once each."""
        return len(self.delays) - 1 - len(self.until)

    def ceiling(self, k: int, elapsed: float) -> float:
        """Return ``delays[k - 1]``, or beyond those that come once, the one whose time it is."""
        if k <= self._once:
            return self.delays[k - 1]
        return self.delays[self._once + bisect_right(self.until, elapsed + EDGE_S)]

    def settled(self, k: int, elapsed: float, cap: float) -> bool:
        """Return whether it is the last delay's turn."""
        del cap
        return k > self._once and (not self.until or elapsed + EDGE_S >= self.until[-1])

    def words(self, maximum: float | None) -> str:
        """Return "1 s, then every 2 s, at most 1.5 s"; a long schedule is abridged."""
        runs = list(_runs(self.delays[: self._once]))
        early = [text for _, text in runs]
        if len(early) > 4:
            early[3:] = [f"... ({sum(times for times, _ in runs[3:])} more)"]
        tiers = zip(self.delays[self._once :], self.until, strict=False)
        early += [f"every {spell(delay)} until {spell(until)}" for delay, until in tiers]
        last = spell(self.delays[-1])
        capped = [] if maximum is None else [f"at most {spell(maximum)}"]
        return ", ".join([*early, f"then every {last}" if early else f"every {last}", *capped])


CURVES: Final[Mapping[str, type[Curve]]] = MappingProxyType(
    {
        "constant": Constant,
        "linear": Linear,
        "exponential": Exponential,
        "fibonacci": Fibonacci,
        "schedule": Schedule,
    }
)
"""The curves by name, read-only. The fields of a curve's dataclass are its parameters."""


def curve_parameters(curve: str) -> Mapping[str, bool]:
    """Return which parameters of ``Backoff`` this curve has a use for, and whether each is required."""
    kind: Any = CURVES[curve]
    return {each.name: each.default is MISSING for each in fields(kind)}


def spell(duration: float) -> str:
    """Return seconds for a reader: "0.5 s"."""
    return f"{duration:g} s"


def _runs(delays: tuple[float, ...]) -> Iterator[tuple[int, str]]:
    """Yield how many delays are told together, and how: long runs of one as "24 times 5 s"."""
    for delay, run in groupby(delays):
        times = len(list(run))
        if times > _MOST_SINGLY:
            yield times, f"{times} times {spell(delay)}"
        else:
            yield from [(1, spell(delay))] * times


def up_to(maximum: float | None) -> str:
    """Return the cap of a growing curve in English."""
    return "without a cap" if maximum is None else f"to at most {spell(maximum)}"


def _fibonacci() -> tuple[float, ...]:
    """Return F(1), F(2)... as far as a float can hold them (1,476 terms), each correctly rounded."""
    terms: list[float] = []
    a, b = 1, 1
    while a <= LONGEST:
        terms.append(float(a))
        a, b = b, a + b
    return tuple(terms)


_FIBONACCI: Final = _fibonacci()
