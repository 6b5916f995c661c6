"""Schedules and bounds for objectives on a quantile of lag or latency: "95 in 100 within 2.5 s".

A job is *late* when it is found more than a bound after its finish (lag) or after its submission (latency).
For a price per late job the best schedule is a shortest path as in ``_schedule``, only that a step from poll
time a to poll time b costs

    S(a) + price * P(found at b and late) + weight * (lag of what is found at b)

which depends on both ends, so each step is looked at: some hundreds of candidate times suffice. With the
lower bound of the cells (see ``_grid``) the same path bounds from below what any schedule spends,
and polls >= max over prices of (least cost - price * allowed share) is the least polls for the objective.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

import numpy as np

from scenarios.draws import Durations, Floats, quantiles

Kind = Literal["lag", "latency"]

_CHEAPEST: Final = 0.3  # polls that a late job is worth
_DEAREST: Final = 3000.0
_LAG_WEIGHT: Final = 0.02  # polls; breaks ties between schedules that have equally many late jobs


def threshold_schedules(
    durations: Durations, kind: Kind, bound_s: float, *, cells: int = 400, prices: int = 21
) -> Iterator[tuple[float, ...]]:
    """Yield the best schedules (poll times) for lateness beyond the bound, from cheap to strict.

    ``cells`` candidate polls and ``prices`` prices of a late job are tried; time grows with the square of the
    former and in proportion to the latter.
    """
    ends = _grid(durations, bound_s, cells)
    cost, late = _steps(durations, ends, ends, kind, bound_s, _LAG_WEIGHT / max(bound_s, 1e-9))
    seen: set[tuple[float, ...]] = set()
    for price in _prices(prices):
        path, _ = _shortest(cost + price * late)
        schedule = tuple(float(ends[cell - 1]) for cell in path)
        if schedule not in seen:
            seen.add(schedule)
            yield schedule


def least_polls(
    durations: Durations, kind: Kind, bound_s: float, share: float, *, cells: int = 400, prices: int = 21
) -> float:
    """Return the least mean polls of any schedule with at least ``share`` of the jobs within the bound.

    A lower bound, a few per cent below the least at most. At least 1. For ``cells`` and ``prices`` see
    ``threshold_schedules``; fewer loosen the bound.
    """
    ends = _grid(durations, bound_s, cells)
    floors = np.append(0.0, ends[:-1])
    cost, late = _steps(durations, ends, floors, kind, bound_s, 0.0)
    least = 1.0
    for price in _prices(prices):
        _, value = _shortest(cost + price * late)
        least = max(least, value - price * (1.0 - share))
    return least


def _prices(count: int) -> Floats:
    return np.geomspace(_CHEAPEST, _DEAREST, count)


def _grid(durations: Durations, bound_s: float, cells: int) -> Floats:
    """Return candidate poll times: quantiles, the tail, the jumps, and the bound itself."""
    body = quantiles(durations, cells)
    tail = quantiles(durations, 2**14)[-16::4]
    times = np.concatenate([body, tail, [bound_s]])
    longest = float(np.asarray(durations.ppf(np.array([1.0 - 1e-9]))).max())
    times = np.unique(np.append(times[times <= longest], longest))
    kept: Floats = times[times > 0.0] if times.size > 1 else times
    return kept


def _steps(
    durations: Durations, ends: Floats, found: Floats, kind: Kind, bound_s: float, weight: float
) -> tuple[Floats, Floats]:
    """Return the cost of each step from a poll to a later one, and the share of all jobs that it finds late.

    Both are matrices of shape (n + 1, n) for n candidate times. Row 0 leaves the submission, row i the poll
    at ``ends[i - 1]``; column j arrives at the poll at ``ends[j]``, which finds its jobs at ``found[j]``.
    Steps back cost infinity. Costs are in polls, ``weight`` in polls per second of lag.
    """
    starts = np.append(0.0, ends)
    below = np.asarray(durations.cdf(starts), dtype=np.float64)
    below[0] = 0.0  # before the first poll nothing is known
    left = (1.0 - below)[:, None]
    if kind == "lag":
        last_late = np.nextafter(found - bound_s, -np.inf)
        early = np.where(last_late >= 0.0, np.asarray(durations.cdf(np.maximum(last_late, 0.0))), 0.0)
        late = np.maximum(early[None, :] - below[:, None], 0.0)
    else:
        reached = np.asarray(durations.cdf(ends), dtype=np.float64)
        late = np.where(found[None, :] > bound_s, np.maximum(reached[None, :] - below[:, None], 0.0), 0.0)
    cost = left + weight * left * np.maximum(found[None, :] - starts[:, None], 0.0)
    forbidden = np.arange(starts.size)[:, None] > np.arange(ends.size)[None, :]
    return np.where(forbidden, np.inf, cost), late


def _shortest(cost: Floats) -> tuple[list[int], float]:
    """Return the cells (from 1) polled on the cheapest way from row 0 to the last cell, and its cost."""
    size = cost.shape[1]
    ahead = np.zeros(size + 1)
    follower = np.zeros(size, dtype=np.int64)
    for row in range(size - 1, -1, -1):
        steps = cost[row, row:] + ahead[row + 1 :]
        best = int(np.argmin(steps))
        follower[row], ahead[row] = row + best + 1, steps[best]
    path = [int(follower[0])]
    while path[-1] < size:
        path.append(int(follower[path[-1]]))
    return path, float(ahead[0])
