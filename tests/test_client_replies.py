"""What replies of real services mean: each case was met by somebody in public, and is cut to its smallest."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from client import (
    NATIVE,
    Attempt,
    Backoff,
    Conversation,
    Dialect,
    ErrorPolicy,
    InvalidSetting,
    JobRef,
    PollingPolicy,
    Response,
    Result,
    StatusCall,
    Wait,
)

POLICY = PollingPolicy(Backoff("constant", 1), errors=ErrorPolicy(Backoff("constant", 5), max_consecutive=2))


def reply(status_code: int, body: object = None, **headers: str) -> Response:
    content = b"" if body is None else json.dumps(body).encode()
    return Response(status_code, {name.replace("_", "-"): value for name, value in headers.items()}, content)


def polled(
    replies: Iterable[Response], dialect: Dialect = NATIVE, policy: PollingPolicy = POLICY
) -> tuple[Result, list[Attempt]]:
    """The whole polling of a job whose status requests get these replies, each at once."""
    told: list[Attempt] = []
    script = iter(replies)
    now = 0.0
    talk = Conversation(
        JobRef("7"), policy, lambda _n: 0.0, started_at=now, dialect=dialect, on_attempt=[told.append]
    )
    while not isinstance(step := talk.next(now), Result):
        if isinstance(step, Wait):
            now = step.until
        else:
            talk.replied(now, next(script))
    return step, told


def of(**call: object) -> Dialect:
    return Dialect(status=StatusCall(**call))  # type: ignore[arg-type] # each test's own fields


# What a reply means comes from its code and its body


@pytest.mark.parametrize("code", [200, 202, 203])
def test_a_2xx_that_says_pending_is_a_pending_poll_whatever_the_number(code: int) -> None:
    """Fourteen of them follow the cadence, none is a failure, and the job is seen to its end."""
    pending = reply(code, {"id": "7", "status": "pending"})
    result, told = polled([*[pending] * 14, reply(200, {"status": "completed"})])
    assert (result.outcome, result.attempts, result.wasted, result.failures) == ("completed", 15, 14, 0)
    assert [attempt.sent_at for attempt in told] == [*range(1, 16)]


@pytest.mark.parametrize("code", [200, 202, 203])
@pytest.mark.parametrize("word", ["completed", "error"])
def test_a_2xx_that_tells_the_end_is_believed(code: int, word: str) -> None:
    """202 with "completed" ends it."""
    result, _ = polled([reply(code, {"status": word})])
    assert (result.outcome, result.attempts) == (word, 1)


def test_codes_that_say_not_ready_are_pending_polls() -> None:
    """An empty 202, a 400 or a 409 with any body, where the dialect declares them; not beyond that."""
    bulk = of(not_ready=(202, 409))
    pending = [reply(202), reply(409, {"status": "error"}), reply(202, ["x"])]
    result, told = polled([*pending, reply(202, {"status": "completed"})], bulk)
    assert (result.outcome, result.wasted, result.failures) == ("completed", 3, 0)
    assert [attempt.status for attempt in told] == ["pending"] * 3 + ["completed"]
    result, _ = polled([reply(400)], bulk)
    assert (result.outcome, result.failures) == ("gave_up", 1)


def test_codes_that_are_retryable_spend_the_error_budget() -> None:
    """423 ends the polling unless it is declared; then it waits as failed reads do."""
    assert polled([reply(423)])[0].outcome == "gave_up"
    result, told = polled([reply(423), reply(200, {"status": "completed"})], of(retryable=(423,)))
    assert (result.outcome, result.failures, told[1].sent_at) == ("completed", 1, 6)
    result, _ = polled([reply(423)] * 3, of(retryable=(423,)))
    assert (result.outcome, result.attempts) == ("gave_up", 3)


@pytest.mark.parametrize("failed", [reply(425), reply(409, Retry_After="2"), reply(404, Retry_After="2")])
def test_too_early_and_a_4xx_that_says_when_to_come_back_are_retried(failed: Response) -> None:
    """A server that names a time expects the client again."""
    late = PollingPolicy(POLICY.cadence, errors=ErrorPolicy(Backoff("constant", 5), not_found_grace=0))
    result, told = polled([failed, reply(200, {"status": "completed"})], policy=late)
    assert (result.outcome, result.failures, told[1].sent_at) == ("completed", 1, 6)


# Words


VIDEO = of(
    pending=("queued", "in_progress"), completed=("succeeded",), error=("failed", "cancelled", "expired")
)


@pytest.mark.parametrize(
    "word", ["queued", "QUEUED", "in progress", "In_Progress", "inProgress", "in-progress"]
)
def test_words_are_compared_without_case_blanks_and_joints(word: str) -> None:
    """One word, however its service spells it."""
    result, _ = polled([*[reply(200, {"status": word})] * 14, reply(200, {"status": "Succeeded"})], VIDEO)
    assert (result.outcome, result.wasted, result.failures) == ("completed", 14, 0)


@pytest.mark.parametrize("word", ["failed", "Cancelled", "EXPIRED"])
def test_a_word_for_a_bad_end_is_the_jobs_error_at_once(word: str) -> None:
    """Not a failed read: the job ended."""
    result, _ = polled([reply(200, {"status": "queued"}), reply(200, {"status": word})], VIDEO)
    assert (result.outcome, result.attempts, result.failures) == ("error", 2, 0)


@pytest.mark.parametrize(("word", "outcome"), [("COMPLETED", "completed"), ("Error", "error")])
def test_the_native_words_are_no_stricter(word: str, outcome: str) -> None:
    """``Completed`` is ``completed``."""
    assert polled([reply(200, {"status": word})])[0].outcome == outcome


def test_an_unknown_word_is_told_once_with_what_would_declare_it() -> None:
    """The word each time, the remedy in the first attempt and in the reason; never as malformed."""
    result, told = polled([reply(200, {"status": "aborted"})] * 3)
    remedy = "declare it in the dialect's status.pending, status.completed or status.error"
    assert [attempt.failure for attempt in told] == [
        f"unknown state (status 'aborted': {remedy})",
        "unknown state (status 'aborted')",
        "unknown state (status 'aborted')",
    ]
    assert result.reason == (f"3 failed reads in a row, the last: unknown state (status 'aborted': {remedy})")


def test_a_boolean_or_a_number_may_be_the_word() -> None:
    """``{"done": false}`` and the like."""
    flags = of(state="done", pending=("false",), completed=("true",), error=("9",))
    assert polled([reply(200, {"done": False}), reply(200, {"done": True})], flags)[0].outcome == "completed"
    assert polled([reply(200, {"done": 9})], flags)[0].outcome == "error"


def test_the_state_may_lie_deeper() -> None:
    """A dot leads into a member."""
    nested = of(state="data.status")
    result, _ = polled(
        [reply(200, {"data": {"status": "pending"}}), reply(200, {"data": {"status": "completed"}})], nested
    )
    assert (result.outcome, result.wasted) == ("completed", 1)


def test_a_word_in_two_lists_is_refused() -> None:
    """Before anything is sent, with the word and the other list; spellings of one word are one."""
    with pytest.raises(InvalidSetting, match="it is in pending too") as refused:
        of(pending=("in_progress",), error=("failed", "In Progress"))
    assert (refused.value.field, refused.value.value) == ("error", "In Progress")
