"""Each fault on a real socket, on both hosts: what the bytes are, and what our client makes of them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from host_parts import COMMANDS, PATIENCE, Service, hosted

from client import Attempt, Backoff, ErrorPolicy, PollingPolicy
from client.blocking import VideoTranslationClient
from scenarios import FAULTS

ONCE = PollingPolicy(Backoff("constant", 0.01), errors=ErrorPolicy(max_consecutive=0), max_attempts=1)


@pytest.fixture(scope="module", params=COMMANDS)
def service(request: pytest.FixtureRequest) -> Iterator[Service]:
    with hosted(request.param) as service:
        yield service


def poll(service: Service) -> Attempt:
    """Return how our client's only poll went."""
    told: list[Attempt] = []
    with VideoTranslationClient(service.url, ONCE) as client:
        client.poll(None, on_attempt=told.append)
    (attempt,) = told
    return attempt


OWN: dict[str, dict[str, Any]] = {"STALE_READ": {"age": "1s"}, "SLOW_DRIBBLE": {"duration": "300ms"}}


@pytest.mark.parametrize("name", FAULTS)
def test_what_the_client_makes_of_each_fault(service: Service, name: str) -> None:
    """A transport error, a reply that cannot be understood, or a status like any other."""
    service.serve(faults=[{"fault": name, "rate": 1, **OWN.get(name, {})}])
    attempt = poll(service)
    kind = FAULTS[name]
    assert attempt.status_code == kind.status_code
    assert (attempt.status == "pending") == kind.tells
    if not kind.tells:
        assert attempt.failure is not None
        assert attempt.failure.startswith("malformed" if kind.status_code else "transport")
    assert service.counts() == {kind.counted_as: 1}


def test_a_closed_connection_has_said_nothing(service: Service) -> None:
    """Not a byte, and no reset either."""
    service.serve(faults=[{"fault": "EMPTY_RESPONSE", "rate": 1}])
    assert service.read() == b""


def test_garbage_is_no_reply_or_none_that_ends(service: Service) -> None:
    """As WireMock has it: instead of a reply, or behind a good head."""
    service.serve(faults=[{"fault": "RANDOM_DATA_THEN_CLOSE", "rate": 1}])
    assert service.read().startswith(b"\x80")
    service.serve(faults=[{"fault": "MALFORMED_RESPONSE_CHUNK", "rate": 1}])
    head, _, rest = service.read().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert rest.startswith(b"\x80")


def test_broken_bodies_are_whole_replies(service: Service) -> None:
    """Their length is right, what they say is not."""
    for name in ("MALFORMED_JSON", "TRUNCATED_JSON"):
        service.serve(faults=[{"fault": name, "rate": 1}])
        head, _, body = service.read().partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        with pytest.raises(ValueError, match=r"."):
            json.loads(body)


def test_a_wrong_content_type_has_the_right_body(service: Service) -> None:
    """For clients that look at the header."""
    service.serve(faults=[{"fault": "WRONG_CONTENT_TYPE", "rate": 1}])
    head, _, body = service.read().partition(b"\r\n\r\n")
    assert b"Content-Type: text/html" in head
    assert json.loads(body)["status"] == "pending"


def test_a_dripping_reply_comes_byte_by_byte(service: Service) -> None:
    """Its head at once, its end when the duration is over."""
    service.serve(faults=[{"fault": "SLOW_DRIBBLE", "rate": 1, "duration": "500ms"}])
    with service.connect() as sock:
        begun = time.perf_counter()
        sock.sendall(b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        pieces = []
        while piece := sock.recv(65536):
            pieces.append(piece)
        elapsed = time.perf_counter() - begun
    assert len(pieces) > 5
    assert 0.5 <= elapsed < 5
    assert json.loads(b"".join(pieces).partition(b"\r\n\r\n")[2])["status"] == "pending"


def test_a_job_that_is_not_yet_visible_and_hints_on_submissions(service: Service) -> None:
    """404 at first; the reply to the submission says when to come back."""
    service.serve(visible_after="10s", retry_after_submit="2s")
    with VideoTranslationClient(service.url, ONCE) as client:
        job = client.submit(7)
        assert job.retry_after == 2
        told: list[Attempt] = []
        client.poll(job.id, on_attempt=told.append)
    assert told[0].status_code == 404


def test_limits_of_each_client_and_what_is_left(service: Service) -> None:
    """Clients are told apart by what they say they are; a reply tells what remains."""
    limit = {"type": "fixed_window", "limit": 1, "window": "1h", "per": "client", "headers": True}
    service.serve(rate_limit=limit)
    codes, told = [], []
    for client in ("1", "2", "1"):
        with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)) as connection:
            connection.request("GET", "/status", headers={"Backoff-Client": client})
            reply = connection.getresponse()
            codes.append(reply.status)
            told.append((reply.headers["RateLimit-Policy"], reply.headers["RateLimit"].partition(";t=")[0]))
    assert codes == [200, 200, 429]
    assert set(told) == {('"default";q=1;w=3600', '"default";r=0')}
