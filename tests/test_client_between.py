"""Between client and service: addresses with secrets, caches, certificates, names that nobody has."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from client import Backoff, InvalidSetting, PollingPolicy, StatusReadFailed, SubmitFailed
from client import __main__ as command
from client.asynchronous import AsyncVideoTranslationClient
from client.blocking import VideoTranslationClient

POLICY = PollingPolicy(Backoff("constant", 0.001), deadline=5)
Call = Callable[..., Any]


class Service:
    """A job that is completed, behind TLS where certificates are given; keeps the headers of requests."""

    def __init__(self, authority: trustme.CA | None = None, name: str = "127.0.0.1") -> None:
        self.asked: list[dict[str, str]] = []
        asked = self.asked

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append({name.lower(): value for name, value in self.headers.items()})
                self.send_response(202 if self.command == "POST" else 200)
                self.end_headers()
                self.wfile.write(json.dumps({"id": "7", "status": "completed"}).encode())

            do_POST = do_GET  # noqa: N815 -- the base class's name

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # type: ignore[method-assign] # clients that hang up
        self.at = f"127.0.0.1:{self.server.server_port}"
        if authority is not None:
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert(name).configure_cert(trust)
            self.server.socket = trust.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def plain() -> Iterator[Service]:
    service = Service()
    yield service
    service.close()


@pytest.fixture
def private(authority: trustme.CA) -> Iterator[Service]:
    service = Service(authority)
    yield service
    service.close()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(file)
    return file


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest) -> Call:
    """``call(method, *arguments, url=..., ...)`` on a client of the driver under test."""

    def blocking(method: str, *args: Any, **options: Any) -> Any:
        with VideoTranslationClient(options.pop("url"), POLICY, **options) as client:
            return getattr(client, method)(*args)

    def asynchronous(method: str, *args: Any, **options: Any) -> Any:
        async def run() -> Any:
            async with AsyncVideoTranslationClient(options.pop("url"), POLICY, **options) as client:
                return await getattr(client, method)(*args)

        return asyncio.run(run())

    return blocking if request.param == "blocking" else asynchronous


# Addresses


@pytest.mark.parametrize(
    ("mark", "what"), [("?api-version=2024", "query"), ("#part", "fragment"), ("?", "query")]
)
def test_a_query_or_fragment_in_the_base_address_is_refused(call: Call, mark: str, what: str) -> None:
    """With the reason: a path put behind it would never be seen as one. Its content is not repeated."""
    with pytest.raises(InvalidSetting, match=f"leave the {what} away: paths are added") as refused:
        call("status", url=f"http://sim/api/v1{mark}")
    assert "2024" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["http://zoe:s3cret@sim:0", "zoe:s3cret@sim", "http://zoe:s3/cret@sim?x", "http://zoe:s3cret@[::1"]
)
def test_a_refusal_shows_no_user_info(url: str) -> None:
    """Whatever else is wrong with the address."""
    with pytest.raises(InvalidSetting) as refused:
        VideoTranslationClient(url)
    for shown in (str(refused.value), repr(refused.value)):
        assert "cret" not in shown
        assert "zoe" not in shown


def test_user_info_is_used_and_shown_nowhere(
    call: Call, plain: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """It travels as basic authentication, percent escapes undone; neither output nor errors repeat it."""
    url = f"http://ann:s%20cret@{plain.at}/"
    result = call("poll", "7", url=url)
    assert plain.asked[-1]["authorization"] == "Basic YW5uOnMgY3JldA=="
    client = VideoTranslationClient(url)
    assert client.base_url == f"http://{plain.at}"
    assert command.main(["--url", url, "--initial", "0.01", "--submit"]) == 0
    printed = "".join(capsys.readouterr())
    for text in (repr(result), repr(client), printed):
        assert "cret" not in text
    dead = f"http://ann:s%20cret@127.0.0.1:{closed_port()}"
    assert command.main(["--url", dead, "--initial", "0.01", "--submit"]) == 4
    printed = "".join(capsys.readouterr())
    assert "nothing answers at http://127.0.0.1:" in printed
    assert "cret" not in printed


def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


# Caches and headers


def test_polls_ask_the_service_and_not_a_cache(call: Call, plain: Service) -> None:
    """Cache-Control: no-cache goes with every status request."""
    call("poll", "7", url=f"http://{plain.at}")
    assert plain.asked[-1]["cache-control"] == "no-cache"


def test_headers_of_the_callers_go_with_every_request(call: Call, plain: Service) -> None:
    """Submission and polls; one that the dialect sends too is replaced, whatever its case."""
    headers = {"X-Api-Key": "k", "accept": "application/vnd.x+json"}
    call("submit", url=f"http://{plain.at}", headers=headers)
    call("poll", "7", url=f"http://{plain.at}", headers=headers)
    for asked in plain.asked:
        assert (asked["x-api-key"], asked["accept"]) == ("k", "application/vnd.x+json")
    assert len(plain.asked) == 2


@pytest.mark.parametrize(
    "headers", [{"X Key": "s3cret"}, {"X-Key": "s3cret\r\nHost: x"}, {"": "s3cret"}, {"X-Key": "s3cret☃"}]
)
def test_a_header_that_cannot_be_sent_is_refused_without_its_value(headers: dict[str, str]) -> None:
    """Its name is told."""
    with pytest.raises(InvalidSetting) as refused:
        VideoTranslationClient(headers=headers)
    assert refused.value.field == "headers"
    assert "s3cret" not in str(refused.value)


def test_the_command_takes_headers_and_secrets_of_the_environment(
    plain: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``${NAME}`` is filled in, and what it holds is not printed."""
    monkeypatch.setenv("TOKEN_OF_MINE", "s3cret")
    options = ["--header", "Authorization: Bearer ${TOKEN_OF_MINE}", "--header", "X-A: 1"]
    assert command.main(["--url", f"http://{plain.at}", "--initial", "0.01", *options]) == 0
    assert plain.asked[-1]["authorization"] == "Bearer s3cret"
    assert plain.asked[-1]["x-a"] == "1"
    assert "s3cret" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Authorization: Bearer ${NOBODY_SETS_THIS}",
            "Authorization: the environment has no NOBODY_SETS_THIS",
        ),
        ("s3cret", "write it as 'Name: value'"),
        ("X-Key: s3\ncret", "X-Key: give it a value in one line"),
        ("X Key: s3cret", "X Key: give a name of letters"),
    ],
)
def test_a_header_that_makes_no_sense_is_bad_usage(
    text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 before anything is sent; a value is never repeated."""
    with pytest.raises(SystemExit) as refusal:
        command.main(["--header", text])
    assert refusal.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert "cret" not in error


# Certificates and names


def test_a_private_authority_can_be_trusted(call: Call, private: Service, ca: Path) -> None:
    """By the file with its certificate, in both drivers and in the command."""
    assert call("poll", "7", url=f"https://{private.at}", ca=ca).outcome == "completed"
    assert command.main(["--url", f"https://{private.at}", "--initial", "0.01", "--ca", str(ca)]) == 0


def test_an_untrusted_certificate_is_not_tried_again_and_says_what_to_do(
    call: Call, private: Service, capsys: pytest.CaptureFixture[str]
) -> None:
    """One request, the remedy, and no guess about a simulator."""
    url = f"https://{private.at}"
    result = call("poll", "7", url=url)
    assert (result.outcome, result.attempts) == ("gave_up", 1)
    assert "certificate is not trusted: if its authority is your own, name the file" in result.reason
    with pytest.raises(StatusReadFailed, match="--ca FILE"):
        call("status", "7", url=url)
    with pytest.raises(SubmitFailed, match="--ca FILE"):
        call("submit", url=url)
    for job in ([], ["--submit"]):
        assert command.main(["--url", url, "--initial", "0.01", *job]) == 4
        captured = capsys.readouterr()
        assert "--ca FILE" in captured.out + captured.err
        assert "simulator" not in captured.err


def test_a_certificate_for_another_name_says_so(call: Call, authority: trustme.CA, ca: Path) -> None:
    """Trusting the authority would not help."""
    service = Service(authority, name="elsewhere.example")
    try:
        result = call("poll", "7", url=f"https://{service.at}", ca=ca)
    finally:
        service.close()
    assert (result.outcome, result.attempts) == ("gave_up", 1)
    assert "for another name" in result.reason


def test_a_file_that_holds_no_authority_is_refused(call: Call, tmp_path: Path) -> None:
    """Missing or garbled: before anything is sent; and it does not go with connections that are lent."""
    (tmp_path / "odd.pem").write_text("odd")
    for name in ("odd.pem", "none.pem"):
        with pytest.raises(InvalidSetting, match=r"ca='.*\.pem' cannot be used: give a file"):
            call("status", url="https://sim", ca=tmp_path / name)
    assert command.main(["--ca", str(tmp_path / "none.pem")]) == 2


def test_a_name_that_nobody_has_is_not_tried_again(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless this host has answered before: then it is the look-up that fails, and it passes."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    result = call("poll", "7", url="http://no-such-host")
    assert (result.outcome, result.attempts) == ("gave_up", 1)
    assert "there may be a mistake in the name of the host" in result.reason


def test_a_look_up_that_fails_later_is_retried(plain: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that was right once is right."""
    with VideoTranslationClient(f"http://localhost:{plain.server.server_port}", POLICY) as client:
        client.submit()
        client._session.close()  # the next request looks the name up again

        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(StatusReadFailed, match="gaierror") as failed:
            client.status("7")
    assert failed.value.failure.retryable
