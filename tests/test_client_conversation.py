"""The conversation: a whole polling without input or output, told event by event."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from client import (
    NATIVE,
    Attempt,
    Backoff,
    Conversation,
    Dialect,
    Done,
    ErrorPolicy,
    IllegalEvent,
    JobRef,
    PollingPolicy,
    Request,
    Response,
    Result,
    SendRequest,
    StatusReadFailed,
    SubmitFailed,
    Wait,
)

POLLS = {"Accept": "application/json", "Cache-Control": "no-cache", "Poll-Attempt": "1"}
POLICY = PollingPolicy(Backoff("constant", 1), deadline=60, errors=ErrorPolicy(Backoff("constant", 5)))


def reply(status_code: int = 200, headers: dict[str, str] | None = None, **body: object) -> Response:
    return Response(status_code, headers or {}, json.dumps(body).encode())


def test_a_due_request_waits_for_its_turn() -> None:
    """It is asked for again until the turn has come; the record keeps when the policy wanted it sent."""
    turns = {101.0: 101.5, 101.5: 101.75, 101.75: 101.75}
    told: list[Attempt] = []
    talk = Conversation(
        JobRef("j"),
        POLICY,
        lambda _n: 0.0,
        started_at=100.0,
        turn=turns.__getitem__,
        on_attempt=(told.append,),
    )
    assert talk.next(100.0) == Wait(101.0)  # not yet due: no turn is asked for
    assert talk.next(101.0) == Wait(101.5)
    assert talk.next(101.5) == Wait(101.75)
    assert isinstance(talk.next(101.75), SendRequest)
    talk.replied(102.0, reply(status="pending"))
    assert (told[0].planned_at, told[0].sent_at) == (101.0, 101.75)
    assert talk.next(102.0) == Wait(103.0)


def talking(told: list[Attempt] | None = None, dialect: Dialect = NATIVE) -> Conversation:
    hooks = () if told is None else (told.append,)
    return Conversation(
        JobRef("j"), POLICY, lambda _n: 0.0, started_at=100.0, dialect=dialect, on_attempt=hooks
    )


def test_a_conversation_says_what_to_do_and_when_until_it_ends() -> None:
    """Waits with their times, requests with their number and time limit, and the result at the end."""
    talk = talking()
    assert talk.next(100.0) == Wait(101.0)
    assert talk.next(101.25) == SendRequest(Request("GET", "/jobs/j", POLLS), 1, 10.0)
    talk.replied(101.5, reply(status="pending"))
    assert talk.next(101.5) == Wait(102.5)
    assert isinstance(talk.next(102.5), SendRequest)
    talk.replied(103.0, reply(status="completed", finished_ago=0.25))
    result = Result(
        "j", "completed", "completed", 100.0, 103.0, 0.25, 2, 1, 0, reason="the job ended: completed"
    )
    assert talk.next(103.0) == result
    assert talk.result == result


def test_asked_too_early_it_says_the_same_wait_again() -> None:
    """So a driver whose timer fires early only has to ask again."""
    talk = talking()
    assert [talk.next(now) for now in (100.0, 100.5, 100.999)] == [Wait(101.0)] * 3
    assert isinstance(talk.next(101.0), SendRequest)


def test_each_attempt_is_told_with_its_times_its_reply_and_what_follows() -> None:
    """Planned, sent, replied; a code where a reply came; the failure in words; every hook hears it."""
    told: list[Attempt] = []
    talk = talking(told)
    talk.next(101.25)
    assert talk.replied(101.5, reply(503, {"retry-after": "7"}, detail="Busy")) is told[0]
    talk.next(110.0)
    talk.broke(110.5, "ConnectionResetError: gone")
    talk.next(115.5)
    talk.replied(116.0, reply(status="error"))
    assert told == [
        Attempt(1, 101.0, 101.25, 101.5, 503, None, "http 503 (Busy)", 7.0, Wait(108.5)),
        Attempt(
            2, 108.5, 110.0, 110.5, None, None, "transport (ConnectionResetError: gone)", None, Wait(115.5)
        ),
        Attempt(
            3,
            115.5,
            115.5,
            116.0,
            200,
            "error",
            None,
            None,
            Done("error", 116.0, 3, 0, 2, "the job ended: error"),
        ),
    ]


def test_the_books_can_be_read_at_any_time() -> None:
    """Polls sent (one in flight included), ended, wasted, failed, and the last status that was read."""
    talk = talking()

    def books() -> tuple[int, int, int, int]:
        return talk.polls, talk.answered, talk.wasted, talk.failures

    assert (books(), talk.seen) == ((0, 0, 0, 0), None)
    talk.next(101.0)
    assert books() == (1, 0, 0, 0)
    talk.replied(101.0, reply(status="pending", progress=0.5))
    assert books() == (1, 1, 1, 0)
    talk.next(102.0)
    talk.broke(102.0, "gone")
    assert books() == (2, 2, 1, 1)
    assert talk.seen is not None
    assert (talk.seen.status, talk.seen.progress) == ("pending", 0.5)


@pytest.mark.parametrize(("in_flight", "attempts"), [(False, 1), (True, 2)])
def test_a_cancelled_conversation_is_censored(in_flight: bool, attempts: int) -> None:
    """Its result has what is known: the last status, and every request sent, one in flight included."""
    talk = talking()
    talk.next(101.0)
    talk.replied(101.0, reply(status="pending"))
    if in_flight:
        talk.next(102.0)
    result = talk.cancelled(102.5)
    assert result == Result(
        "j", "censored", "pending", 100.0, 102.5, None, attempts, 1, 0, reason="polling was cancelled"
    )
    assert talk.polls == attempts
    assert talk.next(103.0) is result


def test_an_event_out_of_turn_is_refused_and_changes_nothing() -> None:
    """A reply to nothing, a second request, an end after the end."""
    told: list[Attempt] = []
    talk = talking(told)
    with pytest.raises(IllegalEvent):
        talk.replied(100.5, reply(status="completed"))
    with pytest.raises(IllegalEvent):
        talk.broke(100.5, "gone")
    talk.next(101.0)
    with pytest.raises(IllegalEvent):
        talk.next(101.0)
    assert (told, talk.polls, talk.answered, talk.failures, talk.seen) == ([], 1, 0, 0, None)
    talk.replied(101.0, reply(status="completed"))
    with pytest.raises(IllegalEvent):
        talk.cancelled(102.0)
    assert talk.result is not None
    assert talk.result.outcome == "completed"


# Dialects


def test_another_dialect_is_other_data() -> None:
    """Paths, members, words and codes are fields; the conversation does not change."""
    other = replace(
        NATIVE,
        submit=replace(NATIVE.submit, path="/v2/videos", accepted=(200, 201), id="video_id"),
        status=replace(
            NATIVE.status,
            path="/v2/videos/{id}",
            state="state",
            pending=("queued", "running"),
            error=("failed",),
        ),
    )
    assert other.submission(7) == Request("POST", "/v2/videos", {"Accept": "application/json"}, {"key": 7})
    assert other.accepted(reply(201, video_id="a b")) == JobRef("a b", "/v2/videos/a%20b")
    talk = talking(dialect=other)
    step = talk.next(101.0)
    assert isinstance(step, SendRequest)
    assert step.request.path == "/v2/videos/j"
    assert [talk.replied(101.0, reply(state="running")).status] == ["pending"]
    talk.next(102.0)
    talk.replied(102.0, reply(state="failed"))
    assert talk.result is not None
    assert talk.result.outcome == "error"


def test_the_address_of_a_job_is_its_location_else_the_usual_one() -> None:
    """A Location may be relative to where the reply came from, or a whole address."""
    for location, url in [
        ({"location": "/jobs/x"}, "http://sim:5000/jobs/x"),
        ({"Location": "http://other/x"}, "http://other/x"),
        ({}, "http://sim:5000/jobs/x"),
    ]:
        response = Response(202, location, b'{"id": "x"}', "http://sim:5000/jobs")
        assert NATIVE.accepted(response) == JobRef("x", url)


def test_a_request_goes_to_its_path_at_the_service_or_to_a_whole_address() -> None:
    """What begins with a slash hangs below the base address, with any path that it has."""
    assert Request("GET", "/jobs/x").url("http://sim/api") == "http://sim/api/jobs/x"
    assert Request("GET", "https://other/x").url("http://sim/api") == "https://other/x"


def test_headers_are_found_in_any_case() -> None:
    """Some libraries lower them."""
    response = Response(503, {"RETRY-after": "3"})
    assert (response.header("Retry-After"), response.header("Date")) == ("3", None)


def test_what_cannot_be_read_says_so() -> None:
    """The codes and words of the native dialect; everything else is a failed read or a refused job."""
    with pytest.raises(SubmitFailed, match="HTTP 200"):
        NATIVE.accepted(reply(200, id="x"))
    with pytest.raises(StatusReadFailed, match="status 'running'"):
        NATIVE.read(reply(status="running"))
    with pytest.raises(StatusReadFailed, match="no status"):
        NATIVE.read(reply(state="pending"))
