"""The fast host: submissions and status requests are answered on an event loop, the rest by Flask behind it.

Both ways lead to the same functions (``server._answering``) and the same simulator; what differs is who
waits: here a reply that is due later is an alarm, not a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from math import inf
from threading import Thread
from typing import Final

from flask import Flask

from server._alarms import Alarms
from server._answering import Pending
from server._behind import Whole, call
from server._connection import Connection, Request, sized, status_line
from server._no_reply import Ending
from server._replies import InService, NoReply, Reply
from server._routes import follow_dialect
from server._routing import FastLane
from server._simulator import Simulator, begins
from server._spoiling import dribble_s

_SWEEP_S: Final = 5.0


class Host:
    """Serves ``app`` on a loop: a ``Service`` of connections, at most so many at once."""

    def __init__(self, app: Flask, loop: asyncio.AbstractEventLoop, most: int) -> None:
        self._app = app
        self._loop = loop
        self._most = most
        self._simulator: Simulator = app.extensions["simulator"]
        self._fast = FastLane(self._simulator)
        self._connections: set[Connection] = set()
        self._alarms = Alarms(loop)
        self._in_service: list[tuple[InService, Callable[[Reply | NoReply], None]]] = []
        self._departure = inf
        self._alarms.at(time.monotonic() + _SWEEP_S, self._sweep)

    def protocol(self) -> Connection:
        """Return the protocol of a connection to come."""
        return Connection(self)

    def close(self) -> None:
        """Forget what is pending."""
        self._alarms.close()

    def opened(self, connection: Connection) -> bool:
        """Note that a connection has been made; return whether there is room for it."""
        self._connections.add(connection)
        return len(self._connections) <= self._most

    def closed(self, connection: Connection) -> None:
        """Note that a connection is gone."""
        self._connections.discard(connection)

    def room(self, request: Request) -> int:
        """Return how many bytes the body of this request may have."""
        return self._fast.room(request)

    def answer(self, request: Request, connection: Connection) -> None:
        """Answer a request when its reply is due."""
        if self._simulator.keep_up():
            follow_dialect(self._app, self._simulator)
        pending = self._fast.enter(request, connection.peer, connection.local)
        if pending is None:
            # A thread of its own, and not one of a pool: few requests come here, and one that waits for its
            # reply must neither keep others waiting nor the process alive.
            Thread(target=self._ask_flask, args=(request, connection), daemon=True).start()
        elif isinstance(pending.reply, InService):
            self._simulator.entered()
            self._in_service.append((pending.reply, partial(self._served, pending, connection)))
            self._depart()
        elif begins(pending.reply) <= time.monotonic():
            self._send(pending, connection, pending.reply)
        else:
            self._simulator.entered()
            self._served(pending, connection, pending.reply)

    def _served(self, pending: Pending, connection: Connection, reply: Reply | NoReply) -> None:
        self._alarms.at(begins(reply), partial(self._due, pending, connection, reply))

    def _due(self, pending: Pending, connection: Connection, reply: Reply | NoReply) -> None:
        self._simulator.left()
        self._send(pending, connection, reply)

    def _send(self, pending: Pending, connection: Connection, reply: Reply | NoReply) -> None:
        told = pending.told(self._simulator.as_sent(reply))
        if isinstance(told, Ending):
            connection.end(told)
            return
        headers = sized(told.status_code, told.headers, told.body)
        if seconds := dribble_s(reply):
            connection.begin(status_line(told.status_code), headers)
            self._drip(connection, told.body, time.monotonic(), seconds)
        else:
            connection.reply(status_line(told.status_code), headers, told.body)

    def _drip(self, connection: Connection, body: bytes, begun: float, seconds: float, sent: int = 0) -> None:
        """Send the next byte of a body, and the last one so many seconds after the first."""
        connection.write(body[sent : sent + 1])
        sent += 1
        if sent >= len(body):
            connection.finish()
            return
        at = begun + seconds * sent / (len(body) - 1)
        self._alarms.at(at, partial(self._drip, connection, body, begun, seconds, sent))

    # --- those who share the workers --------------------------------------------------------------------

    def _depart(self) -> None:
        """Let those go who have been served, and come back when the next will be."""
        departure = self._simulator.depart()
        waiting, self._in_service = self._in_service, []
        for each in waiting:
            request, served = each
            if request.reply is None:
                self._in_service.append(each)
            else:
                served(request.reply)
        if departure < self._departure:
            self._departure = departure
            self._alarms.at(departure, self._depart_on_time)

    def _depart_on_time(self) -> None:
        self._departure = inf
        self._depart()

    # --- Flask ------------------------------------------------------------------------------------------

    def _ask_flask(self, request: Request, connection: Connection) -> None:
        answer = call(self._app, request, connection)
        with suppress(RuntimeError):  # the loop has been stopped meanwhile
            self._loop.call_soon_threadsafe(self._flask_answered, connection, answer)

    def _flask_answered(self, connection: Connection, answer: Whole | Ending) -> None:
        if isinstance(answer, Ending):
            connection.end(answer)
        else:
            connection.reply(*answer)
        if self._in_service:  # a reset, or another scenario, lets everybody go
            self._depart()

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.check(now)
        self._alarms.at(now + _SWEEP_S, self._sweep)
