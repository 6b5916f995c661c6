"""The driver over requests: what it sends, how it reads replies, how it keeps time. The clock is virtual."""

from __future__ import annotations

import io
import json
import pickle
import socket
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any, cast

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPResponse, Timeout
from urllib3.exceptions import MaxRetryError, NewConnectionError

from client import (
    Backoff,
    ClientError,
    DeadlineExceeded,
    ErrorPolicy,
    GaveUp,
    InvalidSetting,
    JobFailed,
    PollingPolicy,
    StatusReadFailed,
    SubmitFailed,
    UnknownState,
    Wait,
)
from client.blocking import Attempt, JobStatus, Result, VideoTranslationClient

EVERY_SECOND = PollingPolicy(
    Backoff("constant", 1), errors=ErrorPolicy(Backoff("constant", 5), max_consecutive=2)
)


class Clock:
    """Virtual time: sleeping is the only thing that takes any."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Reply:
    """What the service says, as often as it is asked to say it."""

    def __init__(self, status_code: int = 200, body: object = None, **headers: str) -> None:
        self.status_code = status_code
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def read(self, url: str) -> requests.Response:
        """Return it as requests does while its body has not been read."""
        response = requests.Response()
        response.raw = HTTPResponse(io.BytesIO(self.content), preload_content=False)
        response.status_code, response.headers, response.url = (
            self.status_code,
            CaseInsensitiveDict(self.headers),
            url,
        )
        return response


class Session:
    """A stand-in for requests.Session that plays replies (or errors) in order and keeps what was asked."""

    def __init__(self, clock: Clock, *script: Reply | Exception, latency: float = 0.0) -> None:
        self._clock = clock
        self._script: Iterator[Reply | Exception] = iter(script)
        self._latency = latency
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.closed = False

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        self.asked.append((method, url, options))
        self._clock.now += self._latency
        reply = next(self._script)
        if isinstance(reply, Exception):
            raise reply
        return reply.read(url)

    def close(self) -> None:
        self.closed = True


def client_of(
    *script: Reply | Exception, policy: PollingPolicy = EVERY_SECOND, latency: float = 0.0
) -> tuple[VideoTranslationClient, Session, Clock]:
    clock = Clock()
    session = Session(clock, *script, latency=latency)
    client = VideoTranslationClient(
        "http://sim:5000/",
        policy,
        session=cast(requests.Session, session),
        uniform=lambda _n: 0.0,
        clock=clock,
        sleep=clock.sleep,
    )
    return client, session, clock


PENDING = Reply(body={"id": "j", "status": "pending", "progress": 0.5})
COMPLETED = Reply(body={"id": "j", "status": "completed", "progress": 1.0, "finished_ago": 0.25})
ERROR = Reply(body={"id": "j", "status": "error", "finished_ago": 0.25})
BUSY = Reply(503, {"title": "Busy", "status": 503})


def refused() -> requests.ConnectionError:
    """What requests raises when nobody listens, with urllib3's wrappings around the system's own error."""
    try:
        try:
            try:
                raise ConnectionRefusedError(111, "Connection refused")
            except OSError as error:
                raise NewConnectionError(cast(Any, None), "Failed to establish a new connection") from error
        except NewConnectionError as error:
            raise MaxRetryError(cast(Any, None), "/status", error) from error
    except MaxRetryError as error:
        wrapped = requests.ConnectionError(error)
        wrapped.__context__ = error
        return wrapped


# Requests


def test_a_status_request_is_a_plain_get_that_follows_no_redirect() -> None:
    """The id is quoted, the attempt rides in a header, one timeout bounds it all."""
    client, session, _ = client_of(PENDING)
    client.status("a/b c", attempt=3, timeout=2.5)
    ((method, url, options),) = session.asked
    assert (method, url) == ("GET", "http://sim:5000/jobs/a%2Fb%20c")
    assert options["headers"] == {
        "Accept": "application/json",
        "Accept-Encoding": "gzip, deflate",
        "Cache-Control": "no-cache",
        "Poll-Attempt": "3",
    }
    assert options["allow_redirects"] is False
    assert isinstance(options["timeout"], Timeout)
    assert options["timeout"].total == 2.5


def test_without_an_id_the_implicit_job_is_read() -> None:
    """GET /status, and no attempt header unless a number was given."""
    client, session, _ = client_of(PENDING)
    client.status()
    assert session.asked[0][1] == "http://sim:5000/status"
    assert "Poll-Attempt" not in session.asked[0][2]["headers"]


def test_a_submission_posts_its_key_and_returns_id_address_and_time() -> None:
    """202 with an id is an accepted job; its reply is t = 0."""
    client, session, _ = client_of(
        Reply(202, {"id": "x", "status": "pending"}, Location="/jobs/x"), latency=0.5
    )
    submission = client.submit(key=17)
    assert (submission.id, submission.url) == ("x", "http://sim:5000/jobs/x")
    assert submission.replied_at == 1000.5
    ((method, url, options),) = session.asked
    assert (method, url, options["json"]) == ("POST", "http://sim:5000/jobs", {"key": 17})


def test_a_submissions_hint_and_time_go_with_it() -> None:
    """What ``submit`` returned can be polled as it is: from its reply on, and not before its hint."""
    client, _, clock = client_of(Reply(202, {"id": "x"}, Retry_After="3"), COMPLETED)
    submission = client.submit()
    assert submission.retry_after == 3
    clock.now += 0.5
    result = client.poll(submission)
    assert (result.job_id, result.started_at, result.detected_at) == ("x", 1000, 1003)


def test_a_submission_without_a_key_posts_an_empty_object() -> None:
    """Unset is not zero: the service chooses. Without a Location the address is the usual one."""
    client, session, _ = client_of(Reply(202, {"id": "x"}))
    assert client.submit().url == "http://sim:5000/jobs/x"
    assert session.asked[0][2]["json"] == {}


@pytest.mark.parametrize(
    ("reply", "status_code", "said"),
    [
        (Reply(503, {"title": "Busy", "detail": "come back"}), 503, "HTTP 503: come back"),
        (Reply(200, {"id": "x"}), 200, "HTTP 200: the dialect's submit.accepted does not have this code"),
        (Reply(202, {"status": "pending"}), 202, "names no job id"),
        (Reply(202, {"id": True}), 202, "names no job id"),
        (Reply(202, b"<html>"), 202, "<html>"),
        (refused(), None, "no reply: ConnectionRefusedError: .*Connection refused"),
    ],
)
def test_anything_but_an_accepted_job_raises_submit_failed(
    reply: Reply | Exception, status_code: int | None, said: str
) -> None:
    """The error carries the code and the server's own words."""
    client, _, _ = client_of(reply)
    with pytest.raises(SubmitFailed, match=said) as failed:
        client.submit()
    assert failed.value.status_code == status_code


# Replies


def test_a_good_reply_is_a_job_status() -> None:
    """Status, progress, the server's own lag and its hint come through."""
    body = {"id": "j", "status": "completed", "progress": 1, "finished_ago": 0.25}
    client, _, _ = client_of(Reply(200, body, Retry_After="7"))
    assert client.status("j") == JobStatus("j", "completed", 1.0, 0.25, 7.0)


@pytest.mark.parametrize("odd", ["soon", None, True, [1], 10**400])
def test_the_jobs_end_is_not_lost_over_a_bad_detail(odd: object) -> None:
    """Only the status decides; a progress or lag that is no number is dropped."""
    client, _, _ = client_of(
        Reply(200, {"id": odd, "status": "completed", "progress": odd, "finished_ago": odd})
    )
    status = client.status()
    assert (status.status, status.progress, status.finished_ago) == ("completed", None, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff\xfe",
        b"[1]",
        b"[" * 100_000,
        b"{}",
        b'{"status": null}',
        b'{"status": ["pending"]}',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_reply_without_a_known_status_is_malformed(body: bytes) -> None:
    """The read failed, with the code of the reply; a retry may mend it."""
    client, _, _ = client_of(Reply(200, body))
    with pytest.raises(StatusReadFailed) as failed:
        client.status()
    failure = failed.value.failure
    assert (failure.kind, failure.status_code, failure.retryable) == ("malformed", 200, True)


@pytest.mark.parametrize("word", ["running", "", 1, True])
def test_a_word_that_the_dialect_does_not_have_is_named(word: object) -> None:
    """The read failed, a retry may mend it, and the error says what would declare the word."""
    client, _, _ = client_of(Reply(202, {"status": word}))
    with pytest.raises(UnknownState, match=r"declare it in .*status\.pending") as failed:
        client.status()
    copy = pickle.loads(pickle.dumps(failed.value))  # noqa: S301 -- our own bytes
    for error in (failed.value, copy):
        assert (error.member, error.word, error.failure.kind) == ("status", word, "unknown state")
        assert (error.failure.status_code, error.failure.retryable) == (202, True)
        assert str(error) == str(copy)


@settings(deadline=None)  # a busy machine is no broken law
@given(st.sampled_from([200, 302, 404, 503]), st.binary(max_size=60), st.text(max_size=20))
def test_no_reply_can_break_the_reader(status_code: int, body: bytes, hint: str) -> None:
    """Whatever comes back is a status or a failed read, never another exception."""
    client, _, _ = client_of(Reply(status_code, body, Retry_After=hint))
    with pytest.raises(StatusReadFailed):
        client.status()


@pytest.mark.parametrize(
    ("status_code", "retryable"),
    [(404, True), (409, True), (425, True), (429, True), (503, True), (302, True)],
)
def test_another_status_code_is_a_failed_read_with_the_servers_words(
    status_code: int, retryable: bool
) -> None:
    """The failure names the code, quotes problem+json, and keeps the hint."""
    client, _, _ = client_of(Reply(status_code, {"title": "Oh", "detail": "no such job"}, Retry_After="2"))
    with pytest.raises(StatusReadFailed, match=rf"http {status_code} \(no such job\)") as failed:
        client.status("j")
    assert failed.value.retry_after == 2
    assert (failed.value.failure.status_code, failed.value.failure.retryable) == (status_code, retryable)


def test_a_hint_that_is_a_date_is_measured_by_the_servers_clock() -> None:
    """The reply's own Date is its zero, so clocks need not agree; without it the wall clock has to do."""
    hour_off = time.time() + 3600
    reply = Reply(
        503, b"", Retry_After=formatdate(hour_off + 30, usegmt=True), Date=formatdate(hour_off, usegmt=True)
    )
    client, _, _ = client_of(reply)
    with pytest.raises(StatusReadFailed) as failed:
        client.status()
    assert failed.value.retry_after == 30


@pytest.mark.parametrize(
    "error",
    [
        refused(),
        requests.ConnectTimeout("slow"),
        requests.ReadTimeout("slow"),
        requests.exceptions.ChunkedEncodingError("cut off"),
        requests.exceptions.ContentDecodingError("not gzip"),
        requests.exceptions.SSLError("expired"),
    ],
)
def test_a_broken_connection_is_a_transport_failure(error: Exception) -> None:
    """No whole reply came: there is no status code, a retry may mend it, and the cause is said shortly."""
    client, _, _ = client_of(error)
    with pytest.raises(StatusReadFailed) as failed:
        client.status()
    failure = failed.value.failure
    assert (failure.kind, failure.status_code, failure.retryable) == ("transport", None, True)
    assert "Max retries" not in failure.detail


def test_an_address_that_nothing_can_be_sent_to_is_not_tried_again() -> None:
    """The service names where to poll; what requests refuses there ends the polling at once."""
    client, session, _ = client_of(requests.exceptions.InvalidURL("bad host"))
    result = client.poll("j")
    assert (result.outcome, len(session.asked)) == ("gave_up", 1)
    assert "bad host" in result.reason


def test_a_body_that_json_cannot_say_is_our_own_mistake() -> None:
    """It is refused before anything is sent."""
    client, session, _ = client_of()
    with pytest.raises(InvalidSetting, match="give what JSON can say"):
        client.submit(json={"length": float("nan")})
    assert session.asked == []


# Polling


def test_polling_goes_through_the_story_and_tells_it() -> None:
    """Waits, retries and the end, each attempt reported with its times and the next command."""
    client, session, clock = client_of(PENDING, BUSY, refused(), COMPLETED, latency=0.5)
    told: list[Attempt] = []
    result = client.poll("j", on_attempt=told.append)
    assert clock.slept == [1, 1, 5, 5]
    assert [options["headers"]["Poll-Attempt"] for _, _, options in session.asked] == ["1", "2", "3", "4"]
    assert [(a.number, a.planned_at, a.sent_at, a.replied_at) for a in told] == [
        (1, 1001, 1001, 1001.5),
        (2, 1002.5, 1002.5, 1003),
        (3, 1008, 1008, 1008.5),
        (4, 1013.5, 1013.5, 1014),
    ]
    assert [(a.status_code, a.status, a.failure) for a in told] == [
        (200, "pending", None),
        (503, None, "http 503 (Busy)"),
        (None, None, "transport (ConnectionRefusedError: [Errno 111] Connection refused)"),
        (200, "completed", None),
    ]
    assert [a.command for a in told[:3]] == [Wait(1002.5), Wait(1008), Wait(1013.5)]
    assert result == Result(
        "j", "completed", "completed", 1000, 1014, 0.25, 4, 1, 2, reason="the job ended: completed"
    )
    assert result.elapsed == 14


def test_the_start_is_the_submit_reply_when_it_is_given() -> None:
    """Time that passed between the reply and the call counts: a wait already over is not slept."""
    client, _, clock = client_of(COMPLETED)
    result = client.poll("j", started_at=990.0)
    assert clock.slept == []
    assert (result.started_at, result.elapsed) == (990.0, 10.0)


def test_an_early_timer_is_slept_again_until_the_time_has_come() -> None:
    """The driver looks at the clock, not at the sleep; and no single sleep is longer than a day."""
    client, _, clock = client_of(COMPLETED, policy=PollingPolicy(Backoff("constant", 200_000)))
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        clock.now += seconds * (0.75 if seconds == 27_200 else 1.0)

    client._sleep = nap
    client.poll()
    assert naps == [86_400, 86_400, 27_200, 6_800]


def test_the_client_sleeps_with_whatever_time_sleep_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """time.sleep and time.monotonic are looked up at each use, so gevent may patch them after the import."""
    clock = Clock()
    session = Session(clock, PENDING, COMPLETED)
    client = VideoTranslationClient("http://sim", EVERY_SECOND, session=cast(requests.Session, session))
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", clock)
    result = client.poll()
    assert (clock.slept, result.elapsed) == ([1, 1], 2)


def test_requests_never_get_more_time_than_is_left() -> None:
    """The timeouts sent are the poller's: clamped before the deadline, the allowance at it."""
    policy = PollingPolicy(Backoff("constant", 2), deadline=3, last_poll_timeout=0.25)
    client, session, _ = client_of(PENDING, PENDING, policy=policy)
    assert client.poll().outcome == "timeout"
    assert [options["timeout"].total for _, _, options in session.asked] == [1, 0.25]


def test_a_call_may_bring_its_own_policy_and_draws() -> None:
    """Policy and uniform of one call replace the client's for that call."""
    client, _, clock = client_of(COMPLETED, COMPLETED)
    client.poll(policy=PollingPolicy(Backoff("constant", 8, jitter="full")), uniform=lambda n: n / 4)
    assert clock.slept == [2]
    client.poll()
    assert clock.slept == [2, 1]


def test_jitter_is_drawn_from_random_unless_told_otherwise() -> None:
    """By default two waits differ, and both lie under the ceiling."""
    clock = Clock()
    policy = PollingPolicy(Backoff("constant", 1, jitter="full"))
    session = cast(requests.Session, Session(clock, PENDING, COMPLETED))
    VideoTranslationClient("http://sim", policy, session=session, clock=clock, sleep=clock.sleep).poll()
    assert len(set(clock.slept)) == 2
    assert all(0 <= nap < 1 for nap in clock.slept)


@pytest.mark.parametrize(
    ("script", "policy", "error", "message"),
    [
        (
            [PENDING, ERROR],
            EVERY_SECOND,
            JobFailed,
            r"job j: the job ended: error \(2 polls in 2 s, last status: error\)",
        ),
        (
            [PENDING] * 2,
            PollingPolicy(Backoff("constant", 1), deadline=2),
            DeadlineExceeded,
            r"the deadline of 2 s passed; .*'pending' \(2 polls in 2 s, last status: pending\)",
        ),
        ([BUSY] * 3, EVERY_SECOND, GaveUp, r"3 failed reads in a row, .*503 .*last status: none seen\)"),
    ],
)
def test_waiting_for_completion_raises_whose_fault_it_was(
    script: list[Reply], policy: PollingPolicy, error: type[ClientError], message: str
) -> None:
    """The job's, time's, the server's: each its own error, with the last status, counts and result."""
    client, _, _ = client_of(*script, policy=policy)
    with pytest.raises(error, match=message) as raised:
        client.wait_for_completion("j")
    assert isinstance(raised.value, ClientError)
    copy = pickle.loads(pickle.dumps(raised.value))  # noqa: S301 -- our own bytes
    assert copy.result == raised.value.result  # type: ignore[attr-defined] # all three carry it
    assert str(copy) == str(raised.value)


def test_waiting_for_completion_returns_the_result_of_a_completed_job() -> None:
    """And only of a completed one."""
    client, _, _ = client_of(COMPLETED)
    assert client.wait_for_completion().outcome == "completed"


def test_a_deadline_is_a_timeout_error_too() -> None:
    """Code that catches the built-in TimeoutError catches ours."""
    client, _, _ = client_of(PENDING, policy=PollingPolicy(Backoff("constant", 1), deadline=1))
    with pytest.raises(TimeoutError):
        client.wait_for_completion()


# The client itself


@pytest.mark.parametrize(
    "base_url",
    ["", "127.0.0.1:5000", "ftp://sim", "http://", "http://sim:99999", "http://[::1", "http://sim:0"],
)
def test_an_address_that_is_none_is_refused(base_url: str) -> None:
    """Ours to get right: the message shows the value and an address as it should be."""
    with pytest.raises(ValueError, match=r"base_url='.*' cannot be used: .*http://127.0.0.1:5000"):
        VideoTranslationClient(base_url)


def test_the_clients_own_session_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No retries, no proxies from the environment, a pool of the size asked for that never blocks."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    client = VideoTranslationClient("http://127.0.0.1:5000", connections=500)
    session = client._session
    adapter = cast(Any, session.get_adapter("http://127.0.0.1:5000"))
    assert adapter.max_retries.total == 0
    assert (adapter._pool_maxsize, adapter._pool_block) == (500, False)
    assert session.trust_env is False
    with pytest.raises(ValueError, match="connections=0"):
        VideoTranslationClient(connections=0)


@pytest.mark.parametrize("own", [True, False])
def test_only_the_clients_own_session_is_closed(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that was lent is given back open."""
    session = Session(Clock())
    monkeypatch.setattr("client.blocking._new_session", lambda _connections: session)
    with VideoTranslationClient(session=None if own else cast(requests.Session, session)):
        pass
    assert session.closed is own


def test_a_refused_connection_is_told_in_the_systems_words() -> None:
    """Against a real closed port: the wrappings of requests and urllib3 are peeled off."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        client = VideoTranslationClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with (
            client,
            pytest.raises(StatusReadFailed, match=r"transport \(ConnectionRefusedError: .*refused\)$"),
        ):
            client.status()


def test_a_silent_server_is_given_up_after_the_timeout() -> None:
    """Against a real socket that accepts and never answers: the read fails within the time it was given."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = VideoTranslationClient(f"http://127.0.0.1:{listener.getsockname()[1]}")
        began = time.monotonic()
        with client, pytest.raises(StatusReadFailed, match="transport"):
            client.status(timeout=0.05)
        assert time.monotonic() - began >= 0.05
