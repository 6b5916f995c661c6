"""The best schedule for a distribution and a price, and the bound no schedule beats.

A job's duration D is a lifetime and polls are inspections of it (Barlow, Hunter and Proschan 1963). With poll
times T_1 < T_2 < ..., T_0 = 0 and S(t) = P(D > t), where S(T_0) counts as 1 because one poll is always made:

    polls = sum over k >= 1 of S(T_{k-1})
    lag   = sum over k >= 1 of (T_k - T_{k-1}) * S(T_{k-1})  -  E[D]

Minimising cost * polls + lag is a shortest path over the cells of a ``DurationGrid``. A step from cell a to
cell b costs cost * S_a for the poll and floor_b * (S_a - S_b) for the time at which the jobs it finds are
found, so

    V_a = cost * S_a + min over b > a of [ floor_b * S_a + (V_b - floor_b * S_b) ]

is a minimum over lines of slope floor_b, evaluated at S_a. From right to left slopes fall and S_a rises: one
sweep of the convex-hull trick answers all of them in O(n), for any distribution or sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.plan.limit._grid import NEGLIGIBLE, DurationGrid
from scenarios.draws import Floats

_UNREACHED: Final = 1e-6  # polls that a smaller share of jobs reaches are left to the repeated last gap
_REPEATS: Final = 2**18  # of the last gap that are summed one by one before an integral takes over


@dataclass(frozen=True)
class Optimum:
    """The best schedule when one poll is worth ``cost_per_poll_s`` seconds of lag.

    ``polls`` and ``lag_s`` are the means per job of ``schedule_s`` as it stands: poll times in seconds since
    the submission, after which the last gap repeats for as long as a job is unfinished (a poll that less than
    one job in a million reaches is left to that rule, unless the durations are a sample). ``objective_s`` is
    cost_per_poll_s * polls + lag_s, and no schedule at all has an objective below ``bound_s``. On an exact
    grid (``DurationGrid.exact``) the two are equal; otherwise their difference is the error of the grid.
    """

    cost_per_poll_s: float
    polls: float
    lag_s: float
    objective_s: float
    schedule_s: tuple[float, ...]
    bound_s: float


@dataclass(frozen=True)
class Bound:
    """Mean polls and mean lag (seconds) of a best schedule by the lower bound of the grid."""

    polls: float
    lag_s: float

    def objective(self, cost_per_poll_s: float) -> float:
        """Return cost_per_poll_s * polls + lag_s, in seconds."""
        return cost_per_poll_s * self.polls + self.lag_s


def optimum(grid: DurationGrid, cost_per_poll_s: float) -> Optimum:
    """Return the schedule of least cost_per_poll_s * polls + lag, with a bound on what any other could reach.

    Barlow, Hunter and Proschan, "Optimum checking procedures", J. SIAM 11 (1963), solved by dynamic
    programming instead of their recursion, so that the distribution needs no density, let alone a log-concave
    one. Raises ValueError unless the cost is positive and finite.
    """
    cost = _cost(cost_per_poll_s)
    # Everything still unfinished at the end of the grid counts as found there; evaluate() corrects for it.
    path = _shortest_path(grid.ends, np.append(grid.left[:-1], 0.0), cost)
    times, reached = grid.ends[path], np.append(1.0, grid.left[path[:-1]])
    keep = len(path) if grid.sample is not None else max(1, int(np.count_nonzero(reached > _UNREACHED)))
    schedule = tuple(times[:keep].tolist())
    polls, lag = evaluate(grid, schedule)
    best = cost * polls + lag
    below = best if grid.exact else min(best, bound(grid, cost).objective(cost))
    return Optimum(cost, polls, lag, best, schedule, below)


def bound(grid: DurationGrid, cost_per_poll_s: float) -> Bound:
    """Return the optimum by the lower bound of the grid (see ``_grid``): at most the true optimum."""
    floors, left = _lower(grid)
    path = _shortest_path(floors, left, _cost(cost_per_poll_s))
    return _bound(grid, floors[path], left[path])


def extremes(grid: DurationGrid) -> tuple[Bound, Bound]:
    """Return ``bound`` for a price near 0 (a poll wherever a job may finish) and an endless one (one)."""
    floors, left = _lower(grid)
    finishes = left < np.append(1.0, left[:-1])
    return _bound(grid, floors[finishes], left[finishes]), _bound(grid, floors[-1:], left[-1:])


def _lower(grid: DurationGrid) -> tuple[Floats, Floats]:
    if grid.left[-1] == 0.0:
        return grid.floors, grid.left
    # Whatever is left at the end of the grid is found just after it, at no further expense.
    return np.append(grid.floors, grid.ends[-1]), np.append(grid.left, 0.0)


def _bound(grid: DurationGrid, floors: Floats, left: Floats) -> Bound:
    reached = np.append(1.0, left)
    found = float(np.dot(floors, reached[:-1] - reached[1:]))
    return Bound(polls=float(np.sum(reached[:-1])), lag_s=found - grid.mean)


def evaluate(
    grid: DurationGrid, schedule_s: Sequence[float], repeat_last: bool = True
) -> tuple[float, float]:
    """Return mean polls and mean lag (seconds) of a deterministic schedule: poll times since the submission.

    After the last poll its gap to the one before (to the submission, if it is alone) repeats for as long as
    the job is unfinished; with ``repeat_last=False`` every job must be finished by then. Exact for a sample.
    For a distribution given by functions a tail of more than 262,144 repeats is integrated, which can be off
    by half a poll for the share of jobs that get so far. Raises ValueError for a schedule that is not
    strictly increasing from 0 or more, or under which some job is never found.
    """
    times = np.asarray(schedule_s, dtype=np.float64)
    if times.ndim != 1 or not times.size:
        raise ValueError("schedule_s: at least one poll time is needed")
    if not np.isfinite(times).all() or times[0] < 0.0 or (np.diff(times) <= 0.0).any():
        raise ValueError("schedule_s: poll times must be finite, at least 0 and strictly increasing")
    gap = float(times[-1] - (times[-2] if len(times) > 1 else 0.0))
    unfinished = grid.survival(times[-1:])[0]
    if unfinished > (0.0 if grid.sample is not None else NEGLIGIBLE) and not (repeat_last and gap > 0.0):
        raise ValueError(
            f"schedule_s: jobs longer than {times[-1]:g} s are never found; add polls or repeat the last gap"
        )
    if grid.sample is not None:
        return _evaluate_sample(*grid.sample, times, gap)
    reached = np.append(1.0, grid.survival(times))
    polls, found = float(np.sum(reached[:-1])), float(np.dot(np.diff(times, prepend=0.0), reached[:-1]))
    more = _repeats(grid, float(times[-1]), gap) if reached[-1] > NEGLIGIBLE else 0.0
    return polls + more, max(0.0, found + gap * more - grid.mean)


def _evaluate_sample(values: Floats, shares: Floats, times: Floats, gap: float) -> tuple[float, float]:
    index = np.searchsorted(times, values, side="left")
    late = index == len(times)
    polls, found = index + 1.0, times[np.minimum(index, len(times) - 1)]
    if late.any():
        extra = np.ceil((values[late] - times[-1]) / gap)
        polls[late] = len(times) + extra
        found[late] = np.maximum(values[late], times[-1] + extra * gap)  # rounding must not undershoot
    return float(np.dot(shares, polls)), float(np.dot(shares, found - values))


def _repeats(grid: DurationGrid, last: float, gap: float) -> float:
    """Return the mean polls after ``last`` at a constant gap: the sum of S(last + k * gap) over k >= 0."""
    count = min(_REPEATS, 1 + math.ceil(max(0.0, grid.ends[-1] - last) / gap))
    total = float(np.sum(grid.survival(last + gap * np.arange(count, dtype=np.float64))))
    start = last + gap * count
    after = float(grid.survival(np.array([start]))[0])
    if after > NEGLIGIBLE:  # S is monotone: the sum is within S(start) / 2 of this
        nodes = np.append(start, grid.ends[grid.ends > start])
        heights = grid.survival(nodes)
        total += float(np.dot(np.diff(nodes), (heights[1:] + heights[:-1]) / 2.0)) / gap + after / 2.0
    return total


def _cost(cost_per_poll_s: float) -> float:
    cost = float(cost_per_poll_s)
    if not (math.isfinite(cost) and cost > 0.0):
        raise ValueError(f"cost_per_poll_s: {cost_per_poll_s} must be a positive number of seconds")
    return cost


def _shortest_path(floors: Floats, left: Floats, cost: float) -> list[int]:
    """Return the cells polled by the best schedule, in order; the last, where nothing is left, is one.

    A loop over plain floats: half a microsecond a cell, and NumPy has no way to vectorise a running hull.
    """
    slopes = floors.tolist()
    reached = [1.0, *left[:-1].tolist()]  # by cell: the share still unfinished when leaving for it
    survivors = left.tolist()
    count = len(slopes)
    follower = [0] * count
    hull_slope, hull_level, hull_cell = [0.0] * count, [0.0] * count, [0] * count
    front, top, value = 0, -1, 0.0
    for cell in range(count - 1, -1, -1):
        slope = slopes[cell]
        level = value - slope * survivors[cell]
        while top > front:  # drop lines that the new one hides from every later query
            first_slope, first_level = hull_slope[top - 1], hull_level[top - 1]
            if (level - first_level) * (first_slope - hull_slope[top]) > (hull_level[top] - first_level) * (
                first_slope - slope
            ):
                break
            top -= 1
        top += 1
        hull_slope[top], hull_level[top], hull_cell[top] = slope, level, cell
        share = reached[cell]
        best = hull_slope[front] * share + hull_level[front]
        while front < top:
            other = hull_slope[front + 1] * share + hull_level[front + 1]
            if other > best:
                break
            best, front = other, front + 1
        follower[cell] = hull_cell[front]  # the next poll of a client that has polled up to cell - 1
        value = cost * share + best
    path = [follower[0]]
    while path[-1] < count - 1:
        path.append(follower[path[-1] + 1])
    return path
