"""Backoff laws: how long to wait before poll number k, as pure functions of (attempt, previous, u).

Delay k (k = 1, 2, 3...) first gets a ceiling from the *curve*, capped at ``maximum``:

=============  =========================================================================
curve          ceiling of delay k
=============  =========================================================================
constant       initial
linear         initial + increment * (k - 1); the increment is ``initial`` unless given
exponential    initial * multiplier ** (k - 1)
fibonacci      initial * F(k), with F = 1, 1, 2, 3, 5, 8...
schedule       delays[k - 1]; the last delay repeats
=============  =========================================================================

The *jitter* then draws the delay under that ceiling c from a number u, uniform in [0, 1):

=============  =========================================================================
jitter         delay
=============  =========================================================================
none           c
full           c * u                              (uniform between 0 and c)
equal          c / 2 + (c / 2) * u                (uniform between c/2 and c)
decorrelated   min(maximum, initial + (3 * previous - initial) * u)
=============  =========================================================================

The last three are from Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
Decorrelated jitter makes its own growth from the previous delay, so it replaces the curve and goes with
``exponential`` only.

Worked: ``Backoff("exponential", 0.5, multiplier=2, maximum=10)``

====================  =====  =====  =====  =====  =====  =====  =====
attempt                   1      2      3      4      5      6      7
====================  =====  =====  =====  =====  =====  =====  =====
none                    0.5      1      2      4      8     10     10
full, u = 0.25        0.125   0.25    0.5      1      2    2.5    2.5
equal, u = 0.25      0.3125  0.625   1.25    2.5      5   6.25   6.25
decorrelated, u = ½       1   1.75  2.875  4.562  7.094     10     10
====================  =====  =====  =====  =====  =====  =====  =====
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from client._checks import Seconds, number, one_of, seconds

Curve: TypeAlias = Literal["constant", "linear", "exponential", "fibonacci", "schedule"]
Jitter: TypeAlias = Literal["none", "full", "equal", "decorrelated"]

_DOUBLING: Final = 2.0
_LONGEST: Final = sys.float_info.max  # where an uncapped curve saturates: "for ever", yet finite


def _fibonacci() -> tuple[float, ...]:
    """F(1), F(2)... as far as a float can hold them (1,476 terms), each correctly rounded."""
    terms: list[float] = []
    a, b = 1, 1
    while a <= _LONGEST:
        terms.append(float(a))
        a, b = b, a + b
    return tuple(terms)


_FIBONACCI: Final = _fibonacci()


@dataclass(frozen=True, slots=True, init=False)
class Backoff:
    """One backoff law: a curve, its cap and its jitter. Frozen, hashable, picklable, and free of randomness.

    Durations are float seconds or timedelta, and are stored as float seconds. A parameter that the curve has
    no use for must stay at its default, so that nothing you write is silently ignored. Without ``maximum`` a
    growing curve saturates at the largest float instead of overflowing.

    curve: "constant", "linear", "exponential", "fibonacci" or "schedule".
    initial: the first ceiling, more than 0; required except for a schedule.
    multiplier: growth of the exponential curve, at least 1.
    increment: growth of the linear curve in seconds; ``initial`` unless given.
    maximum: cap of every delay, at least ``initial``; None for no cap.
    jitter: "none", "full", "equal" or "decorrelated".
    delays: the delays of a schedule, in order; the last one repeats and must be more than 0.

    Raises ValueError naming the field, its value and what would be right.
    The formulas are in the tables of ``docs/client.md``.
    """

    curve: Curve
    initial: float | None
    multiplier: float
    increment: float | None
    maximum: float | None
    jitter: Jitter
    delays: tuple[float, ...]

    def __init__(
        self,
        curve: Curve,
        initial: Seconds | None = None,
        *,
        multiplier: float = _DOUBLING,
        increment: Seconds | None = None,
        maximum: Seconds | None = None,
        jitter: Jitter = "none",
        delays: Iterable[Seconds] = (),
    ) -> None:
        one_of("curve", curve, get_args(Curve))
        one_of("jitter", jitter, get_args(Jitter))
        put = object.__setattr__  # the one way to fill a frozen instance
        put(self, "curve", curve)
        put(self, "initial", None if initial is None else seconds("initial", initial))
        put(self, "multiplier", number("multiplier", multiplier, at_least=1))
        put(self, "increment", None if increment is None else seconds("increment", increment, zero=True))
        put(self, "maximum", None if maximum is None else seconds("maximum", maximum))
        put(self, "jitter", jitter)
        checked = (seconds(f"delays[{i}]", delay, zero=True) for i, delay in enumerate(delays))
        put(self, "delays", tuple(checked))
        self._check_together()

    def _check_together(self) -> None:
        """Refuse combinations in which a parameter would be missing, ignored or contradicted."""
        scheduled = self.curve == "schedule"
        if self.initial is None and not scheduled:
            raise ValueError(
                f"initial=None cannot be used: the {self.curve} curve needs its first delay in seconds"
            )
        unused = {
            "initial": scheduled and self.initial is not None,
            "multiplier": self.curve != "exponential" and self.multiplier != _DOUBLING,
            "increment": self.curve != "linear" and self.increment is not None,
            "delays": not scheduled and self.delays != (),
        }
        for field, given in unused.items():
            if given:
                value = getattr(self, field)
                raise ValueError(
                    f"{field}={value!r} cannot be used: the {self.curve} curve ignores it; leave it out"
                )
        if scheduled and not (self.delays and self.delays[-1] > 0):
            raise ValueError(
                f"delays={self.delays!r} cannot be used: "
                "give at least one delay, and a last one of more than 0 seconds, for it repeats"
            )
        if self.maximum is not None and self.initial is not None and self.maximum < self.initial:
            raise ValueError(
                f"maximum={self.maximum!r} cannot be used: give at least initial={self.initial!r}"
            )
        if self.jitter == "decorrelated" and self.curve != "exponential":
            raise ValueError(
                "jitter='decorrelated' cannot be used: it grows by itself from the previous delay, "
                f"so the {self.curve} curve would be ignored; give curve='exponential' or another jitter"
            )

    def ceiling(self, attempt: int) -> float:
        """Return the longest that delay number ``attempt`` (from 1) may be before decorrelation, in seconds.

        Finite for every attempt. Raises ValueError when ``attempt`` is less than 1.
        """
        if attempt < 1:
            raise ValueError(f"attempt={attempt!r} cannot be used: delays are numbered from 1")
        cap = _LONGEST if self.maximum is None else self.maximum
        return min(cap, self._grown(attempt))

    def _grown(self, attempt: int) -> float:
        """The curve alone; infinity where a float cannot hold it."""
        if self.initial is None:
            return self.delays[min(attempt, len(self.delays)) - 1]
        match self.curve:
            case "linear":
                increment = self.initial if self.increment is None else self.increment
                return self.initial + increment * (attempt - 1)
            case "exponential":
                try:
                    return self.initial * self.multiplier ** (attempt - 1)
                except OverflowError:
                    return math.inf
            case "fibonacci":
                return self.initial * _FIBONACCI[attempt - 1] if attempt <= len(_FIBONACCI) else math.inf
            case _:
                return self.initial

    def delay(self, attempt: int, previous: float | None, u: float) -> float:
        """Return delay number ``attempt`` (from 1) in seconds: a pure function of its arguments.

        previous: the delay before this one, None at the first; only decorrelated jitter looks at it.
        u: the random number, uniform in [0, 1); jitter "none" ignores it.
        Raises ValueError when ``attempt`` is less than 1 or u is outside [0, 1].
        """
        if not 0.0 <= u <= 1.0:
            raise ValueError(f"u={u!r} cannot be used: give a number in [0, 1)")
        ceiling = self.ceiling(attempt)
        match self.jitter:
            case "full":
                return ceiling * u
            case "equal":
                return ceiling / 2 + ceiling / 2 * u
            case "decorrelated":
                return self._decorrelated(previous, u)
            case _:
                return ceiling

    def _decorrelated(self, previous: float | None, u: float) -> float:
        """Uniform between ``initial`` and three times the previous delay, capped."""
        low = self.initial or 0.0  # never None here: decorrelated goes with the exponential curve
        high = max(low, 3 * (low if previous is None else previous))
        cap = _LONGEST if self.maximum is None else self.maximum
        # high - low may be infinite at the far end, where infinity * 0 would be NaN.
        return min(cap, low + (min(high, _LONGEST) - low) * u)

    def describe(self) -> str:
        """Return the law in English: "exponential: 0.5 s doubling to at most 10 s, full jitter"."""
        jitter = "no jitter" if self.jitter == "none" else f"{self.jitter} jitter"
        return f"{self.curve}: {self._shape()}, {jitter}"

    def _shape(self) -> str:
        top = "without a cap" if self.maximum is None else f"to at most {spell(self.maximum)}"
        if self.initial is None:
            *early, last = map(spell, self.delays)
            if len(early) > 4:
                early[3:] = [f"... ({len(early) - 3} more)"]
            capped = "" if self.maximum is None else f", at most {spell(self.maximum)}"
            return ", ".join([*early, f"then every {last}" if early else f"every {last}"]) + capped
        first = spell(self.initial)
        if self.jitter == "decorrelated":
            return f"{first} growing up to 3 times the previous delay {top}"
        match self.curve:
            case "linear":
                increment = self.initial if self.increment is None else self.increment
                return f"{first} growing by {spell(increment)} {top}"
            case "exponential":
                times = {2.0: "doubling", 3.0: "tripling"}.get(
                    self.multiplier, f"growing {self.multiplier:g}-fold"
                )
                return f"{first} {times} {top}"
            case "fibonacci":
                return f"{first} growing by Fibonacci numbers {top}"
            case _:
                return f"every {first}"


def spell(duration: float) -> str:
    """Write seconds for a reader: "0.5 s"."""
    return f"{duration:g} s"
