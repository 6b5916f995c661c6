"""What load generation costs this process."""

from __future__ import annotations

import time
from typing import Final

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
