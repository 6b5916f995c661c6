"""The lean exchange against ``requests``: one table of replies, ordinary and hostile, over a real socket."""

from __future__ import annotations

import gzip
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

import pytest
import trustme

from client import NATIVE, Backoff, JobRef, PollingPolicy
from harness.live._exchange import BadReply, Exchange
from harness.live._transport import CLIENTS
from scenarios import Transport

POLICY: Final = PollingPolicy(Backoff("constant", 1))

OK: Final = b"HTTP/1.1 200 OK\r\n"
DONE: Final = b'{"status": "completed"}'
PLAIN: Final = OK + b"Content-Length: %d\r\n\r\n" % len(DONE) + DONE


def with_length(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a reply with this body and its length."""
    lines = [b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body), b"", b""]
    return b"\r\n".join(lines) + body


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def chunked(*pieces: bytes, trailer: bytes = b"") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + body


class Told(NamedTuple):
    """What an exchange makes of a reply."""

    status: int
    body: bytes


# A name, what the server sends, and what is made of it; None: no whole reply came. The server closes the
# connection behind each.
REPLIES: Final[dict[str, tuple[bytes, Told | None]]] = {
    "plain": (PLAIN, Told(200, DONE)),
    "no reason": (PLAIN.replace(b"200 OK", b"200 "), Told(200, DONE)),
    "a code of ours": (with_length(b"x", status=b"299 Odd"), Told(299, b"x")),
    "problem": (with_length(b"{}", b"Retry-After: 2", status=b"503 Busy"), Told(503, b"{}")),
    "not modified": (b"HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", Told(304, b"")),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", Told(204, b"")),
    "see other": (with_length(b"", b"Location: /r", status=b"303 See Other"), Told(303, b"")),
    "redirect": (with_length(b"", b"Location: http://127.0.0.1:9/x", status=b"302 Found"), Told(302, b"")),
    "redirect to itself": (with_length(b"", b"Location: ", status=b"301 M"), Told(301, b"")),
    "empty body": (with_length(b""), Told(200, b"")),
    "until the connection ends": (OK + b"\r\n" + DONE, Told(200, DONE)),
    "http 1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + DONE, Told(200, DONE)),
    "closing": (with_length(DONE, b"Connection: close"), Told(200, DONE)),
    "chunked": (chunked(DONE[:5], DONE[5:]), Told(200, DONE)),
    "chunked with a trailer": (chunked(DONE, trailer=b"X-Sum: 1\r\n"), Told(200, DONE)),
    "chunk with an extension": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\n\r\n",
        Told(200, b"hi"),
    ),
    "empty chunked": (chunked(), Told(200, b"")),
    "gzip": (with_length(gzip.compress(DONE), b"Content-Encoding: gzip"), Told(200, DONE)),
    "gzip in capitals": (with_length(gzip.compress(DONE), b"CONTENT-ENCODING: GZIP"), Told(200, DONE)),
    "deflate": (with_length(zlib.compress(DONE), b"Content-Encoding: deflate"), Told(200, DONE)),
    "deflate without its head": (
        with_length(raw_deflate(DONE), b"Content-Encoding: deflate"),
        Told(200, DONE),
    ),
    "gzip that is none": (with_length(DONE, b"Content-Encoding: gzip"), None),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + PLAIN, Told(200, DONE)),
    "a second reply nobody asked for": (PLAIN + PLAIN, Told(200, DONE)),
    "rubbish behind a reply": (PLAIN + b"\x00\xff rubbish", Told(200, DONE)),
    "many headers": (with_length(DONE, *(b"X-%d: y" % n for n in range(90))), Told(200, DONE)),
    "latin header": (with_length(DONE, b"X-Name: caf\xe9"), Told(200, DONE)),
    "body of another coding": (with_length("é".encode("latin-1")), Told(200, b"\xe9")),
    "nothing": (b"", None),
    "half a status line": (b"HTTP/1.1 2", None),
    "half a head": (OK + b"Content-Length: 5\r\n", None),
    "half a body": (OK + b"Content-Length: 50\r\n\r\n" + DONE, None),
    "half a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n40\r\n" + DONE, None),
    "no last chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", None),
    "a chunk of no size": (OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhi\r\n0\r\n\r\n", None),
    "no http": (b"220 mail.example ESMTP\r\n", None),
    "tls": (b"\x15\x03\x01\x00\x02\x02\x28", None),
    "a code of letters": (b"HTTP/1.1 abc OK\r\n\r\n", None),
}
# What ``requests`` reads otherwise: it stops at a 103, and lets most of the rest pass.
OTHERWISE: Final[dict[str, tuple[bytes, Told | None]]] = {
    "an announced reply": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + PLAIN, Told(200, DONE)),
    "announcements without end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 40 + PLAIN, None),
    "gzip bomb": (with_length(gzip.compress(bytes(9 << 20)), b"Content-Encoding: gzip"), None),
    "gzip cut short": (with_length(gzip.compress(DONE)[:-9], b"Content-Encoding: gzip"), None),
    "a body of nine megabytes": (with_length(bytes(9 << 20)), None),
    "a head of megabytes": (OK + b"X: " + b"y" * (2 << 20) + b"\r\n\r\n", None),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", None),
    "a length and chunks": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        None,
    ),
    "a negative length": (OK + b"Content-Length: -1\r\n\r\nhi", None),
    "a blank in a header's name": (OK + b"X Y: 1\r\nContent-Length: 2\r\n\r\nhi", None),
    "protocols change": (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n", None),
}


class Server:
    """Sends the bytes it is given to each request, and keeps what was asked."""

    def __init__(self) -> None:
        self.reply = PLAIN
        self.keep = False  # for the next request
        self.pause = 0.0  # before each byte
        self.asked: list[bytes] = []
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while True:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = connection.recv(65536)
                    if not data:
                        return
                    request += data
                head, _, body = request.partition(b"\r\n\r\n")
                length = re.search(rb"Content-Length: (\d+)", head)
                while length and len(body) < int(length[1]):  # closing on unread bytes would reset the reply
                    body += connection.recv(65536)
                reply, keep = self.reply, self.keep
                self.asked.append(request)
                try:
                    if self.pause:
                        for byte in reply:
                            connection.sendall(bytes([byte]))
                            time.sleep(self.pause)
                    connection.sendall(reply)
                except OSError:
                    return
                if not keep:
                    return

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def told_by(transport: Transport, server: Server, timeout: float = 5.0) -> Told | None:
    """What the lanes' client makes of the reply to a poll, by the transport."""
    client = CLIENTS[transport](server.url, POLICY, dialect=NATIVE, ca=None)
    try:
        response = client.exchange(NATIVE.poll(JobRef("j"), 1), timeout)
    except OSError:
        return None
    finally:
        client.close()
    return Told(response.status_code, response.body)


def lean(server: Server, timeout: float = 5.0) -> Told | None:
    return told_by("lean", server, timeout)


@pytest.mark.parametrize("name", REPLIES)
def test_the_same_reply_is_read_by_both(server: Server, name: str) -> None:
    """Status and body, or that no whole reply came."""
    server.reply, expected = REPLIES[name]
    assert {transport: told_by(transport, server) for transport in CLIENTS} == dict.fromkeys(
        CLIENTS, expected
    )


def test_both_ask_for_the_same(server: Server) -> None:
    """Request line and every header of the dialect's; each has a few words of its own."""
    server.keep = True
    asked: list[set[bytes]] = []
    for transport in CLIENTS:
        client = CLIENTS[transport](server.url, POLICY, dialect=NATIVE, ca=None)
        for request in (client.asked(17, None), NATIVE.poll(JobRef("j"), 3)):
            client.exchange(request, 5.0)
        client.close()
        (submission, poll), server.asked = server.asked, []
        heads = [each.partition(b"\r\n\r\n")[0] for each in (submission, poll)]  # bodies may come later
        asked.append({line for head in heads for line in head.split(b"\r\n")})
    own = (b"User-Agent", b"Accept-Encoding", b"Connection: keep-alive")
    alike = [{line for line in lines if not line.startswith(own)} for lines in asked]
    assert alike[0] == alike[1]
    assert {b"GET /jobs/j HTTP/1.1", b"Poll-Attempt: 3", b"Content-Length: 11"} <= alike[0]


@pytest.mark.parametrize("name", OTHERWISE)
def test_what_may_be_an_attack_is_refused(server: Server, name: str) -> None:
    """Larger than any status, without end, or of two meanings; an announcement is no reply."""
    server.reply, expected = OTHERWISE[name]
    assert lean(server) == expected


@pytest.mark.parametrize("cut", range(len(PLAIN)))
def test_a_reply_cut_at_any_byte_is_no_reply(server: Server, cut: int) -> None:
    """Nothing is made up for what is missing."""
    server.reply = PLAIN[:cut]
    assert lean(server) is None


def test_a_reply_that_drips_is_bounded_as_a_whole(server: Server) -> None:
    """Each byte comes in time, the reply does not."""
    server.pause = 0.02
    before = time.monotonic()
    assert lean(server, timeout=0.3) is None
    assert 0.25 < time.monotonic() - before < 2.0
    server.pause = 0.0


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    """Three requests, one connection, while the server keeps it."""
    server.keep = True
    exchange = Exchange()
    for _ in range(3):
        assert exchange("GET", f"{server.url}/x", {}, None, 5.0).body == DONE
    exchange.close()
    assert (len(server.asked), server.connections) == (3, 1)


def test_a_connection_that_the_server_has_closed_is_not_used_again(server: Server) -> None:
    """Its end is seen before the next request is sent."""
    exchange = Exchange()
    for _ in range(3):
        exchange("GET", f"{server.url}/x", {}, None, 5.0)
        time.sleep(0.05)  # until the end has arrived: the server closes behind each reply
    exchange.close()
    assert (len(server.asked), server.connections) == (3, 3)


def test_nothing_is_sent_twice(server: Server) -> None:
    """A connection that the server closes on the next request: it fails, and is not sent again."""
    server.keep = True
    exchange = Exchange()
    exchange("GET", f"{server.url}/x", {}, None, 5.0)
    server.keep, server.reply = False, b""
    with pytest.raises(ConnectionError):
        exchange("GET", f"{server.url}/x", {}, None, 5.0)
    exchange.close()
    assert len(server.asked) == 2


def test_a_request_is_written_as_it_should_be(server: Server) -> None:
    """Target, host, headers and body."""
    exchange = Exchange()
    exchange("POST", f"{server.url}/a b/ü?q=1", {"Content-Type": "application/json"}, b'{"a": 1}', 5.0)
    Exchange()("POST", server.url, {}, None, 5.0)
    assert server.asked[0] == (
        b"POST /a%20b/%C3%BC?q=1 HTTP/1.1\r\nHost: 127.0.0.1:" + str(server.port).encode() + b"\r\n"
        b"User-Agent: backoff-harness\r\nAccept-Encoding: gzip, deflate\r\n"
        b"Content-Type: application/json\r\nContent-Length: 8\r\n\r\n"
        b'{"a": 1}'
    )
    Exchange()("GET", server.url, {"user-agent": "mine"}, None, 5.0)
    assert server.asked[2].count(b"ser-") == server.asked[2].count(b"ser-agent: mine") == 1
    assert server.asked[1].startswith(b"POST / HTTP/1.1\r\n")
    assert server.asked[1].endswith(b"Content-Length: 0\r\n\r\n")


def test_an_address_without_a_path_keeps_its_query(server: Server) -> None:
    """Also where that has a slash, and the second time; what is behind # is not sent."""
    server.keep = True
    exchange = Exchange()
    for end in ("?a=/b", "?a=/c", "#d/e", "#d/f"):
        exchange("GET", server.url.rstrip("/") + end, {}, None, 5.0)
    targets = [asked.split(b" ")[1] for asked in server.asked]
    assert targets == [b"/?a=/b", b"/?a=/c", b"/", b"/"]


def test_a_header_that_comes_twice_is_a_list(server: Server) -> None:
    """As ``requests`` has it; names in any case."""
    server.reply = with_length(b"", b"Retry-After: 2", b"retry-after: 3")
    assert Exchange()("GET", server.url, {}, None, 5.0).header("Retry-After") == "2, 3"


def test_only_http_is_spoken() -> None:
    """A service may not send its clients elsewhere."""
    with pytest.raises(BadReply, match="only http and https"):
        Exchange()("GET", "file:///etc/passwd", {}, None, 5.0)


def test_ipv6_and_names(server: Server) -> None:
    """Of this machine."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        threading.Thread(target=_answer_once, args=(listening,), daemon=True).start()
        reply = Exchange()("GET", f"http://[::1]:{listening.getsockname()[1]}/", {}, None, 5.0)
    assert reply.body == DONE
    assert Exchange()("GET", f"http://localhost:{server.port}/", {}, None, 5.0).body == DONE


def _answer_once(listening: socket.socket) -> None:
    connection, _ = listening.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(PLAIN)


def test_tls_is_spoken_and_a_certificate_must_be_trusted() -> None:
    """By the authority that is given; the failure is an SSL error, and permanent. Connections are kept."""
    import ssl

    authority = trustme.CA()
    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(identity)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for requests in (2, 1, 1):
                connection, _address = listening.accept()
                try:
                    with identity.wrap_socket(connection, server_side=True) as secure:
                        for _ in range(requests):
                            secure.recv(65536)
                            secure.sendall(PLAIN)
                except (OSError, ssl.SSLError):
                    continue

        threading.Thread(target=serve, daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/"
        exchange = Exchange(trust)
        for _ in range(2):  # over one connection
            assert exchange("GET", url, {}, None, 5.0).body == DONE
        time.sleep(0.05)  # until its end has arrived
        assert exchange("GET", url, {}, None, 5.0).body == DONE
        exchange.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            Exchange()("GET", url, {}, None, 5.0)


def test_connecting_is_bounded_too() -> None:
    """A full backlog: nobody answers, and the whole time is what was given."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        address = listening.getsockname()
        queue = [socket.socket() for _ in range(3)]
        for each in queue:
            each.setblocking(False)
            each.connect_ex(address)
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            Exchange()("GET", f"http://127.0.0.1:{address[1]}/", {}, None, 0.3)
        assert time.monotonic() - before < 3.0
        for each in queue:
            each.close()
