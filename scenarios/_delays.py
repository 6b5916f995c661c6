"""The delays of a schedule as YAML writes them: ``[1s, 24*5s, 15s until 10m, then 30s]``.

An item is a duration; with a number before it so many of them, with ``until`` as many as begin before so much
time has passed. The last item repeats for good, and may say ``then``. All of it may stand in one line of
text, with commas. The client knows plain delays, and ``until`` for those before the last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import groupby
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema

from scenarios.documents import name_value, parse_number, parse_seconds

_MOST: Final = 10_000  # delays written out; nobody reads more, and a slip of the pen asks for millions
_SINGLY: Final = 2  # equal delays that are written one by one
_TIMES: Final = re.compile(r"(?P<times>[0-9]+)\s*\*\s*(?P<delay>\S.*)")
_TURNED: Final = re.compile(
    r"(?P<delay>\S.*?)\s*[*x×]\s*(?P<times>[0-9]+)|(?P<n>[0-9]+)\s*[x×]\s*(?P<d>\S.*)"
)
_UNTIL: Final = re.compile(r"(?P<delay>\S.*?)\s+until\s+(?P<until>\S.*)")
_DURATION: Final = r"([0-9][0-9.a-z ]*|P[0-9TWDHMS.]+)"  # roughly; the reader knows better
_ITEM_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [
        {"type": "number", "minimum": 0},
        {"type": "string", "pattern": rf"^(then )?([0-9]+ ?\* ?)?{_DURATION}( until {_DURATION})?$"},
    ]
}


class Item(NamedTuple):
    """One item as it is written: ``seconds`` of delay, so many times, or until so many have passed."""

    written: object
    seconds: float
    times: int = 1
    until: float | None = None
    last: bool = False


def _item(value: object) -> Item:
    """Return an item, or raise ValueError saying what would be right."""
    if not isinstance(value, str):
        return Item(value, parse_seconds(value))
    text = value.strip()
    last = text.startswith("then ")
    text = text.removeprefix("then ").lstrip()
    timed, counted = _UNTIL.fullmatch(text), _TIMES.fullmatch(text)
    if timed and _TIMES.fullmatch(timed["delay"]):
        raise ValueError(f"{name_value(value)} says how often and until when; write one of the two")
    if timed:
        return Item(value, _seconds(timed["delay"]), until=_seconds(timed["until"]), last=last)
    if counted:
        return Item(value, _seconds(counted["delay"]), times=int(counted["times"][:9]), last=last)
    if turned := _TURNED.fullmatch(text):
        times, delay = turned["times"] or turned["n"], turned["delay"] or turned["d"]
        raise ValueError(f"{name_value(value)} is not a delay; write {times}*{delay}")
    return Item(value, _seconds(text) if last else parse_seconds(value), last=last)


def _seconds(text: str) -> float:
    """Return a duration inside of an item, where a plain number, which is seconds, is text, too."""
    try:
        return parse_seconds(parse_number(text))
    except ValueError:
        return parse_seconds(text)


def _items(value: object) -> object:
    """Split one line of text at its commas; plain numbers are seconds there, too."""
    if not isinstance(value, str):
        return value
    parts: list[object] = []
    for part in value.split(","):
        try:
            parts.append(parse_number(part.strip()))
        except ValueError:
            parts.append(part.strip())
    return parts


Delays = Annotated[
    tuple[Annotated[Item, PlainValidator(_item), WithJsonSchema(_ITEM_SCHEMA)], ...],
    BeforeValidator(_items),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _ITEM_SCHEMA}, {"type": "string"}]}),
]
"""The delays of a schedule."""


def delay_faults(items: Sequence[Item]) -> Iterator[tuple[int, str]]:
    """Yield which items make no schedule with the others, by their indices, and what would be right."""
    until: list[float] = []
    number = 0
    for index, item in enumerate(items):
        number += item.times
        remedy = _remedy(item, until, ends=index == len(items) - 1)
        if remedy is None and number > _MOST:
            remedy = f"that is more than {_MOST:,} delays; write until when they repeat: 5s until 2h"
        if remedy is not None:
            yield index, f"{name_value(item.written)} cannot be used: {remedy}"
        elif item.until is not None:
            until.append(item.until)


def written_out(items: Sequence[Item]) -> dict[str, tuple[float, ...]]:
    """Return items without faults as the client takes them: its ``delays`` and ``until``."""
    return {
        "delays": tuple(item.seconds for item in items for _ in range(item.times)),
        "until": tuple(item.until for item in items if item.until is not None),
    }


def _remedy(item: Item, until: Sequence[float], *, ends: bool) -> str | None:
    """Return what would be right instead of an item that follows tiers which end at these times."""
    if item.times == 0:
        return "0 times is never; remove it"
    if ends and item.until is not None:
        return "it leaves open what comes after that; add a last delay, such as then 30s"
    if item.last and not ends:
        return "only the last delay may say then; move it to the end, or remove the then"
    if item.until is not None and item.seconds == 0:
        return "without a pause it would never get there; give it some time"
    if item.until is not None and item.until <= (until[-1] if until else 0.0):
        return "that time has passed by then; give a later one than the item before it"
    if item.until is None and until and (not ends or item.times > 1):
        return "delays cannot be counted after one that ends in time; write until when, or move it before"
    return None


def spell_delays(delays: Sequence[float], until: Sequence[float]) -> list[str | float]:
    """Return the delays of a schedule as YAML writes them; reading that gives the same numbers."""
    once = len(delays) - 1 - len(until)
    spelled: list[str | float] = []
    for delay, run in groupby(delays[:once]):
        times = len(list(run))
        spelled += [f"{times}*{_text(delay)}"] if times > _SINGLY else [spell_delay(delay)] * times
    tiers = zip(delays[once:], until, strict=False)
    spelled += [f"{_text(delay)} until {_text(end)}" for delay, end in tiers]
    return [*spelled, spell_delay(delays[-1])]


def spell_delay(seconds: float) -> str | float:
    """Return a duration as people write it, if reading it gives the same number; else the number itself."""
    if 0.0 < seconds < 0.1:
        milliseconds = f"{seconds * 1000:.10g}"
        if float(milliseconds) * 0.001 == seconds and "e" not in milliseconds:
            return f"{milliseconds}ms"
    plain = f"{seconds:.10g}"
    return f"{plain}s" if float(plain) == seconds and "e" not in plain else seconds


def _text(seconds: float) -> str:
    """Return a duration as text in any case."""
    spelled = spell_delay(seconds)
    return spelled if isinstance(spelled, str) else f"{Decimal(repr(spelled)):f}s"


def looks_like_delays(keys: Sequence[str]) -> Iterator[str]:
    """Yield keys that are items of a schedule: its commas have split a flow mapping."""
    for key in keys:
        try:
            _item(key)
        except ValueError:
            continue
        yield key
