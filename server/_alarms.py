"""Calls at exact times: never early, and late by what the system is late, not by a timer's grain.

Event loops count in whole milliseconds: a delay of 0.4 ms would be none or one. On Linux the kernel's own
timers (``timerfd``) wake the loop to the microsecond, and one of them serves a heap of any number of calls.
Elsewhere the loop's timer wakes it, and what woke up early waits once more.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Final

_NANO: Final = 1_000_000_000
_LONGEST_S: Final = 86_400.0  # a loop's timer takes no more than weeks; who wakes up early waits once more


class Alarms:
    """Calls at times (seconds) of the monotonic clock, on a loop; those of one time in the order given."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._calls: list[tuple[float, int, Callable[[], object]]] = []
        self._sequence = count()
        self._set_for = inf
        kind = _KernelTimer if sys.platform == "linux" and sys.maxsize > 2**32 else _LoopTimer
        self._timer = kind(loop, self._ring)

    def at(self, when: float, call: Callable[[], object]) -> None:
        """Call ``call`` at this time."""
        heappush(self._calls, (when, next(self._sequence), call))
        if when < self._set_for:
            self._set(when)

    def close(self) -> None:
        """Forget all calls."""
        self._calls.clear()
        self._timer.close()

    def _ring(self) -> None:
        self._set_for = -inf  # calls that set others need not set the timer: it is set below
        calls = self._calls
        try:
            while calls and calls[0][0] <= time.monotonic():
                heappop(calls)[2]()
        finally:
            self._set_for = inf
            if calls:
                self._set(calls[0][0])

    def _set(self, when: float) -> None:
        self._set_for = when
        self._timer.set(when)


class _LoopTimer:
    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], object]) -> None:
        self._loop = loop
        self._ring = ring
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        self.close()
        left = min(_LONGEST_S, max(0.0, when - time.monotonic()))
        self._handle = self._loop.call_later(left, self._ring)

    def close(self) -> None:
        if self._handle is not None:
            self._handle.cancel()


class _Spec(ctypes.Structure):
    """The C type ``itimerspec``."""

    _fields_ = [(name, ctypes.c_long) for name in ("every_s", "every_ns", "at_s", "at_ns")]


class _KernelTimer:
    """A timerfd; Python has it from 3.13 on, and calls C functions in all versions."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], object]) -> None:
        libc: Any = ctypes.CDLL(None, use_errno=True)
        self._loop = loop
        self._ring = ring
        self._file: int = libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._settime = libc.timerfd_settime
        self._settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        self._spec = _Spec()
        self._address = ctypes.addressof(self._spec)
        loop.add_reader(self._file, self._read)

    def set(self, when: float) -> None:
        at = max(1, int(when * _NANO) + 1)  # zero would switch it off
        self._spec.at_s, self._spec.at_ns = divmod(at, _NANO)
        self._settime(self._file, 1, self._address, None)  # 1: the time is absolute

    def close(self) -> None:
        self._loop.remove_reader(self._file)
        os.close(self._file)

    def _read(self) -> None:
        with suppress(BlockingIOError):  # it was set anew after it had rung
            os.read(self._file, 8)
        self._ring()
