"""What load costs: this process, which generates it, and those of the simulator, which bear it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Final

import psutil

_CPU_INTERVAL_S: Final = 0.9  # no peak is taken over less than this


class CpuMeter:
    """Measure this process's CPU use as a share of a core: its mean since the start, and its peak second."""

    def __init__(self) -> None:
        self._first = self._last = self._read()
        self.peak = 0.0

    @staticmethod
    def _read() -> tuple[float, float]:
        return time.monotonic(), time.process_time()

    def sample(self) -> None:
        """Close the current interval once it is long enough for a share of it to mean something."""
        now = self._read()
        if now[0] - self._last[0] < _CPU_INTERVAL_S:
            return
        self.peak = max(self.peak, (now[1] - self._last[1]) / (now[0] - self._last[0]))
        self._last = now

    def mean(self) -> float:
        now = self._read()
        return (now[1] - self._first[1]) / max(now[0] - self._first[0], 1e-9)


class ProcessesMeter:
    """Measure the CPU use of a process and its children, each as a share of a core: the busiest one's peak.

    Raises OSError or ``psutil.Error`` where the process cannot be looked at.
    """

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._process = psutil.Process(pid)
        self._clock = clock
        self._family = self._found()
        self._last = self._read()
        self.peak: float | None = None
        """The busiest second's share so far; None before the first has passed."""

    def _found(self) -> list[psutil.Process]:
        # To look for children is to look at every process there is: not for every sample.
        return [self._process, *self._process.children(recursive=True)]

    def _read(self) -> tuple[float, dict[int, float]]:
        used = {}
        for each in self._family:
            with contextlib.suppress(psutil.Error):  # a child has ended
                times = each.cpu_times()
                used[each.pid] = times.user + times.system
        return self._clock(), used

    def sample(self) -> None:
        """Close the current second, once it is over."""
        (before, known), now = self._last, self._clock()
        if now - before < _CPU_INTERVAL_S:
            return
        now, used = self._last = self._read()
        for pid in used.keys() & known.keys():
            self.peak = max(self.peak or 0.0, (used[pid] - known[pid]) / (now - before))
        if len(used) < len(self._family):
            self._family = self._found()  # another has come in its place
