"""What a dialect does not declare is quoted, with the keys that would declare it, as data."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from test_client_replies import polled, reply

from client import (
    DIALECTS,
    NATIVE,
    Dialect,
    Failure,
    Response,
    StatusReadFailed,
    SubmitFailed,
    Undeclared,
    UnknownState,
)

OWN = Dialect.of({})
KEY_OF_PLACE = ("status.path",)
WORDS = ("status.pending", "status.completed", "status.error")


def page(text: str, code: int = 200, **headers: str) -> Response:
    return Response(code, headers, text.encode(), "https://sim/jobs")


@pytest.mark.parametrize(
    ("answer", "kind", "undeclared"),
    [
        (
            reply(200, {"status": "aborted"}), "unknown state",
            Undeclared('HTTP 200: {"status": "aborted"}', WORDS),
        ),
        (
            reply(200, {"state": "done"}), "malformed",
            Undeclared('HTTP 200: {"state": "done"}', ("status.state",)),
        ),
        (reply(200, {"status": {}}), "malformed", Undeclared('HTTP 200: {"status": {}}', ("status.state",))),
        (page("<html>\n Sign in"), "malformed", Undeclared("HTTP 200: <html> Sign in", ("status.path",))),
        (
            page("", 204), "malformed",
            Undeclared("HTTP 204: empty body", ("status.not_ready", "status.state")),
        ),
        (
            page("", 308, Location="https://u:pw@sim/jobs/7/?k=1"), "http 308",
            Undeclared("HTTP 308: it leads to https://sim/jobs/7/?..., which is not followed", KEY_OF_PLACE),
        ),
        (
            reply(409, {"detail": "busy"}), "http 409",
            Undeclared('HTTP 409: {"detail": "busy"}', ("status.not_ready", "status.retryable")),
        ),
        *((reply(code), f"http {code}", None) for code in (401, 403, 404, 410, 425, 429, 500, 503)),
    ],
)  # fmt: skip
def test_a_reply_to_a_poll_that_is_not_declared_names_the_keys(
    answer: Response, kind: str, undeclared: Undeclared | None
) -> None:
    """On the exception's failure; what is about access, load or a fault of the service is no such reply."""
    with pytest.raises(StatusReadFailed) as failed:
        OWN.read(answer)
    assert (failed.value.failure.kind, failed.value.failure.undeclared) == (kind, undeclared)
    again = pickle.loads(pickle.dumps(failed.value))  # noqa: S301 - our own
    assert again.failure.undeclared == undeclared


def test_a_word_in_a_list_of_words_is_told_as_a_word() -> None:
    """Whatever the document is: its state was found."""
    dialect = Dialect.of({"status": {"state": "[0].s"}})
    with pytest.raises(UnknownState) as unknown:
        dialect.read(reply(200, [{"s": "aborted"}]))
    assert unknown.value.word == "aborted"


@pytest.mark.parametrize(
    ("dialect", "answer", "keys"),
    [
        (NATIVE, page('{"id": "7"}', 200), ("submit.accepted",)),
        (OWN, page("", 303, Location="/x"), ("submit.accepted",)),
        (OWN, page('{"job": 7}', 202), ("submit.id", "submit.location")),
        (OWN, page("{}", 202, Location="ftp://sim"), ("submit.location",)),
        (OWN, page("no", 400), None),
        (OWN, page("no", 503), None),
        (DIALECTS["heygen-v2"], page('{"data": null, "error": {"message": "no credit"}}'), None),
    ],
)
def test_a_reply_to_a_submission_that_is_not_declared_names_the_keys(
    dialect: Dialect, answer: Response, keys: tuple[str, ...] | None
) -> None:
    """On SubmitFailed; a refusal is none."""
    with pytest.raises(SubmitFailed) as failed:
        dialect.accepted(answer)
    unknown = failed.value.undeclared
    assert (unknown and unknown.keys) == keys
    if unknown:
        assert unknown.quote.startswith(f"HTTP {answer.status_code}: ")
    again = pickle.loads(pickle.dumps(failed.value))  # noqa: S301 - our own
    assert (str(again), again.undeclared) == (str(failed.value), unknown)


def test_a_refused_submission_says_when_to_come_back() -> None:
    """Whoever submits can wait that long."""
    with pytest.raises(SubmitFailed) as failed:
        OWN.accepted(page("busy", 429, **{"Retry-After": "7"}))
    assert (failed.value.retry_after, failed.value.hint, failed.value.retryable) == (7, "Retry-After", True)


@pytest.mark.parametrize(
    ("code", "again"),
    [(400, False), (401, False), (404, False), (408, True), (429, True), (503, True)],
)
def test_a_refused_submission_says_whether_another_try_could_mend_it(code: int, again: bool) -> None:
    """As for status reads: what is wrong with the request stays wrong."""
    with pytest.raises(SubmitFailed) as failed:
        OWN.accepted(page("no", code))
    assert failed.value.retryable is again


def test_attempts_and_the_result_carry_it_too() -> None:
    """An attempt its own, the result that of the last read; a good read ends it."""
    unknown, pending = reply(200, {"status": "odd"}), reply(200, {"status": "pending"})
    result, told = polled([unknown, pending, unknown, unknown, unknown])
    assert [each.undeclared and each.undeclared.keys for each in told] == [WORDS, None, WORDS, WORDS, WORDS]
    assert result.failure is not None
    assert result.failure.undeclared == Undeclared('HTTP 200: {"status": "odd"}', WORDS)
    result, _ = polled([unknown, reply(200, {"status": "completed"})])
    assert result.failure is None


@pytest.mark.parametrize(
    "body", [{"error": "quota"}, {"error": {"message": "quota"}}, {"error": {"code": 7}}]
)
def test_an_error_inside_a_200_is_a_failed_read_and_not_the_jobs_end(body: dict[str, Any]) -> None:
    """Where the dialect says so: retried, with the service's words, and nothing undeclared about it."""
    dialect = Dialect.of({"status": {"problem": "error"}})
    result, told = polled(
        [reply(200, {**body, "status": "error"}), reply(200, {"status": "completed", "error": None})], dialect
    )
    assert (result.outcome, result.failures) == ("completed", 1)
    said = "quota" if "quota" in str(body) else json.dumps({**body, "status": "error"})
    assert told[0].failure == f"problem ({said})"
    assert told[0].undeclared is None


QUOTES: list[Callable[[Response], Any]] = [
    lambda response: _of(lambda: OWN.read(response)),
    lambda response: _of(lambda: OWN.accepted(response)),
]


def _of(read: Callable[[], object]) -> str:
    with pytest.raises((StatusReadFailed, SubmitFailed)) as failed:
        read()
    error: Any = failed.value
    unknown = error.undeclared if isinstance(error, SubmitFailed) else error.failure.undeclared
    return f"{error}{unknown.quote if unknown else ''}"


@pytest.mark.parametrize("quote", QUOTES)
@pytest.mark.parametrize(
    "body",
    [
        "\x1b[2J\x1b]0;owned\x07",
        json.dumps({"detail": "\x1b[31m\u202egnp.exe"}),
        json.dumps({"status": "\x1b[31m"}),
        json.dumps({"\x9b": 1}, ensure_ascii=False),
        "x" * 10_000,
        json.dumps({"status": "x" * 10_000}),
    ],
)
@pytest.mark.parametrize("code", [200, 302, 409])
def test_what_a_service_says_is_cut_and_steers_no_terminal(
    quote: Callable[[Response], str], body: str, code: int
) -> None:
    """Escapes, reversals of direction and endless lines come out as short, plain text."""
    said = quote(page(body, code))
    assert said.isprintable()
    assert len(said) < 700


def test_equal_failures_are_equal_whatever_was_quoted() -> None:
    """The quote is for people who mend a dialect, not what a failure is."""
    assert Failure("malformed", 200, "x", undeclared=Undeclared("a", ())) == Failure("malformed", 200, "x")
