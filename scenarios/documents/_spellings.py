"""How durations, rates and numbers are spelled, and what to write instead of a spelling that is none.

One grammar for YAML, recorded files and command lines: seconds, ``250ms``, ``1h30m``, ``1m 15s``, ISO 8601's
``PT15S``; rates are per second, or ``10/min``. What other tools write and we refuse (a decimal comma,
clock time, other names of units) is recognised, so that the remedy fits what is written there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import yaml

from scenarios.documents._words import name_value

_UNITS: Final[Mapping[str, float]] = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "ns": 1e-9,
}
"""The units of durations in seconds, the longest first: the order in which parts of a duration stand."""

_UNIT_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "d": ("d", "day", "days"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "m": ("m", "min", "mins", "minute", "minutes"),
    "s": ("s", "sec", "secs", "second", "seconds"),
    "ms": ("ms", "msec", "msecs", "milli", "millis", "millisecond", "milliseconds"),
    "us": ("us", "µs", "μs", "usec", "usecs", "micro", "micros", "microsecond", "microseconds"),
    "ns": ("ns", "nsec", "nsecs", "nano", "nanos", "nanosecond", "nanoseconds"),
}
"""How people call the units."""

_NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
_PER: Final = r"s|sec|second|min|m|minute|h|hour|d|day"

SECONDS_PATTERN: Final = (
    rf"^({_NUMBER}(d|h|m|s|ms|us|ns) ?)*{_NUMBER}(d|h|m|s|ms|us|ns)$"
    rf"|^P(?=[0-9T])({_NUMBER}W)?({_NUMBER}D)?(T(?=[0-9])({_NUMBER}H)?({_NUMBER}M)?({_NUMBER}S)?)?$"
)
"""Durations as text, for JSON Schema, which cannot say that the units descend."""

RATE_PATTERN: Final = rf"^{_NUMBER} ?/ ?({_PER})$"
"""Rates as text, for JSON Schema."""

_PART: Final = re.compile(r"(?P<number>[0-9]+(?:\.[0-9]+)?)(?P<unit>d|h|ms|us|ns|m|s) ?")
_ISO: Final = re.compile(
    rf"P(?=[0-9T])(?:(?P<W>{_NUMBER})W)?(?:(?P<D>{_NUMBER})D)?"
    rf"(?:T(?=[0-9])(?:(?P<H>{_NUMBER})H)?(?:(?P<M>{_NUMBER})M)?(?:(?P<S>{_NUMBER})S)?)?"
)
_ISO_SECONDS: Final = {"W": 604800.0, "D": 86400.0, "H": 3600.0, "M": 60.0, "S": 1.0}
_RATE: Final = re.compile(rf"(?P<number>{_NUMBER}) ?/ ?(?P<unit>{_PER})")
_UNIT_OF: Final = {name: unit for unit, names in _UNIT_NAMES.items() for name in names}
_LOOSE_PART: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[^\W\d_]+)\.?[\s,]*(?:and\s+)?")
_CLOCK: Final = re.compile(r"(?:(?P<h>\d+):)?(?P<m>\d+):(?P<s>[0-5]?\d(?:\.\d+)?)")
_OPEN_END: Final = re.compile(r".*\d(d|h|m)\d+")  # 1h30
_NEXT: Final = {"d": "h", "h": "m", "m": "s"}
_DECIMAL_COMMA: Final = re.compile(r"(?P<whole>[+-]?\d+),(?P<rest>\d+)(?P<unit>\s*[A-Za-z]*)")
_OTHER_BASE: Final = re.compile(r"0[xX][0-9a-fA-F]+|0[oO][0-7]+|0[bB][01]+")
_GROUPED: Final = re.compile(r"\d{1,3}(?:[,'’ \u00a0\u202f_]\d{3})+(?:\.\d+)?|\d+(?:_\d+)+(?:\.\d+)?")


def parse_seconds(value: object) -> float:
    """Return a duration in seconds from a number of seconds, or from text.

    Text has units, descending, a blank between them or none (``250ms``, ``1h30m``, ``1m 15s``), or is a
    duration of ISO 8601 without years and months (``PT15S``). Raises ValueError, saying what would be right,
    for anything else: negative, not finite, true and false, other text, other types.
    """
    if isinstance(value, str):
        seconds = _seconds(value)
        if seconds is None:
            raise ValueError(f"{name_value(value)} is not a duration; {_duration_remedy(value)}")
        return _finite(seconds, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(
            f"must be a duration, not {name_value(value)}; write a number of seconds, or 250ms, 5s, 2m"
        )
    return _finite(value, value)


def unit_named(name: str) -> str | None:
    """Return the unit that a column's name ends in, such as ms of ``duration_ms`` or ``latency (ms)``.

    The single letters d, h and m are more often short for something else.
    """
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    word = words[-1].lower() if words else ""
    return None if word in ("d", "h", "m") else _UNIT_OF.get(word)


def unit_seconds(unit: str) -> float:
    """Return the seconds of one ``d``, ``h``, ``m``, ``s``, ``ms``, ``us`` or ``ns``."""
    return _UNITS[unit]


def parse_rate(value: object) -> float:
    """Return a rate per second from a number, or from text: ``5/s``, ``10/min``, ``1000/h``, ``50/d``.

    Raises ValueError, saying what would be right, for anything else.
    """
    if isinstance(value, str):
        match = _RATE.fullmatch(value)
        if match is None:
            raise ValueError(f"must be a number, not {name_value(value)}; {_rate_remedy(value)}")
        value = float(match["number"]) / _UNITS[_UNIT_OF[match["unit"]]]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"must be a number, not {name_value(value)}; write it per second, or 10/min")
    try:
        rate = float(value)
    except OverflowError:
        rate = math.inf
    if not math.isfinite(rate):
        raise ValueError(f"must be a finite number, not {name_value(value)}")
    return rate


def parse_number(text: str) -> float:
    """Return the finite number that a text spells in plain ASCII digits, or raise ValueError."""
    if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", text, flags=re.ASCII):
        raise ValueError(f"{name_value(text)} is not a number{_clause(_number_remedy(text))}")
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{name_value(text)} is not a finite number")
    return number


def number_remedy(text: str) -> str | None:
    """Return what to write where a number belongs and YAML has read ``text``; None: nobody knows.

    A number between quotes needs them gone; 1e3 and 08 have none, and are text to YAML all the same.
    """
    try:
        number = parse_number(text.strip())
    except ValueError:
        return _number_remedy(text)
    plain = f"{number:.15g}"
    if "e" in plain:  # which YAML reads as text unless there are a point and a sign
        plain = f"{number:.1f}" if number.is_integer() else repr(number)
    if isinstance(yaml.safe_load(text), str):
        return f"YAML reads {text.strip()} as text; write {plain}"
    return f"write {plain}, without quotes"


def whose_base(text: str, value: float) -> str | None:
    """Return what is wrong with the spelling of a number that YAML has read as ``value``; None: nothing.

    YAML 1.1 takes a leading zero for base 8 and colons for base 60.
    """
    sign, digits = ("-" if text.startswith("-") else ""), text.lstrip("+-").replace("_", "")
    if ":" in digits:
        clock = _clock_remedy(digits)
        remedy = f"for a time {clock}, else write the plain number" if clock else "write the plain number"
        return f"YAML reads {text} in base 60, as {value:.15g}; {remedy}"
    if len(digits) > 1 and digits.isdecimal() and digits.startswith("0"):
        plain = digits.lstrip("0") or "0"
        return f"YAML reads {text} in base 8, as {value:.15g}; write {sign}{plain} without the leading zero"
    return None


def _seconds(text: str) -> float | None:
    """Return the seconds that a text spells, or None."""
    if match := _ISO.fullmatch(text):
        return math.fsum(float(each) * _ISO_SECONDS[unit] for unit, each in match.groupdict().items() if each)
    parts = list(_PART.finditer(text))
    if not parts or text[-1] == " " or "".join(part[0] for part in parts) != text:
        return None
    order = list(_UNITS)
    if any(order.index(one["unit"]) >= order.index(next_["unit"]) for one, next_ in pairwise(parts)):
        return None
    if len(parts) == 1:
        return float(parts[0]["number"]) * _UNITS[parts[0]["unit"]]
    return math.fsum(float(part["number"]) * _UNITS[part["unit"]] for part in parts)


def _finite(value: float, written: object) -> float:
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"must be a finite number of seconds, not {name_value(written)}")
    if seconds < 0:
        raise ValueError(f"must be zero or more, not {name_value(written)}")
    return seconds + 0.0  # turns -0.0 into 0.0


def _duration_remedy(text: str) -> str:
    stripped = text.strip()
    loose = list(_LOOSE_PART.finditer(stripped))
    if loose and "".join(part[0] for part in loose) == stripped:
        units = [_UNIT_OF.get(part["unit"]) or _UNIT_OF.get(part["unit"].lower()) for part in loose]
        plain = " ".join(f"{part['number']}{unit}" for part, unit in zip(loose, units, strict=True))
        if None not in units and _seconds(plain) is not None:
            return f"write {plain}"
        if None not in units:
            return "write its units from the longest to the shortest, each once, such as 1h30m"
    if (open_end := _OPEN_END.fullmatch(stripped)) and _seconds(whole := stripped + _NEXT[open_end[1]]):
        return f"write {whole}"
    if stripped.startswith("-"):
        return "a duration must not be negative"
    if clock := _clock_remedy(stripped):
        return clock
    if stripped.startswith("P") and re.fullmatch(r"P[\dYMWDTHS.]+", stripped):
        return "an ISO 8601 duration here has weeks, days, hours, minutes and seconds, such as PT1H30M"
    if remedy := number_remedy(text):
        quoted = remedy.endswith(", without quotes")
        return remedy.replace(", without", " as a plain number of seconds, without") if quoted else remedy
    return "write a number of seconds, or a number with ms, s, m, h or d, such as 250ms, 5s, 2m, 1h30m"


def _clock_remedy(text: str) -> str | None:
    """Return what to write for a time as a clock shows it."""
    match = _CLOCK.fullmatch(text)
    if match is None:
        return None

    def spelled(*parts: tuple[str, str]) -> str:
        known = [(number.lstrip("0"), unit) for number, unit in parts]
        return "".join(f"{number}{unit}" for number, unit in known if number) or f"0{parts[-1][1]}"

    if match["h"] is not None:
        return f"write {spelled((match['h'], 'h'), (match['m'], 'm'), (match['s'], 's'))}"
    minutes, hours = (
        spelled((match["m"], unit), (match["s"], smaller)) for unit, smaller in (("m", "s"), ("h", "m"))
    )
    return f"write {minutes}" if "." in match["s"] else f"write {minutes} or {hours}, whichever is meant"


def _number_remedy(text: str) -> str | None:
    """Return what to write for a number in the fashion of another place, or None."""
    stripped = text.strip()
    if _GROUPED.fullmatch(stripped):
        plain = re.sub(r"[^\d.]", "", stripped)
        point = f", or {stripped.replace(',', '.')} if the comma is a decimal one"
        return f"write {plain}{point if stripped.count(',') == 1 and '.' not in stripped else ''}"
    if comma := _DECIMAL_COMMA.fullmatch(stripped):
        return f"write {comma['whole']}.{comma['rest']}{comma['unit'].strip()}, with a decimal point"
    if _OTHER_BASE.fullmatch(stripped):
        return f"write {int(stripped, 0)}"
    if percent := re.fullmatch(rf"({_NUMBER}) ?%", stripped):
        return f"write {float(percent[1]) / 100:.15g}"
    return None


def _rate_remedy(text: str) -> str:
    per_seconds = re.fullmatch(rf"\s*({_NUMBER})\s*/\s*([0-9.]+)\s*", text)
    units = {1.0: "s", 60.0: "min", 3600.0: "h", 86400.0: "d"}
    if per_seconds and (unit := units.get(float(per_seconds[2]))):
        return f"write {per_seconds[1]}/{unit}"
    words = re.fullmatch(rf"\s*({_NUMBER})\s*(?:/|per\s|an?\s)\s*([A-Za-z]+)\s*", text)
    unit = _UNIT_OF.get(words[2].lower(), "") if words else ""
    if words and unit in ("s", "m", "h", "d"):
        return f"write {words[1]}/{'min' if unit == 'm' else unit}"
    return number_remedy(text) or "write it per second, or with /s, /min, /h or /d, such as 10/min"


def _clause(remedy: str | None) -> str:
    return f"; {remedy}" if remedy else ""
