"""What the polls of a setting are held against: the limit at its lag, or schedules tried on other jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Protocol

import numpy as np

from harness.plan.limit._frontier import Frontier, Tangent
from harness.plan.limit._grid import POINTS, DurationGrid, grid_of, split
from harness.plan.limit._schedule import evaluate, optimum
from scenarios.draws import Capped, Durations, Floats, Stream, sample_of, uniforms

_REACHED_BY: Final = 5  # rows: polls that fewer reach follow accidents of the sample
_COSTS: Final = np.geomspace(1e-3, 10.0, 25)  # per second of mean duration


class Reference(Protocol):
    """What polls can be held against: a curve of fewest polls by mean lag, for one distribution."""

    @property
    def mean(self) -> float:
        """The mean duration in seconds."""

    def at_lag(self, lag_s: float) -> Tangent:
        """Return the polls for this mean lag, and the price of a poll there."""

    def cut(self, at_s: float) -> Reference:
        """Return the same for durations that end after so many seconds at the latest."""


@dataclass(frozen=True, eq=False)
class LimitCurve:
    """The least polls for a mean lag, for one distribution of durations."""

    durations: Durations
    points: int = POINTS

    @cached_property
    def grid(self) -> DurationGrid:
        """The durations as the limit takes them."""
        return grid_of(self.durations, points=self.points)

    @cached_property
    def _frontier(self) -> Frontier:
        return Frontier(self.grid)

    @property
    def mean(self) -> float:
        """The mean duration in seconds."""
        return self.grid.mean

    def at_lag(self, lag_s: float) -> Tangent:
        """Return the least polls for this mean lag, and the price of a poll there."""
        return self._frontier.at_lag(lag_s)

    def cut(self, at_s: float) -> LimitCurve:
        """Return the limit of durations that end after so many seconds at the latest."""
        return LimitCurve(Capped(self.durations, at_s), self.points)


@dataclass(frozen=True, eq=False)
class HeldOutCurve:
    """What schedules achieve that were fitted to one half of a sample and tried on the other."""

    values: Floats
    seed: int

    @cached_property
    def points(self) -> list[tuple[float, float]]:
        """The curve as (polls, lag), by rising lag."""
        return held_out_frontier(self.values, self.seed)

    @property
    def mean(self) -> float:
        """The mean duration in seconds."""
        return float(np.mean(self.values))

    def at_lag(self, lag_s: float) -> Tangent:
        """Return the polls for this mean lag, and the price of a poll there."""
        lags, polls = np.array([lag for _, lag in self.points]), np.array([each for each, _ in self.points])
        after = int(np.searchsorted(lags, lag_s))
        if not 0 < after < lags.size:
            return Tangent(float(polls[min(after, lags.size - 1)]), math.inf)
        price = float((lags[after] - lags[after - 1]) / (polls[after - 1] - polls[after]))
        return Tangent(float(polls[after]) + (float(lags[after]) - lag_s) / price, price)

    def cut(self, at_s: float) -> HeldOutCurve:
        """Return the same for a sample cut after so many seconds."""
        return HeldOutCurve(np.minimum(self.values, at_s), self.seed)


def held_out_frontier(values: Floats, seed: int) -> list[tuple[float, float]]:
    """Return (polls, lag) of schedules fitted to one half of a sample and tried on the other.

    The curve is convex, by rising lag. Each half is fitted and tried in turn, so every duration counts.
    """
    draws = uniforms(seed, Stream.SPLIT, np.arange(values.size, dtype=np.int64))
    halves = [sample_of(half) for half in split(values, draws)]
    grids = [grid_of(half) for half in halves]
    points = []
    for cost in _COSTS * (float(np.mean(values)) or 1.0):
        tried = [
            evaluate(grids[1 - k], fitted(grids[k], cost, reached_by=_REACHED_BY / halves[k].values.size))
            for k in range(2)
        ]
        points.append((float(np.mean([p for p, _ in tried])), float(np.mean([lag for _, lag in tried]))))
    return _lower_hull(points)


def fitted(grid: DurationGrid, cost: float, *, reached_by: float) -> tuple[float, ...]:
    """Return the best schedule with a smooth tail: polls that fewer than ``reached_by`` reach follow a rule.

    The rule is the last gap, which repeats: sqrt(2 * cost * time left), about the best interval for a job
    whose remaining time is memoryless (see docs/the-limit.md).
    """
    schedule = np.asarray(optimum(grid, cost).schedule_s)
    before = np.append(1.0, grid.survival(schedule[:-1]))
    kept = schedule[: max(1, int(np.count_nonzero(before >= reached_by)))]
    last = float(kept[-1])
    left = float(grid.survival(kept[-1:])[0])
    if left > 0.0:
        later = np.append(last, grid.ends[grid.ends > last])
        remaining = float(np.dot(np.diff(later), grid.survival(later[:-1]))) / left
    else:
        remaining = grid.mean
    gap = math.sqrt(2.0 * cost * remaining) or last or cost
    return (*kept.tolist(), last + gap)


def _lower_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the convex lower left border of points (polls, lag), from many polls to few."""
    hull: list[tuple[float, float]] = []
    for polls, lag in sorted(set(points), key=lambda point: (point[1], point[0])):
        if hull and polls >= hull[-1][0]:
            continue  # later and no cheaper
        while len(hull) > 1:
            (p0, l0), (p1, l1) = hull[-2:]
            if (p1 - p0) * (lag - l0) >= (polls - p0) * (l1 - l0):  # the middle one lies above the chord
                hull.pop()
            else:
                break
        hull.append((polls, lag))
    return hull
