"""Estimates with their uncertainty: Student's for means, order statistics for quantiles, Wilson's for shares.

The mean of independent values has Student's interval, mean ± t(1 - alpha/2, n - 1) * s / sqrt(n). Jobs that
wait for each other are not independent, and no formula over the jobs of one visit makes up for that: there
the visit is the unit (``over_visits``), or the twin tells how visits scatter (``_calibration``).

The p-quantile lies between the order statistics X(l) and X(u) with a probability that depends on no
distribution, P(l <= Bin(n, p) < u) (H. A. David and H. N. Nagaraja, Order Statistics, 3rd ed., section
7.1). A sample *supports* a quantile when such an interval with equal tails exists: p**n and (1-p)**n at
most 2.5 %.

Shares: E. B. Wilson, JASA 22 (1927); differences of paired shares: R. G. Newcombe, Statistics in Medicine 17
(1998) 2635, method 10.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scenarios.draws import needed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Interval = tuple[float, float]

LEVEL: Final = 0.95
FEWEST_VISITS: Final = 4
"""Repeats from which their own scatter is an interval: with three, t is 4.3 and says next to nothing."""
_BATCHES: Final = 20
_SMALLEST_BATCH: Final = 5  # Below 100 jobs fewer batches, below 50 none: then each job stands for itself.
FEWEST_BATCHES: Final = 10


class Estimate(NamedTuple):
    """An estimated mean. ``standard_error`` is None where one value is all there is.

    ``unresolved`` is how far the mean may lie to either side for all that the data can tell, however many.
    """

    mean: float
    standard_error: float | None
    degrees: float
    unresolved: float = 0.0

    def interval(self, level: float = LEVEL) -> Interval | None:
        """Return the two-sided Student interval at the level; None without a standard error."""
        if self.standard_error is None:
            return None
        from scipy import special  # here, for it is slow to load and who records rows does not need it

        half = float(special.stdtrit(self.degrees, (1 + level) / 2)) * self.standard_error
        half += self.unresolved
        return self.mean - half, self.mean + half


def batch_means(values: Floats) -> Floats:
    """Return the means of contiguous batches of values in job order; sizes differ by at most one."""
    batches = min(_BATCHES, values.size // _SMALLEST_BATCH)
    if batches < FEWEST_BATCHES:
        return values
    edges = np.arange(batches) * values.size // batches
    sizes = np.diff(np.append(edges, values.size))
    return np.asarray(np.add.reduceat(values, edges) / sizes, dtype=np.float64)


def estimate_mean(values: Floats) -> Estimate | None:
    """Return the mean of independent ``values`` (no NaN); None of no values."""
    if values.size == 0:
        return None
    mean = float(values.mean())
    if values.size == 1:
        return Estimate(mean, None, 0)
    return Estimate(mean, float(values.std(ddof=1) / np.sqrt(values.size)), values.size - 1)


def over_visits(values: Floats, visits: Integers) -> Estimate | None:
    """Return the mean of ``values``, its error from how the means of visits scatter: Student's over these.

    visits: the number of the visit of each value. Without ``FEWEST_VISITS`` of them there is no error.
    """
    if values.size == 0:
        return None
    _, which, sizes = np.unique(visits, return_inverse=True, return_counts=True)
    means = np.bincount(which, values) / sizes
    if means.size < FEWEST_VISITS:
        return Estimate(float(values.mean()), None, 0)
    error = float(means.std(ddof=1) / np.sqrt(means.size))
    return Estimate(float(values.mean()), error, means.size - 1)


def estimate_difference(ours: Floats, theirs: Floats) -> Estimate | None:
    """``mean(ours) - mean(theirs)`` of unpaired samples: Welch's."""
    a, b = estimate_mean(ours), estimate_mean(theirs)
    return None if a is None or b is None else independent_difference(a, b)


def independent_difference(a: Estimate, b: Estimate) -> Estimate:
    """Return the estimate of the difference of two means that were estimated independently (Welch)."""
    unresolved = a.unresolved + b.unresolved
    if a.standard_error is None or b.standard_error is None:
        return Estimate(a.mean - b.mean, None, 0, unresolved)
    va, vb = a.standard_error**2, b.standard_error**2
    spread = va**2 / a.degrees + vb**2 / b.degrees
    # Satterthwaite's degrees of freedom; without any spread the number does not matter.
    degrees = (va + vb) ** 2 / spread if spread > 0 else a.degrees + b.degrees
    return Estimate(a.mean - b.mean, float(np.sqrt(va + vb)), degrees, unresolved)


def supports(p: float, n: int) -> bool:
    """Whether ``n`` values support the p-quantile: p50 needs 6, p90 36, p95 72, p99 368; none a maximum."""
    return 0 < p < 1 and n >= needed(p)


def quantile(ordered: Floats, p: float, counts: NDArray[np.int64] | None = None) -> float | None:
    """Return the p-quantile of ascending values; None when the sample does not support it.

    Linear between the order statistics around rank ``(n - 1) p`` (Hyndman and Fan's definition 7, the default
    of NumPy and polars). ``counts`` says how often each value occurred. Infinite values are allowed.
    """
    n = ordered.size if counts is None else int(counts.sum())
    if not supports(p, n):
        return None
    rank = (n - 1) * p
    below = int(rank)
    ranks = np.array([below, min(below + 1, n - 1)])
    if counts is not None:
        ranks = np.searchsorted(np.cumsum(counts), ranks, side="right")
    low, high = (float(each) for each in ordered[ranks])
    part = rank - below
    # Written out, since infinity times nothing and infinity less infinity are not numbers.
    return low if part == 0 or low == high else low + part * (high - low)


def quantile_interval(ordered: Floats, p: float, level: float = LEVEL) -> Interval | None:
    """Return the interval of the p-quantile between two order statistics; None when unsupported.

    It assumes independent values.
    """
    n = ordered.size
    tail = (1 - level) / 2
    if not supports(p, n) or max(p, 1 - p) ** n > tail:
        return None
    lower = max(_binomial_quantile(tail, n, p), 1)
    upper = min(_binomial_quantile(1 - tail, n, p) + 1, n)
    return float(ordered[lower - 1]), float(ordered[upper - 1])


def share_interval(k: float, n: float, level: float = LEVEL) -> Interval | None:
    """Return Wilson's interval of a share of which ``k`` of ``n`` were seen; None of nothing.

    ``n`` may be what a sample of jobs that are alike is worth, and no whole number.
    """
    if n <= 0:
        return None
    z, p = _normal(level), k / n
    middle, weight = p + z * z / (2 * n), 1 + z * z / n
    half = z * float(np.sqrt(p * (1 - p) / n + z * z / (4 * n * n)))
    return max((middle - half) / weight, 0.0), min((middle + half) / weight, 1.0)


def paired_share_interval(both: int, ours: int, theirs: int, none: int, level: float) -> Interval | None:
    """Return the interval of the difference of two shares seen on the same jobs (Newcombe's method 10).

    both, none: jobs that count, or do not, on both sides; ours, theirs: those that count on one side alone.
    """
    n = both + ours + theirs + none
    first = share_interval(both + ours, n, level)
    second = share_interval(both + theirs, n, level)
    if first is None or second is None:
        return None
    p, q = (both + ours) / n, (both + theirs) / n
    scale = float(both + ours) * (theirs + none) * (both + theirs) * (ours + none)
    excess = float(both * none - ours * theirs)
    if excess > 0:
        excess = max(excess - n / 2, 0.0)
    phi = excess / np.sqrt(scale) if scale > 0 else 0.0

    def reach(a: float, b: float) -> float:
        return float(np.sqrt(max(a * a - 2 * phi * a * b + b * b, 0.0)))

    return p - q - reach(p - first[0], second[1] - q), p - q + reach(first[1] - p, q - second[0])


def share_difference(ours: Interval, theirs: Interval, p: float, q: float) -> Interval:
    """Return the interval of ``p - q`` of independent shares with these intervals (Newcombe's method 10)."""
    low = p - q - float(np.hypot(p - ours[0], theirs[1] - q))
    return low, p - q + float(np.hypot(ours[1] - p, q - theirs[0]))


def _normal(level: float) -> float:
    from scipy import special

    return float(special.ndtri((1 + level) / 2))


def _binomial_quantile(q: float, n: int, p: float) -> int:
    """Return the smallest ``k`` with ``P(Bin(n, p) <= k) >= q``."""
    from scipy import special

    k = int(np.ceil(special.bdtrik(q, n, p)))
    return k - 1 if k > 0 and special.bdtr(k - 1, n, p) >= q else k
