"""Both drivers keep one contract: the same replies over a real connection give the same story.

Replies come from a scripted server on the loopback; the client's clock and sleep are virtual.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from client import (
    Attempt,
    Backoff,
    DeadlineExceeded,
    ErrorPolicy,
    GaveUp,
    JobFailed,
    JobRef,
    JobStatus,
    PollingPolicy,
    Result,
    StatusReadFailed,
    SubmitFailed,
)
from client.asynchronous import AsyncVideoTranslationClient
from client.blocking import VideoTranslationClient

POLICY = PollingPolicy(
    Backoff("constant", 1), deadline=20, errors=ErrorPolicy(Backoff("constant", 5), max_consecutive=1)
)
Reply = tuple[int, dict[str, str], object] | None  # None: the connection is closed instead
PENDING: Reply = (200, {}, {"id": "j", "status": "pending", "progress": 0.5})
COMPLETED: Reply = (200, {}, {"id": "j", "status": "completed", "finished_ago": 0.25})
FAILED: Reply = (200, {}, {"id": "j", "status": "error", "finished_ago": 0.5})
BUSY: Reply = (503, {"Retry-After": "7"}, {"title": "Busy"})
GARBLED: Reply = (200, {}, ["no object"])
REDIRECT: Reply = (302, {"Location": "/elsewhere"}, {})
NOT_FOUND: Reply = (404, {}, {"detail": "no such job"})


class Service:
    """A server that plays replies in order and keeps what was asked."""

    def __init__(self) -> None:
        self.script: list[Reply] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                service.asked.append((self.command, self.path, headers, body))
                reply = service.script.pop(0)
                if reply is None:
                    self.close_connection = True
                    return
                status_code, headers, document = reply
                content = json.dumps(document).encode()
                self.send_response(status_code)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815 -- the base class's name

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(scope="module")
def server() -> Iterator[Service]:
    service = Service()
    yield service
    service.server.shutdown()
    service.server.server_close()


class Clock:
    """Virtual time: sleeping is the only thing that takes any."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    async def sleep_async(self, seconds: float) -> None:
        self.now += seconds


Call = Callable[..., Any]


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest, server: Service) -> Call:
    """``call(method, *arguments)`` on a client of the driver under test, with the replies ``script``."""

    def blocking(method: str, *args: Any, script: list[Reply], url: str = server.url, **options: Any) -> Any:
        server.script, server.asked = list(script), []
        clock = Clock()
        with VideoTranslationClient(
            url, POLICY, uniform=lambda _n: 0.0, clock=clock, sleep=clock.sleep
        ) as client:
            return getattr(client, method)(*args, **options)

    def asynchronous(
        method: str, *args: Any, script: list[Reply], url: str = server.url, **options: Any
    ) -> Any:
        server.script, server.asked = list(script), []
        clock = Clock()

        async def run() -> Any:
            async with AsyncVideoTranslationClient(
                url, POLICY, uniform=lambda _n: 0.0, clock=clock, sleep=clock.sleep_async
            ) as client:
                return await getattr(client, method)(*args, **options)

        return asyncio.run(run())

    return blocking if request.param == "blocking" else asynchronous


@pytest.mark.parametrize(
    ("script", "result", "attempts"),
    [
        (
            [PENDING, BUSY, COMPLETED],
            Result("j", "completed", "completed", 1000, 1009, 0.25, 3, 1, 1, "the job ended: completed"),
            [
                (1001, 200, "pending", None, None),
                (1002, 503, None, "http 503 (Busy)", 7),
                (1009, 200, "completed", None, None),
            ],
        ),
        (
            [FAILED],
            Result("j", "error", "error", 1000, 1001, 0.5, 1, 0, 0, "the job ended: error"),
            [(1001, 200, "error", None, None)],
        ),
        (
            [NOT_FOUND, PENDING, NOT_FOUND],
            Result(
                "j", "gave_up", "pending", 1000, 1007, None, 3, 1, 2,
                "no retry can mend a failed read of this kind: http 404 (no such job)",
            ),
            [
                (1001, 404, None, "http 404 (no such job)", None),
                (1006, 200, "pending", None, None),
                (1007, 404, None, "http 404 (no such job)", None),
            ],
        ),
        (
            [GARBLED, REDIRECT],
            Result(
                "j", "gave_up", None, 1000, 1006, None, 2, 0, 2,
                "2 failed reads in a row, the last: http 302 ({})",
            ),
            [
                (1001, 200, None, 'malformed (no JSON object: ["no object"])', None),
                (1006, 302, None, "http 302 ({})", None),
            ],
        ),
        (
            [PENDING] * 20,
            Result(
                "j", "timeout", "pending", 1000, 1020, None, 20, 20, 0,
                "the deadline of 20 s passed; the last poll was answered 'pending'",
            ),
            [(1000 + k, 200, "pending", None, None) for k in range(1, 21)],
        ),
    ],
    ids=["completed", "error", "not found", "malformed", "timeout"],
)  # fmt: skip
def test_the_same_replies_make_the_same_story(
    call: Call, script: list[Reply], result: Result, attempts: list[tuple[Any, ...]]
) -> None:
    """Result and attempts, times included, whichever driver carried the polls."""
    told: list[Attempt] = []
    assert call("poll", "j", script=script, on_attempt=told.append) == result
    assert [(a.sent_at, a.status_code, a.status, a.failure, a.retry_after) for a in told] == attempts
    assert [a.number for a in told] == list(range(1, len(told) + 1))


def test_a_closed_connection_is_a_failed_read_without_a_code(call: Call) -> None:
    """It is retried by the error policy: at once only over a kept connection, and then once."""
    told: list[Attempt] = []
    result = call("poll", "j", script=[None, PENDING, None, None, COMPLETED], on_attempt=told.append)
    assert (result.outcome, result.attempts, result.failures) == ("completed", 4, 2)
    assert [(a.status_code, a.resent) for a in told] == [(None, 0), (200, 0), (None, 1), (200, 0)]
    for failed in (told[0], told[2]):
        assert (failed.failure or "").startswith("transport (")


def test_a_kept_connection_that_was_closed_is_replaced_at_once_and_counted(
    call: Call, server: Service
) -> None:
    """The poll succeeds, in its own time and within its attempt; the record tells of the second request."""
    told: list[Attempt] = []
    result = call("poll", "j", script=[PENDING, None, COMPLETED], on_attempt=told.append)
    assert (result.outcome, result.attempts, result.failures) == ("completed", 2, 0)
    assert [(a.sent_at, a.status_code, a.resent) for a in told] == [(1001, 200, 0), (1002, 200, 1)]
    assert [asked[2]["poll-attempt"] for asked in server.asked] == ["1", "2", "2"]


def test_requests_are_those_of_the_dialect(call: Call, server: Service) -> None:
    """Method, quoted path, number of the attempt; no redirect is followed."""
    call("poll", "a/b c", script=[REDIRECT, COMPLETED])
    assert [(method, path) for method, path, _, _ in server.asked] == [("GET", "/jobs/a%2Fb%20c")] * 2
    assert [headers["poll-attempt"] for _, _, headers, _ in server.asked] == ["1", "2"]
    assert {headers["accept"] for _, _, headers, _ in server.asked} == {"application/json"}
    call("status", script=[PENDING])
    assert (server.asked[0][1], "poll-attempt" in server.asked[0][2]) == ("/status", False)


def test_a_job_may_be_named_by_its_reference(call: Call, server: Service) -> None:
    """What a submission returned can be polled as it is."""
    call("status", JobRef("x"), script=[PENDING])
    assert server.asked[0][1] == "/jobs/x"


def test_a_submission_is_sent_once_and_names_the_job(call: Call, server: Service) -> None:
    """The key rides in the body; the job's address is the Location, made whole."""
    accepted: Reply = (202, {"Location": "/jobs/x"}, {"id": "x", "status": "pending"})
    submission = call("submit", 17, script=[accepted])
    assert (submission.id, submission.url) == ("x", f"{server.url}/jobs/x")
    assert submission.replied_at == 1000
    ((method, path, _, body),) = server.asked
    assert (method, path, json.loads(body)) == ("POST", "/jobs", {"key": 17})
    with pytest.raises(SubmitFailed, match="HTTP 503: Busy"):
        call("submit", script=[BUSY])
    assert json.loads(server.asked[0][3]) == {}
    with pytest.raises(SubmitFailed, match="no reply"):
        call("submit", script=[None])
    assert len(server.asked) == 1


def test_a_status_is_read_once(call: Call) -> None:
    """With progress, the server's own lag and its hint."""
    reply: Reply = (200, {"Retry-After": "3"}, {"id": "j", "status": "completed", "progress": 1})
    assert call("status", "j", script=[reply]) == JobStatus("j", "completed", 1.0, None, 3.0)
    with pytest.raises(StatusReadFailed, match=r"http 503 \(Busy\)"):
        call("status", "j", script=[BUSY])


@pytest.mark.parametrize(
    ("script", "error"), [([FAILED], JobFailed), ([PENDING] * 20, DeadlineExceeded), ([BUSY] * 2, GaveUp)]
)
def test_waiting_for_completion_raises_whose_fault_it_was(
    call: Call, script: list[Reply], error: type[Exception]
) -> None:
    """The job's, time's, the server's."""
    with pytest.raises(error):
        call("wait_for_completion", "j", script=script)
    assert call("wait_for_completion", "j", script=[COMPLETED]).outcome == "completed"


def test_a_refused_connection_is_told_in_the_systems_words(call: Call) -> None:
    """Whatever the library wraps around them."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(StatusReadFailed, match=r"transport \(ConnectionRefusedError: \[Errno"):
            call("status", script=[], url=url)


def test_a_silent_server_is_given_up_after_the_timeout(call: Call) -> None:
    """A server that accepts and never answers costs the time it was given, and is a failed read."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(StatusReadFailed, match=r"transport \(\w*Timeout"):
            call("status", script=[], url=url, timeout=0.05)


def test_proxies_of_the_environment_are_not_used(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing but the address given decides where a request goes."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    assert call("status", "j", script=[PENDING]).status == "pending"


@pytest.mark.parametrize("value", ["", "ftp://sim", "http://sim:0"])
def test_an_address_that_is_none_is_refused(call: Call, value: str) -> None:
    """Ours to get right."""
    with pytest.raises(ValueError, match="base_url="):
        call("status", script=[], url=value)


def test_a_pump_that_is_interrupted_leaves_a_censored_result(server: Service) -> None:
    """Whoever holds the conversation can still read how far it came."""
    server.script = [PENDING, PENDING]

    def interrupt(seconds: float) -> None:
        clock.now += seconds
        if clock.now > 1001:
            raise KeyboardInterrupt

    clock = Clock()
    with VideoTranslationClient(server.url, POLICY, clock=clock, sleep=interrupt) as client:
        talk = client.conversation("j")
        with pytest.raises(KeyboardInterrupt):
            client.pump(talk)
    assert talk.result is not None
    assert (talk.result.outcome, talk.result.attempts, talk.result.status) == ("censored", 1, "pending")


def test_a_cancelled_task_leaves_a_censored_result(server: Service) -> None:
    """The cancellation goes on; the conversation knows of it."""
    server.script = [PENDING]

    async def run() -> None:
        clock = Clock()
        waiting = asyncio.Event()

        async def sleep(seconds: float) -> None:
            clock.now += seconds
            if clock.now > 1001:
                waiting.set()
                await asyncio.Event().wait()

        async with AsyncVideoTranslationClient(server.url, POLICY, clock=clock, sleep=sleep) as client:
            talk = client.conversation("j")
            task = asyncio.create_task(client.pump(talk))
            await waiting.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert talk.result is not None
        assert (talk.result.outcome, talk.result.attempts, talk.result.wasted) == ("censored", 1, 1)

    asyncio.run(run())


def test_many_jobs_are_polled_at_once_by_one_client(server: Service) -> None:
    """No task waits for another's connection."""
    server.script = [COMPLETED] * 30

    async def run() -> list[Result]:
        clock = Clock()
        async with AsyncVideoTranslationClient(
            server.url,
            PollingPolicy(Backoff("constant", 1)),
            connections=2,
            clock=clock,
            sleep=clock.sleep_async,
        ) as client:
            return await asyncio.gather(*(client.poll(str(n)) for n in range(30)))

    results = asyncio.run(run())
    assert [result.job_id for result in results] == [str(n) for n in range(30)]
    assert {result.outcome for result in results} == {"completed"}
