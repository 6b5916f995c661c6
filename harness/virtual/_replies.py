"""What polls meet, for arrays of polls: ``server.Board`` without the parts that jobs share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scenarios import Failure, NamedFault, Simulation
from scenarios.draws import Distribution, Fixed, Floats, Integers, Stream, Words, draws_of, subjects

NO_REPLY: Final = 600
"""In arrays alone: a reply that did not come, or came too late.

Codes from here on are no status codes: those behind it stand for the named faults of the scenario, in order.
"""

_LEAST: Final = 1e-300  # a hint of 0 s, told from none at all


class Polls(Protocol):
    """Polls of different jobs, as parallel arrays.

    Their numbers, when the service had accepted their jobs, and the subjects of the jobs' draws.
    """

    attempts: Integers
    accepted: Floats
    delay: Words
    fault: Words


class ReplyArrays:
    """Answers arrays of polls; times are seconds of the visit.

    ``codes`` is how many different codes there are; ``tells`` says of each whether the reply tells the job's
    status, ``late`` by how many seconds it is late, ``age`` how many seconds old its status is.
    """

    def __init__(self, simulation: Simulation) -> None:
        service = simulation.service
        self._seed = simulation.seed
        self._delay = service.delay
        self._constant_delay = _constant(service.delay)
        self._service_time = None if service.capacity is None else service.capacity.service_time
        self._limits = np.cumsum([fault.rate for fault in service.faults])
        failures = [fault.failure for fault in service.faults]
        self._named = [each for each in failures if isinstance(each, NamedFault)]
        self.codes = NO_REPLY + 1 + len(self._named)
        self.tells = np.zeros(self.codes, dtype=np.bool_)
        self.tells[200] = True
        self.late, self.age = np.zeros(self.codes), np.zeros(self.codes)
        for code, named in enumerate(self._named, NO_REPLY + 1):
            self.tells[code], self.late[code], self.age[code] = named.tells, named.late_s, named.age_s
        self.alters = bool(self.late.any() or self.age.any())
        """Whether some replies are late or old."""
        numbers = iter(range(NO_REPLY + 1, self.codes))
        self._fault_codes = np.array(
            [next(numbers) if isinstance(each, NamedFault) else each.status_code for each in failures],
            dtype=np.int64,
        )
        self._fault_hints = np.array([_hint(failure) for failure in failures], dtype=np.float64)
        self._outages = [
            (each.start, each.start + each.length, each.failure.status_code, _hint(each.failure))
            for each in service.outages
        ]
        self._eta = service.retry_after == "eta"
        self._hint = float(service.hint or 0)
        self._submit_eta = service.retry_after_submit == "eta"
        self._submit_hint = float(service.submit_hint or 0)
        self.visible_after = service.visible_after
        self.hints_pending = self._eta or self._hint > 0
        """Whether replies that tell of a pending job carry hints."""
        self.hints_submissions = self._submit_eta or service.submit_hint is not None
        """Whether replies to submissions do."""

    def delay_subjects(self, keys: Integers) -> Words:
        """Return the subjects of these jobs' draws of delays, or (cheaply) zeros where none are drawn."""
        return self._subjects(Stream.DELAY, keys, self._constant_delay is None)

    def fault_subjects(self, keys: Integers) -> Words:
        """Return the subjects of these jobs' draws of faults, or (cheaply) zeros where none are drawn."""
        return self._subjects(Stream.FAULT, keys, self._limits.size > 0)

    def _subjects(self, stream: Stream, keys: Integers, needed: bool) -> Words:
        return subjects(self._seed, stream, keys) if needed else np.zeros(keys.size, dtype=np.uint64)

    def delays(self, subject: Words, attempt: int | Integers) -> float | Floats:
        """Return the seconds until the reply to each job's poll (0: its submission) leaves."""
        if self._delay is None or self._constant_delay is not None:
            return self._constant_delay or 0.0
        return self._delay.ppf(draws_of(subject, attempt))

    def service_times(self, keys: Integers, attempts: Integers) -> float | Floats:
        """Return the seconds for which each poll occupies a worker, if it is served at all."""
        if self._service_time is None:
            return 0.0
        return self._service_time.ppf(draws_of(subjects(self._seed, Stream.SERVICE, keys), attempts))

    def failures(self, polls: Polls, arrived: Floats) -> tuple[Integers, Floats]:
        """Return, for polls that arrive at these times, each reply's code and the hint of those that fail.

        The code is 200 where the job's status is told; the hint is in seconds, 0 for none.
        """
        codes = np.full(arrived.size, 200, dtype=np.int64)
        hints = np.zeros(arrived.size)
        if self._limits.size:
            which = np.searchsorted(self._limits, draws_of(polls.fault, polls.attempts), side="right")
            failed = np.flatnonzero(which < self._limits.size)
            codes[failed] = self._fault_codes[which[failed]]
            hints[failed] = self._fault_hints[which[failed]]
        if self.visible_after:
            early = arrived < polls.accepted + self.visible_after
            codes[early] = 404
            hints[early] = 0.0
        for start, end, code, hint in reversed(self._outages):  # the first that applies decides
            during = (start <= arrived) & (arrived < end)
            codes[during] = code
            hints[during] = hint
        return codes, hints

    def pending_hints(self, left: Floats) -> Floats | float:
        """Return the hints on replies about jobs that have ``left`` seconds to go, in seconds; 0: none."""
        return np.ceil(left) if self._eta else self._hint

    def submit_hints(self, left: Floats) -> Floats | float:
        """Return the hints on replies to the submissions of jobs with ``left`` seconds to go; 0: none."""
        return np.maximum(np.ceil(left), 0.0) if self._submit_eta else self._submit_hint

    def status_code(self, code: int) -> int | None:
        """Return the status code that a client sees, None where there is no reply."""
        if code > NO_REPLY:
            return self._named[code - NO_REPLY - 1].status_code
        return None if code == NO_REPLY else code

    def count(self, counts: Integers) -> dict[str, int]:
        """Return how often the service gave each answer, named as the board names it, of counts by code."""
        found: Counter[str] = Counter()
        for code in np.flatnonzero(counts).tolist():
            name = str(code) if code < NO_REPLY else self._named[code - NO_REPLY - 1].counted_as
            found[name] += int(counts[code])
        return dict(found)


def reply_delays(simulation: Simulation) -> Callable[[Integers, Integers], Floats] | None:
    """Return what tells after how many seconds the replies to polls leave, of jobs' keys and polls' numbers.

    None where a reply's delay is not its own alone: requests share workers, or faults make replies late.
    """
    replies = ReplyArrays(simulation)
    if simulation.service.capacity is not None or replies.late.any():
        return None

    def delays(keys: Integers, attempts: Integers) -> Floats:
        return np.broadcast_to(replies.delays(replies.delay_subjects(keys), attempts), keys.shape)

    return delays


class ProgressArrays:
    """What replies tell of the progress of jobs whose work lies between these times, and told before."""

    def __init__(self, begin: Floats, finish: Floats, steps: int) -> None:
        self._steps = steps
        self._begin = begin
        self._finish = finish
        self._told = np.full(begin.size, np.nan)

    def keep(self, places: Integers) -> None:
        """Drop all jobs but those at these places."""
        self._begin = self._begin.take(places)
        self._finish = self._finish.take(places)
        self._told = self._told.take(places)

    def changed(self, pending: NDArray[np.bool_], leaves: Floats) -> NDArray[np.bool_]:
        """Return of which jobs a pending reply that leaves at this time tells another progress."""
        with np.errstate(all="ignore"):  # where a job has ended
            share = (leaves - self._begin) / (self._finish - self._begin)
            tells = np.where(
                leaves <= self._begin,
                0.0,
                np.minimum(np.trunc(share * self._steps), self._steps - 1) / self._steps,
            )
        changes: NDArray[np.bool_] = pending & (tells != self._told) & ~np.isnan(self._told)
        self._told = np.where(pending, tells, self._told)
        return changes


def _hint(failure: Failure) -> float:
    """Return the seconds of a failing reply's hint, 0 for none; a hint of 0 s is one, if the smallest."""
    return 0.0 if failure.hint is None else max(failure.hint, _LEAST)


def _constant(delay: Distribution | None) -> float | None:
    """Return the delay's only value in seconds, None if it has several."""
    if delay is None:
        return 0.0
    return float(delay.value) if isinstance(delay, Fixed) else None
