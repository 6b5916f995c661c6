"""Curves: how the ceiling of the delays grows. One class a kind; readers of the table need no edit.

=============  =========================================================================
curve          ceiling of delay k (k = 1, 2, 3...)
=============  =========================================================================
constant       initial
linear         initial + increment * (k - 1); the increment is ``initial`` unless given
exponential    initial * multiplier ** (k - 1)
fibonacci      initial * F(k), with F = 1, 1, 2, 3, 5, 8...
schedule       delays[k - 1]; the last delay repeats
=============  =========================================================================

The fields of a curve's class are its parameters, those without a default are required. ``Backoff`` has all
parameters of all curves; it checks them and refuses those that its curve has no use for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from types import MappingProxyType
from typing import Any, Final, Protocol

from ._checks import InvalidSetting

LONGEST: Final = sys.float_info.max  # where an uncapped curve saturates: "for ever", yet finite
DOUBLING: Final = 2.0


class Curve(Protocol):
    """What every curve can do."""

    def ceiling(self, k: int) -> float:
        """Return the ceiling of delay k (from 1) in seconds, before any cap; infinity past all floats."""

    def words(self, maximum: float | None) -> str:
        """Return the curve in English, up to its cap: "0.5 s doubling to at most 10 s"."""


@dataclass(frozen=True, slots=True)
class Constant:
    """The same ceiling each time."""

    initial: float

    def ceiling(self, k: int) -> float:
        """Return ``initial``."""
        del k
        return self.initial

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

    def ceiling(self, k: int) -> float:
        """Return ``initial + increment * (k - 1)``."""
        return self.initial + self._step * (k - 1)

    def words(self, maximum: float | None) -> str:
        """Return "1 s growing by 1 s to at most 5 s"."""
        return f"{spell(self.initial)} growing by {spell(self._step)} {up_to(maximum)}"


@dataclass(frozen=True, slots=True)
class Exponential:
    """A ceiling that grows by the same factor each time."""

    initial: float
    multiplier: float = DOUBLING

    def ceiling(self, k: int) -> float:
        """Return ``initial * multiplier ** (k - 1)``."""
        try:
            return self.initial * self.multiplier ** (k - 1)
        except OverflowError:
            return math.inf

    def words(self, maximum: float | None) -> str:
        """Return "0.5 s doubling to at most 10 s"."""
        usual = {2.0: "doubling", 3.0: "tripling"}
        growing = usual.get(self.multiplier, f"growing {self.multiplier:g}-fold")
        return f"{spell(self.initial)} {growing} {up_to(maximum)}"


@dataclass(frozen=True, slots=True)
class Fibonacci:
    """A ceiling that grows by the Fibonacci numbers: slower than doubling, faster than any line."""

    initial: float

    def ceiling(self, k: int) -> float:
        """Return ``initial * F(k)``."""
        return self.initial * _FIBONACCI[k - 1] if k <= len(_FIBONACCI) else math.inf

    def words(self, maximum: float | None) -> str:
        """Return "1 s growing by Fibonacci numbers to at most 5 s"."""
        return f"{spell(self.initial)} growing by Fibonacci numbers {up_to(maximum)}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Ceilings one by one; the last repeats, so it must be more than 0."""

    delays: tuple[float, ...]

    def __post_init__(self) -> None:
        if not (self.delays and self.delays[-1] > 0):
            raise InvalidSetting(
                "delays",
                self.delays,
                "give at least one delay, and a last one of more than 0 seconds, for it repeats",
            )

    def ceiling(self, k: int) -> float:
        """Return ``delays[k - 1]``, or the last delay beyond them."""
        return self.delays[min(k, len(self.delays)) - 1]

    def words(self, maximum: float | None) -> str:
        """Return "1 s, then every 2 s, at most 1.5 s"; a long schedule is abridged."""
        *early, last = map(spell, self.delays)
        if len(early) > 4:
            early[3:] = [f"... ({len(early) - 3} more)"]
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
