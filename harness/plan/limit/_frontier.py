"""The trade-off between polls and lag: all best schedules, and the least polls for a given lag.

This is the Pareto frontier of the two, and ``polls_at_lag`` is a Lagrangian dual bound found by dichotomic
search (Aneja and Nair, "Bicriteria transportation problem", Management Science 25, 1979).

A setting with jitter is a mixture of schedules, and so is any rule that does not look at how the job is
doing. Its (polls, lag) is an average of points of schedules, hence on or above the convex frontier of optima:
cost * polls + lag >= J*(cost) for every cost, that is polls >= max over costs of (J*(cost) - lag) / cost.
"""

from __future__ import annotations

import math
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

import numpy as np

from harness.plan.limit._grid import DurationGrid
from harness.plan.limit._schedule import Bound, Optimum, bound, extremes, optimum

_PRECISION: Final = 1e-5  # relative, far below the error of a grid; where the search for the best bound stops


class Tangent(NamedTuple):
    """The line that bounds the polls at a mean lag from below: ``polls`` there, and the price of its slope.

    ``cost_per_poll_s`` is how many seconds of lag a poll is worth there: a little more lag saves polls at
    one to so many seconds. It is infinite where more lag saves none.
    """

    polls: float
    cost_per_poll_s: float


class Frontier:
    """The corners of one grid's limit that are known so far; every question adds those that it meets.

    Many lags are asked for in one plan, and a corner costs a shortest path over the whole grid.
    """

    def __init__(self, grid: DurationGrid) -> None:
        self.grid = grid
        many, few = extremes(grid)
        self._corners = [many, few] if many.polls > few.polls else [few]  # by rising lag

    def at_lag(self, lag_s: float) -> Tangent:
        """Return the least polls for a mean lag of ``lag_s`` seconds; ValueError if that is none."""
        if not (math.isfinite(lag_s) and lag_s >= 0.0):
            raise ValueError(f"lag_s: {lag_s} must be a finite number of seconds, at least 0")
        many, few = self._corners[0], self._corners[-1]
        if lag_s >= few.lag_s:
            return Tangent(few.polls, math.inf)
        if lag_s <= many.lag_s:
            return Tangent(many.polls, math.inf)
        return self._greatest(
            lambda point, cost: (point.objective(cost) - lag_s) / cost,
            bisect_right(self._corners, lag_s, key=lambda point: point.lag_s),
            lambda point: point.lag_s <= lag_s,
        )

    def at_polls(self, polls: float) -> float:
        """Return the least mean lag (seconds) for so many mean polls a job; ValueError below one."""
        if not (math.isfinite(polls) and polls >= 1.0):
            raise ValueError(f"polls: {polls} must be a finite number, at least 1")
        many, few = self._corners[0], self._corners[-1]
        if polls <= few.polls:
            return max(0.0, few.lag_s)
        if polls >= many.polls:
            return max(0.0, many.lag_s)
        most, _ = self._greatest(
            lambda point, cost: point.objective(cost) - cost * polls,
            bisect_right(self._corners, -polls, key=lambda point: -point.polls),
            lambda point: point.polls >= polls,
        )
        return max(0.0, most)

    def _greatest(
        self, value: Callable[[Bound, float], float], after: int, below: Callable[[Bound], bool]
    ) -> Tangent:
        """Return the greatest ``value(bound(grid, cost), cost)`` over all costs, and the cost of it.

        Each is a bound by itself. The corners before and at ``after`` lie on either side of the target. The
        price that makes both equally good finds the corner of the frontier farthest below their chord, which
        replaces one of them, until none is below it. On a smooth curve the distance to the chord falls
        fourfold a step.
        """
        many, few = self._corners[after - 1], self._corners[after]
        best = Tangent(-math.inf, math.inf)
        while True:
            cost = (few.lag_s - many.lag_s) / (many.polls - few.polls)
            new = bound(self.grid, cost)
            best = max(best, Tangent(value(new, cost), cost))
            reached = value(few, cost) - best.polls <= _PRECISION * abs(best.polls)
            if reached or not few.polls < new.polls < many.polls:  # the latter: all that is left is rounding
                return best
            insort(self._corners, new, key=lambda point: point.lag_s)
            many, few = (new, few) if below(new) else (many, new)


def frontier(grid: DurationGrid, costs: Iterable[float] | None = None) -> list[Optimum]:
    """Return the best schedules from many polls to about one, by rising cost per poll, no two alike.

    Without ``costs`` (seconds of lag per poll) these are 33 prices from 1/10,000 of the mean duration to ten
    times it: about 70 polls a job to about one, for shapes like the exponential. Along the list polls
    fall, lag rises, and the curve they draw is convex. Raises ValueError for a cost that is not positive.
    """
    prices = np.geomspace(1e-4, 10.0, 33) * (grid.mean or 1.0) if costs is None else sorted(costs)
    found: list[Optimum] = []
    for price in prices:
        best = optimum(grid, float(price))
        if not found or found[-1].schedule_s != best.schedule_s:
            found.append(best)
    return found


def polls_at_lag(grid: DurationGrid, lag_s: float) -> float:
    """Return the least mean polls of any schedule, jittered or not, for a mean lag of ``lag_s`` seconds.

    A true lower bound, to rounding: it is the greatest of bounds that each hold. Raises ValueError for a
    negative or non-finite lag.
    """
    return Frontier(grid).at_lag(lag_s).polls


def lag_at_polls(grid: DurationGrid, polls: float) -> float:
    """Return the least mean lag (seconds) of any schedule of ``polls`` mean polls a job; a lower bound.

    At exactly one poll it is the longest duration of the grid less the mean, though the true limit of an
    unbounded distribution is infinite there. Raises ValueError below one poll: a job is not found without
    any.
    """
    return Frontier(grid).at_polls(polls)
