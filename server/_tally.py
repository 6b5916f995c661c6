"""What the processes of one simulator have in common: their counts, and what they serve since when.

The counts lie in memory that all processes share, a row for each, so that they survive a process that is
killed. A reset and another scenario are a *generation*: whoever announces one writes down what is served from
then on, and each process follows before its next request, with a row at zero. Rows that have not followed yet
do not count.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from mmap import mmap
from typing import Final, NamedTuple

import psutil

from scenarios import FAULTS, Simulation
from server._board import Counters

_NAMES: Final = sorted({kind.counted_as for kind in FAULTS.values()} - {"200"})
_PLACES: Final = ("generation", "pid", "cpu_us", "in_flight", "submissions", "polls")
_GENERATION, _PID, _CPU, _IN_FLIGHT, _SUBMISSIONS, _POLLS = range(len(_PLACES))
_LEAST_CODE: Final = 100
_REPLIES: Final[dict[int | str, int]] = {
    response: len(_PLACES) + place for place, response in enumerate((*range(_LEAST_CODE, 600), *_NAMES))
}
_ROW: Final = len(_PLACES) + len(_REPLIES)


class Served(NamedTuple):
    """What is served, from ``now`` on; ``epoch`` is time zero of its outages. Times are on the clock."""

    simulation: Simulation
    now: float
    epoch: float


class Tally:
    """The common memory of so many processes; made before they are forked."""

    def __init__(self, processes: int, served: Served) -> None:
        self.processes = processes
        self._first = served.simulation
        self._words = memoryview(mmap(-1, 8 * (1 + processes * _ROW))).cast("q")
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the processes
        self.announce(served)

    @property
    def generation(self) -> int:
        """Return the number of the generation: it changes with everything that is announced."""
        return self._words[0]

    def announce(self, served: Served) -> None:
        """Have every process serve this before its next request."""
        # The first one is inherited by all processes, with the recorded times that its files held.
        first = served.simulation == self._first
        simulation = None if first else served.simulation.model_dump(mode="json")
        data = json.dumps([simulation, served.now, served.epoch]).encode()
        with self._alone():
            self._file.seek(0)
            self._file.truncate()
            self._file.write(data)
            self._file.flush()
            self._words[0] += 1

    def served(self) -> tuple[int, Served]:
        """Return the generation, and what is served in it."""
        with self._alone():
            data = os.pread(self._file.fileno(), os.fstat(self._file.fileno()).st_size, 0)
            generation = self.generation
        simulation, now, epoch = json.loads(data)
        known = self._first if simulation is None else Simulation.model_validate(simulation)
        return generation, Served(known, now, epoch)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep the other processes out."""
        import fcntl  # exists on Unix only, as does all of this

        fcntl.lockf(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN)

    def row(self, index: int) -> Row:
        """Return the row of the process with this number, from 0."""
        begin = 1 + index * _ROW
        return Row(self._words[begin : begin + _ROW])

    def counters(self) -> Counters:
        """Return the sum of the counts of this generation."""
        rows = [row for row in self._rows() if row[_GENERATION] == self.generation]
        replies = {str(response): sum(row[place] for row in rows) for response, place in _REPLIES.items()}
        return Counters(
            sum(row[_SUBMISSIONS] for row in rows),
            sum(row[_POLLS] for row in rows),
            {response: number for response, number in sorted(replies.items()) if number},
            0.0,
        )

    def in_flight(self) -> int:
        """Return how many requests wait for their replies."""
        return sum(row[_IN_FLIGHT] for row in self._rows())

    def cpu_seconds(self, *, in_all: bool = False) -> float:
        """Return the processor time since the generation began, or ``in_all``; that of the killed is lost."""
        total = 0.0
        for row in self._rows():
            if in_all or row[_GENERATION] == self.generation:
                total += _cpu_s(row[_PID]) - (0.0 if in_all else row[_CPU] / 1e6)
        return max(0.0, total)

    def _rows(self) -> Iterator[memoryview[int]]:
        for index in range(self.processes):
            begin = 1 + index * _ROW
            yield self._words[begin : begin + _ROW]


class Row:
    """The counts of one process."""

    def __init__(self, words: memoryview[int]) -> None:
        self._words = words

    def begin(self, generation: int) -> None:
        """Count for this generation: from zero, unless a process before this one has begun."""
        words = self._words
        if words[_GENERATION] != generation:
            words[_SUBMISSIONS] = words[_POLLS] = 0
            for place in _REPLIES.values():
                words[place] = 0
        if words[_PID] != os.getpid():
            words[_PID] = os.getpid()
            words[_IN_FLIGHT] = 0
        words[_CPU] = int(time.process_time() * 1e6)
        words[_GENERATION] = generation

    def submitted(self) -> None:
        """Count a submission."""
        self._words[_SUBMISSIONS] += 1

    def polled(self, response: int | str) -> None:
        """Count a status request and how it is answered: a status code, or what happens instead."""
        self._words[_POLLS] += 1
        self._words[_REPLIES[response]] += 1

    def waiting(self, more: int) -> None:
        """Count requests that wait for their replies."""
        self._words[_IN_FLIGHT] += more


def _cpu_s(pid: int) -> float:
    if pid == os.getpid():
        return time.process_time()
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
