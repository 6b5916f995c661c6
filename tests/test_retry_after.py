"""Retry-After, RFC 9110 section 10.2.3."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import parse_retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the date of the RFC's examples


@pytest.mark.parametrize(
    ("value", "seconds"), [("0", 0), ("120", 120), (" 7 ", 7), ("007", 7), ("9" * 5000, 2**31)]
)
def test_digits_are_seconds(value: str, seconds: float) -> None:
    """Whole seconds are taken as they are; more than anyone can hold is 2**31, as RFC 9111 has it."""
    assert parse_retry_after(value, now_epoch=NOW) == seconds


@pytest.mark.parametrize(
    "value",
    ["Sun, 06 Nov 1994 08:50:37 GMT", "Sunday, 06-Nov-94 08:50:37 GMT", "Sun Nov  6 08:50:37 1994"],
)
def test_a_date_in_each_of_the_three_forms_is_the_time_left(value: str) -> None:
    """A date a minute ahead is 60 seconds, in the preferred form and in the two obsolete ones."""
    assert parse_retry_after(value, now_epoch=NOW) == 60


def test_a_date_is_in_utc_wherever_the_client_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The asctime form names no zone; it is UTC all the same, not the client's local time."""
    monkeypatch.setenv("TZ", "XYZ+5")
    time.tzset()
    try:
        assert parse_retry_after("Sun Nov  6 08:50:37 1994", now_epoch=NOW) == 60
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_date_is_measured_from_the_replys_own_date() -> None:
    """A server whose clock is an hour off is compared with itself, not with the client."""
    hint, date = "Sun, 06 Nov 1994 08:50:37 GMT", "Sun, 06 Nov 1994 08:50:07 GMT"
    assert parse_retry_after(hint, date=date, now_epoch=NOW + 3600) == 30


def test_an_unreadable_date_header_falls_back_to_the_wall_clock() -> None:
    """A garbled Date costs only its precision."""
    assert parse_retry_after("Sun, 06 Nov 1994 08:50:37 GMT", date="yesterday", now_epoch=NOW) == 60


def test_a_date_gone_by_asks_for_no_wait() -> None:
    """The past is 0 seconds away, not a negative wait."""
    assert parse_retry_after("Sun, 06 Nov 1994 08:49:36 GMT", now_epoch=NOW) == 0


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "-5",
        "+5",
        "5s",
        "soon",
        "1, ",
        ".5",
        "1e3",
        "٣",
        "Sun, 99 Nov 1994 08:49:37 GMT",
        "nan",
        "inf",
    ],
)
def test_garbage_asks_for_nothing(value: str | None) -> None:
    """What is neither digits nor a date is as good as no header."""
    assert parse_retry_after(value, now_epoch=NOW) is None


@settings(deadline=None)  # a busy machine is no broken law
@given(st.text(max_size=40), st.none() | st.text(max_size=40))
def test_no_header_can_break_the_parser(value: str, date: str | None) -> None:
    """Any text gives None or a number of seconds from 0 to 2**31."""
    hint = parse_retry_after(value, date=date, now_epoch=NOW)
    assert hint is None or 0 <= hint <= 2**31
