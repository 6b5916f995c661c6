"""Retry-After (RFC 9110, section 10.2.3): whole seconds, or a date."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_LONGEST: Final = 2.0**31  # what RFC 9111, section 1.2.2, makes of a number of seconds too large to hold


def parse_retry_after(value: str | None, *, date: str | None = None, now_epoch: float) -> float | None:
    """Return the seconds that a Retry-After header asks for, or None when it asks for nothing intelligible.

    value: the header; None when absent.
    date: the Date header of the same reply. An HTTP-date is measured from it, so that the server's clock is
        compared with itself; only without it (or with an unreadable one) is it measured from ``now_epoch``.
    now_epoch: the wall clock, in seconds since 1970 UTC.

    A date gone by is 0. A negative, fractional or garbled value is None: RFC 9110 allows only digits or a
    date.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST)
    until = _epoch(value)
    if until is None:
        return None
    since = None if date is None else _epoch(date)
    return min(max(0.0, until - (now_epoch if since is None else since)), _LONGEST)


def _epoch(http_date: str) -> float | None:
    """Seconds since 1970 UTC of an HTTP-date in any of its three forms, or None."""
    try:
        moment: datetime = parsedate_to_datetime(http_date)
        # The asctime form carries no zone; HTTP-dates are always in UTC.
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
