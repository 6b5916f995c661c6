"""A backoff law as expressions that Python, JavaScript, Go and awk read alike.

All four write arithmetic, calls and decimal numbers the same way, so one text serves them: ``c`` is the
ceiling, ``u`` the random number, ``k`` the delay's number (from 1), ``previous`` the delay before it,
``elapsed`` the seconds since the start. What they lack (``min``, ``max``, ``pow``, ``at``, ``tier``,
``fibonacci``) their templates define.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from client import JITTERS, Backoff

_LARGEST_POWER: Final = 1023  # of two, that a float can hold


@dataclass(frozen=True, slots=True)
class LawText:
    """A law in words of code.

    ceiling: the expression of ``c``; None where the jitter grows by itself. delay: that of the delay.
    delays: the numbers that ``at(delays, k)`` looks up, and until those of tiers. arguments: which of k,
    previous, u and elapsed are read.
    """

    ceiling: str | None
    delay: str
    delays: tuple[str, ...]
    until: tuple[str, ...]
    arguments: tuple[str, ...]

    @property
    def uses(self) -> str:
        """Both expressions, to be searched for the helpers that they call."""
        return f"{self.ceiling} {self.delay}"

    @property
    def grows(self) -> bool:
        """Whether the delay before matters."""
        return "previous" in self.arguments


def literal(number: float) -> str:
    """Return a finite number as each of the languages reads it, to the last bit."""
    return repr(float(number))


def _exponential(law: Backoff) -> str:
    first, factor = literal(law.initial or 0.0), literal(law.multiplier)
    if law.multiplier == 1:
        return first
    return f"{first} * pow({factor}, min(k - 1, {_last_exponent(law)}))"


def _last_exponent(law: Backoff) -> int:
    """Return the exponent from which on the power need not grow: the cap is reached, or all floats are."""
    growth, initial = math.log2(law.multiplier), law.initial or 0.0
    last = math.floor(_LARGEST_POWER / growth - max(0.0, math.log2(initial) / growth))
    if law.maximum is not None:
        # One more than by the logarithms, for they are rounded: what is beyond the cap is cut anyway.
        last = min(last, math.ceil(math.log2(law.maximum / initial) / growth) + 1)
    return max(0, last)


def _linear(law: Backoff) -> str:
    step = law.initial if law.increment is None else law.increment
    return f"{literal(law.initial or 0.0)} + {literal(step or 0.0)} * (k - 1)"


CURVE_TEXTS: Final[Mapping[str, Callable[[Backoff], str]]] = {
    "constant": lambda law: literal(law.initial or 0.0),
    "linear": _linear,
    "exponential": _exponential,
    "fibonacci": lambda law: f"{literal(law.initial or 0.0)} * fibonacci(k)",
    "schedule": lambda law: "tier(delays, until, k, elapsed)" if law.until else "at(delays, k)",
}
"""The ceiling of delay k, before the cap, of each curve that can be written as code."""

JITTER_TEXTS: Final[Mapping[str, str]] = {
    "none": "c",
    "full": "c * u",
    "equal": "c / 2 + c / 2 * u",
    "decorrelated": "{first} + max(0.0, 3 * previous - {first}) * u",
    "half-around": "c / 2 + c * u",
    "tenth-more": "c + c / 10 * u",
    "second-more": "c + u",
    "above-first": "min(c, {first}) + max(0.0, c - {first}) * u",
}
"""The delay of each kind of jitter, before the cap of those that have it last."""


def law_text(law: Backoff) -> LawText:
    """Return the law as code; its curve and jitter must be rows of the tables above."""
    jitter = JITTERS[law.jitter]
    delay = JITTER_TEXTS[law.jitter].format(first=literal(law.ceiling(1)))
    if jitter.capped and law.maximum is not None:
        delay = f"min({literal(law.maximum)}, {delay})"
    if jitter.grows is not None:
        return _text(law, None, delay)
    ceiling = CURVE_TEXTS[law.curve](law)
    if law.maximum is not None and (law.curve != "constant"):
        ceiling = f"min({literal(law.maximum)}, {ceiling})"
    if law.jitter == "none":
        return _text(law, None, ceiling)
    return _text(law, ceiling, delay)


def _text(law: Backoff, ceiling: str | None, delay: str) -> LawText:
    words = set(re.findall(r"[a-z]+", f"{ceiling} {delay}"))
    used = tuple(name for name in ("k", "previous", "u", "elapsed") if name in words)
    return LawText(ceiling, delay, tuple(map(literal, law.delays)), tuple(map(literal, law.until)), used)


def mean_delay(law: Backoff, k: int, previous: float | None, elapsed: float) -> float:
    """Return the mean of delay ``k`` in seconds; after a previous one where the law grows by itself.

    The delay is linear in the random number, but where a cap cuts it.
    """
    return law.delay(k, previous, 0.5, elapsed)
