"""The best schedule for a law and a price, and the bound no schedule beats.

A job's duration D is a lifetime and polls are inspections of it (Barlow, Hunter and Proschan 1963). With poll
times T_1 < T_2 < ..., T_0 = 0 and S(t) = P(D > t), where S(T_0) counts as 1 because one poll is always made:

    polls = sum over k >= 1 of S(T_{k-1})
    lag   = sum over k >= 1 of (T_k - T_{k-1}) * S(T_{k-1})  -  E[D]

Minimising cost * polls + lag is a shortest path over the cells of a `Law`. A step from cell a to cell b costs
cost * S_a for the poll and floor_b * (S_a - S_b) for the time at which the jobs it finds are found, so

    V_a = cost * S_a + min over b > a of [ floor_b * S_a + (V_b - floor_b * S_b) ]

is a minimum over lines of slope floor_b, read at S_a. From right to left slopes fall and readings rise: one
sweep of the convex-hull trick answers all of them in O(n), for any law or sample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.plan.limit._grid import NEGLIGIBLE, Floats, Law

#: Polls that a smaller share of jobs reaches are left to the repeated last gap (laws without a sample).
UNREACHED = 1e-6
#: Repeats of the last gap that are summed one by one before an integral takes over (laws without a sample).
_REPEATS = 2**18


@dataclass(frozen=True)
class Optimum:
    """The best schedule when one poll is worth `cost_per_poll_s` seconds of lag.

    `polls` and `lag_s` are the means per job of `schedule_s` as it stands: poll times in seconds since the
    submission, after which the last gap repeats for as long as a job is unfinished (a poll that less than one
    job in a million reaches is left to that rule, unless the law is a sample). `objective_s` is
    cost_per_poll_s * polls + lag_s, and no schedule at all has an objective below `bound_s`. For an exact
    law (`Law.exact`) the two are equal; otherwise their difference is the error of the grid.
    """

    cost_per_poll_s: float
    polls: float
    lag_s: float
    objective_s: float
    schedule_s: tuple[float, ...]
    bound_s: float


@dataclass(frozen=True)
class Bound:
    """Mean polls and mean lag (seconds) of a best schedule under the optimistic reading of the grid."""

    polls: float
    lag_s: float

    def objective(self, cost_per_poll_s: float) -> float:
        """cost_per_poll_s * polls + lag_s."""
        return cost_per_poll_s * self.polls + self.lag_s


def optimum(law: Law, cost_per_poll_s: float) -> Optimum:
    """The schedule of least cost_per_poll_s * polls + lag, with a bound on what any other could reach.

    Barlow, Hunter and Proschan, "Optimum checking procedures", J. SIAM 11 (1963), solved by dynamic
    programming instead of their recursion, so that the law needs no density, let alone a log-concave one.
    Raises ValueError unless the cost is positive and finite.
    """
    cost = _cost(cost_per_poll_s)
    # Everything still unfinished at the end of the grid counts as found there; evaluate() corrects for it.
    path = _shortest_path(law.ends, np.append(law.left[:-1], 0.0), cost)
    times, reached = law.ends[path], np.append(1.0, law.left[path[:-1]])
    keep = len(path) if law.sample is not None else max(1, int(np.count_nonzero(reached > UNREACHED)))
    schedule = tuple(times[:keep].tolist())
    polls, lag = evaluate(law, schedule)
    best = cost * polls + lag
    below = best if law.exact else min(best, bound(law, cost).objective(cost))
    return Optimum(cost, polls, lag, best, schedule, below)


def bound(law: Law, cost_per_poll_s: float) -> Bound:
    """The optimum under the optimistic reading of the grid (see `_grid`): at most the true optimum."""
    floors, left = _optimistic(law)
    path = _shortest_path(floors, left, _cost(cost_per_poll_s))
    return _bound(law, floors[path], left[path])


def extremes(law: Law) -> tuple[Bound, Bound]:
    """`bound` for a price near 0 (a poll wherever a job may finish) and for one without end (one poll)."""
    floors, left = _optimistic(law)
    finishes = left < np.append(1.0, left[:-1])
    return _bound(law, floors[finishes], left[finishes]), _bound(law, floors[-1:], left[-1:])


def _optimistic(law: Law) -> tuple[Floats, Floats]:
    if law.left[-1] == 0.0:
        return law.floors, law.left
    # Whatever is left at the end of the grid is found just after it, at no further expense.
    return np.append(law.floors, law.ends[-1]), np.append(law.left, 0.0)


def _bound(law: Law, floors: Floats, left: Floats) -> Bound:
    reached = np.append(1.0, left)
    found = float(np.dot(floors, reached[:-1] - reached[1:]))
    return Bound(polls=float(np.sum(reached[:-1])), lag_s=found - law.mean)


def evaluate(law: Law, schedule_s: Sequence[float], repeat_last: bool = True) -> tuple[float, float]:
    """Mean polls and mean lag (seconds) of a deterministic schedule: poll times since the submission.

    After the last poll its gap to the one before (to the submission, if it is alone) repeats for as long as
    the job is unfinished; with `repeat_last=False` every job must be finished by then. Exact for a sample.
    For a law given by functions a tail of more than 262,144 repeats is integrated, which can be off by
    half a poll for the share of jobs that get so far. Raises ValueError for a schedule that is not strictly
    increasing from 0 or more, or under which some job is never found.
    """
    times = np.asarray(schedule_s, dtype=np.float64)
    if times.ndim != 1 or not times.size:
        raise ValueError("schedule_s: at least one poll time is needed")
    if not np.isfinite(times).all() or times[0] < 0.0 or (np.diff(times) <= 0.0).any():
        raise ValueError("schedule_s: poll times must be finite, at least 0 and strictly increasing")
    gap = float(times[-1] - (times[-2] if len(times) > 1 else 0.0))
    unfinished = law.survival(times[-1:])[0]
    if unfinished > (0.0 if law.sample is not None else NEGLIGIBLE) and not (repeat_last and gap > 0.0):
        raise ValueError(
            f"schedule_s: jobs longer than {times[-1]:g} s are never found; add polls or repeat the last gap"
        )
    if law.sample is not None:
        return _evaluate_sample(*law.sample, times, gap)
    reached = np.append(1.0, law.survival(times))
    polls, found = float(np.sum(reached[:-1])), float(np.dot(np.diff(times, prepend=0.0), reached[:-1]))
    more = _repeats(law, float(times[-1]), gap) if reached[-1] > NEGLIGIBLE else 0.0
    return polls + more, max(0.0, found + gap * more - law.mean)


def _evaluate_sample(values: Floats, shares: Floats, times: Floats, gap: float) -> tuple[float, float]:
    index = np.searchsorted(times, values, side="left")
    late = index == len(times)
    polls, found = index + 1.0, times[np.minimum(index, len(times) - 1)]
    if late.any():
        extra = np.ceil((values[late] - times[-1]) / gap)
        polls[late] = len(times) + extra
        found[late] = np.maximum(values[late], times[-1] + extra * gap)  # rounding must not undershoot
    return float(np.dot(shares, polls)), float(np.dot(shares, found - values))


def _repeats(law: Law, last: float, gap: float) -> float:
    """Mean number of polls after `last` at a constant gap: the sum of S(last + k * gap) over k >= 0."""
    count = min(_REPEATS, 1 + math.ceil(max(0.0, law.ends[-1] - last) / gap))
    total = float(np.sum(law.survival(last + gap * np.arange(count, dtype=np.float64))))
    start = last + gap * count
    after = float(law.survival(np.array([start]))[0])
    if after > NEGLIGIBLE:  # S is monotone: the sum is within S(start) / 2 of this
        nodes = np.append(start, law.ends[law.ends > start])
        heights = law.survival(nodes)
        total += float(np.dot(np.diff(nodes), (heights[1:] + heights[:-1]) / 2.0)) / gap + after / 2.0
    return total


def _cost(cost_per_poll_s: float) -> float:
    cost = float(cost_per_poll_s)
    if not (math.isfinite(cost) and cost > 0.0):
        raise ValueError(f"cost_per_poll_s: {cost_per_poll_s} must be a positive number of seconds")
    return cost


def _shortest_path(floors: Floats, left: Floats, cost: float) -> list[int]:
    """The cells polled by the best schedule, in order; the last cell (where nothing is left) is always one.

    A loop over plain floats: half a microsecond a cell, and NumPy has no way to vectorise a running hull.
    """
    slopes, readings = (
        floors.tolist(),
        [1.0, *left[:-1].tolist()],
    )  # readings[a]: left when leaving for cell a
    survivors = left.tolist()
    count = len(slopes)
    follower = [0] * count
    hull_slope, hull_level, hull_cell = [0.0] * count, [0.0] * count, [0] * count
    front, top, value = 0, -1, 0.0
    for cell in range(count - 1, -1, -1):
        slope = slopes[cell]
        level = value - slope * survivors[cell]
        while top > front:  # drop lines that the new one hides from every later reading
            first_slope, first_level = hull_slope[top - 1], hull_level[top - 1]
            if (level - first_level) * (first_slope - hull_slope[top]) > (hull_level[top] - first_level) * (
                first_slope - slope
            ):
                break
            top -= 1
        top += 1
        hull_slope[top], hull_level[top], hull_cell[top] = slope, level, cell
        reading = readings[cell]
        best = hull_slope[front] * reading + hull_level[front]
        while front < top:
            other = hull_slope[front + 1] * reading + hull_level[front + 1]
            if other > best:
                break
            best, front = other, front + 1
        follower[cell] = hull_cell[front]  # the next poll of a client that has polled up to cell - 1
        value = cost * reading + best
    path = [follower[0]]
    while path[-1] < count - 1:
        path.append(follower[path[-1] + 1])
    return path
