"""The client's machine and the service's, for many independent jobs at once.

One pass of the loop is one poll of every job that is still under way: the job's state is an entry in a few
arrays, and jobs that have ended are dropped from them. It does what ``client.Poller`` and ``server.Board``
do, operation by operation, so that times agree to the last bit; tests hold the engines against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from client import EDGE_S, PollingPolicy, is_retryable
from harness.measure import response_name
from harness.virtual._law import ArrayLaw
from harness.virtual._overhead import Overhead
from harness.virtual._records import OUTCOME_CODES, JobColumns
from harness.virtual._tally import PollCounter
from scenarios import FAULTS, Failure, Simulation
from scenarios.draws import Distribution, Fixed, Floats, Integers, Stream, Words, draws_of, subjects

Flags = NDArray[np.bool_]

NO_REPLY: Final = 600
"""In arrays alone: codes from here on are no status codes, but stand for the named faults, in their order.

For a client it is all the same: a reply that did not come, or came too late, has this very code.
"""

_UNANSWERED: Final = tuple(FAULTS.values())
_CODES: Final = NO_REPLY + len(_UNANSWERED)


@dataclass
class Active:
    """Jobs under way, each waiting for its next poll: parallel arrays.

    ``index`` is the job's place in the columns, ``now`` when its client last heard, ``until`` when its wait
    ends, ``attempts`` the polls sent. The last three are the subjects of its draws (see ``scenarios.draws``).
    """

    index: Integers
    now: Floats
    until: Floats
    started: Floats
    finish: Floats
    attempts: Integers
    wasted: Integers
    errors: Integers  # failed reads in a row
    cadence_wait: Floats  # the waits before, for decorrelated jitter
    error_wait: Floats
    jitter: Words
    delay: Words
    fault: Words

    @property
    def size(self) -> int:
        return int(self.index.size)

    def keep(self, which: Flags) -> None:
        """Drop all jobs but these."""
        places = np.flatnonzero(which)
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name).take(places))

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        """All jobs of all parts."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))


class Service:
    """What a poll meets, for arrays of polls: ``server.Board`` without the parts that jobs share."""

    def __init__(self, simulation: Simulation) -> None:
        service = simulation.service
        self.seed = simulation.seed
        self.fixed_delay = _constant(service.delay)
        self._delay = service.delay
        self._limits = np.cumsum([fault.rate for fault in service.faults])
        failures = [fault.failure for fault in service.faults]
        self._fault_codes = np.array([_code(failure) for failure in failures], dtype=np.int64)
        self._fault_hints = np.array([failure.hint or 0 for failure in failures], dtype=np.float64)
        self._outages = [
            (each.start, each.start + each.length, _code(each.failure), each.failure.hint or 0)
            for each in service.outages
        ]
        self._eta = service.retry_after == "eta"
        self._hint = float(service.hint or 0)
        self.hints_pending = self._eta or self._hint > 0
        self.fails = bool(service.faults or service.outages)

    def subjects(self, stream: Stream, keys: Integers, needed: bool) -> Words:
        """The draws' subjects, or (cheaply) zeros where nothing is drawn."""
        return subjects(self.seed, stream, keys) if needed else np.zeros(keys.size, dtype=np.uint64)

    def delay_subjects(self, keys: Integers) -> Words:
        return self.subjects(Stream.DELAY, keys, self.fixed_delay is None)

    def fault_subjects(self, keys: Integers) -> Words:
        return self.subjects(Stream.FAULT, keys, self._limits.size > 0)

    def delays(self, subject: Words, attempt: int | Integers) -> float | Floats:
        """Seconds until the reply to this poll leaves."""
        if self._delay is None or self.fixed_delay is not None:
            return self.fixed_delay or 0.0
        return self._delay.ppf(draws_of(subject, attempt))

    def failures(self, jobs: Active, arrived: Floats) -> tuple[Integers, Floats]:
        """Return each reply's code (200 where the job's status is told), and its hint if it is a failure."""
        codes = np.full(jobs.size, 200, dtype=np.int64)
        hints = np.zeros(jobs.size)
        if self._limits.size:
            which = np.searchsorted(self._limits, draws_of(jobs.fault, jobs.attempts), side="right")
            failed = np.flatnonzero(which < self._limits.size)
            codes[failed] = self._fault_codes[which[failed]]
            hints[failed] = self._fault_hints[which[failed]]
        for start, end, status, hint in reversed(self._outages):  # the first that applies decides
            during = (start <= arrived) & (arrived < end)
            codes[during] = status
            hints[during] = hint
        return codes, hints

    def pending_hints(self, left: Floats) -> Floats | float:
        """The hint on a pending reply; 0 for none."""
        return np.ceil(left) if self._eta else self._hint


class Machine:
    """Polls jobs to their end, writing what becomes of them to ``jobs`` and their polls to ``counter``."""

    def __init__(
        self,
        policy: PollingPolicy,
        simulation: Simulation,
        overhead: Overhead,
        jobs: JobColumns,
        failing: Flags,
        counter: PollCounter,
    ) -> None:
        self.policy = policy
        self.service = Service(simulation)
        self.overhead = overhead
        self.jobs = jobs
        self._failing = failing  # which jobs end in "error"
        self.counter = counter
        self.replies = np.zeros(_CODES, dtype=np.int64)
        self._responses = np.zeros(_CODES, dtype=np.int64)
        self._even_latency: dict[float, int] = {}
        self.cadence = ArrayLaw(policy.cadence)
        self._errors = ArrayLaw(policy.errors.backoff)
        self._first_wait = int(policy.first_poll == "after_delay")
        self._retryable = np.array([is_retryable(_status_code(code)) for code in range(_CODES)])

    def begin(
        self, index: Integers, keys: Integers, started: Floats, finish: Floats, *, planned: bool = True
    ) -> Active:
        """The clients of these jobs start: their submissions were answered at ``started``.

        Unless ``planned`` is false, their first polls are planned.
        """
        none = np.zeros(index.size, dtype=np.int64)
        jobs = Active(
            index=index,
            now=started,
            until=started,
            started=started,
            finish=finish,
            attempts=none,
            wasted=none,
            errors=none,
            cadence_wait=np.full(index.size, self.cadence.first_previous),
            error_wait=np.full(index.size, self._errors.first_previous),
            jitter=subjects(self.service.seed, Stream.JITTER, keys),
            delay=self.service.delay_subjects(keys),
            fault=self.service.fault_subjects(keys),
        )
        if planned and self._first_wait:
            u = draws_of(jobs.jitter, 1)
            jobs.cadence_wait = self.cadence.waits(none + 1, jobs.cadence_wait, u)
            jobs.until = self.clamp(jobs, jobs.now + jobs.cadence_wait)
        return jobs

    def run(self, jobs: Active) -> None:
        """Poll until every job has ended."""
        while jobs.size:
            self._poll(jobs)

    def count_good(self, polls: int, latency_s: float) -> None:
        """Count polls that were all answered with a status after the same time."""
        self.replies[200] += polls
        self._responses[200] += polls
        self._even_latency[latency_s] = self._even_latency.get(latency_s, 0) + polls

    def close(self) -> None:
        """Hand what was counted here to the counter."""
        for latency_s, polls in self._even_latency.items():
            self.counter.same_latency(latency_s, polls)
        for code in np.flatnonzero(self._responses):
            self.counter.answered(response_name(_status_code(code)), int(self._responses[code]))

    def _poll(self, jobs: Active) -> None:
        policy, over = self.policy, self.overhead
        sent = jobs.until + over.wake_s
        jobs.attempts = jobs.attempts + 1
        arrived = sent + over.request_s
        leaves = arrived + self.service.delays(jobs.delay, jobs.attempts)
        codes, hints = self.service.failures(jobs, arrived)
        heard = leaves + over.reply_s
        if policy.deadline is None:
            at_edge = np.zeros(jobs.size, dtype=np.bool_)
            give_up_at = sent + policy.request_timeout
        else:
            edge = jobs.started + policy.deadline
            at_edge = sent >= edge
            left = np.minimum(policy.request_timeout, edge - sent)
            give_up_at = sent + np.where(at_edge, policy.last_poll_timeout, left)
        self.replies += np.bincount(codes, minlength=_CODES)
        late = heard > give_up_at
        codes[late | (codes >= NO_REPLY)] = NO_REPLY
        hints[late] = 0.0
        jobs.now = np.where(late, give_up_at, heard)
        self._responses += np.bincount(codes, minlength=_CODES)
        self.counter.sent(sent)
        self.counter.latencies(jobs.now - sent)

        read = codes == 200
        ended = read & (jobs.finish <= leaves)
        pending = read & ~ended
        if self.service.hints_pending:
            hints = np.where(pending, self.service.pending_hints(jobs.finish - leaves), hints)
        jobs.wasted = jobs.wasted + pending
        gave_up = self._over_budget(jobs, codes, pending, read)
        timed_out = at_edge & ~ended
        self._learn(jobs, ended, leaves)
        self._drop(jobs, timed_out, "timeout")
        self._drop(jobs, gave_up & ~timed_out, "gave_up")
        self._wait(jobs, ~(ended | timed_out | gave_up), read, hints)

    def _over_budget(self, jobs: Active, codes: Integers, pending: Flags, read: Flags) -> Flags:
        """Which clients have spent a budget, or failed beyond mending."""
        errors = self.policy.errors
        mendable = self._retryable[codes]
        mendable |= (codes == 404) & (jobs.now - jobs.started <= errors.not_found_grace)
        over = ~read & (~mendable | (jobs.errors >= errors.max_consecutive))
        if self.policy.max_attempts is not None:
            over |= pending & (jobs.wasted == self.policy.max_attempts)
        return over

    def _learn(self, jobs: Active, ended: Flags, leaves: Floats) -> None:
        """These jobs' clients have learnt of the end."""
        places = np.flatnonzero(ended)
        index = jobs.index[places]
        self.learn(index, jobs.now[places], leaves[places] - jobs.finish[places])
        self.jobs.polls[index] = jobs.attempts[places]
        self.jobs.wasted[index] = jobs.wasted[places]

    def learn(self, index: Integers, heard: Floats, lag: Floats) -> None:
        """Write down that the clients of these jobs learnt of the end."""
        self.jobs.detected_at[index] = heard
        self.jobs.ended_at[index] = heard
        self.jobs.lag[index] = lag
        failing = self._failing[index]
        self.jobs.outcome[index] = np.where(failing, OUTCOME_CODES["error"], OUTCOME_CODES["completed"])

    def _drop(self, jobs: Active, which: Flags, outcome: str) -> None:
        """These clients stop without having learnt of the end."""
        places = np.flatnonzero(which)
        index = jobs.index[places]
        self.jobs.ended_at[index] = jobs.now[places]
        self.jobs.outcome[index] = OUTCOME_CODES[outcome]
        self.jobs.polls[index] = jobs.attempts[places]
        self.jobs.wasted[index] = jobs.wasted[places]

    def _wait(self, jobs: Active, staying: Flags, read: Flags, hints: Floats) -> None:
        """Keep the jobs that go on, and give each its next wait."""
        places = np.flatnonzero(staying)
        read, hints = read[places], hints[places]
        if places.size < staying.size:
            jobs.keep(staying)
        u = draws_of(jobs.jitter, jobs.attempts + self._first_wait)
        # Waits are computed for all and used where they apply: failed reads are rare.
        counts = np.maximum(jobs.wasted + self._first_wait, 1)
        waits = self.cadence.waits(counts, jobs.cadence_wait, u)
        if self.cadence.remembers:
            jobs.cadence_wait = np.where(read, waits, jobs.cadence_wait)
        if read.all():
            if jobs.errors.any():
                jobs.errors = np.zeros_like(jobs.errors)
                jobs.error_wait = np.full(jobs.size, self._errors.first_previous)
        else:
            jobs.errors = np.where(read, 0, jobs.errors + 1)
            retries = self._errors.waits(np.maximum(jobs.errors, 1), jobs.error_wait, u)
            jobs.error_wait = np.where(read, self._errors.first_previous, retries)
            waits = np.where(read, waits, retries)
        honoured = self.policy.hints
        if honoured.honour and hints.any():
            longer = np.minimum(hints, honoured.maximum) * (1 + honoured.spread * u)
            waits = np.where(hints > 0, np.maximum(waits, longer), waits)
        jobs.until = self.clamp(jobs, jobs.now + waits)

    def clamp(self, jobs: Active, until: Floats) -> Floats:
        """When waits that should end at ``until`` do: at the edge at the latest."""
        if self.policy.deadline is None:
            return until
        edge = jobs.started + self.policy.deadline
        return np.where(until > edge - EDGE_S, np.maximum(jobs.now, edge), until)


def _constant(delay: Distribution | None) -> float | None:
    """The delay's only value, None if it has several."""
    if delay is None:
        return 0.0
    return float(delay.value) if isinstance(delay, Fixed) else None


def count_replies(replies: Integers) -> dict[str, int]:
    """Return how often the service gave each answer, named as the board names it, from counts by code."""
    return {
        str(code) if code < NO_REPLY else _UNANSWERED[code - NO_REPLY].counted_as: int(replies[code])
        for code in np.flatnonzero(replies)
    }


def _code(failure: Failure) -> int:
    """Return what stands for such a failure in arrays."""
    if failure.status_code is not None:
        return failure.status_code
    return NO_REPLY + _UNANSWERED.index(type(failure))


def _status_code(code: int | np.integer[Any]) -> int | None:
    """Return the status code that a code stands for in arrays; None: no reply."""
    return int(code) if code < NO_REPLY else None
