"""Durations on a command line: seconds, ``250ms``, ``1h30m``, ``1m 15s`` or ISO 8601's ``PT15S``.

They are spelled as in scenario files, whose own reader also knows what else people write, and says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NUMBER: Final = r"([0-9]+(?:\.[0-9]+)?)"
_UNITS: Final[Mapping[str, float]] = {
    "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9,
}  # fmt: skip
_WITH_UNITS: Final = re.compile("".join(rf"(?:{_NUMBER}{unit}(?![a-z]) ?)?" for unit in _UNITS))
_ISO: Final = re.compile(
    rf"P(?=[0-9T])(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
    rf"(?:T(?=[0-9])(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?"
)
_ISO_SECONDS: Final = (604800.0, 86400.0, 3600.0, 60.0, 1.0)


def parse_duration(text: str) -> float:
    """Return a duration in seconds; raises ValueError, saying what would be right, for other text."""
    try:
        return float(text)
    except ValueError:
        pass
    for pattern, units in ((_WITH_UNITS, _UNITS.values()), (_ISO, _ISO_SECONDS)):
        found = pattern.fullmatch(text)
        if found and text and not text.endswith(" "):
            return sum(float(part or 0) * unit for part, unit in zip(found.groups(), units, strict=True))
    raise ValueError(f"{text!r} is not a duration: give seconds, or units, like 0.5, 250ms, 1m30s")
