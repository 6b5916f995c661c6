"""The trade-off between polls and lag: all best schedules, and the least polls for a given lag.

This is the Pareto frontier of the two, and ``polls_at_lag`` is a Lagrangian dual bound found by dichotomic
search (Aneja and Nair, "Bicriteria transportation problem", Management Science 25, 1979).

A setting with jitter is a mixture of schedules, and so is any rule that does not look at how the job is
doing. Its (polls, lag) is an average of points of schedules, hence on or above the convex frontier of optima:
cost * polls + lag >= J*(cost) for every cost, that is polls >= max over costs of (J*(cost) - lag) / cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Final

import numpy as np

from harness.plan.limit._grid import DurationGrid
from harness.plan.limit._schedule import Bound, Optimum, bound, extremes, optimum

_PRECISION: Final = 1e-9  # relative; where the search for the steepest bound stops


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
    if not (math.isfinite(lag_s) and lag_s >= 0.0):
        raise ValueError(f"lag_s: {lag_s} must be a finite number of seconds, at least 0")
    many, few = extremes(grid)
    if lag_s >= few.lag_s:
        return few.polls
    if lag_s <= many.lag_s:
        return many.polls
    return _greatest(
        grid,
        many,
        few,
        value=lambda point, cost: (point.objective(cost) - lag_s) / cost,
        below=lambda point: point.lag_s <= lag_s,
    )


def lag_at_polls(grid: DurationGrid, polls: float) -> float:
    """Return the least mean lag (seconds) of any schedule of ``polls`` mean polls a job; a lower bound.

    At exactly one poll it is the longest duration of the grid less the mean, though the true limit of an
    unbounded distribution is infinite there. Raises ValueError below one poll: a job is not found without
    any.
    """
    if not (math.isfinite(polls) and polls >= 1.0):
        raise ValueError(f"polls: {polls} must be a finite number, at least 1")
    many, few = extremes(grid)
    if polls <= few.polls:
        return max(0.0, few.lag_s)
    if polls >= many.polls:
        return max(0.0, many.lag_s)
    most = _greatest(
        grid,
        many,
        few,
        value=lambda point, cost: point.objective(cost) - cost * polls,
        below=lambda point: point.polls >= polls,
    )
    return max(0.0, most)


def _greatest(
    grid: DurationGrid,
    many: Bound,
    few: Bound,
    value: Callable[[Bound, float], float],
    below: Callable[[Bound], bool],
) -> float:
    """Return the greatest ``value(bound(grid, cost), cost)`` over all costs; each is a bound by itself.

    ``many`` and ``few`` lie on the convex frontier on either side of the target. The price that makes both
    equally good finds the point of the frontier farthest below their chord, which replaces one of them,
    until none is below it. On a smooth curve the distance to the chord falls fourfold a step.
    """
    most = -math.inf
    while True:
        cost = (few.lag_s - many.lag_s) / (many.polls - few.polls)
        new = bound(grid, cost)
        most = max(most, value(new, cost))
        reached = value(few, cost) - most <= _PRECISION * abs(most)
        if reached or not few.polls < new.polls < many.polls:  # the latter: all that is left is rounding
            return most
        many, few = (new, few) if below(new) else (many, new)
