"""The event engine: the shipped client and the shipped service, joined by a heap of events.

One event is a request being sent, in the order ``(time, priority, sequence)``: submissions go before polls
of the same instant, and otherwise whoever was planned first. One event per poll is enough where the board
knows a reply when the request arrives, since a reply touches nobody but its own client: what the client will
do on hearing it can be settled at once. Times on the wire are constants, so requests reach the board in the
order in which they were sent.

Where requests share the workers (``capacity.discipline: ps``) a reply is known when its request has been
served. Departures are taken from the board one by one, each as soon as no request can arrive before it, and
the client's patience is an event of its own: it ends the poll unless the reply has been heard by then.

Time conventions are those of a live run: the visit begins at 0, a submission is sent at its planned time, and
polling starts when its reply arrives. A reply that comes later than ``Send.timeout`` is a transport failure
at that moment, though the service has counted the poll.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from heapq import heappop, heappush, heapreplace
from itertools import count
from math import inf
from typing import Final, NamedTuple

import numpy as np

from client import Done, Failure, Poller, PollingPolicy, Wait
from harness.measure import PollRow, response_name
from harness.virtual._columns import FinishedJobs, Part
from harness.virtual._counts import PollCounter
from harness.virtual._overhead import Overhead
from scenarios import Scenario
from scenarios.draws import Stream, uniform, uniforms
from server import Board, InService, NoReply, Reply, Ticket

OnPoll = Callable[[PollRow], None]
OnProgress = Callable[[int, int], None]

_SUBMISSION, _POLL, _EXPIRY = 0, 1, 2  # priorities
_PLANNED_AHEAD: Final = 256  # submissions
_DRAWN_AHEAD: Final = 16  # waits of each; further draws are made one by one
_TIMED_OUT: Final = Failure("transport", detail="no reply in time")
_UNANSWERED: Final = Failure("transport", detail="no reply")
_GARBLED: Final = Failure("malformed", 200)
_BATCH: Final = 8192

_http_failure = lru_cache(maxsize=None)(Failure.http)  # 200 codes at most; they are frozen


class _Planned(NamedTuple):
    """A submission to come, with the first draws for its client's waits."""

    key: int
    lane: int
    at: float
    jitter: Sequence[float]


class _Job:
    """One job under way: its client and what is known of it."""

    __slots__ = ("key", "lane", "planned_at", "poller", "sent_at", "submitted_at", "ticket")

    def __init__(self, planned: _Planned, sent_at: float, ticket: Ticket) -> None:
        self.key = planned.key
        self.lane = planned.lane
        self.planned_at = planned.at
        self.sent_at = sent_at
        self.submitted_at = 0.0
        self.ticket = ticket
        self.poller: Poller


class _Flight(NamedTuple):
    """A poll that has been sent: whose it is, and until when its reply is waited for."""

    job: _Job
    attempt: int
    sent_at: float
    expires_at: float


class EventVisit:
    """One visit: every job of a setting and repeat, from the first submission until the last job's end.

    on_poll is told every status request as the row that a live run would keep. on_progress is told, now and
    then, how many jobs have ended and how many polls were sent.
    """

    def __init__(
        self,
        scenario: Scenario,
        setting: str,
        repeat: int,
        overhead: Overhead,
        *,
        on_poll: OnPoll | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._scenario = scenario
        self._setting = setting
        self._repeat = repeat
        self._policy: PollingPolicy = scenario.settings[setting]
        self._wake_s, self._request_s = overhead.wake_s, overhead.request_s
        self._reply_s = overhead.reply_s
        self._scatter_s, self._machine = overhead.scatter_s, overhead.machine
        reading = scenario.dialect.status
        self._not_ready, self._retryable = frozenset(reading.not_ready), frozenset(reading.retryable)
        self._on_poll = on_poll
        self._on_progress = on_progress
        self._board = Board(scenario.simulation)
        self._events: list[tuple[float, int, int, _Planned | _Job | InService]] = []
        self._flights: dict[InService, _Flight] = {}
        self._sequence = count()
        self._open = scenario.workload.arrivals.is_open
        self._arrivals = _open_arrivals(scenario, repeat) if self._open else iter(())
        self._iterations = [0] * scenario.workload.lanes
        self._counter = PollCounter()
        self._responses: Counter[int | None] = Counter()
        self._codes: list[int | None] = []
        self._sent: list[float] = []
        self._latencies: list[float] = []
        self._finished = FinishedJobs()
        self._lost = 0
        self._ended_at = 0.0

    def run(self) -> Part:
        """Simulate the visit. Raises VisitTooLong when a poll would be sent after a year."""
        if self._scatter_s:  # whoever is planned later may come first
            for planned in self._arrivals:
                self._plan(planned)
        if self._open:
            self._admit_next()
        else:
            for lane in range(self._scenario.workload.lanes):
                self._plan_closed(lane, 0.0)
        events, sequence, wake_s, polls = self._events, self._sequence, self._wake_s, 0
        capacity = self._scenario.service.capacity
        shares = capacity is not None and capacity.discipline == "ps"
        while events:
            sent_at, _, _, item = events[0]
            if shares and self._board.next_departure <= sent_at + self._request_s:
                self._depart()
            elif isinstance(item, _Job):
                command = self._poll(item, sent_at)
                if isinstance(command, Wait):
                    heapreplace(events, (command.until + wake_s, _POLL, next(sequence), item))
                else:
                    heappop(events)
                    if isinstance(command, InService):
                        expires_at = self._flights[command].expires_at
                        heappush(events, (expires_at, _EXPIRY, next(sequence), command))
                    else:
                        self._leave(item.key, item.lane, command.at)
                polls += 1
                if polls % _BATCH == 0:
                    self._flush(polls)
            elif isinstance(item, InService):
                heappop(events)
                if item in self._flights:
                    self._go_on(self._flights.pop(item), None)
            else:
                heappop(events)
                self._submit(item, sent_at)
        self._flush(polls)
        return self._part()

    def _push(self, at: float, priority: int, item: _Planned | _Job) -> None:
        heappush(self._events, (at + self._wake_s, priority, next(self._sequence), item))

    def _admit_next(self) -> None:
        """Plan the next arrival of an open loop, whatever became of the other jobs."""
        planned = next(self._arrivals, None)
        if planned is not None:
            self._plan(planned)

    def _plan(self, planned: _Planned) -> None:
        """Have a job submitted at its time."""
        at = planned.at
        if self._scatter_s:
            drawn = uniform(self._scenario.seed, Stream.MACHINE, planned.key, self._machine)
            at += self._scatter_s * drawn
        self._push(at, _SUBMISSION, planned)

    def _plan_closed(self, lane: int, at: float) -> None:
        """Plan the next job of a closed loop's lane, unless submissions are over by then."""
        workload, iteration = self._scenario.workload, self._iterations[lane]
        if not workload.is_over(at, lane + iteration * workload.lanes):
            self._iterations[lane] += 1
            key = self._scenario.closed_key(self._repeat, lane, iteration)
            self._plan(_Planned(key, lane, at, ()))

    def _leave(self, key: int, lane: int, at: float) -> None:
        """Take out a job whose client is done; in a closed loop the lane goes on after its think time."""
        self._ended_at = max(self._ended_at, at)
        if not self._open:
            self._plan_closed(lane, at + self._scenario.think_time(key))

    def _submit(self, planned: _Planned, sent_at: float) -> None:
        if self._open:
            self._admit_next()
        key, drawn = planned.key, planned.jitter
        ticket, reply = self._board.submit(sent_at + self._request_s, key)
        job = _Job(planned, sent_at, ticket)
        heard_at = reply.at + self._reply_s
        if heard_at > sent_at + self._policy.request_timeout:
            self._lost += 1
            self._leave(key, planned.lane, sent_at + self._policy.request_timeout)
            return
        jitter, ready = self._scenario.jitter, len(drawn)
        job.poller = Poller(self._policy, lambda n: drawn[n - 1] if n <= ready else jitter(key, n))
        job.submitted_at = heard_at
        self._push(job.poller.start(heard_at, reply.hint).until, _POLL, job)

    def _poll(self, job: _Job, sent_at: float) -> Wait | Done | InService:
        """Send the job's next poll; return what its client will do on hearing the reply, if that is known."""
        send = job.poller.wake(sent_at)
        reply = self._board.poll(sent_at + self._request_s, job.ticket, send.attempt, job.lane)
        expires_at = sent_at + send.timeout
        if isinstance(reply, InService):
            self._flights[reply] = _Flight(job, send.attempt, sent_at, expires_at)
            return reply
        return self._hear(job, send.attempt, sent_at, expires_at, reply)

    def _depart(self) -> None:
        """Let go the next to be served; its client goes on unless its patience ends before it hears."""
        for request in self._board.departures(self._board.next_departure):
            flight, reply = self._flights.get(request), request.reply
            if flight is not None and reply is not None and reply.at + self._reply_s <= flight.expires_at:
                del self._flights[request]
                self._go_on(flight, reply)

    def _go_on(self, flight: _Flight, reply: Reply | NoReply | None) -> None:
        """Have the client of a poll do what it does on hearing the reply, or none."""
        job, command = flight.job, self._hear(*flight, reply)
        if isinstance(command, Wait):
            self._push(command.until, _POLL, job)
        else:
            self._leave(job.key, job.lane, command.at)

    def _hear(
        self, job: _Job, attempt: int, sent_at: float, heard_at: float, reply: Reply | NoReply | None
    ) -> Wait | Done:
        """Return what a client does on hearing the reply to its poll, by ``heard_at`` at the latest.

        None: it hears none in time.
        """
        poller = job.poller
        view, code, state = None, None, "failed"
        command: Wait | Done
        if reply is None or (at := reply.at + self._reply_s) > heard_at:
            command = poller.fail(heard_at, _TIMED_OUT)
        else:
            heard_at = at
            view, code, hint = reply.job, reply.status_code, reply.hint
            if view is not None:
                state, progress, _ = view
                command = poller.reply(at, state, hint, progress)
            elif code is None:
                command = poller.fail(heard_at, _UNANSWERED)
            elif code in self._not_ready:
                state = "pending"
                command = poller.reply(heard_at, "pending", hint)
            elif code == 200:
                command = poller.fail(heard_at, _GARBLED, hint)
            else:
                mendable = hint is not None or code in self._retryable
                command = poller.fail(heard_at, _http_failure(code, hinted=mendable), hint)
        self._codes.append(code)
        self._sent.append(sent_at)
        self._latencies.append(heard_at - sent_at)
        if self._on_poll is not None:
            self._on_poll(self._row(job.key, attempt, sent_at, heard_at - sent_at, code, state))
        if isinstance(command, Done):
            lag = None
            if reply is not None and view is not None and view.finished_ago is not None:
                finished_at = job.ticket.finished_at
                # Of a job that shares the workers only replies know when it has finished.
                lag = command.at - (reply.at - view.finished_ago if finished_at == inf else finished_at)
            self._finished.add(job.key, job.lane, job.planned_at, job.sent_at, job.submitted_at, command, lag)
        return command

    def _row(
        self, key: int, attempt: int, sent_at: float, latency: float, code: int | None, state: str
    ) -> PollRow:
        planned_at = sent_at - self._wake_s
        response = response_name(code)
        return PollRow(
            self._setting, self._repeat, key, attempt, planned_at, sent_at, latency, response, state
        )

    def _flush(self, polls: int) -> None:
        self._counter.add(np.array(self._sent), np.array(self._latencies))
        self._responses.update(self._codes)
        self._codes.clear()
        self._sent.clear()
        self._latencies.clear()
        if self._on_progress is not None:
            self._on_progress(len(self._finished), polls)

    def _part(self) -> Part:
        counters = self._board.counters()
        for code, number in self._responses.items():
            self._counter.answered(response_name(code), number)
        return Part(
            jobs=self._finished.columns(self._scenario.simulation),
            polls=self._counter.take(),
            submissions=counters.submissions,
            replies=counters.replies,
            busy_seconds=counters.busy_seconds,
            lost_submissions=self._lost,
            ended_at=self._ended_at,
        )


def _open_arrivals(scenario: Scenario, repeat: int) -> Iterator[_Planned]:
    """Yield the planned submissions, with draws made by the batch: that costs a tenth of single ones."""
    for block in scenario.planned_blocks(repeat, _PLANNED_AHEAD):
        numbers = np.arange(1, _DRAWN_AHEAD + 1)
        jitter = uniforms(scenario.seed, Stream.JITTER, block.keys[:, np.newaxis], numbers).tolist()
        columns = zip(block.keys.tolist(), block.lanes.tolist(), block.times.tolist(), jitter, strict=True)
        yield from map(_Planned._make, columns)
