"""The event engine: the shipped client and the shipped service, joined by a heap of events.

One event is a request being sent, in the order ``(time, priority, sequence)``: submissions go before polls
of the same instant, and otherwise whoever was planned first. One event per poll is enough, because the board
knows a reply when the request arrives, and a reply touches nobody but its own client: what the client will do
on hearing it can be settled at once. Times on the wire are constants, so requests reach the board in the
order in which they were sent.

Time conventions are those of a live run: the visit begins at 0, a submission is sent at its planned time, and
polling starts when its reply arrives. A reply that comes later than ``Send.timeout`` is a transport failure
at that moment, though the service has counted the poll.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from functools import lru_cache
from heapq import heappop, heappush
from itertools import count
from typing import Final

import numpy as np

from client import Done, Failure, Poller, PollingPolicy, Wait
from measure import PollRow
from scenarios import Arrival, Scenario, closed_key, planned, think_time
from server import Board, Simulation, Ticket, uniform, uniforms
from virtual._draws import Floats, Integers
from virtual._overhead import Overhead
from virtual._records import OUTCOME_CODES, JobColumns, Part
from virtual._tally import PollCounter

OnPoll = Callable[[PollRow], None]
OnProgress = Callable[[int, int], None]

TRANSPORT_ERROR: Final = "transport_error"
_SUBMISSION, _POLL = 0, 1  # priorities
_TIMED_OUT: Final = Failure("transport", detail="no reply in time")
_RESET: Final = Failure("transport", detail="connection reset")
_PROGRESS_EVERY: Final = 4096
_BATCH: Final = 8192

_http_failure = lru_cache(maxsize=None)(Failure.http)  # 200 codes at most; they are frozen


class _Job:
    """One job under way: its client and what is known of it."""

    __slots__ = ("key", "lane", "planned_at", "poller", "sent_at", "submitted_at", "ticket")

    def __init__(self, key: int, lane: int, planned_at: float, sent_at: float) -> None:
        self.key = key
        self.lane = lane
        self.planned_at = planned_at
        self.sent_at = sent_at
        self.submitted_at = 0.0
        self.poller: Poller
        self.ticket: Ticket


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
        self._overhead = overhead
        self._on_poll = on_poll
        self._on_progress = on_progress
        self._board = Board(scenario.simulation)
        self._events: list[tuple[float, int, int, Arrival | _Job]] = []
        self._sequence = count()
        self._open = scenario.workload.arrivals.is_open
        self._arrivals: Iterator[Arrival] = planned(scenario, repeat) if self._open else iter(())
        self._counter = PollCounter()
        self._sent = array("d")
        self._latencies = array("d")
        self._rows = _Rows()
        self._iterations = [0] * scenario.workload.lanes
        self._lost = 0
        self._ended_at = 0.0

    def run(self) -> Part:
        """Simulate the visit. Raises VisitTooLong when a poll would be sent after a year."""
        self._open_lanes()
        events, polls = self._events, 0
        while events:
            sent_at, priority, _, item = heappop(events)
            if priority == _POLL:
                self._poll(item, sent_at)  # type: ignore[arg-type] # the priority says what the item is
                polls += 1
                if polls % _PROGRESS_EVERY == 0 and self._on_progress is not None:
                    self._on_progress(len(self._rows), polls)
            else:
                self._submit(item, sent_at)  # type: ignore[arg-type]
        self._flush()
        return self._part()

    def _open_lanes(self) -> None:
        if self._open:
            self._admit_next()
        else:
            for lane in range(self._scenario.workload.lanes):
                self._plan_closed(lane, 0.0)

    def _push(self, at: float, priority: int, item: Arrival | _Job) -> None:
        heappush(self._events, (at + self._overhead.wake_s, priority, next(self._sequence), item))

    def _admit_next(self) -> None:
        """Open loop: the next job's arrival, whatever became of the others."""
        arrival = next(self._arrivals, None)
        if arrival is not None:
            self._push(arrival.at, _SUBMISSION, arrival)

    def _plan_closed(self, lane: int, at: float) -> None:
        """Closed loop: the lane's next job, unless submissions are over by then."""
        workload, iteration = self._scenario.workload, self._iterations[lane]
        if not workload.is_over(at, lane + iteration * workload.lanes):
            self._iterations[lane] += 1
            key = closed_key(self._repeat, lane, iteration, workload.lanes)
            self._push(at, _SUBMISSION, Arrival(key, lane, at))

    def _leave(self, key: int, lane: int, at: float) -> None:
        """A job's client is done with it; in a closed loop the lane goes on after its think time."""
        self._ended_at = max(self._ended_at, at)
        if not self._open:
            self._plan_closed(lane, at + think_time(self._scenario, key))

    def _submit(self, arrival: Arrival, sent_at: float) -> None:
        if self._open:
            self._admit_next()
        job = _Job(arrival.key, arrival.lane, arrival.at, sent_at)
        job.ticket, reply = self._board.submit(sent_at + self._overhead.request_s, arrival.key)
        heard_at = reply.at + self._overhead.reply_s
        if heard_at > sent_at + self._policy.request_timeout:
            self._lost += 1
            self._leave(job.key, job.lane, sent_at + self._policy.request_timeout)
            return
        seed, key = self._scenario.seed, arrival.key
        job.poller = Poller(self._policy, lambda n: uniform(seed, "jitter", key, n))
        job.submitted_at = heard_at
        self._push(job.poller.start(heard_at).until, _POLL, job)

    def _poll(self, job: _Job, sent_at: float) -> None:
        send = job.poller.wake(sent_at)
        reply = self._board.poll(sent_at + self._overhead.request_s, job.ticket, send.attempt)
        heard_at = reply.at + self._overhead.reply_s
        finished_ago: float | None = None
        command: Wait | Done
        if heard_at > sent_at + send.timeout:
            heard_at, response = sent_at + send.timeout, TRANSPORT_ERROR
            command = job.poller.fail(heard_at, _TIMED_OUT)
        elif reply.job is not None:
            response, finished_ago = "200", reply.job.finished_ago
            command = job.poller.reply(heard_at, reply.job.status, reply.retry_after)
        elif reply.reset:
            response = TRANSPORT_ERROR
            command = job.poller.fail(heard_at, _RESET)
        else:
            response = str(reply.status_code)
            command = job.poller.fail(heard_at, _http_failure(reply.status_code), reply.retry_after)
        self._note(job, send.attempt, sent_at, heard_at, response)
        if isinstance(command, Wait):
            self._push(command.until, _POLL, job)
        else:
            self._rows.add(job, command, finished_ago)
            self._leave(job.key, job.lane, command.at)

    def _note(self, job: _Job, attempt: int, sent_at: float, heard_at: float, response: str) -> None:
        self._sent.append(sent_at)
        self._latencies.append(heard_at - sent_at)
        responses = self._counter.responses
        responses[response] = responses.get(response, 0) + 1
        if len(self._sent) == _BATCH:
            self._flush()
        if self._on_poll is not None:
            planned_at = sent_at - self._overhead.wake_s
            latency = heard_at - sent_at
            row = PollRow(
                self._setting, self._repeat, job.key, attempt, planned_at, sent_at, latency, response
            )
            self._on_poll(row)

    def _flush(self) -> None:
        self._counter.sent(np.array(self._sent))
        self._counter.latencies(np.array(self._latencies))
        self._sent, self._latencies = array("d"), array("d")

    def _part(self) -> Part:
        counters = self._board.counters()
        return Part(
            jobs=self._rows.columns(self._scenario.simulation),
            polls=self._counter.take(),
            submissions=counters.submissions,
            replies=counters.replies,
            busy_seconds=counters.busy_seconds,
            lost_submissions=self._lost,
            ended_at=self._ended_at,
        )


def run_events(
    scenario: Scenario,
    setting: str,
    repeat: int,
    overhead: Overhead,
    *,
    on_poll: OnPoll | None = None,
    on_progress: OnProgress | None = None,
) -> Part:
    """Simulate one visit event by event; see EventVisit."""
    visit = EventVisit(scenario, setting, repeat, overhead, on_poll=on_poll, on_progress=on_progress)
    return visit.run()


class _Rows:
    """Finished jobs, column by column: a row object each would take ten times the memory."""

    def __init__(self) -> None:
        self._whole = {name: array("q") for name in ("key", "lane", "outcome", "polls", "wasted")}
        self._real = {
            name: array("d")
            for name in ("planned_at", "sent_at", "submitted_at", "detected_at", "lag", "ended_at")
        }

    def __len__(self) -> int:
        return len(self._whole["key"])

    def add(self, job: _Job, done: Done, finished_ago: float | None) -> None:
        whole, real = self._whole, self._real
        whole["key"].append(job.key)
        whole["lane"].append(job.lane)
        whole["outcome"].append(OUTCOME_CODES[done.outcome])
        whole["polls"].append(done.attempts)
        whole["wasted"].append(done.wasted)
        real["planned_at"].append(job.planned_at)
        real["sent_at"].append(job.sent_at)
        real["submitted_at"].append(job.submitted_at)
        learnt = finished_ago is not None
        real["detected_at"].append(done.at if learnt else np.nan)
        real["lag"].append(np.nan if finished_ago is None else finished_ago)
        real["ended_at"].append(done.at)

    def columns(self, simulation: Simulation) -> JobColumns:
        """The columns in order of the keys, which is the order of planned submission."""
        order = np.argsort(np.array(self._whole["key"]))

        def whole(name: str) -> Integers:
            return np.array(self._whole[name], dtype=np.int64)[order]

        def real(name: str) -> Floats:
            return np.array(self._real[name])[order]

        keys = whole("key")
        return JobColumns(
            key=keys,
            lane=whole("lane"),
            planned_at=real("planned_at"),
            sent_at=real("sent_at"),
            submitted_at=real("submitted_at"),
            duration=durations(simulation, keys),
            detected_at=real("detected_at"),
            lag=real("lag"),
            outcome=whole("outcome"),
            polls=whole("polls"),
            wasted=whole("wasted"),
            ended_at=real("ended_at"),
        )


def durations(simulation: Simulation, keys: Integers) -> Floats:
    """The work in each of these jobs, in seconds."""
    return simulation.job.duration.ppf(uniforms(simulation.seed, "duration", keys))
