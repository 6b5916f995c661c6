"""The planned submissions of an open workload as arrays, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, takewhile
from typing import NamedTuple

import numpy as np

from harness.virtual._draws import Floats, Integers
from scenarios import Scenario, closed_key
from scenarios.draws import Stream, uniforms

BLOCK = 2**17
"""Jobs per block: enough work for one task of a pool of processes, and a bounded amount of memory."""


class Block(NamedTuple):
    """Consecutive planned submissions: what ``scenarios.planned`` yields, column by column."""

    keys: Integers
    lanes: Integers
    times: Floats


def plan_blocks(scenario: Scenario, repeat: int, size: int = BLOCK) -> Iterator[Block]:
    """Yield the plan of a repeat in blocks of at most ``size`` jobs, none of them empty."""
    workload = scenario.workload
    first = closed_key(repeat, 0, 0, workload.lanes)
    arrivals, end = workload.arrivals, np.inf if workload.duration is None else workload.duration
    drawn = _Draws(scenario.seed, first)
    times = arrivals.times(drawn)  # type: ignore[union-attr] # open arrivals only, as the caller knows
    times = takewhile(lambda at: at < end, times)
    start = 0
    while True:
        wanted = size if workload.jobs is None else min(size, workload.jobs - start)
        index = np.arange(start, start + wanted, dtype=np.int64)
        if arrivals.type == "constant":  # no draws, so no need to go through Python's numbers
            at = index / arrivals.rate
            at = at[: np.searchsorted(at, end)]
        else:
            at = np.fromiter(islice(times, wanted), dtype=np.float64)
        if at.size:
            yield Block(first + index[: at.size], index[: at.size] % workload.lanes, at)
        if at.size < size:
            return
        start += size


class _Draws:
    """The arrival draw of each job in turn, made by the block: one at a time they would cost most."""

    def __init__(self, seed: int, first_key: int) -> None:
        self._seed = seed
        self._next_key = first_key
        self._size = 256  # doubled time and again: a plan may be short
        self._ready: Iterator[float] = iter(())

    def __call__(self, index: int) -> float:
        """The draw of job ``index``; jobs must be asked for one after another."""
        del index
        for u in self._ready:
            return u
        keys = np.arange(self._next_key, self._next_key + self._size, dtype=np.int64)
        self._next_key += self._size
        self._size = min(2 * self._size, BLOCK)
        self._ready = iter(uniforms(self._seed, Stream.ARRIVAL, keys).tolist())
        return next(self._ready)
