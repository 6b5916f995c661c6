"""Retry-After (RFC 9110, section 10.2.3): seconds or a date, however services spell it."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

LONGEST_HINT: Final = 2.0**31  # what RFC 9111, section 1.2.2, makes of a number of seconds too large to hold
"""Seconds: longer hints are taken for this one."""

_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]*)?")


def parse_retry_after(value: str | None, *, date: str | None = None, now_epoch: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None when it asks for nothing intelligible.

    value: the header; None when absent.
    date: the Date header of the same reply. An HTTP-date is measured from it, so that the server's clock is
        compared with itself; only without it (or with an unreadable one) is it measured from ``now_epoch``.
    now_epoch: the wall clock, in seconds since 1970 UTC.

    RFC 9110 allows only digits or a date. A decimal, which services send all the same, is rounded up, never
    shortened; of a header that was sent several times ("2, 2") the longest counts. A date gone by is 0. A
    negative or garbled value is None.
    """
    if value is None:
        return None
    seconds = quantity(value)
    if seconds is not None:
        return float(math.ceil(seconds))
    since = None if date is None else _epoch(date)
    waits = [until - (now_epoch if since is None else since) for until in map(_epoch, _dates(value)) if until]
    return min(max(0.0, *waits), LONGEST_HINT) if waits else None


def quantity(value: str) -> float | None:
    """Return a header's number (of several in one line, the longest), None when it is none; not negative."""
    numbers = [part.strip() for part in value.split(",")]
    if not all(_NUMBER.fullmatch(number) for number in numbers):
        return None
    return min(max(map(float, numbers)), LONGEST_HINT)


def _dates(value: str) -> list[str]:
    """Return the dates in a header that was perhaps sent several times; each may hold one comma."""
    parts = value.split(",")
    pairs = [",".join(parts[k : k + 2]) for k in range(0, len(parts), 2)]
    return pairs if len(parts) > 2 and not len(parts) % 2 else [value]


def since(moment: object, date: str | None, now_epoch: float) -> float | None:
    """Return the seconds from a moment to a reply's own Date (else to ``now_epoch``), None if it is none.

    moment: as JSON has it: ISO 8601 (UTC unless it says otherwise), an HTTP-date, or a number of seconds (or,
    beyond the year 5000, milliseconds) since 1970. The Date has whole seconds: what is negative is 0.
    """
    at: float | None = None
    if isinstance(moment, str):
        try:
            told = datetime.fromisoformat(moment)
            at = (told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp()
        except (ValueError, OverflowError):
            at = _epoch(moment)
    elif isinstance(moment, int | float) and not isinstance(moment, bool) and 0 < moment < 1e15:
        at = moment / 1000 if moment > 1e11 else float(moment)
    if at is None:
        return None
    replied = None if date is None else _epoch(date)
    return max(0.0, (now_epoch if replied is None else replied) - at)


def _epoch(http_date: str) -> float | None:
    """Seconds since 1970 UTC of an HTTP-date in any of its three forms, or None."""
    try:
        moment: datetime = parsedate_to_datetime(http_date)
        # The asctime form carries no zone; HTTP-dates are always in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
