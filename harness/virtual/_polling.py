"""The client's machine for many independent jobs at once, against arrays of replies.

One pass of the loop is one poll of every job that is still under way: the job's state is an entry in a few
arrays, and jobs that have ended are dropped from them. It does what ``client.Poller`` does, operation by
operation, so that times agree to the last bit; tests hold the engines against each other.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from client import PollingPolicy, is_retryable
from harness.measure import response_name
from harness.virtual._anchors import ARRAY_ANCHORS, ArrayAnchor, Flags, up_to
from harness.virtual._columns import OUTCOME_CODES, JobColumns
from harness.virtual._counts import PollCounter
from harness.virtual._law import ArrayLaw
from harness.virtual._overhead import Overhead
from harness.virtual._replies import NO_REPLY, ProgressArrays, ReplyArrays
from scenarios import Simulation
from scenarios.draws import Floats, Integers, Stream, Words, draws_of, subjects


@dataclass
class Active:
    """Jobs under way, each waiting for its next poll: parallel arrays with one entry per job.

    ``index`` is the job's place in the columns. Times are in seconds of the visit: ``started`` when the
    client's polling began, ``accepted`` when the service had taken the job, ``finish`` the job's end, ``now``
    when the client last heard, ``until`` when its wait ends. Counts are whole numbers: polls sent
    (``attempts``), answered pending (``wasted``), and failed in a row (``errors``). ``error_wait`` are the
    last waits after failed reads in seconds, for jitter that grows from them. ``jitter``, ``delay`` and
    ``fault`` are the subjects of the job's draws. ``cadence`` has what waits are counted from, ``progress``
    (where cadences start again on it) what replies told of it.
    """

    index: Integers
    started: Floats
    accepted: Floats
    finish: Floats
    now: Floats
    until: Floats
    attempts: Integers
    wasted: Integers
    errors: Integers
    error_wait: Floats
    jitter: Words
    delay: Words
    fault: Words
    cadence: ArrayAnchor
    progress: ProgressArrays | None

    @property
    def size(self) -> int:
        """How many jobs there are."""
        return int(self.index.size)

    def keep(self, places: Integers) -> None:
        """Drop all jobs but those at these places."""
        for name in _ARRAYS:
            setattr(self, name, getattr(self, name).take(places))
        self.cadence.keep(places)
        if self.progress is not None:
            self.progress.keep(places)


_ARRAYS: Final = tuple(each.name for each in fields(Active) if each.name not in ("cadence", "progress"))


class PollerArrays:
    """Polls jobs to their end, writing what becomes of them to ``jobs`` and their polls to ``counter``.

    ``failing`` says which of ``jobs`` end in ``error``.
    """

    def __init__(
        self,
        policy: PollingPolicy,
        simulation: Simulation,
        replies: ReplyArrays,
        overhead: Overhead,
        jobs: JobColumns,
        failing: Flags,
        counter: PollCounter,
    ) -> None:
        self._policy = policy
        self._seed = simulation.seed
        self._steps = simulation.job.progress_steps
        self._replies = replies
        self._overhead = overhead
        self._jobs = jobs
        self._failing = failing
        self._counter = counter
        self._cadence = ArrayLaw(policy.cadence)
        self._errors = ArrayLaw(policy.errors.backoff)
        self._first_wait = int(policy.first_poll == "after_delay")
        self._first_draw = max(self._first_wait, int(replies.hints_submissions))
        codes = replies.codes
        self._retryable = np.array([is_retryable(replies.status_code(code)) for code in range(codes)])
        self._heard = np.zeros(codes, dtype=np.int64)
        self.answered = np.zeros(codes, dtype=np.int64)
        """How often the service gave each code; see ``ReplyArrays``."""

    def run(self, index: Integers, keys: Integers, started: Floats, accepted: Floats, finish: Floats) -> None:
        """Poll these jobs (by their places in the columns) from ``started`` until every one has ended."""
        jobs = self._begin(index, keys, started, accepted, finish)
        while jobs.size:
            self._poll(jobs)

    def close(self) -> None:
        """Hand the responses that clients saw to the counter."""
        for code in np.flatnonzero(self._heard).tolist():
            seen = response_name(self._replies.status_code(code))
            self._counter.answered(seen, int(self._heard[code]))

    def _begin(
        self, index: Integers, keys: Integers, started: Floats, accepted: Floats, finish: Floats
    ) -> Active:
        """Return the clients of these jobs with their first polls planned."""
        none = np.zeros(index.size, dtype=np.int64)
        jobs = Active(
            index=index,
            started=started,
            accepted=accepted,
            finish=finish,
            now=started,
            until=started,
            attempts=none,
            wasted=none,
            errors=none,
            error_wait=np.full(index.size, self._errors.first_previous),
            jitter=subjects(self._seed, Stream.JITTER, keys),
            delay=self._replies.delay_subjects(keys),
            fault=self._replies.fault_subjects(keys),
            cadence=ARRAY_ANCHORS[self._policy.anchor](self._policy, self._cadence, started),
            progress=None,
        )
        if self._policy.restart_on is not None:
            jobs.progress = ProgressArrays(accepted, finish, self._steps)
        if self._first_draw:
            u = draws_of(jobs.jitter, 1)
            until = jobs.cadence.next(jobs.now, u, None) if self._first_wait else jobs.now
            if self._replies.hints_submissions:
                hints = self._replies.submit_hints(finish - (started - self._overhead.reply_s))
                until = self._put_off(jobs, until, np.broadcast_to(hints, until.shape), u)
            jobs.until = self._clamp(jobs, until)
        return jobs

    def _poll(self, jobs: Active) -> None:
        """Send everybody's poll, and give those who go on their next wait."""
        policy, over, replies = self._policy, self._overhead, self._replies
        sent = jobs.until + over.wake_s
        jobs.attempts = jobs.attempts + 1
        arrived = sent + over.request_s
        leaves = arrived + replies.delays(jobs.delay, jobs.attempts)
        codes, hints = replies.failures(jobs, arrived)
        if replies.alters:
            leaves = leaves + replies.late[codes]
        heard = leaves + over.reply_s
        if policy.deadline is None:
            at_edge = np.zeros(jobs.size, dtype=np.bool_)
            give_up_at = sent + policy.request_timeout
        else:
            edge = jobs.started + policy.deadline
            at_edge = sent >= edge
            left = np.minimum(policy.request_timeout, edge - sent)
            give_up_at = sent + np.where(at_edge, policy.last_poll_timeout, left)
        self.answered += np.bincount(codes, minlength=replies.codes)
        late = heard > give_up_at
        codes[late] = NO_REPLY
        hints[late] = 0.0
        jobs.now = np.where(late, give_up_at, heard)
        self._heard += np.bincount(codes, minlength=replies.codes)
        self._counter.add(sent, jobs.now - sent)

        read = replies.tells[codes]
        as_of = leaves - replies.age[codes] if replies.alters else leaves
        ended = read & (jobs.finish <= as_of)
        pending = read & ~ended
        if replies.hints_pending:
            hints = np.where(pending, replies.pending_hints(jobs.finish - as_of), hints)
        jobs.wasted = jobs.wasted + pending
        if jobs.progress is not None:
            jobs.cadence.restart(jobs.progress.changed(pending, as_of), jobs.now)
        gave_up = self._over_budget(jobs, codes, hints, pending, read)
        timed_out = at_edge & ~ended
        self._learn(jobs, ended)
        self._drop(jobs, timed_out, "timeout")
        self._drop(jobs, gave_up & ~timed_out, "gave_up")
        self._wait(jobs, ~(ended | timed_out | gave_up), read, hints)

    def _over_budget(
        self, jobs: Active, codes: Integers, hints: Floats, pending: Flags, read: Flags
    ) -> Flags:
        """Return which clients have spent a budget, or failed beyond mending."""
        errors = self._policy.errors
        mendable = self._retryable[codes] | (hints > 0)
        mendable |= (codes == 404) & (jobs.now - jobs.started <= errors.not_found_grace)
        over = ~read & (~mendable | (jobs.errors >= errors.max_consecutive))
        if self._policy.max_attempts is not None:
            over |= pending & (jobs.wasted == self._policy.max_attempts)
        return over

    def _learn(self, jobs: Active, ended: Flags) -> None:
        """Write down that these jobs' clients have learnt of the end, now that they have read the reply."""
        places = np.flatnonzero(ended)
        index = self._end(jobs, places)
        self._jobs.detected_at[index] = jobs.now[places]
        self._jobs.lag[index] = jobs.now[places] - jobs.finish[places]
        failing = self._failing[index]
        self._jobs.outcome[index] = np.where(failing, OUTCOME_CODES["error"], OUTCOME_CODES["completed"])

    def _drop(self, jobs: Active, which: Flags, outcome: str) -> None:
        """Write down that these clients stop without having learnt of the end."""
        self._jobs.outcome[self._end(jobs, np.flatnonzero(which))] = OUTCOME_CODES[outcome]

    def _end(self, jobs: Active, places: Integers) -> Integers:
        """Write down what polling these jobs took; return their places in the columns."""
        index = jobs.index[places]
        self._jobs.ended_at[index] = jobs.now[places]
        self._jobs.polls[index] = jobs.attempts[places]
        self._jobs.wasted[index] = jobs.wasted[places]
        return index

    def _wait(self, jobs: Active, staying: Flags, read: Flags, hints: Floats) -> None:
        """Keep the jobs that go on, and give each its next wait.

        ``staying``, ``read`` (whether the poll was answered with a status) and ``hints`` (seconds, 0 for
        none) have an entry for each of ``jobs`` as they are before any is dropped.
        """
        places = np.flatnonzero(staying)
        if places.size < staying.size:
            read, hints = read[places], hints[places]
            jobs.keep(places)
        u = draws_of(jobs.jitter, jobs.attempts + self._first_draw)
        # Waits are computed for all and used where they apply: failed reads are rare.
        every = bool(read.all())
        until = jobs.cadence.next(jobs.now, u, None if every else read)
        if every:
            if jobs.errors.any():
                jobs.errors = np.zeros_like(jobs.errors)
                jobs.error_wait = np.full(jobs.size, self._errors.first_previous)
        else:
            jobs.errors = np.where(read, 0, jobs.errors + 1)
            retries = self._errors.waits(np.maximum(jobs.errors, 1), jobs.error_wait, u)
            jobs.error_wait = np.where(read, self._errors.first_previous, retries)
            until = np.where(read, until, jobs.now + retries)
        jobs.until = self._clamp(jobs, self._put_off(jobs, until, hints, u))

    def _put_off(self, jobs: Active, until: Floats, hints: Floats, u: Floats) -> Floats:
        """Return when waits that should end at ``until`` do under these hints; 0: none. None is shortened."""
        honoured = self._policy.hints
        if not (honoured.honour and hints.any()):
            return until
        hinted = jobs.now + np.minimum(hints, honoured.maximum) * (1 + honoured.spread * u)
        later = (hints > 0) & (hinted > until)
        until = np.where(later, hinted, until)
        jobs.cadence.put_off(later, until)
        return until

    def _clamp(self, jobs: Active, until: Floats) -> Floats:
        """Return when waits that should end at ``until`` do: at the edge at the latest."""
        if self._policy.deadline is None:
            return until
        return up_to(jobs.started + self._policy.deadline, until, jobs.now)
