"""The distribution of a job's duration, cut into cells for the shortest path of ``_schedule``.

A poll can be placed anywhere on the time axis, but a computer needs finitely many places. The axis after the
submission is therefore cut into cells; cell k ends at the candidate time ``ends[k]``, and ``floors[k]`` is
the earliest poll that is worth anything within it. What a poll "in cell k" achieves is bounded from both
sides:

* *upper bound*: the poll is made at ``ends[k]``. Every schedule found this way exists.
* *lower bound*: the poll finds whatever has finished by ``ends[k]``, yet is over at ``floors[k]``. No real
  poll in the cell does better on either account, so the optimum of these is below every schedule.

Where no job can finish strictly inside a cell the two bounds agree. That is so for every cell of a sample
that is small enough to give each of its values a cell: its limit is exact. See docs/the-limit.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from scenarios.draws import Capped, Durations, Fixed, Floats, Sample, Scaled, Trace

POINTS: Final = 2**14
"""Cells: the bound is then within 0.2 % of the optimum at 3 polls a job, less than the twin's noise."""

NEGLIGIBLE: Final = 1e-12
"""Below this survival a distribution counts as finished by the upper bound (the lower one charges nothing for
what happens later, so it stays a bound)."""


@dataclass(frozen=True, eq=False)
class DurationGrid:
    """The distribution of a job's duration in seconds, from submission to finish, on candidate poll times.

    Build one with ``DurationGrid.from_sample`` or ``DurationGrid.from_ppf``. ``mean`` is the mean duration in
    seconds and ``survival(t)`` the share of jobs that are still unfinished at time t, P(D > t): a job that
    finishes exactly at a poll is found by it. ``ends`` are the candidate poll times (seconds, ascending),
    ``floors`` the earliest times they stand for; both, and ``left``, have one entry per cell.
    """

    mean: float
    survival: Callable[[Floats], Floats] = field(repr=False)
    ends: Floats = field(repr=False)
    floors: Floats = field(repr=False)
    left: Floats = field(repr=False)  # survival(ends)
    sample: tuple[Floats, Floats] | None = field(default=None, repr=False)  # distinct values, their shares

    @property
    def exact(self) -> bool:
        """True if the grid loses nothing: the limit is then an optimum, not only a bound."""
        return self.left[-1] == 0.0 and bool(np.array_equal(self.ends, self.floors))

    @property
    def points(self) -> int:
        """How many candidate poll times there are."""
        return len(self.ends)

    @classmethod
    def from_sample(
        cls, durations: ArrayLike, weights: ArrayLike | None = None, *, points: int = 2**17
    ) -> DurationGrid:
        """Return the empirical distribution of measured durations (seconds), optionally weighted.

        Up to ``points`` distinct values it is exact: an optimal poll falls on a value of the sample.
        A larger sample is gathered into ``points`` cells, and the limit becomes a bound from both sides.
        Raises ValueError if a duration is negative, infinite or not a number, or if no weight is positive.
        """
        values = _vector("durations", durations)
        shares = np.ones_like(values) if weights is None else _vector("weights", weights)
        if len(shares) != len(values):
            raise ValueError(f"weights: {len(shares)} given for {len(values)} durations; give one for each")
        if points < 2:
            raise ValueError(f"points: {points} candidate poll times are too few; give at least 2")
        distinct, inverse = np.unique(values[shares > 0.0], return_inverse=True)
        if not len(distinct):
            raise ValueError("durations: at least one with a positive weight is needed")
        mass = np.bincount(inverse, weights=shares[shares > 0.0])
        remaining = np.append(np.cumsum(mass[::-1])[::-1], 0.0)  # added from the end, so that it ends at 0
        left = remaining / remaining[0]
        mass = mass / remaining[0]

        def survival(t: Floats) -> Floats:
            unfinished: Floats = left[np.searchsorted(distinct, t, side="right")]
            return unfinished

        last = np.arange(len(distinct))
        if len(distinct) > points:
            spread = _coordinate(np.diff(distinct, prepend=0.0), mass)
            last = np.unique(np.searchsorted(spread, np.linspace(0.0, spread[-1], points + 1)[1:]))
            last = np.unique(np.append(np.minimum(last, len(distinct) - 1), len(distinct) - 1))
        first = np.append(0, last[:-1] + 1)
        return cls(
            mean=float(np.dot(mass, distinct)),
            survival=survival,
            ends=distinct[last],
            floors=distinct[first],
            left=left[last + 1],
            sample=(distinct, mass),
        )

    @classmethod
    def from_ppf(
        cls,
        ppf: Callable[[Floats], ArrayLike],
        cdf: Callable[[Floats], ArrayLike],
        mean: float,
        *,
        points: int = 2**15,
    ) -> DurationGrid:
        """Return a distribution given by its quantile function, P(D <= t) and its mean (seconds).

        Both functions take and return arrays. Only ``cdf`` and ``mean`` enter the limit; ``ppf`` merely says
        where candidate polls are worth placing, so it need not be the exact inverse (that of a mixture may
        pick its component from u). Raises ValueError if the mean is infinite, since no schedule then has both
        few polls and a finite mean lag, or if mean and ``cdf`` contradict each other.
        """
        if not math.isfinite(mean) or mean < 0.0:
            raise ValueError(
                f"mean: a limit needs a finite mean duration, not {mean}; "
                "cut the tail (a deadline) or give the law as a sample"
            )
        if points < 16:
            raise ValueError(f"points: {points} candidate poll times are too few; give at least 16")

        def survival(t: Floats) -> Floats:
            return np.clip(1.0 - np.asarray(cdf(t), dtype=np.float64), 0.0, 1.0)

        ends = _grid(ppf, survival, mean, points)
        left = np.minimum.accumulate(survival(ends))
        before = np.append(1.0, left[:-1])
        # In a cell without a finish strictly inside it (an atom at its end, or a gap) the bounds agree.
        empty = survival(np.nextafter(ends, 0.0)) >= before
        floors = np.where(empty, ends, np.append(0.0, ends[:-1]))
        widths = np.diff(ends, prepend=0.0)
        low, high = float(np.dot(left, widths)), float(np.dot(before, widths))
        if not mean >= low * (1.0 - 1e-9) or (left[-1] == 0.0 and mean > high * (1.0 + 1e-9)):
            raise ValueError(
                f"mean: {mean} s contradicts the distribution function, "
                f"by which it lies between {low:.6g} s and {high:.6g} s"
            )
        return cls(mean=float(mean), survival=survival, ends=ends, floors=floors, left=left)


def grid_of(durations: Durations, *, points: int = POINTS) -> DurationGrid:
    """Return durations prepared for the limit, exactly if fixed or measured. Raises ValueError: no mean."""
    if (values := _exact(durations)) is not None:
        return DurationGrid.from_sample(values)
    return DurationGrid.from_ppf(durations.ppf, durations.cdf, durations.mean(), points=points)


def _exact(durations: Durations) -> Floats | None:
    """Return all values of a distribution that has few of them."""
    if isinstance(durations, Fixed):
        return np.array([durations.value])
    if isinstance(durations, Trace):
        return _exact(durations.sample)
    if isinstance(durations, Sample):
        return durations.values if durations.exact else None
    if isinstance(durations, Scaled | Capped) and (values := _exact(durations.base)) is not None:
        return (
            values * durations.factor if isinstance(durations, Scaled) else np.minimum(values, durations.cap)
        )
    return None


def split(durations: ArrayLike, draws: ArrayLike) -> tuple[Floats, Floats]:
    """Halve a trace at random into (fit, test): choose a schedule on one half, report it on the other.

    A schedule tuned to a sample looks better on that sample than on the next one. ``draws`` holds one uniform
    number per duration (randomness is an argument); the smaller half of them marks the durations to fit.
    Raises ValueError if there are fewer than two durations or if the lengths differ.
    """
    values, keys = _vector("durations", durations), _vector("draws", draws)
    if len(values) < 2 or len(keys) != len(values):
        raise ValueError(
            f"split: {len(values)} durations and {len(keys)} draws; give one draw each to two jobs or more"
        )
    order = np.argsort(keys, kind="stable")
    half = len(values) // 2
    return values[np.sort(order[:half])], values[np.sort(order[half:])]


def _vector(name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name}: a non-empty list of numbers is needed, not shape {array.shape}")
    bad = ~(np.isfinite(array) & (array >= 0.0))
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(f"{name}: number {where} is {array[where]}; each must be finite and at least 0")
    return array


def _coordinate(widths: Floats, masses: Floats) -> Floats:
    """Return cumulated sqrt(mass * width): equal steps of it give the cells of least expected width.

    The expected width of the cell in which a job ends is the integral of f(t) * width(t). For a given number
    of cells, which is the integral of 1 / width, it is least when the width is proportional to 1 / sqrt(f).
    """
    return np.cumsum(np.sqrt(widths * masses))


def _grid(
    ppf: Callable[[Floats], ArrayLike], survival: Callable[[Floats], Floats], mean: float, points: int
) -> Floats:
    """Return candidate poll times: the jumps, and cells of least expected width, to a negligible tail."""
    levels = np.arange(4 * points) / (4 * points)
    tails = np.geomspace(1.0 / points, NEGLIGIBLE, points)
    times = np.asarray(ppf(np.concatenate([levels, 1.0 - tails])), dtype=np.float64)
    times = np.unique(times[np.isfinite(times) & (times >= 0.0)])
    end = float(times[-1]) if len(times) and times[-1] > 0.0 else max(mean, 1e-9)
    while not survival(np.array([end]))[0] <= NEGLIGIBLE:  # "not", so that nan does not pass
        if end * NEGLIGIBLE > mean:  # Markov: P(D > t) <= mean / t
            raise ValueError(f"mean: {mean} s contradicts the distribution function, which stays below 1")
        end *= 2.0
    start = float(times[3 * len(times) // 4]) if len(times) else 0.0
    if 0.0 < start < end:
        times = np.union1d(times, np.geomspace(start, end, points))
    times = np.union1d(times, [0.0, end])
    left = survival(times)
    enough = int(np.argmax(left <= NEGLIGIBLE))
    times, left = times[: enough + 1], np.minimum.accumulate(left[: enough + 1])

    before = np.append(1.0, left[:-1])
    jump = np.where(times > 0.0, survival(np.nextafter(times, 0.0)), 1.0) - left
    is_atom = jump > 1e-9
    if np.count_nonzero(is_atom) > points:  # many recorded values, or a law that is narrow beside its floats
        is_atom = jump > 1.0 / points
    atoms = times[is_atom]
    # A candidate just before a jump keeps the lower bound from finding the jump at an early floor.
    atoms = np.union1d(atoms, np.nextafter(atoms, 0.0))
    widths = np.diff(times, prepend=0.0)
    smooth = np.maximum(before - left - np.where(is_atom, jump, 0.0), 0.0)
    spread = _coordinate(widths, smooth)
    even = np.interp(np.linspace(0.0, spread[-1], points), spread, times)
    grid = np.union1d(np.concatenate([even, atoms]), times[-1:])
    return grid if survival(np.zeros(1))[0] < 1.0 else grid[grid > 0.0]
