"""Whatever a service sends, every driver ends in a typed outcome, in bounded time and room."""

from __future__ import annotations

import asyncio
import gzip
import random
import resource
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

import pytest

from client import (
    DIALECTS,
    NATIVE,
    Backoff,
    ClientError,
    Conversation,
    Dialect,
    ErrorPolicy,
    JobRef,
    PollingPolicy,
    Result,
    SendRequest,
)
from client.asynchronous import AsyncVideoTranslationClient
from client.blocking import VideoTranslationClient
from harness.live._exchange import Exchange

POLICY: Final = PollingPolicy(
    Backoff("constant", 0.01),
    deadline=0.2,
    request_timeout=0.15,
    last_poll_timeout=0.05,
    max_attempts=2,
    errors=ErrorPolicy(Backoff("constant", 0.01), max_consecutive=1),
)
ALLOWED_S: Final = 0.2 + 0.05 + 1.0
OUTCOMES: Final = ("completed", "error", "timeout", "gave_up")
DONE: Final = b'{"id": "j", "status": "completed", "finished_ago": 0.1}'


def reply(
    body: bytes = DONE, *headers: str, status: str = "200 OK", length: int | str | None = None
) -> bytes:
    """Return a reply with a Content-Length, unless the headers frame it in another way."""
    framed = any(each.lower().startswith(("content-length", "transfer-encoding")) for each in headers)
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    if not framed:
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Return a reply in chunks."""
    return reply(
        b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in chunks) + end, "Transfer-Encoding: chunked"
    )


def status(word: str) -> bytes:
    """Return a reply whose state is this JSON text."""
    return reply(b'{"id": "j", "status": %s}' % word.encode())


def bomb(megabytes: int) -> bytes:
    """Return zeros by the megabyte, packed about a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


PENDING: Final = b'{"id": "j", "status": "pending", "progress": 0.5}'
WHOLE: Final = reply(PENDING)
CHUNKED: Final = "Transfer-Encoding: chunked"
GZIP: Final = "Content-Encoding: gzip"
PLACES: Final = (
    "http://[",
    "//[",
    "http://U+2100/",
    "\udcff",
    "http://",
    "javascript:1",
    "/" * 9_000,
    "http://127.0.0.1:99999999/",
)

# One of these is sent at once; then the connection is closed, or (held) left open in silence.
SENT: Final[dict[str, bytes]] = {
    "nothing": b"",
    "one byte": b"H",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n",
    "an old HTTP": b"HTTP/0.9 200 OK\r\n\r\n" + DONE,
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zeros": bytes(5_000),
    "garbage": bytes(each * each % 251 for each in range(5_000)),
    "status 0": reply(status="000 Nothing"),
    "status 99": reply(status="99 Low"),
    "status 1000": reply(status="1000 High"),
    "status -200": reply(status="-200 Minus"),
    "status 2e2": reply(status="2e2 OK"),
    "status without a reason": reply(status="200"),
    "status line of a megabyte": reply(status="200 " + "x" * (1 << 20)),
    "header of a megabyte": reply(DONE, "X-Long: " + "x" * (1 << 20)),
    "ten thousand headers": reply(DONE, *(f"X-{each}: 1" for each in range(10_000))),
    "header without a colon": reply(DONE, "no colon"),
    "header with a NUL": reply(DONE, "X-Nul: a\x00b"),
    "folded header": reply(DONE, "X-Folded: a", " b"),
    "a space before the colon": reply(DONE, "Content-Type : text/plain"),
    "bare line feeds": reply().replace(b"\r\n", b"\n"),
    "length of nothing": reply(DONE, "Content-Length: "),
    "negative length": reply(DONE, "Content-Length: -5"),
    "length in hexadecimal": reply(DONE, "Content-Length: 0x10"),
    "length of a sentence": reply(DONE, "Content-Length: many"),
    "two lengths": reply(DONE, "Content-Length: 10", "Content-Length: 20"),
    "two lengths in one": reply(DONE, "Content-Length: 1, 2"),
    "huge length": reply(DONE, f"Content-Length: {10**30}"),
    "length too short": reply(DONE, "Content-Length: 10"),
    "length too long": reply(DONE, "Content-Length: 5000"),
    "length and chunks": reply(b"5\r\nabcde\r\n0\r\n\r\n", "Content-Length: 5", CHUNKED),
    "unknown transfer coding": reply(DONE, "Transfer-Encoding: surprise"),
    "chunk size is no number": reply(b"zz\r\nabc\r\n0\r\n\r\n", CHUNKED),
    "chunk size is negative": reply(b"-5\r\nabcde\r\n0\r\n\r\n", CHUNKED),
    "chunk size is huge": reply(b"f" * 40 + b"\r\nabc", CHUNKED),
    "chunk without an end": chunked(DONE, end=b""),
    "chunk extension of a megabyte": reply(b"5;" + b"x" * (1 << 20) + b"\r\nabcde\r\n0\r\n\r\n", CHUNKED),
    "ten thousand chunks": chunked(*[b" "] * 10_000, DONE),
    "trailers": chunked(DONE, end=b"0\r\nX-Late: 1\r\n\r\n"),
    "early hints": b"HTTP/1.1 103 Early Hints\r\n\r\n" + reply(),
    "ninety continues": b"HTTP/1.1 100 Continue\r\n\r\n" * 90 + reply(),
    "another protocol": reply(b"", "Upgrade: h2c", "Connection: Upgrade", status="101 Switching"),
    "two replies": reply() + reply(),
    "reply and garbage": reply() + b"\x00" * 100,
    "no body for 204": reply(b"", status="204 No Content"),
    "205 with a body": reply(DONE, status="205 Reset Content"),
    "304": reply(b"", status="304 Not Modified"),
    "407": reply(b"", status="407 Proxy Authentication Required"),
    "418 in HTML": reply(b"<html>teapot", status="418 I'm a teapot"),
    "500 that never explains": reply(b"", status="500 Oops"),
    "599": reply(b"{}", status="599 Odd"),
    "999": reply(b"{}", status="999 Blocked"),
    "gzip": reply(gzip.compress(DONE), GZIP),
    "gzip cut short": reply(gzip.compress(DONE)[:-9], GZIP),
    "gzip that is none": reply(DONE, GZIP),
    "gzip in gzip": reply(gzip.compress(gzip.compress(DONE)), "Content-Encoding: gzip, gzip"),
    "gzip of nothing": reply(b"", GZIP),
    "deflate": reply(zlib.compress(DONE), "Content-Encoding: deflate"),
    "deflate without its header": reply(zlib.compress(DONE)[2:-4], "Content-Encoding: deflate"),
    "br that nobody asked for": reply(DONE, "Content-Encoding: br"),
    "unknown packing": reply(DONE, "Content-Encoding: \x01zip"),
    "gzip bomb": reply(bomb(64), GZIP),
    "body of twenty megabytes": reply(b" " * (20 << 20) + DONE),
    "empty body": reply(b""),
    "BOM": reply(b"\xef\xbb\xbf" + DONE),
    "UTF-16": reply(DONE.decode().encode("utf-16")),
    "Latin-1": reply(b'{"status": "caf\xe9"}'),
    "cut in a character": reply('{"status": "ü"}'.encode()[:-3]),
    "HTML": reply(b"<html><body>502 Bad Gateway"),
    "deep lists": reply(b"[" * 100_000),
    "deep objects": reply(b'{"status":' * 50_000 + b"1" + b"}" * 50_000),
    "a number of 100,000 digits": reply(b'{"status": ' + b"9" * 100_000 + b"}"),
    "a list": reply(b"[]"),
    "a number": reply(b"17"),
    "NaN": reply(b"NaN"),
    "no status": reply(b'{"id": "j"}'),
    "duplicate status": reply(b'{"status": "pending", "status": "completed"}'),
    "a text without its end": reply(b'{"status": "comple'),
    **{f"status {word}": status(word) for word in (
        *("null", "true", "0", "1e999", "-1", "NaN", "[]", "{}", '""'),
        *('"\\ud800"', '"\\u0000"', '"done\\u001b[2J"', '"COMPLETED "', '"Pending"', '"error"'),
        *('"' + "x" * 100_000 + '"', '["completed"]', '{"a": "completed"}'),
    )},
    **{f"finished_ago {word[:9]}": reply(DONE.replace(b"0.1", word.encode())) for word in (
        *("null", "-1", "1e999", "NaN", '"5"', "[]", "9" * 400, "-1e-320", "true"),
    )},
    **{f"progress {word[:9]}": reply(b'{"status": "pending", "progress": %s}' % word.encode()) for word in (
        *("-5", "1e999", "NaN", '"half"', "[]", "9" * 400),
    )},
    **{f"{code} to {place[:20]!r}": reply(b"", f"Location: {place}", status=f"{code} Away")
       for code in (302, 303) for place in PLACES},
    **{f"Retry-After {said[:12]!r}": reply(b"{}", f"Retry-After: {said}", status="503 Busy") for said in (
        *("-5", "1e999", "NaN", "soon", "", "9" * 400, "1, 2", "\x00", "\udcff"),
        "Wed, 99 Foo 2026 99:99:99 GMT",
    )},
    **{f"hint {said[:24]!r}": reply(PENDING, said) for said in (
        *("retry-after-ms: NaN", "Cache-Control: max-age=-1", "Cache-Control: max-age=" + "9" * 400),
        *("RateLimit: r=0;t=x", "RateLimit: " + "(" * 5_000, "Date: never"),
        "x-ms-retry-after-ms: 1e400",
    )},
    "ninety cookies": reply(PENDING, *(f"Set-Cookie: c{each}={'x' * 1000}" for each in range(90))),
    "a cookie for every path": reply(PENDING, "Set-Cookie: a=b; Path=/; Domain=.com"),
    **{f"cut after {at} bytes": WHOLE[:at] for at in range(3, len(WHOLE), 9)},
}  # fmt: skip


def endless(first: bytes, again: bytes) -> Iterator[bytes]:
    """Yield without end, as fast as it is taken."""
    yield first
    while True:
        yield again


def dripped(data: bytes) -> Iterator[bytes]:
    """Yield a byte every 50 ms; without end, too slow for any timeout between bytes."""
    for at in range(len(data)):
        time.sleep(0.05)
        yield data[at : at + 1]


# What is sent while the client listens; none of these ends by itself within the client's time.
STREAMS: Final[dict[str, Callable[[], Iterator[bytes]]]] = {
    "status line that drips": lambda: dripped(WHOLE),
    "headers that drip": lambda: dripped(reply(DONE, *(f"X-{each}: 1" for each in range(50)))),
    "body that drips": lambda: endless_drip(reply(b"", length=5_000)),
    "chunks that drip": lambda: endless_drip(reply(b"", CHUNKED), b"1\r\n \r\n"),
    "continues that drip": lambda: endless_drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "endless continues": lambda: endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1_000),
    "endless status line": lambda: endless(b"HTTP/1.1 200 ", b"x" * 65_536),
    "endless header": lambda: endless(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 65_536),
    "endless headers": lambda: endless(b"HTTP/1.1 200 OK\r\n", b"X-Another: 1\r\n" * 4_000),
    "endless body": lambda: endless(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65_536),
    "endless chunks": lambda: endless(reply(b"", CHUNKED), b"1000\r\n" + b" " * 4_096 + b"\r\n"),
    "endless trailers": lambda: endless(chunked(DONE, end=b"0\r\n"), b"X-Late: 1\r\n" * 4_000),
    "endless gzip": lambda: endless(reply(bomb(1)[:-8], GZIP, length=10**9), bytes(65_536)),
    "silence": lambda: endless_drip(b"", b""),
    "silence after the head": lambda: endless_drip(reply(b"", length=100), b""),
    "silence in the body": lambda: endless_drip(WHOLE[:-5], b""),
}  # fmt: skip


def endless_drip(first: bytes, again: bytes = b" ") -> Iterator[bytes]:
    """Yield a beginning, then a little every 50 ms."""
    yield first
    while True:
        time.sleep(0.05)
        yield again


class Service:
    """Sends raw bytes to whoever connects, by the path that is asked for."""

    def __init__(self, tell: Callable[[str], Iterator[bytes]]) -> None:
        self._tell = tell
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._closed = threading.Event()
        self.at = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.largest = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        with connection, suppress(OSError):
            asked = b""
            while b"\r\n\r\n" not in asked:
                asked += connection.recv(65_536)
            self.largest = max(self.largest, len(asked))
            for piece in self._tell(asked.split()[1].decode().rpartition("/")[2]):
                connection.sendall(piece)
                if self._closed.is_set():
                    return
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):  # so that the reply is not lost to a reset
                pass

    def close(self) -> None:
        """Stop serving."""
        self._closed.set()
        self._socket.close()


Ended = tuple[Result, float]


def by_requests(at: str, jobs: list[str], dialect: Dialect) -> list[Ended]:
    """Poll with one blocking client."""
    with VideoTranslationClient(at, POLICY, dialect=dialect) as client:
        return [timed(client.poll, job) for job in jobs]


def by_httpx(at: str, jobs: list[str], dialect: Dialect) -> list[Ended]:
    """Poll with one asyncio client."""

    async def poll_all() -> list[Ended]:
        ended = []
        async with AsyncVideoTranslationClient(at, POLICY, dialect=dialect) as client:
            for job in jobs:
                begun = time.monotonic()
                ended.append((await client.poll(job), time.monotonic() - begun))
        return ended

    return asyncio.run(poll_all())


def by_exchange(at: str, jobs: list[str], dialect: Dialect) -> list[Ended]:
    """Poll with what carries the polls of a load test."""
    exchange = Exchange()

    def poll(job: str) -> Result:
        talk = Conversation(JobRef(job), POLICY, lambda _n: 0.5, started_at=time.monotonic(), dialect=dialect)
        while not isinstance(step := talk.next(time.monotonic()), Result):
            if not isinstance(step, SendRequest):
                time.sleep(max(0.0, step.until - time.monotonic()))
                continue
            asked = step.request
            try:
                response = exchange(asked.method, asked.url(at), asked.headers, None, step.timeout)
            except OSError as error:
                talk.broke(time.monotonic(), str(error))
            else:
                talk.replied(time.monotonic(), response)
        return step

    try:
        return [timed(poll, job) for job in jobs]
    finally:
        exchange.close()


def timed(poll: Callable[[str], Result], job: str) -> Ended:
    """Return how a polling ended, and how long it took."""
    begun = time.monotonic()
    result = poll(job)
    return result, time.monotonic() - begun


DRIVERS: Final = {"requests": by_requests, "httpx": by_httpx, "exchange": by_exchange}


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str], Iterator[bytes]]], Service]]:
    """Start services, and stop them in the end."""
    started: list[Service] = []

    def start(tell: Callable[[str], Iterator[bytes]]) -> Service:
        started.append(Service(tell))
        return started[-1]

    yield start
    for each in started:
        each.close()


Serve = Callable[[Callable[[str], Iterator[bytes]]], Service]


def test_there_are_enough_replies() -> None:
    """The table has at least 120 kinds."""
    assert len(SENT) + len(STREAMS) >= 120


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_reply_breaks_a_driver(serve: Serve, driver: str) -> None:
    """Each ends in a typed outcome, and within a few polls."""
    names = list(SENT)
    service = serve(lambda job: iter([SENT[names[int(job)]]]))
    ended = DRIVERS[driver](service.at, [str(index) for index in range(len(names))], NATIVE)
    assert {
        name: result.outcome
        for name, (result, _) in zip(names, ended, strict=True)
        if result.outcome not in OUTCOMES
    } == {}
    assert service.largest < 1_000, "a request grows by what the service has sent"


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_stream_holds_a_driver_or_fills_its_memory(serve: Serve, driver: str) -> None:
    """What never ends is left when its time is up, whatever was sent until then."""
    names = list(STREAMS)
    service = serve(lambda job: STREAMS[names[int(job)]]())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ended = DRIVERS[driver](service.at, [str(index) for index in range(len(names))], NATIVE)
    for name, (result, took) in zip(names, ended, strict=True):
        assert result.outcome in ("timeout", "gave_up"), name
        assert took < ALLOWED_S, name
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4 * 50 * 1024


@pytest.mark.parametrize("driver", ["requests", "httpx"])
def test_no_reply_to_a_submission_raises_what_is_not_ours(serve: Serve, driver: str) -> None:
    """It is accepted, or it fails with an error of the client's own."""
    places = {
        f"202 to {place[:9]!r}": reply(b'{"id": "j"}', f"Location: {place}", status="202 OK")
        for place in PLACES
    }
    ids = {
        word: reply(b'{"id": %s}' % word.encode(), status="202 OK")
        for word in ('"\\ud800"', "1e999", "[]", '"a/b"')
    }
    replies = [*SENT.values(), *places.values(), *ids.values()]
    left = iter(replies)  # a kept connection that was closed may cost a submission, and nothing of these
    service = serve(lambda _job: iter([next(left)]))
    if driver == "requests":
        with VideoTranslationClient(service.at, POLICY) as client:
            while left.__length_hint__():
                with suppress(ClientError):
                    client.submit()
    else:
        asyncio.run(submitted(service.at, left.__length_hint__))


async def submitted(at: str, left: Callable[[], int]) -> None:
    """Submit with the asyncio client."""
    async with AsyncVideoTranslationClient(at, POLICY) as client:
        while left():
            with suppress(ClientError):
                await client.submit()


def mutated(seed: int) -> bytes:
    """Return a reply of the table with a few bytes changed, removed, doubled, or cut off."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    data = bytearray(draw.choice([each for each in SENT.values() if 0 < len(each) < 5_000]))
    for _ in range(draw.randint(1, 8)):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(5):
            case 0:
                data[at : at + 1] = draw.randbytes(1)
            case 1:
                del data[at : at + draw.randint(1, 20)]
            case 2:
                data[at:at] = data[max(0, at - draw.randint(1, 50)) : at]
            case 3:
                data[at:at] = draw.choice(
                    [b"\r\n", b"\x00", b": ", b"9" * 30, b"\xff", b'"', b"{", b"HTTP/1.1 100 C\r\n\r\n"]
                )
            case _:
                data = data[: max(1, at)]
    return bytes(data)


def survives(serve: Serve, driver: str, seeds: range) -> None:
    """Poll once for each mutated reply, under dialects in turn."""
    service = serve(lambda job: iter([mutated(int(job.removeprefix("status?id=").partition(":")[0]))]))
    dialects = [NATIVE, *DIALECTS.values()]
    for turn, dialect in enumerate(dialects):
        mine = [str(seed) for seed in seeds if seed % len(dialects) == turn]
        for seed, (result, took) in zip(mine, DRIVERS[driver](service.at, mine, dialect), strict=True):
            assert result.outcome in OUTCOMES, seed
            assert took < 5 * ALLOWED_S, seed  # no hang; the streams are judged to the second


@pytest.mark.parametrize("driver", DRIVERS)
def test_no_mutation_breaks_a_driver(serve: Serve, driver: str) -> None:
    """A few of the replies that the slow proof tries by the thousands."""
    survives(serve, driver, range(24))


@pytest.mark.slow
@pytest.mark.parametrize("driver", DRIVERS)
def test_ten_thousand_mutations_break_no_driver(serve: Serve, driver: str) -> None:
    """Typed outcomes in bounded time, 10,000 times."""
    survives(serve, driver, range(1_000, 11_000))
