"""One connection of the fast host: what clients send in odd ways, in pieces, too much of, or not at all."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

import pytest
from host_parts import PATIENCE, Service, hosted

from server import _connection
from server._connection import Connection, Request

STATUS = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with hosted("fast") as service:
        service.serve()
        yield service


def codes(data: bytes) -> list[int]:
    """The status codes of the replies in these bytes, in order."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


def test_requests_sent_ahead_are_answered_in_order(service: Service) -> None:
    """Fifty in one piece, fast ones and Flask's mixed: as many replies, each to its own request."""
    paths = [b"/status", b"/healthz", b"/nowhere"] * 17
    last = b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    sent = b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths)
    assert codes(service.read(sent + last)) == [200, 200, 404] * 17 + [200]


def test_a_request_may_come_byte_by_byte(service: Service) -> None:
    """However it is cut, it is one request."""
    with service.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b'POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"key":7}':
            sock.sendall(bytes((byte,)))
        assert codes(sock.recv(65536)) == [202]


@pytest.mark.parametrize(
    ("version", "asked", "stays", "told"),
    [
        ("1.1", "", True, None),
        ("1.1", "close", False, b"close"),
        ("1.0", "", False, b"close"),
        ("1.0", "keep-alive", True, b"keep-alive"),
    ],
)
def test_a_connection_is_kept_as_the_client_wants(
    service: Service, version: str, asked: str, stays: bool, told: bytes | None
) -> None:
    """By default in HTTP/1.1, when asked for in HTTP/1.0; the reply says so where that is not the default."""
    request = f"GET /status HTTP/{version}\r\n{f'Connection: {asked}' if asked else 'X: y'}\r\n\r\n".encode()
    with service.connect() as sock:
        sock.sendall(request)
        reply = sock.recv(65536)
        found = re.search(rb"Connection: (\S+)", reply)
        assert (found and found[1]) == told
        if stays:
            sock.sendall(request)
            assert codes(sock.recv(65536)) == [200]
        else:
            assert sock.recv(1) == b""


def test_who_waits_to_be_told_to_continue_is_told(service: Service) -> None:
    """Expect: 100-continue gets an interim reply, or the refusal at once where the body is too large."""
    head = b"POST /jobs HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with service.connect() as sock:
        sock.sendall(head % 9)
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b'{"key":7}')
        assert codes(sock.recv(65536)) == [202]
    with service.connect() as sock:
        sock.sendall(head % 70_000)
        assert codes(sock.recv(65536)) == [413]


def test_who_is_refused_in_the_middle_of_a_body_reads_why(service: Service) -> None:
    """The connection is not reset while the client still sends: the reply would be lost."""
    with service.connect() as sock:
        sock.sendall(b"POST /jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\n\r\n")
        for _ in range(50):
            sock.sendall(b"x" * 100_000)
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while piece := sock.recv(65536):
            data += piece
        assert codes(data) == [413]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),  # TLS
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST /jobs HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET /" + b"x" * 300_000, 431),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000, 431),
    ],
)
def test_what_is_no_request_is_refused_and_the_connection_closed(
    service: Service, sent: bytes, code: int
) -> None:
    """With an empty reply: who speaks no HTTP would not understand more."""
    with service.connect() as sock:
        sock.sendall(sent)
        data = b""
        try:
            while piece := sock.recv(65536):
                data += piece
        except ConnectionResetError:  # of what it had sent not all was read
            pass
    assert codes(data) == [code]
    assert b"Content-Length: 0\r\nConnection: close\r\n" in data


def test_a_client_that_has_said_all_still_gets_its_reply(service: Service) -> None:
    """It shuts down its side after the request; the delayed reply comes, and the end."""
    service.serve(delay="200ms")
    with service.connect() as sock:
        sock.sendall(STATUS)
        sock.shutdown(socket.SHUT_WR)
        data = b""
        while piece := sock.recv(65536):
            data += piece
    service.serve()
    assert codes(data) == [200]


def test_an_upgrade_is_not_taken_up(service: Service) -> None:
    """A client that offers HTTP/2 (curl, Java) is answered in the HTTP that it spoke."""
    offer = b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    assert codes(service.read(offer)) == [200]


def test_a_whole_address_as_target_is_understood(service: Service) -> None:
    """As a client sends it that takes us for a proxy."""
    close = b"GET http://x:1/status?x=y HTTP/1.1\r\nHost: x:1\r\nConnection: close\r\n\r\n"
    assert codes(service.read(close)) == [200]


def test_delays_are_kept_to_the_millisecond(service: Service) -> None:
    """A reply never leaves early; the one that the machine kept waiting least is late by under 5 ms."""
    service.serve(delay="20ms")
    with closing(HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)) as connection:
        took = []
        for _ in range(40):
            begun = time.perf_counter()
            connection.request("GET", "/status")
            connection.getresponse().read()
            took.append(time.perf_counter() - begun)
    service.serve()
    assert 0.020 <= min(took) < 0.025


def test_who_shares_the_workers_is_let_go_by_a_reset(service: Service) -> None:
    """A request of an hour of work is answered as soon as somebody starts over."""
    service.serve(capacity={"workers": 1, "service_time": "1h", "discipline": "ps"})
    with service.connect() as sock:
        sock.sendall(STATUS)
        while service.admin("GET", "/admin/counters")["in_flight"] == 0:
            pass
        service.admin("POST", "/admin/reset", {})
        assert codes(sock.recv(65536)) == [200]
    service.serve(capacity={"workers": 1, "service_time": "50ms", "discipline": "ps"})
    begun = time.perf_counter()
    sockets = [service.connect() for _ in range(4)]
    for sock in sockets:
        sock.sendall(STATUS)
    assert [codes(sock.recv(65536)) for sock in sockets] == [[200]] * 4
    assert time.perf_counter() - begun >= 0.2  # four of 50 ms that share one worker
    for sock in sockets:
        sock.close()
    service.serve()


# --- with a transport that tells what is done to it -----------------------------------------------------


class Transport:
    """What asyncio gives a protocol, without a socket; it is its own."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.options: list[tuple[int, ...]] = []
        self.sent = b""

    def get_extra_info(self, name: str) -> object:
        return self if name == "socket" else None

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)

    def write(self, data: bytes) -> None:
        self.sent += data

    def can_write_eof(self) -> bool:
        return True

    def __getattr__(self, name: str) -> object:
        return lambda: self.done.append(name)


class Silent:
    """A service that answers nothing by itself, and has room for so many connections."""

    def __init__(self, room: int = 1) -> None:
        self.taken: list[Request] = []
        self._room = room

    def room(self, _request: Request) -> int:
        return 100

    def answer(self, request: Request, _connection: Connection) -> None:
        self.taken.append(request)

    def opened(self, _connection: Connection) -> bool:
        self._room -= 1
        return self._room >= 0

    def closed(self, _connection: Connection) -> None:
        self._room += 1


def connected(room: int = 1) -> tuple[Silent, Connection, Transport]:
    service, transport = Silent(room), Transport()
    connection = Connection(service)
    connection.connection_made(transport)
    return service, connection, transport


def test_nagles_algorithm_is_off() -> None:
    """Bytes that drip would wait for each other's acknowledgement: 40 ms that no scenario has asked for."""
    _, _, transport = connected()
    assert transport.options == [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]


def test_one_connection_too_many_is_sent_away() -> None:
    """With a 503 that says why, and closed."""
    _, _, transport = connected(room=0)
    assert codes(transport.sent) == [503]
    assert b"too many connections" in transport.sent
    assert transport.done == ["close"]


def test_who_never_asks_is_sent_away_and_who_has_asked_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asking nothing, it holds a place for half a minute; between two requests there is no bound."""
    monkeypatch.setattr(_connection, "monotonic", lambda: 1000.0)
    _, silent, transport = connected()
    silent.check(1029.0)
    assert transport.done == []
    silent.check(1031.0)
    assert (transport.sent, transport.done) == (b"", ["close"])
    _, kept, transport = connected()
    kept.data_received(STATUS)
    kept.check(5000.0)
    assert transport.done == []


@pytest.mark.parametrize("sent", [b"GET /sta", b"POST /jobs HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"])
def test_who_does_not_finish_a_request_is_sent_away(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    """After half a minute, with a 408."""
    now = [1000.0]
    monkeypatch.setattr(_connection, "monotonic", lambda: now[0])
    _, connection, transport = connected()
    connection.data_received(sent)
    connection.check(1029.0)
    assert transport.done == []
    connection.check(1031.0)
    assert codes(transport.sent) == [408]
    assert transport.done == ["close"]


def test_a_client_that_asks_ahead_is_not_read_on() -> None:
    """From sixteen requests on that wait for their turn; it is read again when one has been answered."""
    service, connection, transport = connected()
    connection.data_received(STATUS * 16)
    assert transport.done == []
    connection.data_received(STATUS)
    assert transport.done == ["pause_reading"]
    assert len(service.taken) == 1
    connection.reply("200 OK", {}, b"")
    connection.resume_writing()
    assert transport.done == ["pause_reading", "resume_reading"]
    assert len(service.taken) == 2


def test_a_client_that_does_not_read_is_not_answered_on() -> None:
    """Replies would pile up here: the next request waits until there is room for its reply."""
    service, connection, _ = connected()
    connection.pause_writing()
    connection.data_received(STATUS)
    assert service.taken == []
    connection.resume_writing()
    assert len(service.taken) == 1


def test_a_reply_to_a_client_that_has_left_goes_nowhere() -> None:
    """The connection is gone when the reply is due: nothing is sent, nothing raises."""
    service, connection, transport = connected()
    connection.data_received(STATUS + STATUS)
    connection.connection_lost(None)
    connection.reply("200 OK", {}, b"x")
    assert transport.sent == b""
    assert len(service.taken) == 1
    assert json.dumps(transport.done) == "[]"
