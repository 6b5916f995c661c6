"""The distribution of times that are known to lie in intervals only: nonparametric maximum likelihood.

A time T is *interval-censored* when all that is known is lower < T <= upper (upper infinite: it had not come
when watching ended). The likelihood of a distribution function F is the product of F(upper) - F(lower) over
all times; Turnbull's estimate maximises it over all distributions (B. W. Turnbull, The empirical distribution
function with arbitrarily grouped, censored and truncated data, JRSS B 38, 1976). Here F is piecewise linear
between knots. With every bound as a knot that is Turnbull's estimate itself, its mass spread evenly over the
innermost intervals, within which no data can tell anything; with wider cells it is a histogram.

The maximum is found by steps of EM and of the iterative convex minorant in turn (J. A. Wellner and Y. Zhan, A
hybrid algorithm for computation of the NPMLE from censored data, JASA 92, 1997), and it carries its proof: a
distribution with masses p is a maximum exactly if no cell's gradient

    g_j = sum_i w_i (share of cell j in interval i) / P_i     (weights w sum to 1; P_i: i's probability)

exceeds 1 (R. Gentleman and C. J. Geyer, Maximum likelihood for interval censored data, Biometrika 81, 1994).
``excess`` is the largest g_j - 1, and the log-likelihood lacks at most the sum of the weights times that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.measure._intervals import Floats

_TOLERANCE: Final = 1e-6
_MOST_STEPS: Final = 2000
_SMALLEST_STEP: Final = 1e-4
_IMPOSSIBLE: Final = 1e-13
_FINENESS: Final = (1, 2, 4, 8, 16, 32, 64)
_MOST_KNOTS: Final = 50_000
_NEGLIGIBLE: Final = 1e-3
_EMPTY: Final = 1e-7


@dataclass(frozen=True, eq=False)
class Times:
    """Times known to lie in (lower, upper]; ``upper`` is infinite where the time had not come."""

    lower: Floats
    upper: Floats


@dataclass(frozen=True, eq=False)
class PiecewiseLaw:
    """A distribution whose function is ``cumulative`` at ``knots`` and linear between them.

    What is missing to 1 at the last knot lies somewhere beyond it.
    """

    knots: Floats
    cumulative: Floats

    def cdf(self, t: Floats) -> Floats:
        """Return the share of times up to ``t``."""
        return np.interp(t, self.knots, self.cumulative, left=0.0)

    def mean_within(self, lower: Floats, upper: Floats) -> Floats:
        """Return E[T | lower < T <= upper] for finite intervals of positive probability."""
        area = np.append(
            0.0, np.cumsum(np.diff(self.knots) * (self.cumulative[1:] + self.cumulative[:-1]) / 2)
        )

        def up_to(t: Floats) -> tuple[Floats, Floats]:
            below = np.clip(np.searchsorted(self.knots, t, side="right") - 1, 0, self.knots.size - 1)
            reached = self.cdf(t)
            return area[below] + (t - self.knots[below]) * (self.cumulative[below] + reached) / 2, reached

        (area_low, low), (area_high, high) = up_to(lower), up_to(upper)
        # By parts: the integral of t dF is t F(t) less the integral of F.
        mean = upper - (area_high - area_low - low * (upper - lower)) / (high - low)
        return np.clip(mean, lower, upper)

    def ppf(self, u: Floats) -> Floats:
        """Return the quantiles of ``u``; the last knot where they lie beyond it."""
        return np.interp(u, self.cumulative, self.knots)


@dataclass(frozen=True, eq=False)
class Fit:
    """The most likely law with these knots, its log-likelihood, and the proof; see the module."""

    law: PiecewiseLaw
    log_likelihood: float
    excess: float
    cells: int
    """How many cells have any mass."""


def turnbull(times: Times, weights: Floats | None = None, tolerance: float = _TOLERANCE) -> Fit:
    """Return the nonparametric maximum likelihood estimate. ``weights`` say how often each time counts."""
    return _fit(_bounds(times), times, weights, tolerance)


def smoothed(
    times: Times, weights: Floats | None = None, widths: tuple[float, ...] | None = None
) -> tuple[PiecewiseLaw, tuple[float, ...]]:
    """Return the law that the data support, no finer than they support it, and the widths of its cells.

    The maximum likelihood puts all mass where intervals overlap by chance, however short the overlap. Clients
    that poll at nearly the same times after each submission have such overlaps at their polls and nowhere
    else, so that jobs would seem to end just there. So histograms of several cell widths compete with
    Turnbull's estimate (width 0), and are averaged with the weights that Schwarz's criterion gives them: the
    likelihood, less half the logarithm of the number of times for every parameter (G. Schwarz, Estimating the
    dimension of a model, Annals of Statistics 6, 1978). A cell in use is one parameter, its mass; in
    Turnbull's estimate it is two, for the data choose its place as well. Narrow laws that the data show stay
    narrow.

    ``widths`` are those to consider, by default fractions of the median interval. Those that got any weight
    are returned, so that a resampling need not try the others.
    """
    if widths is None:
        finite = np.isfinite(times.upper)
        typical = float(np.median((times.upper - times.lower)[finite]))
        longest = float(max(times.upper[finite].max(), times.lower.max()))
        wanted = [typical / fineness for fineness in _FINENESS]
        widths = (*(each for each in wanted if each > 0 and longest / each < _MOST_KNOTS), 0.0)
    counted = float(times.lower.size if weights is None else weights.sum())
    fits = [_fit(_knots(times, width), times, weights, _TOLERANCE * 10) for width in widths]
    spent = np.array([each.cells * (1 if width else 2) for each, width in zip(fits, widths, strict=True)])
    scores = np.array([each.log_likelihood for each in fits]) - spent * np.log(counted) / 2
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    kept = [index for index in range(len(fits)) if shares[index] > _NEGLIGIBLE]
    knots = np.unique(np.concatenate([fits[index].law.knots for index in kept]))
    total = sum(shares[index] for index in kept)
    parts = [shares[index] / total * fits[index].law.cdf(knots) for index in kept]
    law = PiecewiseLaw(knots, np.sum(parts, axis=0))
    return law, tuple(widths[index] for index in kept)


def cells_of(times: Times) -> Floats:
    """Return the bounds of all intervals in order: between two of them no data can tell anything."""
    return _bounds(times)


def _bounds(times: Times) -> Floats:
    return np.unique(np.concatenate([[0.0], times.lower, times.upper[np.isfinite(times.upper)]]))


def _knots(times: Times, width: float) -> Floats:
    bounds = _bounds(times)
    return np.arange(0.0, np.ceil(bounds[-1] / width) + 1.0) * width if width else bounds


@dataclass(frozen=True, eq=False)
class _Places:
    """Where bounds lie among the knots: ``F(bound) = (1 - part) F[below] + part F[below + 1]``."""

    below: NDArray[np.intp]
    part: Floats

    @classmethod
    def of(cls, bounds: Floats, knots: Floats) -> _Places:
        below = np.clip(np.searchsorted(knots, bounds, side="right") - 1, 0, knots.size - 2)
        part = (bounds - knots[below]) / (knots[below + 1] - knots[below])
        return cls(below, np.clip(part, 0.0, 1.0))

    def read(self, cumulative: Floats) -> Floats:
        return cumulative[self.below] * (1 - self.part) + cumulative[self.below + 1] * self.part

    def spread(self, values: Floats, size: int) -> Floats:
        """Add up values at the knots that their bounds depend on."""
        near = np.bincount(self.below, values * (1 - self.part), size)
        return np.asarray(near + np.bincount(self.below + 1, values * self.part, size), dtype=np.float64)


class _Likelihood:
    """The log-likelihood of weighted times as a function of F at the knots, and its derivatives."""

    def __init__(self, knots: Floats, times: Times, weights: Floats) -> None:
        self.size = knots.size
        self.weights = weights
        self.finite = np.isfinite(times.upper)
        self.low = _Places.of(times.lower, knots)
        self.high = _Places.of(times.upper[self.finite], knots)

    def probabilities(self, cumulative: Floats) -> Floats:
        upper = np.ones(self.weights.size)
        upper[self.finite] = self.high.read(cumulative)
        return upper - self.low.read(cumulative)

    def value(self, probabilities: Floats) -> float:
        return float(self.weights @ np.log(probabilities))

    def slopes(self, probabilities: Floats) -> Floats:
        """Return the derivatives by F at each knot, and in the last place that by the mass beyond them."""
        ratio = self.weights / probabilities
        at_knots = self.high.spread(ratio[self.finite], self.size) - self.low.spread(ratio, self.size)
        return np.append(at_knots, ratio[~self.finite].sum())

    def curvatures(self, probabilities: Floats) -> Floats:
        """Return the diagonal of the negative second derivative by F at the knots."""
        ratio = self.weights / probabilities**2
        return np.asarray(self.high.spread(ratio[self.finite], self.size) + self.low.spread(ratio, self.size))


def _fit(knots: Floats, times: Times, weights: Floats | None, tolerance: float) -> Fit:
    from scipy.optimize import isotonic_regression  # here, for it is slow to load

    every = np.ones(times.lower.size) if weights is None else weights
    counted = every > 0
    total = float(every.sum())
    likelihood = _Likelihood(knots, Times(times.lower[counted], times.upper[counted]), every[counted] / total)
    masses = np.full(knots.size, 1 / knots.size)  # between the knots, and beyond them
    for _ in range(_MOST_STEPS):
        cumulative = _cumulative(masses)
        probabilities = likelihood.probabilities(cumulative)
        slopes = likelihood.slopes(probabilities)
        gradient = np.cumsum(slopes[::-1])[::-1][1:]  # more mass in a cell lifts F at every later knot
        excess = float(gradient.max()) - 1
        if excess <= tolerance:
            break
        masses = masses * gradient  # the step of EM
        masses /= masses.sum()
        cumulative = _cumulative(masses)
        probabilities = likelihood.probabilities(cumulative)
        value = likelihood.value(probabilities)
        curvatures = np.maximum(likelihood.curvatures(probabilities)[1:], 1e-9)
        newton = cumulative[1:] + likelihood.slopes(probabilities)[1:-1] / curvatures
        target = np.append(0.0, np.clip(isotonic_regression(newton, weights=curvatures).x, 0.0, 1.0))
        step = 1.0
        while step > _SMALLEST_STEP:
            tried = cumulative + step * (target - cumulative)
            probabilities = likelihood.probabilities(tried)
            if probabilities.min() > _IMPOSSIBLE and likelihood.value(probabilities) >= value:
                masses = np.maximum(np.diff(np.append(tried, 1.0)), 0.0)
                break
            step /= 2
    cumulative = _cumulative(masses)
    log_likelihood = total * likelihood.value(likelihood.probabilities(cumulative))
    return Fit(PiecewiseLaw(knots, cumulative), log_likelihood, excess, int((masses > _EMPTY).sum()))


def _cumulative(masses: Floats) -> Floats:
    """Return F at the knots of masses between them, the last of which lies beyond."""
    return np.asarray(np.minimum(np.append(0.0, np.cumsum(masses[:-1])), 1.0))
