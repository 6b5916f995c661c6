"""Numbers for people: three significant digits, no exponents, units where they help."""

from __future__ import annotations

import math
from typing import Final

from scenarios.documents import counted

_UNKNOWN: Final = "–"
_ROUNDING: Final = 1e-12  # what sums of floats leave of nothing; no figure of ours is that small


def number(value: float | None, digits: int = 3) -> str:
    """Return ``0.0312``, ``4.50``, ``1,240``; whole numbers keep all their digits; None is a dash.

    What a damaged file makes of a sum may be no number at all: that is ``∞``, or a dash.
    """
    if value is None or math.isnan(value):
        return _UNKNOWN
    if isinstance(value, int):
        return f"{value:,}"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    rounded = float(f"{value:.{digits - 1}e}")
    if abs(rounded) < _ROUNDING:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def in_seconds(value: float | None) -> str:
    """Return seconds as ``2.50 s``, or ``31.2 ms`` below a second."""
    if value is None:
        return _UNKNOWN
    return f"{number(value)} s" if abs(value) >= 1 or value == 0 else f"{number(value * 1000)} ms"


def quantity(value: float | None, unit: str) -> str:
    """Return a figure of that unit: as ``in_seconds`` does for ``"s"``, as ``number`` does for ``""``."""
    return in_seconds(value) if unit == "s" else number(value)


def percent(value: float | None, sign: bool = False) -> str:
    """Return a share as ``4.2 %``; with ``sign`` a plus before an increase."""
    if value is None:
        return _UNKNOWN
    hundredfold = value * 100
    decimals = 0 if abs(hundredfold) >= 10 or hundredfold == 0 else 1 if abs(hundredfold) >= 1 else 2
    return f"{hundredfold:{'+' if sign and value else ''},.{decimals}f} %"


def too_few(jobs: int) -> str:
    """Return that so many jobs are too few: "1 job is too few", "5 jobs are too few"."""
    return f"{counted(jobs, 'job')} {'is' if jobs == 1 else 'are'} too few"
