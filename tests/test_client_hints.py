"""Hints: every kind that services send, one rule for a reply with several, and nothing that breaks them."""

from __future__ import annotations

import json
from dataclasses import replace
from email.utils import formatdate
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import (
    NATIVE,
    Attempt,
    Backoff,
    Conversation,
    Dialect,
    ErrorPolicy,
    HintField,
    HintPolicy,
    InvalidSetting,
    JobRef,
    PollingPolicy,
    Response,
    StatusCall,
    Wait,
)

FirstPoll = Literal["after_delay", "immediately"]
EVERY_SECOND = PollingPolicy(Backoff("constant", 1))


def reply(headers: dict[str, str], code: int = 200, **body: object) -> Response:
    return Response(code, headers, json.dumps({"status": "pending", **body}).encode(), now_epoch=1e9)


def hint(headers: dict[str, str], dialect: Dialect = NATIVE, **body: object) -> tuple[float, str] | None:
    found = dialect.hint(reply(headers, **body))
    return None if found is None else found[:2]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("2", 2),
        ("2.0", 2),
        ("2.5", 3),
        ("299.997", 300),
        ("0.129", 1),
        ("2, 2", 2),
        ("1,3", 3),
        ("1.5, 1", 2),
    ],
)
def test_retry_after_is_heard_however_it_is_spelled(value: str, seconds: float) -> None:
    """A decimal is rounded up, never shortened; a header sent twice counts once, by its longest."""
    assert hint({"Retry-After": value}) == (seconds, "Retry-After")


def test_a_date_sent_twice_is_the_later_one_by_the_replys_own_clock() -> None:
    """Whatever the client's clock says."""
    dates = ", ".join(formatdate(5e8 + s, usegmt=True) for s in (20, 30))
    assert hint({"Retry-After": dates, "Date": formatdate(5e8, usegmt=True)}) == (30, "Retry-After")


@pytest.mark.parametrize(
    "name", ["retry-after-ms", "x-ms-retry-after-ms", "openai-poll-after-ms", "x-amz-retry-after"]
)
def test_headers_in_milliseconds(name: str) -> None:
    """1500 of them are 1.5 s."""
    assert hint({name.title(): "1500"}) == (1.5, name)
    assert hint({name: "-1"}) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ('"default";r=0;t=30', 30),
        ('"a";r=50;t=1, "b";r=0;t=20', 20),
        ("burst;t=7;r=0;pk=:YQ==:", 7),
        ('"a;b,c";r=0;t=4', 4),
        ('"default";r=1;t=30', None),
        ('"default";r=0', None),
        ('"default";r=0;t=-1', None),
        ('"default";r=0;t=1.5', None),
        ('"default";r=0;t=30,', None),
        ('"a";r=0;t=30, "b', None),
        ("limit=100, remaining=0, reset=30", None),
        ("", None),
    ],
)
def test_a_limit_with_nothing_left_is_waited_out(value: str, seconds: float | None) -> None:
    """r=0 waits for t; a malformed field, even in its last limit, is ignored whole."""
    assert hint({"RateLimit": value}) == (None if seconds is None else (seconds, "RateLimit"))
    assert hint({"RateLimit": value, "Age": "3"}) is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Cache-Control": "private, max-age=20"}, 20),
        ({"Cache-Control": 'Max-Age="20"', "Age": "5"}, 15),
        ({"Cache-Control": "max-age=20", "Age": "20"}, None),
        ({"Cache-Control": "max-age=20, no-store"}, None),
        ({"Cache-Control": "s-maxage=20, x-max-age=9"}, None),
    ],
)
def test_what_is_fresh_is_not_asked_for_again(headers: dict[str, str], seconds: float | None) -> None:
    """max-age, less the time that a cache has held the reply."""
    assert hint(headers) == (None if seconds is None else (seconds, "Cache-Control"))


@pytest.mark.parametrize(
    ("field", "body", "seconds"),
    [
        (HintField(body="poll.after", unit="ms"), {"poll": {"after": 2500}}, 2.5),
        (HintField(body="eta", unit="m"), {"eta": 1.5}, 90),
        (HintField(body="eta"), {"eta": "7"}, 7),
        (HintField(body="eta"), {"eta": formatdate(1e9 + 8, usegmt=True)}, 8),
        (HintField(body="eta"), {"eta": 10**400}, 2**31),
        *[(HintField(body="eta"), {"eta": odd}, None) for odd in (-1, True, None, "soon", [], float("nan"))],
    ],
)
def test_a_member_of_the_body_may_be_the_hint(
    field: HintField, body: dict[str, object], seconds: float | None
) -> None:
    """By its declared unit; what is no such number is none."""
    dialect = Dialect(status=StatusCall(hints=(field,)))
    assert hint({}, dialect, **body) == (None if seconds is None else (seconds, field.body))


def test_one_rule_for_several_hints() -> None:
    """What is asked for goes before RateLimit, RateLimit before freshness; the longest within a family."""
    fresh = {"Cache-Control": "max-age=50"}
    limited = {**fresh, "RateLimit": '"d";r=0;t=40'}
    asked = {**limited, "Retry-After": "1", "retry-after-ms": "1500"}
    declared = Dialect(status=StatusCall(hints=(HintField(header="X-Wait", unit="m"),)))
    assert hint(fresh) == (50, "Cache-Control")
    assert hint(limited) == (40, "RateLimit")
    assert hint(asked) == (1.5, "retry-after-ms")
    assert hint({**asked, "x-wait": "1"}, declared) == (60, "X-Wait")
    assert hint({**limited, "Retry-After": "0"}) == (0, "Retry-After")
    assert hint({**limited, "Retry-After": "soon"}) == (40, "RateLimit")


def test_only_what_is_asked_for_makes_a_4xx_worth_a_retry() -> None:
    """A cache's max-age on a 403 does not."""
    for headers, outcome in [({"Cache-Control": "max-age=9"}, "gave_up"), ({"retry-after-ms": "9"}, None)]:
        talk = Conversation(JobRef("7"), EVERY_SECOND, lambda _n: 0.0, started_at=0.0)
        talk.next(1.0)
        talk.replied(1.0, Response(403, headers))
        assert (talk.result.outcome if talk.result else None) == outcome


def test_a_field_is_a_header_or_a_member() -> None:
    """Neither, both, or a unit that is none: refused, by name."""
    for wrong in ({}, {"header": "a", "body": "b"}, {"body": "b", "unit": "weeks"}):
        with pytest.raises(InvalidSetting):
            HintField(**wrong)


def test_the_hint_that_won_is_in_the_attempt() -> None:
    """Its name and its seconds; the wait is the longer of it and our own."""
    told: list[Attempt] = []
    policy = PollingPolicy(Backoff("constant", 1), errors=ErrorPolicy(Backoff("constant", 5)))
    talk = Conversation(JobRef("7"), policy, lambda _n: 0.0, started_at=0.0, on_attempt=[told.append])
    talk.next(1.0)
    talk.replied(1.0, reply({"openai-poll-after-ms": "2500"}))
    talk.next(3.5)
    talk.replied(3.5, reply({"x-amz-retry-after": "250"}, code=503))
    assert [(each.hint, each.retry_after, each.command) for each in told] == [
        ("openai-poll-after-ms", 2.5, Wait(3.5)),
        ("x-amz-retry-after", 0.25, Wait(8.5)),
    ]


@pytest.mark.parametrize(
    ("first_poll", "hinted", "until"),
    [
        ("after_delay", None, 1.0),
        ("after_delay", 0.5, 1.0),
        ("after_delay", 4.0, 4.2),
        ("after_delay", 1e9, 63.0),
        ("immediately", None, 0.0),
        ("immediately", 0.0, 0.0),
        ("immediately", 4.0, 4.2),
    ],
)
def test_the_submissions_hint_delays_the_first_poll(
    first_poll: FirstPoll, hinted: float | None, until: float
) -> None:
    """Never shorter than our own wait, never beyond the cap; spread like any hint, and not if unheeded."""
    policy = PollingPolicy(Backoff("constant", 1), first_poll=first_poll)
    talk = Conversation(JobRef("7"), policy, lambda _n: 0.5, started_at=0.0, retry_after=hinted)
    assert talk.next(-1.0) == Wait(until)
    deaf = replace(policy, hints=HintPolicy(honour=False))
    talk = Conversation(JobRef("7"), deaf, lambda _n: 0.5, started_at=0.0, retry_after=hinted)
    assert talk.next(-1.0) == Wait(1.0 if first_poll == "after_delay" else 0.0)


WORDS = st.text(max_size=30) | st.from_regex(r'("[a;,]*")?(;[rt]=-?[0-9.]{0,20}){0,3}(, )?.*', fullmatch=True)
NAMES = ["Retry-After", "retry-after-ms", "x-amz-retry-after", "RateLimit", "Cache-Control", "Age", "Date"]


@settings(deadline=None)  # a busy machine is no broken law
@given(
    st.dictionaries(st.sampled_from(NAMES), WORDS | st.integers(-9, 10**30).map(str)),
    st.binary(max_size=40)
    | st.builds(lambda n: b'{"eta": %s}' % str(n).encode(), st.integers() | st.floats()),
    st.sampled_from([200, 302, 404, 503]),
)
def test_no_reply_can_break_a_hint(headers: dict[str, str], body: bytes, code: int) -> None:
    """Whatever is sent, a hint is none or from 0 to 2**31 seconds."""
    dialect = Dialect(status=StatusCall(hints=(HintField(body="eta", unit="h"), HintField(header="Age"))))
    found = dialect.hint(Response(code, headers, body, now_epoch=1e9))
    assert found is None or 0 <= found.seconds <= 2**31


@settings(deadline=None)  # as above
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from(NAMES), WORDS | st.integers(-9, 10**30).map(str)),
            st.sampled_from([200, 202, 302, 404, 429, 503]),
            st.sampled_from([b'{"status": "pending"}', b'{"status": "odd", "eta": 1e400}', b"", b"[1]"]),
        ),
        max_size=12,
    ),
    st.floats(0, 1, exclude_max=True),
)
def test_no_service_shortens_a_wait_or_parks_a_client(
    replies: list[tuple[dict[str, str], int, bytes]], u: float
) -> None:
    """Each wait is our own or longer, none passes the cap or the deadline, and an end is always reached."""
    told: list[Attempt] = []
    policy = PollingPolicy(Backoff("constant", 1), deadline=300, errors=ErrorPolicy(Backoff("constant", 5)))
    dialect = Dialect(status=StatusCall(hints=(HintField(body="eta", unit="h"),)))
    script, now = iter(replies), 0.0
    talk = Conversation(
        JobRef("7"), policy, lambda _n: u, started_at=now, dialect=dialect, on_attempt=[told.append]
    )
    while (step := talk.next(now)) is not talk.result:
        if isinstance(step, Wait):
            now = step.until
            continue
        headers, code, body = next(script, ({}, 200, b'{"status": "completed"}'))
        talk.replied(now, Response(code, headers, body, now_epoch=1e9))
    for attempt in told:
        if isinstance(attempt.command, Wait):
            own = 1 if attempt.status == "pending" else 5
            waited = attempt.command.until - attempt.replied_at
            assert waited >= own - 1e-9 or attempt.command.until == 300
            assert waited <= 66 + 1e-9
    assert talk.result is not None
    assert talk.result.detected_at <= 300
    assert len(told) <= 13
