"""Jitter: how a delay is drawn under its ceiling. One row a kind; readers of the table need no edit.

Each ``draw`` is pure in (ceiling, basis, u) and one expression, the same for a float and for a NumPy array
of jobs: client and simulation cannot differ. ``u`` is uniform in [0, 1), c the ceiling, already capped.

=============  =========================================================================
jitter         delay
=============  =========================================================================
none           c
full           c * u                              (uniform between 0 and c)
equal          c / 2 + (c / 2) * u                (uniform between c/2 and c)
decorrelated   min(maximum, initial + (3 * previous - initial) * u)
half-around    c / 2 + c * u                      (c and up to half of it to either side)
tenth-more     c + (c / 10) * u                   (c and up to a tenth of it more)
second-more    min(maximum, c + u)                (c and up to a second more)
above-first    first + (c - first) * u            (uniform between the first ceiling and c)
=============  =========================================================================

Full, equal and decorrelated are from Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015. The others are what clients ship (see ``_presets``): where jitter follows the cap (half-around,
tenth-more), delays pass the maximum; where the cap follows the jitter (second-more), none is left at the cap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Jitter:
    """One kind of jitter.

    draw: ``draw(ceiling, basis, u)`` is the delay in seconds. Floats and arrays alike. The basis is the first
        ceiling, unless the kind grows.
    grows: how the ceiling grows from the previous delay, in English, for a kind that replaces the curve. Its
        ``draw`` gets the first ceiling each time, and as basis the previous delay (the first ceiling at
        first) up to ``FARTHEST``. None for the others.
    capped: whether the cap applies to what ``draw`` returns too, not to the ceiling alone.
    random: whether ``u`` makes a difference.
    """

    draw: Callable[[Any, Any, Any], Any]
    grows: str | None = None
    capped: bool = False
    random: bool = True


def _none(ceiling: Any, _first: Any, _u: Any) -> Any:
    return ceiling


def _full(ceiling: Any, _first: Any, u: Any) -> Any:
    return ceiling * u


def _equal(ceiling: Any, _first: Any, u: Any) -> Any:
    return ceiling / 2 + ceiling / 2 * u


def _decorrelated(first: Any, previous: Any, u: Any) -> Any:
    # (x + |x|) / 2 is exactly x where x is positive, and 0 elsewhere: a maximum that arrays understand too.
    return first + ((3 * previous - first) + abs(3 * previous - first)) / 2 * u


def _half_around(ceiling: Any, _first: Any, u: Any) -> Any:
    return ceiling / 2 + ceiling * u


def _tenth_more(ceiling: Any, _first: Any, u: Any) -> Any:
    return ceiling + ceiling / 10 * u


def _second_more(ceiling: Any, _first: Any, u: Any) -> Any:
    return ceiling + u


def _above_first(ceiling: Any, first: Any, u: Any) -> Any:
    # Comparisons are 1 or 0, for arrays too; a schedule may fall below its first delay.
    return ceiling * (ceiling <= first) + (first + (ceiling - first) * u) * (ceiling > first)


JITTERS: Final[Mapping[str, Jitter]] = MappingProxyType(
    {
        "none": Jitter(_none, random=False),
        "full": Jitter(_full),
        "equal": Jitter(_equal),
        "decorrelated": Jitter(_decorrelated, grows="growing up to 3 times the previous delay", capped=True),
        "half-around": Jitter(_half_around),
        "tenth-more": Jitter(_tenth_more),
        "second-more": Jitter(_second_more, capped=True),
        "above-first": Jitter(_above_first),
    }
)
"""The kinds of jitter by name, read-only."""

FARTHEST: Final = 2.0**1020
"""Seconds. Previous delays count as this long at most, so that three times of them is still a number."""
