"""The fast path of the vector engine: polls that nothing can disturb.

Where replies take a constant time and cannot fail, time out or carry hints, all that happens to a job before
its deadline is wait, poll, wait, poll. One pass over the active jobs then costs about twenty array
operations, in buffers that are allocated once and fit the processor's second-level cache. Jobs that come to
their last polls (the deadline, ``max_attempts``) leave this path, state and all, for the ``Machine``.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from harness.virtual._machine import Active, Machine
from scenarios.draws import UNIT, Floats, Integers, Stream, draw_bits, subjects

CHUNK: Final = 2**15
"""Jobs per chunk. The buffers in use, about seven of 256 kB, stay in the second-level cache."""

_MARGIN: Final = 1e-5  # room for rounding, wherever an exact comparison is left to the Machine


class _Pair:
    """An array and a spare one of the same size: what is kept of the first is gathered into the second."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self.array: NDArray[Any] = np.empty(CHUNK, dtype=dtype)
        self._spare: NDArray[Any] = np.empty(CHUNK, dtype=dtype)

    def keep(self, places: Integers, size: int) -> None:
        """Keep these entries of the first ``size``, in their order."""
        # mode="clip" never clips here; "raise" would go through a buffer.
        np.take(self.array[:size], places, out=self._spare[: places.size], mode="clip")
        self.array, self._spare = self._spare, self.array


class Sprint:
    """Polls jobs by cadence alone, for as long as that is all there is to it."""

    def __init__(self, machine: Machine) -> None:
        policy, over = machine.policy, machine.overhead
        self._machine = machine
        self._first_wait = int(policy.first_poll == "after_delay")
        self._wake = over.wake_s
        self._request = over.request_s
        self._delay = machine.service.fixed_delay or 0.0
        self._reply = over.reply_s
        self._round_trip = self._request + self._delay + self._reply
        # A poll planned later than this might not be heard before the deadline; elapsed times are sums of
        # rounded numbers, so leave early rather than late.
        deadline = np.inf if policy.deadline is None else policy.deadline
        self._reach = deadline - self._wake - self._round_trip - _MARGIN * (1 + deadline)
        self._most = np.inf if policy.max_attempts is None else policy.max_attempts
        self._words, self._places = _Pair(np.uint64), _Pair(np.int64)
        self._ends, self._now, self._until = _Pair(np.float64), _Pair(np.float64), _Pair(np.float64)
        self._bits, self._scratch = np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint64)
        self._pending = np.empty(CHUNK, np.bool_)

    @staticmethod
    def fits(machine: Machine) -> bool:
        """Whether nothing can disturb the polls of this visit before their deadline."""
        policy, service, over = machine.policy, machine.service, machine.overhead
        if service.fails or service.fixed_delay is None or machine.cadence.remembers:
            return False
        round_trip = over.request_s + service.fixed_delay + over.reply_s
        hinted = service.hints_pending and policy.hints.honour
        return not hinted and round_trip < policy.request_timeout * (1 - _MARGIN)

    def run(self, index: Integers, keys: Integers, started: Floats, finish: Floats) -> list[Active]:
        """Poll these jobs, CHUNK at most; return those that still have to come to their last polls.

        ``index`` are their places in the machine's columns.
        """
        size = index.size
        self._words.array[:size] = subjects(self._machine.service.seed, Stream.JITTER, keys)
        self._places.array[:size] = np.arange(size)
        self._now.array[:size], self._ends.array[:size] = started, finish
        leavers: list[Active] = []
        longest = 0.0  # the most that can have passed since the start
        polls = 0
        while size:
            longest += self._plan_next(polls + self._first_wait, size)
            leaving = np.empty(0, dtype=np.int64)
            if polls + 1 >= self._most:
                leaving = np.arange(size)
            elif longest > self._reach:
                since = self._until.array[:size] - started[self._places.array[:size]]
                leaving = np.flatnonzero(since > self._reach)
            if leaving.size:
                leavers.append(self._leave(leaving, polls, index, keys, started))
                size = self._stay(np.delete(np.arange(size), leaving), size)
            if size:
                polls += 1
                size = self._poll_all(polls, size, index)
            longest += self._wake + self._round_trip
        return leavers

    def _plan_next(self, wait: int, size: int) -> float:
        """Plan everybody's next poll, after this wait of the cadence (0: at once); return its ceiling."""
        now, until = self._now.array[:size], self._until.array[:size]
        if wait == 0:
            until[:] = now
            return 0.0
        ceiling = self._machine.cadence.ceiling(wait)
        if not self._machine.cadence.random:
            np.add(now, ceiling, out=until)
            return ceiling
        bits = self._bits[:size]
        draw_bits(self._words.array[:size], wait, bits, self._scratch[:size])
        until[:] = bits.view(np.int64)
        np.multiply(until, UNIT, out=until)
        np.add(self._machine.cadence.draw(ceiling, None, until), now, out=until)
        return ceiling

    def _poll_all(self, polls: int, size: int, index: Integers) -> int:
        """Send everybody's poll; return how many jobs are still pending."""
        machine, moment = self._machine, self._until.array[:size]
        if self._wake:
            moment += self._wake
        machine.counter.sent(moment)
        machine.count_good(size, self._round_trip)
        for seconds in (self._request, self._delay):
            if seconds:
                moment += seconds
        ends = self._ends.array[:size]
        pending = np.greater(ends, moment, out=self._pending[:size])
        staying = int(np.count_nonzero(pending))
        if staying < size:
            done = np.flatnonzero(~pending)
            found = index[self._places.array[done]]
            machine.learn(found, moment[done] + self._reply, moment[done] - ends[done])
            machine.jobs.polls[found] = polls
            machine.jobs.wasted[found] = polls - 1
        if self._reply:
            moment += self._reply
        self._now, self._until = self._until, self._now
        return size if staying == size else self._stay(np.flatnonzero(pending), size, planned=False)

    def _stay(self, places: Integers, size: int, *, planned: bool = True) -> int:
        """Drop all jobs but these; ``planned``: their next poll is planned already."""
        kept = [self._words, self._places, self._ends, self._now]
        for each in [*kept, self._until] if planned else kept:
            each.keep(places, size)
        return int(places.size)

    def _leave(self, which: Integers, polls: int, index: Integers, keys: Integers, started: Floats) -> Active:
        """The state of these jobs as the Machine takes it over."""
        places = self._places.array[which]
        jobs = self._machine.begin(
            index[places], keys[places], started[places], self._ends.array[which], planned=False
        )
        jobs.now = self._now.array[which]
        jobs.attempts = np.full(which.size, polls)
        jobs.wasted = np.full(which.size, polls)
        jobs.until = self._machine.clamp(jobs, self._until.array[which])
        return jobs
