"""Kept connections that close, and caches, on real sockets; dialects of the caller's own, to the end."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Self

import pytest
import requests

from client import Attempt, Backoff, ErrorPolicy, PollingPolicy, Result, SubmitFailed
from client import __main__ as command
from client.asynchronous import AsyncVideoTranslationClient
from client.blocking import VideoTranslationClient

POLICY = PollingPolicy(
    Backoff("constant", 0.01), deadline=5, errors=ErrorPolicy(Backoff("constant", 0.01), max_consecutive=1)
)
Act = Callable[[socket.socket], bool]


def read_request(connection: socket.socket) -> bytes:
    """Return a request, read to its end: a body may come in a packet of its own."""
    text = b""
    while b"\r\n\r\n" not in text:
        if not (piece := connection.recv(65536)):
            return text
        text += piece
    head, _, body = text.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65536)
    return text


def says(word: str) -> Act:
    """Read a request and answer it; the connection stays open."""
    body = json.dumps({"id": "7", "status": word}).encode()

    def act(connection: socket.socket) -> bool:
        asked = read_request(connection)
        code = b"202 Accepted" if asked.startswith(b"POST") else b"200 OK"
        connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (code, len(body), body))
        return True

    return act


def closes(connection: socket.socket) -> bool:
    """Read a request and close: the client sees the end of the stream."""
    read_request(connection)
    return False


def closes_unread(connection: socket.socket) -> bool:
    """Close with the request unread: the system resets the connection."""
    connection.recv(1, socket.MSG_PEEK)
    return False


def resets(connection: socket.socket) -> bool:
    """Read a request and reset the connection."""
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def cut(text: bytes) -> Act:
    """Read a request, send the beginning of a reply, and close."""

    def act(connection: socket.socket) -> bool:
        read_request(connection)
        connection.sendall(text)
        return False

    return act


class Server:
    """Plays acts in turn, one a request, and takes a new connection after each that ends in a close."""

    def __init__(self, *acts: Act) -> None:
        self.acts = list(acts)
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self.acts:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while self.acts and self.acts.pop(0)(connection):
                    pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()


Poll = Callable[..., tuple[Result, list[Attempt]]]


@pytest.fixture(params=["blocking", "asynchronous"])
def poll(request: pytest.FixtureRequest) -> Poll:
    """``poll(server, **options)``: the polling of a job by a client of the driver under test."""

    def blocking(server: Server, **options: Any) -> tuple[Result, list[Attempt]]:
        told: list[Attempt] = []
        with VideoTranslationClient(server.url, POLICY, **options) as client:
            return client.poll("7", on_attempt=told.append), told

    def asynchronous(server: Server, **options: Any) -> tuple[Result, list[Attempt]]:
        told: list[Attempt] = []

        async def run() -> Result:
            async with AsyncVideoTranslationClient(server.url, POLICY, **options) as client:
                return await client.poll("7", on_attempt=told.append)

        return asyncio.run(run()), told

    return blocking if request.param == "blocking" else asynchronous


def story(told: list[Attempt]) -> list[tuple[int | None, int]]:
    return [(attempt.status_code, attempt.resent) for attempt in told]


@pytest.mark.parametrize("close", [closes, closes_unread, resets])
def test_a_poll_over_a_kept_connection_that_closes_is_sent_again_once(poll: Poll, close: Act) -> None:
    """However it closes, before a byte of a reply; it is counted, and no failed read."""
    with Server(says("pending"), close, says("completed")) as server:
        result, told = poll(server)
    assert (result.outcome, result.attempts, result.failures) == ("completed", 2, 0)
    assert story(told) == [(200, 0), (200, 1)]
    assert server.connections == 2


@pytest.mark.parametrize("close", [closes, closes_unread, resets])
def test_it_is_never_sent_a_third_time(poll: Poll, close: Act) -> None:
    """The second close is a failed read, which waits as failed reads do."""
    with Server(says("pending"), close, close, says("completed")) as server:
        result, told = poll(server)
    assert (result.outcome, result.failures) == ("completed", 1)
    assert story(told) == [(200, 0), (None, 1), (200, 0)]


@pytest.mark.parametrize("close", [closes, closes_unread, resets])
def test_a_new_connection_that_closes_is_a_failed_read(poll: Poll, close: Act) -> None:
    """Nothing says that the server is there at all."""
    with Server(close, says("completed")) as server:
        _, told = poll(server)
    assert story(told) == [(None, 0), (200, 0)]


def test_a_connection_that_closed_before_it_was_used_is_simply_another(poll: Poll) -> None:
    """Nothing was sent over it, so nothing is sent again."""
    with Server(lambda connection: not says("pending")(connection), says("completed")) as server:
        _, told = poll(server)
    assert story(told) == [(200, 0), (200, 0)]


@pytest.mark.parametrize(
    "begun",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n"],
)
def test_a_reply_that_began_is_not_asked_for_again(poll: Poll, begun: bytes) -> None:
    """The service read the request; this is a failed read."""
    with Server(says("pending"), cut(begun), says("completed")) as server:
        _, told = poll(server)
    assert story(told) == [(200, 0), (None, 0), (200, 0)]


@pytest.mark.parametrize("begun", [b"H", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nContent-Le"])
def test_one_byte_of_a_reply_is_enough_for_the_blocking_client(begun: bytes) -> None:
    """It counts what comes."""
    told: list[Attempt] = []
    with (
        Server(says("pending"), cut(begun), says("completed")) as server,
        VideoTranslationClient(server.url, POLICY) as client,
    ):
        client.poll("7", on_attempt=told.append)
    assert [attempt.resent for attempt in told[:2]] == [0, 0]


def test_it_can_be_left_to_the_error_policy(poll: Poll) -> None:
    """``resend=False``: where a reset is what is measured."""
    with Server(says("pending"), resets, says("completed")) as server:
        _, told = poll(server, resend=False)
    assert story(told) == [(200, 0), (None, 0), (200, 0)]


def test_a_submission_is_never_sent_again() -> None:
    """The service may have accepted it."""
    with (
        Server(says("pending"), closes_unread, says("pending")) as server,
        VideoTranslationClient(server.url, POLICY) as client,
    ):
        client.submit()
        with pytest.raises(SubmitFailed) as failed:
            client.submit()
        assert len(server.acts) == 1
    assert failed.value.status_code is None
    assert server.connections == 1


def test_a_session_of_the_callers_own_is_left_alone() -> None:
    """What is to be sent again over it is its owner's to say."""
    told: list[Attempt] = []
    with Server(says("pending"), closes, says("completed")) as server, requests.Session() as session:
        VideoTranslationClient(server.url, POLICY, session=session).poll("7", on_attempt=told.append)
    assert story(told) == [(200, 0), (None, 0), (200, 0)]


# A cache between client and service


class Handler(BaseHTTPRequestHandler):
    """A handler that says nothing on standard error."""

    def answer(self, code: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class CachedService:
    """A job that ends with its third status request, behind a proxy that keeps replies for five minutes."""

    def __init__(self) -> None:
        self.reached = 0
        service, kept = self, dict[str, bytes]()

        class Origin(Handler):
            def do_GET(self) -> None:
                service.reached += 1
                word = "completed" if service.reached >= 3 else "pending"
                self.answer(200, {"Cache-Control": "max-age=300"}, json.dumps({"status": word}).encode())

        class Proxy(Handler):
            def do_GET(self) -> None:
                if "no-cache" not in self.headers.get("Cache-Control", "") and self.path in kept:
                    self.answer(200, {"Age": "1"}, kept[self.path])
                    return
                with urllib.request.urlopen(service.origin + self.path) as reply:  # noqa: S310 - ours
                    kept[self.path] = reply.read()
                self.answer(200, {"Age": "300"}, kept[self.path])

        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), kind) for kind in (Origin, Proxy)]
        self.origin, self.url = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


@pytest.fixture
def cached() -> Iterator[CachedService]:
    service = CachedService()
    yield service
    service.close()


def test_no_cache_on_the_way_tells_an_old_state(poll: Poll, cached: CachedService) -> None:
    """Every poll reaches the service; whoever does not ask for that hears the first reply for minutes."""
    result, told = poll(cached)
    assert (result.outcome, result.attempts, cached.reached) == ("completed", 3, 3)
    assert [attempt.status for attempt in told] == ["pending", "pending", "completed"]
    cached.reached = 0
    stale = [urllib.request.urlopen(f"{cached.url}/other").read() for _ in range(5)]  # noqa: S310 - ours
    assert stale == [b'{"status": "pending"}'] * 5


# The command, and the page's example


def test_the_example_of_your_own_api_runs(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """docs/client.md, as it stands but for the address; the secret goes to the service and is not printed."""
    page = (Path(__file__).resolve().parent.parent / "docs" / "client.md").read_text()
    code = re.findall(r"## Your own API\n.*?```python\n(.*?)```", page, re.DOTALL)[0]
    asked: list[tuple[str, str, str | None, bytes]] = []

    class Api(Handler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked.append((self.command, self.path, self.headers["Authorization"], body))
            word = "succeeded" if self.command == "GET" else "queued"
            self.answer(200, {}, json.dumps({"data": {"id": 7, "status": word}}).encode())

        do_POST = do_GET  # noqa: N815 -- the base class's name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("API_TOKEN", "s3cret-token")
    assert "https://api.example.com" in code
    try:
        exec(code.replace("https://api.example.com", f"http://127.0.0.1:{server.server_port}"), {})  # noqa: S102
    finally:
        server.shutdown()
        server.server_close()
    assert capsys.readouterr().out == "completed\n"
    body = b'{"url": "https://example.com/a.mp4", "language": "de"}'
    assert asked[0] == ("POST", "/v2/videos", "Bearer s3cret-token", body)
    assert asked[1] == ("GET", "/v2/videos/7", "Bearer s3cret-token", b"")


GOOD = """\
dialect:
  submit: {path: /v2/x, id: data.id, json: {a: 1}}
  status: {path: "/v2/x/{id}", state: data.s, pending: [queued], completed: [done], error: [bad]}
"""


def test_the_command_takes_a_dialect_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a body for the submission; an undeclared word is told with the file's name and its keys."""
    (tmp_path / "api.yaml").write_text(GOOD)
    bodies: list[bytes] = []
    words = chain(["queued", "done", "queued"], repeat("odd\x1b[31m"))

    class Api(Handler):
        def do_GET(self) -> None:
            bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            self.answer(200, {}, json.dumps({"data": {"id": 7, "s": next(words)}}).encode())

        do_POST = do_GET  # noqa: N815 -- the base class's name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    file, url = str(tmp_path / "api.yaml"), f"http://127.0.0.1:{server.server_port}"
    options = ["--url", url, "--dialect", file, "--initial", "0.01", "--submit"]
    try:
        assert command.main([*options, "--body", '{"b": 2}']) == 0
        assert json.loads(bodies[0]) == {"a": 1, "b": 2}
        assert f"speaking {file}: POST /v2/x, then GET /v2/x/{{id}}" in capsys.readouterr().out
        assert command.main([*options, "--deadline", "0.05"]) in (3, 4)
    finally:
        server.shutdown()
        server.server_close()
    told = capsys.readouterr()
    assert (
        f"the dialect {file} does not declare this reply; see its status.pending or status.completed"
        in told.err
    )
    assert "\x1b" not in told.out + told.err


def test_every_fault_of_a_dialects_file_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each at its line, with what would be right; exit code 2, and nothing is sent."""
    file = tmp_path / "bad.yaml"
    file.write_text(
        """\
submit:
  path: jobs
  headers: {Authorization: "Bearer ${NOBODY_HAS_THIS}", X-Key: "s3cr\\net"}
  id: "a["
  id: x
  json: {day: 2024-01-01}
  location: 7
status:
  path: /jobs
  sate: x
  pending: [queued, run]
  error: [RUN]
  hints: 5
  accepted: null
more: 1
"""
    )
    with pytest.raises(SystemExit) as refused:
        command.main(["--dialect", str(file)])
    assert refused.value.code == 2
    told = capsys.readouterr().err
    lines = dict(re.findall(rf"{re.escape(str(file))}:(\d+): (.*)", told))
    for line, said in {
        "2": "submit.path: 'jobs' cannot be used: begin it with a slash",
        "3": "submit.headers: 'X-Key' cannot be used: give it a value in one line",
        "5": "submit.id: this key is here twice; keep one",
        "6": "submit.json: JSON has no such value",
        "7": "submit.location: 7 cannot be used",
        "9": "status.path: '/jobs' cannot be used: put {id} where",
        "10": "status.sate: 'sate' cannot be used: it is no field of this; did you mean state?",
        "12": "status.error: 'RUN' cannot be used: it is in pending too",
        "13": "status.hints: 5 cannot be used: give a list",
        "14": "status.accepted: 'accepted' cannot be used: it is no field of this",
        "15": "more: unknown key; the keys here are submit and status",
    }.items():
        assert lines[line].startswith(said), (line, lines.get(line))
    assert "s3cr" not in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", ":1: this is no YAML"),
        ("- 1", ":1: give a mapping with submit and status"),
        ("", ":1: give a mapping with submit and status"),
        ("status: [1]", ":1: status: give its keys"),
        ("status: {headers: {A: '${NOBODY_HAS_THIS}'}}", ":1: status.headers: the environment has no NOBODY"),
        ("x: !!python/object/apply:os.system [ls]", ":1: this is no YAML"),
        (None, ": No such file or directory"),
    ],
)
def test_a_file_that_is_no_dialect_says_why(
    text: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Missing, no YAML, or something else."""
    file = tmp_path / "x.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SystemExit) as refused:
        command.main(["--dialect", str(file)])
    assert refused.value.code == 2
    assert f"{file}{said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [["--body", "s3cret"], ["--body", "[1]"], ["--submit", "--body", '{"k": "${NOBODY_HAS_THIS}"}']],
)
def test_a_body_that_makes_no_sense_is_bad_usage(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not repeated: it may hold a secret."""
    with pytest.raises(SystemExit) as refused:
        command.main(options)
    assert refused.value.code == 2
    assert "s3cret" not in capsys.readouterr().err
