"""Checks for values that a person writes: each refusal names the field, the value and what would be right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta
from numbers import Integral, Real
from typing import TypeAlias

Seconds: TypeAlias = float | timedelta
"""A duration as callers may give it; it is stored as float seconds."""


def number(field: str, value: object, *, at_least: float, at_most: float = math.inf) -> float:
    """Return a finite real number within the bounds as a float, or raise ValueError."""
    if isinstance(value, Real) and not isinstance(value, bool):
        result = float(value)
        if math.isfinite(result) and at_least <= result <= at_most:
            return result
    bounds = f"of at least {at_least:g}" if at_most == math.inf else f"from {at_least:g} to {at_most:g}"
    raise ValueError(f"{field}={value!r} cannot be used: give a number {bounds}")


def whole(field: str, value: object, *, at_least: int) -> int:
    """Return an integer within the bound, or raise ValueError."""
    if isinstance(value, Integral) and not isinstance(value, bool) and (result := int(value)) >= at_least:
        return result
    raise ValueError(f"{field}={value!r} cannot be used: give a whole number of at least {at_least}")


def seconds(field: str, value: object, *, zero: bool = False) -> float:
    """Return a duration (float seconds or timedelta) as float seconds, or raise ValueError."""
    amount = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(amount, Real) and not isinstance(amount, bool):
        result = float(amount)
        if math.isfinite(result) and (result > 0 or (zero and result == 0)):
            return result
    bound = "0 or more" if zero else "more than 0"
    raise ValueError(f"{field}={value!r} cannot be used: give {bound} seconds, as a number or a timedelta")


def one_of(field: str, value: object, choices: Sequence[str]) -> None:
    """Refuse a word that is not one of the choices."""
    if value not in choices:
        raise ValueError(f"{field}={value!r} cannot be used: give one of {', '.join(map(repr, choices))}")


def instance(field: str, value: object, kind: type) -> None:
    """Refuse an object of another class (a dict where a policy belongs, say)."""
    if not isinstance(value, kind):
        raise ValueError(f"{field}={value!r} cannot be used: give a {kind.__name__}")
