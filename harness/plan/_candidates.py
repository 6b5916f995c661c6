"""The settings that a search tries: curves with their parameters, and schedules made for the durations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Final

import numpy as np

from client import Backoff
from harness.plan._effort import DEFAULT, Effort
from harness.plan.limit import DurationGrid, fitted, threshold_schedules
from scenarios import OBJECTIVES
from scenarios.draws import Durations, Floats, quantiles


@dataclass(frozen=True)
class Kind:
    """What settings are compared by: a ``name`` for readers and a ``curve`` of the client's, jittered or not.

    ``steady`` kinds keep to one interval, at the latest from the second poll on.
    """

    name: str
    curve: str
    jittered: bool = False
    steady: bool = False


CONSTANT: Final = Kind("constant", "constant", steady=True)
CONSTANT_JITTERED: Final = Kind("constant, jittered", "constant", jittered=True, steady=True)
_WAIT_THEN_CONSTANT: Final = Kind("wait, then constant", "schedule", steady=True)
_CONSTANT_THEN_SLOWER: Final = Kind("constant, then slower", "schedule")
_LINEAR: Final = Kind("linear", "linear")
_LINEAR_JITTERED: Final = Kind("linear, jittered", "linear", jittered=True)
_EXPONENTIAL: Final = Kind("exponential", "exponential")
_EXPONENTIAL_JITTERED: Final = Kind("exponential, jittered", "exponential", jittered=True)
_DECORRELATED: Final = Kind("decorrelated", "exponential", jittered=True)
_SCHEDULE: Final = Kind("schedule", "schedule")

KINDS: Final = (
    CONSTANT,
    CONSTANT_JITTERED,
    _WAIT_THEN_CONSTANT,
    _CONSTANT_THEN_SLOWER,
    _LINEAR,
    _LINEAR_JITTERED,
    _EXPONENTIAL,
    _EXPONENTIAL_JITTERED,
    _DECORRELATED,
    _SCHEDULE,
)
"""The kinds of settings that are compared, from plain to elaborate."""

_REACHED_BY: Final = 0.01  # of the jobs; rarer polls are left to the last delay
_HARDLY_EVER: Final = (12.0, 50.0)  # times the interval, for jobs that no objective holds any more
_BEYOND: Final = (0.08, 0.2)  # of the jobs that may be late: from there on
_OF_THE_BOUND: Final = (0.25, 0.4, 0.62, 0.97)  # intervals: as long as jobs may be late, or shorter
_JITTERS: Final = ("equal", "full")


@dataclass(frozen=True, eq=False)
class Family:
    """A parametric family of settings: all but one number, the ``scale`` in seconds (of schedules: a factor).

    ``at(scale)`` is the setting of that scale with every number rounded, and ``scales`` are those to screen.
    ``parameters`` is how many numbers there are to understand; jitter counts as one.
    """

    kind: Kind
    parameters: int
    scales: tuple[float, ...]
    at: Callable[[float], Backoff]


def _constant(scale: float, *, jitter: str = "none") -> Backoff:
    return Backoff("constant", rounded(scale), jitter=jitter)


def _wait_then_constant(scale: float, *, first: float) -> Backoff:
    return _schedule((first, scale))


def _constant_then_slower(scale: float, *, ratio: float, until: float) -> Backoff:
    delays = rounded(scale), rounded(scale * ratio)
    return Backoff("schedule", delays=delays, until=[rounded(until)])


def _linear(scale: float, *, ratio: float, jitter: str = "none") -> Backoff:
    return Backoff("linear", rounded(scale), increment=rounded(scale * ratio), jitter=jitter)


def _exponential(scale: float, *, multiplier: float, cap: float, jitter: str = "none") -> Backoff:
    initial = rounded(scale)
    maximum = max(initial, rounded(scale * cap))
    return Backoff("exponential", initial, multiplier=multiplier, maximum=maximum, jitter=jitter)


def _decorrelated(scale: float, *, cap: float) -> Backoff:
    initial = rounded(scale)
    return Backoff("exponential", initial, maximum=max(initial, rounded(scale * cap)), jitter="decorrelated")


def _stretched(scale: float, *, delays: tuple[float, ...]) -> Backoff:
    return _schedule(tuple(delay * scale for delay in delays))


def rounded(seconds: float, digits: int = 2) -> float:
    """Return a duration that people would write: two significant digits, whole milliseconds, at least one."""
    return max(0.001, round(float(f"{seconds:.{digits - 1}e}"), 3))


def _schedule(delays: tuple[float, ...]) -> Backoff:
    """Return the delays rounded: the longest, on which later times rest, to three digits, others to two."""
    longest = max(delays)
    digits = [3 if delay == longest and len(delays) > 1 else 2 for delay in delays]
    values = [0.0 if delay < 0.0005 else rounded(delay, n) for delay, n in zip(delays, digits, strict=True)]
    values[-1] = max(values[-1], 0.001)
    while len(values) > 1 and values[-1] == values[-2]:
        values.pop()
    return Backoff("schedule", delays=values)


def families(
    durations: Durations,
    grid: DurationGrid,
    round_trip_s: float,
    objectives: Mapping[str, float],
    effort: Effort = DEFAULT,
) -> Iterator[Family]:
    """Yield what to try for jobs of these durations, at a service that takes ``round_trip_s`` to answer."""
    values = quantiles(durations, 2**12)
    scales = _scales(values, grid.mean, effort.scales)
    # Where durations hardly vary, what counts is to poll just after the end.
    ends = [_after(float(values[int(q * (values.size - 1))]), round_trip_s) for q in (0.5, 0.95, 1.0)]
    yield Family(CONSTANT, 1, tuple(sorted({*scales, *ends})), _constant)
    for jitter in _JITTERS:
        yield Family(CONSTANT_JITTERED, 2, scales, partial(_constant, jitter=jitter))
    for first in _first_waits(values, objectives, round_trip_s, effort.waits):
        yield Family(_WAIT_THEN_CONSTANT, 2, scales, partial(_wait_then_constant, first=first))
    for ratio, level in product(effort.slower, effort.switches):
        until = max(float(values[int(level * values.size)]), 0.001)
        slowing = partial(_constant_then_slower, ratio=ratio, until=until)
        yield Family(_CONSTANT_THEN_SLOWER, 3, scales, slowing)
    for bound, ratio, level in _rests(objectives):
        until = max(float(values[int(level * values.size)]), 0.001)
        hardly = partial(_constant_then_slower, ratio=ratio, until=until)
        yield Family(_CONSTANT_THEN_SLOWER, 3, tuple(bound * part for part in _OF_THE_BOUND), hardly)
    for ratio in effort.increments:
        yield Family(_LINEAR, 2, scales, partial(_linear, ratio=ratio))
        for jitter in _JITTERS:
            yield Family(_LINEAR_JITTERED, 3, scales, partial(_linear, ratio=ratio, jitter=jitter))
    for multiplier, cap in product(effort.multipliers, effort.caps):
        grown = partial(_exponential, multiplier=multiplier, cap=cap)
        yield Family(_EXPONENTIAL, 3, scales, grown)
        for jitter in _JITTERS:
            yield Family(_EXPONENTIAL_JITTERED, 4, scales, partial(grown, jitter=jitter))
    for cap in effort.caps:
        yield Family(_DECORRELATED, 3, scales, partial(_decorrelated, cap=cap))
    seen = set()
    for times in _schedules(durations, grid, objectives, effort):
        for length in effort.lengths:
            delays = _delays(times, length, round_trip_s)
            # A tail of polls without a pause only adds load.
            if delays not in seen and delays[-1] >= 0.01 * grid.mean:
                seen.add(delays)
                yield Family(_SCHEDULE, len(delays), (1.0,), partial(_stretched, delays=delays))


def _scales(values: Floats, mean: float, count: int) -> tuple[float, ...]:
    """Return first delays from some 25 polls a job to one poll for nearly all."""
    top = max(float(values[-1]) * 1.2, mean, 0.002)
    return tuple(np.geomspace(max(min(mean / 25.0, top / 4.0), 0.001), top, count).tolist())


def _after(duration: float, round_trip_s: float) -> float:
    """Return the shortest three-digit first delay whose poll is read no earlier than this."""
    delay = max(duration - round_trip_s, 0.001)
    step = 10.0 ** (math.floor(math.log10(delay)) - 2)
    return round(math.ceil(delay / step - 1e-9) * step, 9)


def _first_waits(
    values: Floats, objectives: Mapping[str, float], round_trip_s: float, levels: tuple[float, ...]
) -> set[float]:
    """Return when waiting may end: at a quantile, a lag's bound after a low one, or a latency's bound."""
    waits = {float(values[int(q * values.size)]) for q in levels}
    for name, bound in objectives.items():
        figure = OBJECTIVES[name].figure
        if figure == "lag":
            waits |= {float(values[int(q * values.size)]) + bound for q in (0.0, *levels[:6])}
        elif figure == "latency":
            waits.add(bound)
    return {rounded(wait - round_trip_s, 3) for wait in waits if wait > round_trip_s}


def _rests(objectives: Mapping[str, float]) -> Iterator[tuple[float, float, float]]:
    """Yield a bound on a quantile of the lag, how much slower to ask beyond it, and from which quantile on.

    Where 95 in 100 jobs are to be found in time the others may wait: a heavy tail takes most of the polls.
    """
    for name, bound in objectives.items():
        objective = OBJECTIVES[name]
        if objective.figure == "lag" and objective.p is not None and 0.5 <= objective.p < 1.0:
            # A little beyond the quantile, for the objective must hold surely.
            levels = (objective.p + (1.0 - objective.p) * beyond for beyond in _BEYOND)
            yield from product([bound], _HARDLY_EVER, levels)


def _schedules(
    durations: Durations, grid: DurationGrid, objectives: Mapping[str, float], effort: Effort
) -> Iterator[tuple[float, ...]]:
    """Yield poll times that are best for some price of a poll, or for some price of a late job."""
    for cost in np.geomspace(3e-3, 3.0, effort.prices) * (grid.mean or 1.0):
        yield fitted(grid, float(cost), reached_by=_REACHED_BY)
    for name, bound in objectives.items():
        objective = OBJECTIVES[name]
        if objective.p is not None and (objective.figure == "lag" or objective.figure == "latency"):
            for times in threshold_schedules(
                durations, objective.figure, bound, cells=effort.late_cells, prices=effort.late_prices
            ):
                reached = np.append(1.0, grid.survival(np.asarray(times[:-1])))
                yield times[: max(2, int(np.count_nonzero(reached >= _REACHED_BY)))]


def _delays(times: tuple[float, ...], length: int, round_trip_s: float) -> tuple[float, ...]:
    """Return poll times as at most ``length`` delays, the last of which repeats.

    The clock of the delays starts with the submission's reply, one round trip late, and every poll takes one.
    """
    gaps = np.diff(np.array(times), prepend=0.0) - round_trip_s
    gaps[0] -= round_trip_s
    kept = np.maximum(gaps[:length], 0.0)
    return tuple(kept.tolist())
