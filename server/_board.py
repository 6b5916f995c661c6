"""The job service as a pure state machine: requests with a time stamp go in, replies come out.

The board never reads a clock, a socket or global randomness, so the Flask application under real time and the
twin under virtual time run the very same service.

A status request that arrives at ``now`` meets, in this order:

1. an *outage*: it fails with the outage's status;
2. the *rate limit*: it fails with 429 and the time until it would be let in;
3. a job that is *not yet visible*: 404;
4. a *fault*, by one draw against the cumulative rates: it fails, or something is wrong with the reply;
5. the job's status, read at the moment the reply leaves.

Replies of the first three kinds leave after the service's delay. Those of the last two wait for one of the
capacity's workers, are served, and then take the delay. Under the discipline ``fifo`` that is settled at the
arrival; under ``ps`` later arrivals slow the service down, and the request is ``InService`` until it leaves.
Submissions meet none of this but the delay: they always succeed, so that every setting is measured on the
same jobs.

What happens to a job is settled when it is submitted, and kept by its ``Ticket``. With ``capacity.shared``
the job is work for the same workers. In line that changes nothing: later arrivals wait behind it. Under
``ps`` they slow it down, so its ticket has no end, the board keeps the job, and a status is read when its
request has been served: what will be true when the reply leaves, nobody knows yet.

The board keeps counters, the meters of the rate limit that are in use, the requests and the jobs that share
the workers, a bounded number of such jobs that have ended, and the times at which busy slots and workers
become free: its memory does not grow with the number of jobs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from functools import partial
from heapq import heappop, heappush
from itertools import accumulate
from math import ceil, inf
from typing import NamedTuple, TypeVar

from scenarios import ErrorReply, Failure, NamedFault, Simulation
from scenarios.draws import Distribution, Fixed, Stream, uniform
from server._limiters import Allowance, Limiter
from server._replies import InService, JobView, NoReply, Reply, Ticket
from server._shared_jobs import SharedJob, SharedJobs
from server._sharing import Sharing

_AnyReply = TypeVar("_AnyReply", Reply, NoReply, Reply | NoReply)


class Counters(NamedTuple):
    """What a board has done since it was made or last reset.

    ``replies`` counts the answers to status requests by status code, and those without one by what happened
    instead (``"reset"``: the connection was reset); they sum to ``polls``. Requests count when they arrive,
    so ``busy_seconds``, the workers' time, includes that of requests still in the queue, and of jobs where
    they share the workers. It stays 0 without a capacity.
    """

    submissions: int
    polls: int
    replies: dict[str, int]
    busy_seconds: float


class Board:
    """The service that ``simulation`` describes; ``epoch`` is time zero of its outages and its rate limit.

    Calls must come with times that never decrease (ValueError otherwise, and nothing changes). Requests of
    the same instant are served in the order of the calls.
    """

    def __init__(self, simulation: Simulation, epoch: float = 0.0) -> None:
        seed, job, service = simulation.seed, simulation.job, simulation.service
        self._seed = seed
        self._duration = _draws(job.duration, seed, Stream.DURATION)
        self._error_rate = job.error_rate
        self._steps = job.progress_steps
        self._delay = _draws(service.delay, seed, Stream.DELAY)
        limits = accumulate(fault.rate for fault in service.faults)
        self._faults = tuple(zip(limits, (fault.failure for fault in service.faults), strict=True))
        self._fault_rate = self._faults[-1][0] if self._faults else 0.0
        self._outages = tuple(
            (outage.start, outage.start + outage.length, outage.failure) for outage in service.outages
        )
        self._rate_limit = service.rate_limit
        self._tells_limit = service.rate_limit is not None and service.rate_limit.headers
        capacity = service.capacity
        self._workers = capacity.workers if capacity else None
        self._is_divided = capacity is not None and capacity.discipline == "ps"
        self._has_jobs = capacity is not None and capacity.shared
        self._job_limit = self._workers if self._has_jobs else job.slots
        self._sharing: Sharing[InService | SharedJob] | None = None
        self._service_time = _draws(capacity.service_time if capacity else None, seed, Stream.SERVICE)
        self._visible_after = service.visible_after
        self._eta = service.retry_after == "eta"
        self._hint = service.hint
        self._submit_eta = service.retry_after_submit == "eta"
        self._submit_hint = service.submit_hint
        self.reset(epoch)

    def reset(self, now: float, epoch: float | None = None) -> None:
        """Make the board as new: counters at zero, queues empty, limits unused, epoch at ``now`` or later.

        Tickets handed out before stay good, since they hold all that decides their jobs; jobs that share the
        workers under ``ps`` are forgotten. Requests in service are let go at once.
        """
        if self._sharing is not None:
            for request in self._sharing.items():
                if isinstance(request, InService):
                    request.leave(now)
        self._sharing = Sharing(self._workers, now) if self._is_divided and self._workers else None
        self._shared_jobs = SharedJobs()
        self._latest = now
        self._epoch = now if epoch is None else epoch
        self._limiter = None if self._rate_limit is None else Limiter(self._rate_limit)
        self._queue: list[float] = []
        self._slots: list[float] = self._queue if self._has_jobs else []
        self._anonymous_jobs = self._anonymous_polls = 0
        self._submissions = self._polls = 0
        self._replies: defaultdict[int | str, int] = defaultdict(int)
        self._busy_seconds = 0.0

    def start(self, now: float, key: int) -> Ticket:
        """Return the ticket of a job that starts at once: it takes no slot and counts as no submission."""
        return self._ticket(now, now, key)

    def submit(self, now: float, key: int | None = None) -> tuple[Ticket, Reply]:
        """Accept a job. Without a ``key`` it takes the next of the board's own: 1, 2, 3..."""
        self._advance(now)
        if key is None:
            self._anonymous_jobs += 1
            key = self._anonymous_jobs
        if self._sharing is not None and self._has_jobs:
            ticket, presumed_end = self._share_job(self._sharing, now, key)
        else:
            ticket = self._queue_job(now, key)
            presumed_end = ticket.finished_at
        self._submissions += 1
        at = now + self._delay(key, 0)
        hint = max(0, ceil(presumed_end - at)) if self._submit_eta else self._submit_hint
        return ticket, Reply(at, 202, hint, JobView("pending", 0.0, None))

    def poll(
        self, now: float, ticket: Ticket, attempt: int | None = None, client: Hashable = None
    ) -> Reply | NoReply | InService:
        """Answer a status request for a job; one that shares the workers is answered by ``departures``.

        ``attempt`` is the client's number of this poll of this job, from 1; with it, the draws for the reply
        do not depend on what else the board is asked. Without it the board numbers such polls itself.
        ``client`` tells clients apart that have a rate limit each.
        """
        self._advance(now)
        key = ticket.key
        if attempt is None:
            self._anonymous_polls += 1
            attempt = self._anonymous_polls
        self._polls += 1
        delay = self._delay(key, attempt)
        since = now - self._epoch
        for start, end, failure in self._outages:
            if start <= since < end:
                return self._counted(_failed(now + delay, failure))
        told = None
        if self._limiter is not None:
            allowance = self._limiter.take(since, key, client)
            told = allowance if self._tells_limit else None
            if allowance.wait > 0.0:
                return self._counted(_refused(now + delay, 429, ceil(allowance.wait), told))
        if now < ticket.submitted_at + self._visible_after:
            return self._counted(_refused(now + delay, 404, None, told))
        fault = self._struck(key, attempt) if self._faults else None
        if self._sharing is not None:
            self.departures(now)
            answer = partial(self._answer, delay, ticket, fault, told)
            if ticket.finished_at == inf:
                job = self._shared_jobs.find(ticket)
                if job is None:
                    return self._counted(_refused(now + delay, 404, None, told))
                answer = partial(self._answer_shared, job, delay, fault, told)
            return self._share(self._sharing, now, key, attempt, answer)
        served_at = now if self._workers is None else self._serve(now, self._workers, key, attempt)
        at = served_at + delay
        return self._counted(self._reply(at, at, ticket, fault, told))

    @property
    def next_departure(self) -> float:
        """Return when the next ``InService`` is served, if none arrives before; infinity without any."""
        return inf if self._sharing is None else self._sharing.next_departure

    def departures(self, now: float) -> list[InService]:
        """Return those ``InService`` that are served by now, in order, each with its reply."""
        self._advance(now)
        served: list[InService] = []
        for at, item in () if self._sharing is None else self._sharing.departures(now):
            if isinstance(item, SharedJob):
                self._shared_jobs.end(item, at)
            else:
                item.leave(at)
                served.append(item)
        return served

    def foreseen(self, request: InService) -> float:
        """Return when this request is served, if none arrives before. Raises KeyError where it is not."""
        if self._sharing is None:
            raise KeyError(request)
        return self._sharing.foreseen(request)

    def settled(self, now: float, ticket: Ticket) -> Ticket:
        """Return a ticket with the end of its job, infinity if that is not settled or was forgotten."""
        self.departures(now)
        job = self._shared_jobs.find(ticket)
        return ticket if job is None else ticket._replace(finished_at=job.finished_at)

    def _queue_job(self, now: float, key: int) -> Ticket:
        """Start a job, or let it wait in line for a place."""
        started = now if self._job_limit is None else _earliest(self._slots, self._job_limit, now)
        ticket = self._ticket(now, started, key)
        if self._job_limit is not None:
            heappush(self._slots, ticket.finished_at)
        if self._has_jobs:
            self._busy_seconds += ticket.finished_at - started
        return ticket

    def _share_job(
        self, sharing: Sharing[InService | SharedJob], now: float, key: int
    ) -> tuple[Ticket, float]:
        """Let a job in among those who share the workers; return when it ends by what is known now."""
        self.departures(now)
        job, work = SharedJob(self._ticket(now, now, key)._replace(finished_at=inf)), self._duration(key, 0)
        job.ends = sharing.arrive(now, work, job)
        job.begins = sharing.received(now)
        self._shared_jobs.add(job)
        self._busy_seconds += work
        return job.ticket, job.presumed(now, sharing).finished_at

    def _share(
        self,
        sharing: Sharing[InService | SharedJob],
        now: float,
        key: int,
        attempt: int,
        answer: Callable[[float], Reply | NoReply],
    ) -> InService:
        service_time = self._service_time(key, attempt)
        self._busy_seconds += service_time
        self._counted(answer(now))  # what it will be is known, but not when
        request = InService(answer)
        sharing.arrive(now, service_time, request)
        return request

    def _answer(
        self, delay: float, ticket: Ticket, fault: Failure | None, told: Allowance | None, served_at: float
    ) -> Reply | NoReply:
        at = served_at + delay
        return self._reply(at, at, ticket, fault, told)

    def _answer_shared(
        self, job: SharedJob, delay: float, fault: Failure | None, told: Allowance | None, served_at: float
    ) -> Reply | NoReply:
        ticket = job.ticket if self._sharing is None else job.presumed(served_at, self._sharing)
        return self._reply(served_at + delay, served_at, ticket, fault, told)

    def _reply(
        self, at: float, read_at: float, ticket: Ticket, fault: Failure | None, told: Allowance | None
    ) -> Reply | NoReply:
        """Return the reply that leaves at ``at`` with the status read at ``read_at``, if no fault strikes."""
        if fault is None:
            return self._tell(at, read_at, ticket, None, told)
        if isinstance(fault, ErrorReply) or not fault.tells:
            return _failed(at, fault, told)
        late = fault.late_s
        return self._tell(at + late, read_at + late - fault.age_s, ticket, fault, told)

    def _struck(self, key: int, attempt: int) -> Failure | None:
        """Return the fault that strikes this poll, if one does."""
        u = uniform(self._seed, Stream.FAULT, key, attempt)
        if u < self._fault_rate:
            for limit, fault in self._faults:
                if u < limit:
                    return fault
        return None

    def _tell(
        self, at: float, as_of: float, ticket: Ticket, fault: NamedFault | None, told: Allowance | None
    ) -> Reply:
        """Return the reply that leaves at ``at`` and tells the job's status as it was ``as_of`` then."""
        if ticket.finished_at <= as_of:
            job = JobView(ticket.outcome, 1.0, at - ticket.finished_at)
            return Reply(at, 200, None, job, fault, told)
        hint = ceil(ticket.finished_at - as_of) if self._eta else self._hint
        job = JobView("pending", _progress(ticket, as_of, self._steps), None)
        return Reply(at, 200, hint, job, fault, told)

    def poll_unknown(self, now: float) -> Reply:
        """Answer, at once, a status request for a job that nobody submitted: 404."""
        self._advance(now)
        self._polls += 1
        return self._counted(_refused(now, 404, None))

    def counters(self) -> Counters:
        """Return a copy of the counters."""
        replies = dict(sorted((str(response), number) for response, number in self._replies.items()))
        return Counters(self._submissions, self._polls, replies, self._busy_seconds)

    def _advance(self, now: float) -> None:
        if not now >= self._latest:
            raise ValueError(f"time went back from {self._latest} to {now}: calls must be in order of time")
        self._latest = now

    def _ticket(self, submitted: float, started: float, key: int) -> Ticket:
        failed = uniform(self._seed, Stream.OUTCOME, key) < self._error_rate
        finished = started + self._duration(key, 0)
        return Ticket(key, submitted, started, finished, "error" if failed else "completed")

    def _serve(self, now: float, workers: int, key: int, attempt: int) -> float:
        service_time = self._service_time(key, attempt)
        done = _earliest(self._queue, workers, now) + service_time
        heappush(self._queue, done)
        self._busy_seconds += service_time
        return done

    def _counted(self, reply: _AnyReply) -> _AnyReply:
        """Count a reply, which happens at the request's arrival, and return it."""
        happened = reply.fault.counted_as if isinstance(reply, NoReply) else reply.status_code
        self._replies[happened] += 1
        return reply


def _failed(at: float, failure: Failure, told: Allowance | None = None) -> Reply | NoReply:
    if isinstance(failure, ErrorReply):
        return _refused(at, failure.status_code, failure.hint, told)
    if failure.status_code is not None:  # a body that cannot be understood
        return Reply(at, failure.status_code, None, None, failure, told)
    return NoReply(at, failure)


def _refused(at: float, status_code: int, hint: int | None, told: Allowance | None = None) -> Reply:
    return Reply(at, status_code, hint, None, None, told)


def _draws(distribution: Distribution | None, seed: int, stream: Stream) -> Callable[[int, int], float]:
    """Return the function from (key, n) to this stream's draw; constants need none, so polls stay cheap."""
    if distribution is None:
        return lambda _key, _n: 0.0
    if isinstance(distribution, Fixed):
        value = float(distribution.value)
        return lambda _key, _n: value
    quantile = distribution.ppf
    return lambda key, n: float(quantile(uniform(seed, stream, key, n)))


def _earliest(busy_until: list[float], limit: int, now: float) -> float:
    """Return when the next in the queue is served, and give it that place.

    ``busy_until`` is the heap of the times at which places become free, without those that are free already:
    it never holds more entries than work in hand, however high the limit.
    """
    while busy_until and busy_until[0] <= now:
        heappop(busy_until)
    return now if len(busy_until) < limit else heappop(busy_until)


def _progress(ticket: Ticket, at: float, steps: int) -> float:
    """Return the share of the work done, rounded down to a whole step: a pending job never shows 1."""
    if at <= ticket.started_at:
        return 0.0
    share = (at - ticket.started_at) / (ticket.finished_at - ticket.started_at)
    done = int(share * steps)
    return (done if done < steps else steps - 1) / steps
