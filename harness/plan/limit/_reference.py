"""What the polls of a setting are held against: the limit at its lag, or schedules tried on other jobs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from harness.plan.limit._frontier import polls_at_lag
from harness.plan.limit._grid import POINTS, DurationGrid, grid_of, split
from harness.plan.limit._schedule import evaluate, optimum
from scenarios.draws import Capped, Durations, Floats, Stream, sample_of, uniforms

_REACHED_BY: Final = 5  # rows: polls that fewer reach follow accidents of the sample
_COSTS: Final = np.geomspace(1e-3, 10.0, 25)  # per second of mean duration


@dataclass(frozen=True)
class LimitCurve:
    """The least polls for a mean lag, for one distribution of durations."""

    durations: Durations
    points: int = POINTS

    @cached_property
    def grid(self) -> DurationGrid:
        """The durations as the limit takes them."""
        return grid_of(self.durations, points=self.points)

    def polls_at(self, lag_s: float, lost: float = 0.0, deadline: float | None = None) -> float:
        """Return the least polls for this mean lag of the jobs found, ``lost`` of all being given up.

        A job abandoned at the deadline need not be found: the durations are then cut there, and the lag of
        the jobs that are lost counts as 0, which keeps the bound a bound. Jobs given up for other reasons
        (attempts, failed reads) are in no distribution.
        """
        if lost > 0.0 and deadline is not None and deadline > 0.0:
            cut = grid_of(Capped(self.durations, deadline), points=self.points)
            return polls_at_lag(cut, lag_s * (1.0 - lost))
        return polls_at_lag(self.grid, lag_s)


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
