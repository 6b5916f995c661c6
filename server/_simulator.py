"""The simulator: a board, the clock that drives it, and the job ids it hands out.

What the board leaves to its driver happens here: reading the clock, waiting until a reply is due, sealing
tickets. Calls may come from several threads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import count
from typing import Final, NamedTuple, TypeVar

from scenarios import Simulation
from server._board import Board, Counters
from server._own_dialect import spoken
from server._replies import InService, NoReply, Reply, Ticket
from server._speaking import Answer, Place
from server._spoiling import dribble_s, limit_headers, spoilt
from server._tally import Served, Tally
from server._tickets import UnknownTicket, seal, unseal

_AnyReply = TypeVar("_AnyReply", Reply, Reply | NoReply | InService)

# The job behind GET /status, which starts with the server.
_IMPLICIT_KEY: Final = 0


class Activity(NamedTuple):
    """The board's counters, the CPU seconds since the same reset, and requests in flight."""

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
        self._tally: Tally | None = None
        self._board = Board(simulation)
        self.install(simulation)

    def install(self, simulation: Simulation) -> None:
        """Serve ``simulation`` from now on, as after a start; jobs already submitted keep their fate."""
        now = self._clock()
        self._serve(Served(simulation, now, now))

    def reset(self, starts_in: float = 0.0) -> None:
        """Start over: counters at zero, limits and queues empty, the implicit job new.

        Time zero of the outages is ``starts_in`` seconds from now.
        """
        now = self._clock()
        self._serve(Served(self.served.simulation, now, now + starts_in))

    def _serve(self, served: Served) -> None:
        if self._tally is None:
            with self._lock:
                self._begin(served)
        else:
            self._tally.announce(served)
            self.keep_up()

    def _begin(self, served: Served) -> None:
        simulation = served.simulation
        self._board.reset(served.now)  # lets go whoever is in service
        self._board = Board(simulation, served.now)
        self._board.reset(served.now, served.epoch)
        self.served = served
        self.fingerprint = simulation.fingerprint
        self.dialect = spoken(simulation.service.dialect)
        limit = simulation.service.rate_limit
        self._policy = None if limit is None else limit.policy
        self._implicit = self._board.start(served.now, _IMPLICIT_KEY)
        self._cpu_before = time.process_time()

    # --- one of several processes -----------------------------------------------------------------------

    def share(self, tally: Tally, place: int) -> None:
        """Be one of the processes that count together; ``place`` is this one's number, from 0."""
        self._tally = tally
        self._place = place
        self._row = tally.row(place)
        self._generation = 0
        self.keep_up()

    @property
    def processes(self) -> int:
        """Return how many processes serve this."""
        return 1 if self._tally is None else self._tally.processes

    def keep_up(self) -> bool:
        """Serve what another process has announced since the last request; return whether there was any."""
        tally = self._tally
        if tally is None or tally.generation == self._generation:
            return False
        with self._lock:
            self._generation, served = tally.served()
            self._begin(served)
            self._row.begin(self._generation)
            # What comes without a number gets one that no other process gives.
            self._keys, self._attempts = (count(self._place + 1, tally.processes) for _ in range(2))
        return True

    # --- requests ---------------------------------------------------------------------------------------

    def submit(self, key: int | None) -> tuple[str, Ticket, Reply]:
        """Accept a job and return its id and ticket with the reply to be sent."""
        with self._lock:
            if self._tally is not None:
                key = next(self._keys) if key is None else key
                self._row.submitted()
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
                return job_id or "", None, self._tallied(self._board.poll_unknown(self._clock()))
        with self._lock:
            if attempt is None and self._tally is not None:
                attempt = next(self._attempts)
            reply = self._tallied(self._board.poll(self._clock(), ticket, attempt, client))
        return job_id or seal(ticket, self._secret), ticket, reply

    def _tallied(self, reply: _AnyReply) -> _AnyReply:
        if self._tally is not None and not isinstance(reply, InService):
            self._row.polled(reply.fault.counted_as if isinstance(reply, NoReply) else reply.status_code)
        return reply

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
        self._waiting(1)

    def left(self) -> None:
        """Note that a request waits no longer."""
        self._waiting(-1)

    def _waiting(self, more: int) -> None:
        with self._lock:
            self._in_flight += more
            if self._tally is not None:
                self._row.waiting(more)

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
            if (tally := self._tally) is not None:
                return Activity(tally.counters(), tally.cpu_seconds(), tally.in_flight())
            cpu_seconds = time.process_time() - self._cpu_before
            return Activity(self._board.counters(), cpu_seconds, self._in_flight)

    def cpu_seconds(self) -> float:
        """Return the processor time that was spent since the start."""
        return time.process_time() if self._tally is None else self._tally.cpu_seconds(in_all=True)

    def epoch(self) -> float:
        """Return time zero of the clock, in seconds since 1970."""
        return self._wall_clock() - self._clock()

    def uptime(self) -> float:
        """Return the seconds since this simulator was made."""
        return self._clock() - self._started_at


def begins(reply: Reply | NoReply) -> float:
    """Return when the first byte of a reply is due; one that drips in has the time of its last."""
    return reply.at - dribble_s(reply)
