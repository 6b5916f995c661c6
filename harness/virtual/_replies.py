"""What polls meet, for arrays of polls: ``server.Board`` without the parts that jobs share."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from scenarios import FAULTS, Failure, Simulation
from scenarios.draws import Distribution, Fixed, Floats, Integers, Stream, Words, draws_of, subjects

NO_REPLY: Final = 600
"""In arrays alone: codes from here on are no status codes, but stand for the named faults, in their order.

For a client it is all the same: a reply that did not come, or came too late, has this very code.
"""

_UNANSWERED: Final = tuple(FAULTS.values())

_LEAST: Final = 1e-300  # a hint of 0 s, told from none at all

CODES: Final = NO_REPLY + len(_UNANSWERED)
"""All codes are below this one."""


class Polls(Protocol):
    """Polls of different jobs, as parallel arrays: their numbers, and the subjects of the jobs' draws."""

    attempts: Integers
    delay: Words
    fault: Words


class ReplyArrays:
    """Answers arrays of polls; times are seconds of the visit."""

    def __init__(self, simulation: Simulation) -> None:
        service = simulation.service
        self._seed = simulation.seed
        self._delay = service.delay
        self._constant_delay = _constant(service.delay)
        self._limits = np.cumsum([fault.rate for fault in service.faults])
        failures = [fault.failure for fault in service.faults]
        self._fault_codes = np.array([_code(failure) for failure in failures], dtype=np.int64)
        self._fault_hints = np.array([_hint(failure) for failure in failures], dtype=np.float64)
        self._outages = [
            (each.start, each.start + each.length, _code(each.failure), _hint(each.failure))
            for each in service.outages
        ]
        self._eta = service.retry_after == "eta"
        self._hint = float(service.hint or 0)
        self.hints_pending = self._eta or self._hint > 0
        """Whether replies that tell of a pending job carry hints."""

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
        for start, end, code, hint in reversed(self._outages):  # the first that applies decides
            during = (start <= arrived) & (arrived < end)
            codes[during] = code
            hints[during] = hint
        return codes, hints

    def pending_hints(self, left: Floats) -> Floats | float:
        """Return the hints on replies about jobs that have ``left`` seconds to go, in seconds; 0: none."""
        return np.ceil(left) if self._eta else self._hint


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


def status_code(code: int) -> int | None:
    """Return the status code that a code stands for in arrays; None: there is no reply."""
    return code if code < NO_REPLY else None


def count_replies(counts: Integers) -> dict[str, int]:
    """Return how often the service gave each answer, named as the board names it, from the counts by code."""
    return {
        str(code) if code < NO_REPLY else _UNANSWERED[code - NO_REPLY].counted_as: int(counts[code])
        for code in np.flatnonzero(counts).tolist()
    }


def _hint(failure: Failure) -> float:
    """Return the seconds of a failing reply's hint, 0 for none; a hint of 0 s is one, if the smallest."""
    return 0.0 if failure.hint is None else max(failure.hint, _LEAST)


def _code(failure: Failure) -> int:
    """Return the code that stands for such a failure in arrays."""
    if failure.status_code is not None:
        return failure.status_code
    return NO_REPLY + _UNANSWERED.index(type(failure))


def _constant(delay: Distribution | None) -> float | None:
    """Return the delay's only value in seconds, None if it has several."""
    if delay is None:
        return 0.0
    return float(delay.value) if isinstance(delay, Fixed) else None
