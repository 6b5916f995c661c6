"""The simulator: a board, the clock that drives it, and the job ids it hands out.

What the board leaves to its driver happens here: reading the clock, waiting until a reply is due, sealing
tickets. Calls may come from several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Final, NamedTuple

from scenarios import Simulation
from server._board import Board, Counters
from server._own_dialect import spoken
from server._replies import InService, NoReply, Reply, Ticket
from server._speaking import Answer, Place
from server._spoiling import dribble_s, limit_headers, spoilt
from server._tickets import UnknownTicket, seal, unseal

# The job behind GET /status, which starts with the server.
_IMPLICIT_KEY: Final = 0


class Activity(NamedTuple):
    """The board's counters, the CPU seconds of this process since the same reset, and requests in flight."""

    counters: Counters
    cpu_seconds: float
    in_flight: int


class Simulator:
    """One simulated service under a real clock; ``clock`` and ``sleep`` speak of the same seconds.

    ``wall_clock`` gives seconds since 1970, for the dialects that tell dates.

    Without a ``secret`` ids are signed with one derived from the simulation, so that a restarted server knows
    the jobs of its predecessor. That keeps mistyped and foreign ids out, not somebody who reads this code.
    """

    def __init__(
        self,
        simulation: Simulation,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        sleep: Callable[[float], object],
        secret: bytes | None,
    ) -> None:
        self._clock = clock
        self._wall_clock = wall_clock
        self._sleep = sleep
        self._secret = secret or sha256(f"job ids of {simulation.fingerprint}".encode()).digest()
        self._lock = threading.Lock()
        self._started_at = clock()
        self._in_flight = 0
        self._board = Board(simulation)
        self.install(simulation)

    def install(self, simulation: Simulation) -> None:
        """Serve ``simulation`` from now on, as after a start; jobs already submitted keep their fate."""
        with self._lock:
            now = self._clock()
            self._board.reset(now)  # lets go whoever is in service
            self._board = Board(simulation, now)
            self.fingerprint = simulation.fingerprint
            self.dialect = spoken(simulation.service.dialect)
            limit = simulation.service.rate_limit
            self._policy = None if limit is None else limit.policy
            self._begin(now)

    def reset(self, starts_in: float = 0.0) -> None:
        """Start over: counters at zero, limits and queues empty, the implicit job new.

        Time zero of the outages is ``starts_in`` seconds from now.
        """
        with self._lock:
            now = self._clock()
            self._board.reset(now, now + starts_in)
            self._begin(now)

    def _begin(self, now: float) -> None:
        self._implicit = self._board.start(now, _IMPLICIT_KEY)
        self._cpu_before = time.process_time()

    def submit(self, key: int | None) -> tuple[str, Ticket, Reply]:
        """Accept a job and return its id and ticket with the reply to be sent."""
        with self._lock:
            ticket, reply = self._board.submit(self._clock(), key)
        return seal(ticket, self._secret), ticket, reply

    def poll(
        self, job_id: str | None, attempt: int | None, client: str | None = None
    ) -> tuple[str, Ticket | None, Reply | NoReply | InService]:
        """Return a job's id (None: the implicit job) and ticket with the reply to a status request for it.

        There is no ticket for an unknown id. ``client`` tells clients apart that have limits of their own.
        """
        try:
            ticket = self._implicit if job_id is None else unseal(job_id, self._secret)
        except UnknownTicket:
            with self._lock:
                return job_id or "", None, self._board.poll_unknown(self._clock())
        with self._lock:
            reply = self._board.poll(self._clock(), ticket, attempt, client)
        return job_id or seal(ticket, self._secret), ticket, reply

    def wait(self, answer: Reply | NoReply | InService) -> Reply | NoReply:
        """Sleep until the reply is due and return it as it leaves."""
        self.entered()
        try:
            reply = self._served(answer) if isinstance(answer, InService) else answer
            early = begins(reply) - self._clock()
            if early > 0:
                self._sleep(early)
        finally:
            self.left()
        return self.as_sent(reply)

    def entered(self) -> None:
        """Note that a request waits for its reply, until it has ``left``."""
        with self._lock:
            self._in_flight += 1

    def left(self) -> None:
        """Note that a request waits no longer."""
        with self._lock:
            self._in_flight -= 1

    def as_sent(self, reply: Reply | NoReply) -> Reply | NoReply:
        """Return a reply that begins to leave now, with ``finished_ago`` corrected for being late."""
        if isinstance(reply, NoReply) or (job := reply.job) is None or job.finished_ago is None:
            return reply
        late = self._clock() - begins(reply)
        if late <= 0:
            return reply
        return reply._replace(at=reply.at + late, job=job._replace(finished_ago=job.finished_ago + late))

    def depart(self) -> float:
        """Let those go who have been served by now; return when the next will be (infinity: nobody)."""
        with self._lock:
            self._board.departures(self._clock())
            return self._board.next_departure

    def _served(self, request: InService) -> Reply | NoReply:
        """Sleep until a request has been served; whoever comes meanwhile makes it later, so look again."""
        while True:
            with self._lock:
                now = self._clock()
                self._board.departures(now)
                if request.reply is not None:
                    return request.reply
                due = self._board.foreseen(request)
            self._sleep(due - now)

    def accept(self, job_id: str, ticket: Ticket, reply: Reply, place: Place) -> Answer:
        """Return what is said of an accepted submission."""
        return self.dialect.accept(job_id, ticket, reply, place, self.epoch())

    def tell(self, job_id: str, ticket: Ticket | None, reply: Reply, place: Place) -> Answer:
        """Return what is said to a status request, spoilt by the fault that has struck it, if one has."""
        answer = self.dialect.tell(job_id, ticket, reply, place, self.epoch())
        if reply.allowance is not None and self._policy is not None:
            answer.headers.update(limit_headers(*self._policy, reply.allowance))
        return answer if reply.fault is None else spoilt(answer, reply.fault)

    def drip(self, body: bytes, seconds: float) -> Iterator[bytes]:
        """Yield a body byte by byte, the last one this many seconds after the first."""
        for byte in body[:-1]:
            yield bytes((byte,))
            self._sleep(seconds / (len(body) - 1))
        yield body[-1:]

    def truth(self, job_id: str) -> tuple[Ticket, float]:
        """Return all that is known of a job, and the time now; raise UnknownTicket for a foreign id."""
        ticket = unseal(job_id, self._secret)
        with self._lock:
            now = self._clock()
            return self._board.settled(now, ticket), now

    def activity(self) -> Activity:
        """Return what has been done since the last reset."""
        with self._lock:
            cpu_seconds = time.process_time() - self._cpu_before
            return Activity(self._board.counters(), cpu_seconds, self._in_flight)

    def epoch(self) -> float:
        """Return time zero of the clock, in seconds since 1970."""
        return self._wall_clock() - self._clock()

    def uptime(self) -> float:
        """Return the seconds since this simulator was made."""
        return self._clock() - self._started_at


def begins(reply: Reply | NoReply) -> float:
    """Return when the first byte of a reply is due; one that drips in has the time of its last."""
    return reply.at - dribble_s(reply)
