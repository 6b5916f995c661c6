"""When a reply says to come back: every hint that is in use, and one rule for a reply with several.

The rule: of three families the first that says anything decides, and within it the longest wait.

1. What asks for a wait: Retry-After, its variants in milliseconds, and what a dialect declares.
2. RateLimit (draft-ietf-httpapi-ratelimit-headers): with nothing remaining (``r=0``), the time to the reset
   ``t``. Retry-After takes precedence, as the draft has it; a malformed field is ignored, and so is one
   from a cache.
3. Cache-Control: what is left of ``max-age`` on a 2xx reply: until then a cache may tell the same again.

A hint never shortens a wait and is capped; that is ``HintPolicy``'s. Nothing here raises, whatever it is fed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from ._checks import InvalidSetting, one_of
from ._expressions import checked_expression, find
from ._retry_after import LONGEST_HINT, parse_retry_after, quantity
from ._wire import Response

_UNITS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class Hint(NamedTuple):
    """One reply's hint. name: of the header or member. asked: it asks for a wait, rather than implies one."""

    seconds: float
    name: str
    asked: bool = True


@dataclass(frozen=True, slots=True)
class HintField:
    """Where a reply says when to come back: a header or a member of its body, and the number's unit.

    Give one of ``header`` and ``body``. unit: "ms", "s", "m" or "h"; with "s" a date is understood too.
    Raises InvalidSetting.
    """

    header: str | None = None
    body: str | None = None
    unit: str = "s"

    def __post_init__(self) -> None:
        if (self.header is None) == (self.body is None):
            raise InvalidSetting("hints", self.header, "give a header or a body, and one of the two")
        one_of("unit", self.unit, tuple(_UNITS))
        if self.body is not None:
            checked_expression("hints.body", self.body)

    def read(self, response: Response, document: Any) -> Hint | None:
        """Return the hint that the reply gives here, None when it gives none."""
        name = self.header or self.body or ""
        value = response.header(name) if self.header else find(document, name)
        if value is None:  # most replies give no hint
            return None
        if isinstance(value, str) and self.unit == "s":
            asked = parse_retry_after(value, date=response.header("Date"), now_epoch=response.now_epoch)
        elif isinstance(value, str):
            asked = quantity(value)
        else:
            asked = _number(value)
        return None if asked is None else Hint(min(asked * _UNITS[self.unit], LONGEST_HINT), name)


_USUAL: Final = (
    HintField(header="Retry-After"),
    HintField(header="retry-after-ms", unit="ms"),  # Azure, OpenAI
    HintField(header="x-ms-retry-after-ms", unit="ms"),  # Azure
    HintField(header="openai-poll-after-ms", unit="ms"),
    HintField(header="x-amz-retry-after", unit="ms"),  # AWS
)


_ASKING: Final = frozenset(each.header.lower() for each in _USUAL if each.header)


def read_hint(response: Response, document: Any, declared: tuple[HintField, ...] = ()) -> Hint | None:
    """Return the hint of a reply by the module's rule, None when it gives none.

    document: the reply's body as a value. declared: where a dialect's replies give hints, besides the usual.
    """
    if declared or response.has_any(_ASKING):  # few replies give a hint
        asked = [hint for each in (*declared, *_USUAL) if (hint := each.read(response, document))]
        if asked:
            return max(asked, key=lambda hint: hint.seconds)
    return _rate_limit(response) or _freshness(response)


def _rate_limit(response: Response) -> Hint | None:
    value = response.header("RateLimit")
    if value is None or response.header("Age") is not None:
        return None
    try:
        resets = [float(limit["t"]) for limit in _limits(value) if limit.get("r") == 0 and "t" in limit]
    except _Malformed:
        return None
    return Hint(max(resets), "RateLimit", asked=False) if resets else None


def _freshness(response: Response) -> Hint | None:
    said = response.header("Cache-Control")
    if said is None:
        return None
    said = said.lower()
    if not 200 <= response.status_code < 300 or "no-store" in said or "no-cache" in said:
        return None
    ages = [float(seconds) for seconds in _MAX_AGE.findall(said)]
    if not ages:
        return None
    left = min(min(ages), LONGEST_HINT) - (quantity(response.header("Age") or "") or 0.0)
    return Hint(left, "Cache-Control", asked=False) if left > 0 else None


_MAX_AGE: Final = re.compile(r'(?:^|[,\s])max-age\s*=\s*"?([0-9]+)')
# A list of items with parameters, of RFC 9651: as much of it as RateLimit may hold.
_NAME: Final = re.compile(r'[ \t]*(?:"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][^\s,;="\\()]*)')
_PARAMETER: Final = re.compile(
    r"[ \t]*;[ ]*([a-z*][a-z0-9_.*-]*)"
    r"(?:=(-?[0-9]{1,15}(?![0-9.])|-?[0-9]{1,12}\.[0-9]{1,3}|:[A-Za-z0-9+/=]*:|\?[01]"
    r'|"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][^\s,;="\\()]*))?'
)
_COMMA: Final = re.compile(r"[ \t]*,")


class _Malformed(Exception):
    """The field is no list of limits."""


def _limits(value: str) -> Iterator[dict[str, int]]:
    """Yield ``r`` and ``t`` of each limit, as far as it has them."""
    text, at = value.strip(), 0
    while True:
        at = _after(_NAME, text, at)
        limit: dict[str, int] = {}
        while found := _PARAMETER.match(text, at):
            at = found.end()
            if found[1] in ("r", "t"):
                if not (found[2] or "").isdecimal():  # negative, or no whole number
                    raise _Malformed
                limit[found[1]] = int(found[2])
        yield limit
        if at == len(text):
            return
        at = _after(_COMMA, text, at)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    found = pattern.match(text, at)
    if found is None:
        raise _Malformed
    return found.end()


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON has integers of any length
        number = LONGEST_HINT if value > 0 else -1.0
    return min(number, LONGEST_HINT) if number >= 0 and not math.isnan(number) else None
