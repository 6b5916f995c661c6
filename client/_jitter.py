"""Jitter: how a delay is drawn under its ceiling. One row a kind; readers of the table need no edit.

Each ``draw`` is pure in (ceiling, previous, u) and one expression, the same for a float and for a NumPy array
of jobs: client and simulation cannot differ. ``u`` is uniform in [0, 1).

=============  =========================================================================
jitter         delay
=============  =========================================================================
none           c
full           c * u                              (uniform between 0 and c)
equal          c / 2 + (c / 2) * u                (uniform between c/2 and c)
decorrelated   min(maximum, initial + (3 * previous - initial) * u)
=============  =========================================================================

The last three are from Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Jitter:
    """One kind of jitter.

    draw: ``draw(ceiling, previous, u)`` is the delay in seconds, never more than the ceiling unless the kind
        grows. Floats and arrays alike.
    grows: how the ceiling grows from the previous delay, in English, for a kind that replaces the curve. Its
        ``draw`` gets the first ceiling each time, and the previous delay (the first ceiling at first) up to
        ``FARTHEST``; the cap is applied to what it returns. None for the others, which see no previous delay.
    random: whether ``u`` makes a difference.
    """

    draw: Callable[[Any, Any, Any], Any]
    grows: str | None = None
    random: bool = True


def _none(ceiling: Any, _previous: Any, _u: Any) -> Any:
    return ceiling


def _full(ceiling: Any, _previous: Any, u: Any) -> Any:
    return ceiling * u


def _equal(ceiling: Any, _previous: Any, u: Any) -> Any:
    return ceiling / 2 + ceiling / 2 * u


def _decorrelated(first: Any, previous: Any, u: Any) -> Any:
    # (x + |x|) / 2 is exactly x where x is positive, and 0 elsewhere: a maximum that arrays understand too.
    return first + ((3 * previous - first) + abs(3 * previous - first)) / 2 * u


JITTERS: Final[Mapping[str, Jitter]] = MappingProxyType(
    {
        "none": Jitter(_none, random=False),
        "full": Jitter(_full),
        "equal": Jitter(_equal),
        "decorrelated": Jitter(_decorrelated, grows="growing up to 3 times the previous delay"),
    }
)
"""The kinds of jitter by name, read-only."""

FARTHEST: Final = 2.0**1020
"""Seconds. Previous delays count as this long at most, so that three times of them is still a number."""
