"""HTTP/1.1 over gevent's sockets: a request goes out, its whole reply comes in, in bounded time and room.

This is what carries the polls of a load test: about a sixth of what ``requests`` takes, for the parsing is
llhttp's (httptools), there is no cookie jar, no redirect, no proxy and no retry, and a reply is read whole.
Nothing is ever sent twice.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from select import POLLIN
from ssl import SSLContext, create_default_context
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import httptools
import msgspec
from gevent import socket
from gevent.hub import get_hub
from gevent.monkey import get_original
from greenlet import getcurrent

from client import BadReply, Body, Response

_MOST_HEAD: Final = 1 << 16
_MOST_INTERIM: Final = 16  # 1xx replies before the one that counts
_RECEIVE: Final = 1 << 16
_IN_URL: Final = "!#$%&'()*+,/:;=?@[]~"
_PLAIN_TARGET: Final = re.compile(r"/[!\"$-~]*")  # as it is sent; no fragment, which is not
_BEHIND_HOST: Final = frozenset("?#")
_MOST_PLACES: Final = 100
_POLL: Final = get_original("select", "poll")  # Locust patches the process; this one never waits
_PORTS: Final = {"http": 80, "https": 443}
_ALWAYS: Final = {"User-Agent": "backoff-harness", "Accept-Encoding": "gzip, deflate"}


UNSENT: Final = "unsent_by_the_exchange"
"""The attribute of an exchange's error that is there if there was no connection to send anything over."""


class _Origin(NamedTuple):
    scheme: str
    host: str
    port: int


class _Place(NamedTuple):
    """Where requests go: the origin, its Host header, and the connections that are kept for it."""

    origin: _Origin
    host: str
    idle: list[_Connection]


class Reply(Response):
    """A reply as lanes read it: many times a second, by names that are the same again and again.

    headers: by names in lower case.
    """

    __slots__ = ()

    def document(self) -> Any:
        """Return the body's JSON value, None when it has none."""
        try:
            return _DECODE(self.body)
        except (ValueError, RecursionError):  # what the standard library is more lenient with: NaN, UTF-16
            return Response.document(self)

    def header(self, name: str) -> str | None:
        """Return a header's value, None when it is absent."""
        return self.headers.get(_lower(name))

    def has_any(self, names: frozenset[str]) -> bool:
        """Say whether there is a header of one of these names, in lower case."""
        return not names.isdisjoint(self.headers)


_DECODE: Final = msgspec.json.Decoder().decode
_lower: Final = lru_cache(maxsize=256)(str.lower)


class Exchange:
    """Carries requests to their replies, over as many connections as there are requests at once.

    trust: which certificates are believed; the system's authorities unless given.
    Connections are kept for later requests to the same origin, the one used last first.
    """

    def __init__(self, trust: SSLContext | None = None) -> None:
        self._trust = trust
        self._idle: dict[_Origin, list[_Connection]] = {}
        self._places: dict[str, _Place] = {}  # by the beginning of an address, up to its path
        self._closed = False

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float
    ) -> Response:
        """Send one request and return its whole reply.

        timeout: most seconds for all of it: connecting, sending, and the last byte of the reply.
        Raises OSError: TimeoutError when that was not enough, ssl.SSLError, BadReply, and what sockets raise.
        """
        until = time.monotonic() + timeout
        start = url.find("/", 8)
        place = self._places.get(url[:start])
        target = url[start:]
        if place is None or not _PLAIN_TARGET.fullmatch(target):
            origin, host, target = _taken_apart(url)
            place = _Place(origin, host, self._idle.setdefault(origin, []))
            # Without a path the first slash may be one of a query or a fragment.
            if start > 0 and not _BEHIND_HOST.intersection(url[8:start]) and len(self._places) < _MOST_PLACES:
                self._places[url[:start]] = place
        origin, host, idle = place
        connection = _still_open(idle) or self._connected(origin, until)
        try:
            connection.send(_request(method, target, host, headers, body), until)
            reply = connection.receive(until)
        except BaseException:
            connection.close()
            raise
        if connection.stays_open and not self._closed:
            idle.append(connection)
        else:
            connection.close()
        return Reply(reply.status, reply.headers, reply.content(), url, time.time())

    def close(self) -> None:
        """Close the connections; those in use are closed when their replies are here."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                idle.pop().close()

    def _connected(self, origin: _Origin, until: float) -> _Connection:
        try:
            return _Connection.open(origin, self._trusted(origin), until)
        except OSError as error:
            setattr(error, UNSENT, True)
            raise

    def _trusted(self, origin: _Origin) -> SSLContext | None:
        if origin.scheme != "https":
            return None
        if self._trust is None:
            self._trust = create_default_context()
        return self._trust


def _still_open(idle: list[_Connection]) -> _Connection | None:
    """Return the connection used last that the server has not closed since; None if there is none."""
    while idle:
        connection = idle.pop()
        if connection.is_quiet():
            return connection
        connection.close()
    return None


def _taken_apart(url: str) -> tuple[_Origin, str, str]:
    """Return an address's origin, its Host header and its request target."""
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BadReply(f"{parts.scheme or 'no scheme'}: only http and https addresses can be polled")
    port = parts.port or _PORTS[parts.scheme]
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    host = name if port == _PORTS[parts.scheme] else f"{name}:{port}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _PLAIN_TARGET.fullmatch(target):
        target = quote(target, safe=_IN_URL)
    return _Origin(parts.scheme, parts.hostname, port), host, target


def _request(method: str, target: str, host: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    head = _form(method, host, tuple(headers)) % (target, *headers.values())
    if body is not None:
        return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body
    if method not in ("GET", "HEAD"):
        head += "Content-Length: 0\r\n"
    return f"{head}\r\n".encode("latin-1")


@lru_cache(maxsize=64)
def _form(method: str, host: str, names: tuple[str, ...]) -> str:
    """Return the head of requests with these headers, to be filled in with the target and their values."""
    given = {name.lower() for name in names}
    always = [f"{name}: {value}" for name, value in _ALWAYS.items() if name.lower() not in given]
    fixed = [part.replace("%", "%%") for part in (method, f"Host: {host}", *always)]
    asked = [f"{name.replace('%', '%%')}: %s" for name in names]
    return "\r\n".join([f"{fixed[0]} %s HTTP/1.1", *fixed[1:], *asked, ""])


@lru_cache(maxsize=256)
def _name(raw: bytes) -> str:
    """Return a header's name as replies hold it."""
    return raw.decode("latin-1").lower()


class _Reply:
    """One reply as the parser tells of it."""

    __slots__ = ("body", "headers", "status", "whole")

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.whole = False
        self.body = Body()

    @property
    def ends_with_the_connection(self) -> bool:
        """Whether nothing but the end of the connection says how long the body is."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    def content(self) -> bytes:
        """Return the body, unpacked. Raises BadReply when it is broken or too large."""
        return self.body.unpacked(self.headers.get("content-encoding"))


class _Connection:
    """One connection, and the parser of what comes over it."""

    __slots__ = (
        "_alarm",
        "_interim",
        "_is_secure",
        "_look",
        "_parser",
        "_raw",
        "_readable",
        "_reader",
        "_reply",
        "_rings_at",
        "_socket",
        "_surplus",
        "_until",
        "stays_open",
    )

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._raw: Any = getattr(
            connected, "_sock", None
        )  # the system's own, which does not block; not of TLS
        self._is_secure = self._raw is None  # TLS has none
        self._readable = get_hub().loop.io(connected.fileno(), 1)
        self._look = _POLL()
        self._look.register(connected.fileno(), POLLIN)
        self._reader: Any = None  # the greenlet that waits for something to read
        self._until = math.inf  # and for how long
        self._alarm: Any = None  # set for the end of a wait; it is left running, for most waits end before
        self._rings_at = math.inf
        self._parser = httptools.HttpResponseParser(self)
        self._reply = _Reply()
        self._interim = 0
        self._surplus = False  # bytes came that nobody asked for
        self.stays_open = True

    @classmethod
    def open(cls, origin: _Origin, trust: SSLContext | None, until: float) -> _Connection:
        """Connect by ``until`` (monotonic seconds). Raises OSError."""
        plain = socket.create_connection((origin.host, origin.port), _left(until))
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.settimeout(_left(until))
            return cls(trust.wrap_socket(plain, server_hostname=origin.host) if trust else plain)
        except BaseException:
            plain.close()
            raise

    def is_quiet(self) -> bool:
        """Say whether nothing has come since the last reply, not even the connection's end."""
        return not self._look.poll(0)  # what TLS says by itself comes with the first reply

    def close(self) -> None:
        """Close it."""
        self._readable.close()
        if self._alarm is not None:
            self._alarm.close()
        self._socket.close()

    def send(self, request: bytes, until: float) -> None:
        """Send a request by ``until``. Raises OSError."""
        if not self._is_secure:
            try:
                sent = self._raw.send(request)  # most fit into the system's buffer
            except BlockingIOError:
                sent = 0
            if sent == len(request):
                return
            request = request[sent:]
        self._socket.settimeout(_left(until))
        self._socket.sendall(request)

    def receive(self, until: float) -> _Reply:
        """Return the next reply, read to its end by ``until``. Raises OSError."""
        reply = self._reply = _Reply()
        self._interim, read = 0, 0
        while not self._reply.whole:
            data = self._read(until)
            if not data:
                self._ended()
                break
            read += len(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                raise BadReply("the reply changes the protocol") from upgrade
            except httptools.HttpParserCallbackError as error:
                cause = error.__context__
                raise cause if isinstance(cause, BadReply) else BadReply(str(error)) from error
            except httptools.HttpParserError as error:
                if not self._reply.whole:
                    raise BadReply(f"no HTTP reply: {error}") from error
                self.stays_open = False  # it is the rest that makes no sense
            if not self._reply.status and read > _MOST_HEAD:
                raise BadReply(f"the reply's head is larger than {_MOST_HEAD} bytes")
        reply = self._reply
        self.stays_open = self.stays_open and not self._surplus
        return reply

    def _read(self, until: float) -> bytes:
        if self._is_secure:
            self._socket.settimeout(_left(until))
            return self._socket.recv(_RECEIVE)
        while True:
            self._wait(until)
            with suppress(BlockingIOError):
                data: bytes = self._raw.recv(_RECEIVE)
                return data

    def _wait(self, until: float) -> None:
        """Wait for something to read. A timer for each wait would cost more than all else about it."""
        self._until = until
        if until < self._rings_at:
            self._set_alarm()
        self._reader = me = getcurrent()
        self._readable.start(me.switch)
        try:
            get_hub().switch()
        finally:
            self._readable.stop()
            self._reader = None

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.close()
        self._rings_at = self._until
        self._alarm = get_hub().loop.timer(max(0.0, self._until - time.monotonic()))
        self._alarm.start(self._ring)

    def _ring(self) -> None:
        self._rings_at = math.inf
        if self._reader is None:
            return
        if time.monotonic() < self._until:  # the wait that it was set for is over
            self._set_alarm()
        else:
            self._reader.throw(TimeoutError("timed out"))

    def _ended(self) -> None:
        self.stays_open = False
        reply = self._reply
        if not reply.status:
            raise ConnectionResetError("the connection was closed before a reply")
        if not reply.ends_with_the_connection:
            raise BadReply("the connection was closed in the middle of a reply")
        reply.whole = True

    # -- what the parser calls -----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._surplus = self._reply.whole

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._surplus:
            headers, known, told = self._reply.headers, _name(name), value.decode("latin-1")
            # One that comes again is appended to the first, as lists are (RFC 9110, 5.3).
            headers[known] = f"{headers[known]}, {told}" if known in headers else told

    def on_headers_complete(self) -> None:
        if not self._surplus:
            self._reply.status = self._parser.get_status_code()
            self.stays_open = bool(self._parser.should_keep_alive())

    def on_body(self, chunk: bytes) -> None:
        if not self._surplus:
            self._reply.body.add(chunk)

    def on_message_complete(self) -> None:
        if self._surplus:
            return
        if 100 <= self._reply.status < 200:
            self._interim += 1
            if self._interim > _MOST_INTERIM:
                raise BadReply(f"more than {_MOST_INTERIM} replies that announce another")
            self._reply = _Reply()
            return
        self._reply.whole = True


def _left(until: float) -> float:
    """Return the seconds until then. Raises TimeoutError when there are none."""
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("timed out")
    return left
