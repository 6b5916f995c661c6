"""The maximum likelihood estimate of a law from intervals: known answers, its certificate, other software."""

from __future__ import annotations

import numpy as np
import pytest

from harness.measure._turnbull import PiecewiseLaw, Times, smoothed, turnbull

INFINITY = float("inf")


def times(*intervals: tuple[float, float]) -> Times:
    lower, upper = np.array(intervals, dtype=float).T
    return Times(lower, upper)


def masses(law: PiecewiseLaw) -> dict[tuple[float, float], float]:
    """The cells that hold anything, and what is beyond the last knot."""
    steps = np.diff(np.append(law.cumulative, 1.0))
    ends = [*law.knots[1:], INFINITY]
    return {
        (low, high): round(float(mass), 6)
        for low, high, mass in zip(law.knots, ends, steps, strict=True)
        if mass > 1e-6
    }


# The breast cosmesis study, time to retraction after radiotherapy alone (D. M. Finkelstein and R. A. Wolfe,
# A semiparametric model for regression analysis of interval-censored failure time data, Biometrics 41, 1985).
COSMESIS = times(
    (45, INFINITY), (6, 10), (0, 7), (46, INFINITY), (46, INFINITY), (7, 16), (17, INFINITY), (7, 14),
    (37, 44), (0, 8), (4, 11), (15, INFINITY), (11, 15), (22, INFINITY), (46, INFINITY), (46, INFINITY),
    (25, 37), (46, INFINITY), (26, 40), (46, INFINITY), (27, 34), (36, 44), (46, INFINITY), (36, 48),
    (37, INFINITY), (40, INFINITY), (17, 25), (46, INFINITY), (11, 18), (38, INFINITY), (5, 12),
    (37, INFINITY), (0, 5), (18, INFINITY), (24, INFINITY), (36, INFINITY), (5, 11), (19, 35), (17, 25),
    (24, INFINITY), (32, INFINITY), (33, INFINITY), (19, 26), (37, INFINITY), (34, INFINITY), (36, INFINITY),
)  # fmt: skip


def test_the_breast_cosmesis_study_has_its_published_estimate() -> None:
    """The masses that the literature gives for Turnbull's estimate of this sample, to their four digits."""
    found = masses(turnbull(COSMESIS).law)
    assert {cell: round(mass, 4) for cell, mass in found.items()} == {
        (4.0, 5.0): 0.0463,
        (6.0, 7.0): 0.0334,
        (7.0, 8.0): 0.0887,
        (11.0, 12.0): 0.0708,
        (24.0, 25.0): 0.0926,
        (33.0, 34.0): 0.0818,
        (38.0, 40.0): 0.1209,
        (46.0, 48.0): 0.4656,
    }


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(0, 1), (1, 2), (1, 2)], {(0, 1): 1 / 3, (1, 2): 2 / 3}),
        ([(0, 2), (1, 3)], {(1, 2): 1}),
        ([(0, 2), (1, INFINITY), (3, INFINITY)], {(1, 2): 0.5, (3, INFINITY): 0.5}),
        ([(0, 1), (0, 2), (1, 3), (2, 3)], {(0, 1): 0.5, (2, 3): 0.5}),
    ],
)
def test_small_samples_by_hand(
    intervals: list[tuple[float, float]], expected: dict[tuple[float, float], float]
) -> None:
    """Where the likelihood can be maximised with pencil and paper."""
    found = masses(turnbull(times(*intervals), tolerance=1e-10).law)
    assert found == pytest.approx(expected, abs=1e-4)


def test_right_censored_times_give_kaplan_and_meier() -> None:
    """With exact and right-censored times only, the estimate is the product limit; scipy is the judge."""
    from scipy.stats import CensoredData, ecdf

    rng = np.random.default_rng(7)
    came, left = rng.exponential(3, 60).round(2), rng.exponential(5, 60).round(2)
    seen = came <= left
    exact = np.where(seen, came, left)
    law = turnbull(
        Times(np.where(seen, exact - 1e-6, exact), np.where(seen, exact, np.inf)), tolerance=1e-9
    ).law
    judge = ecdf(CensoredData.right_censored(exact, ~seen)).cdf
    at = judge.quantiles[judge.probabilities < 0.95]
    assert law.cdf(at) == pytest.approx(judge.evaluate(at), abs=1e-6)


def looked_at(size: int, seed: int) -> Times:
    """Lognormal times, each looked at with gaps between a half and one and a half seconds."""
    rng = np.random.default_rng(seed)
    came = 4 * np.exp(0.6 * rng.standard_normal(size))
    looks = np.cumsum(rng.uniform(0.5, 1.5, (size, 100)), axis=1)
    after = (looks < came[:, np.newaxis]).sum(axis=1)
    looks = np.hstack([np.zeros((size, 1)), looks])
    return Times(looks[np.arange(size), after], looks[np.arange(size), after + 1])


def test_ten_thousand_times_come_with_their_certificate() -> None:
    """No cell's gradient exceeds one: by Gentleman and Geyer's condition nothing is more likely."""
    sample = looked_at(10_000, 3)
    fit = turnbull(sample)
    assert fit.excess <= 1e-6
    low, high = fit.law.cdf(sample.lower), fit.law.cdf(sample.upper)
    assert (high > low).all()
    # The condition once more, by its definition, cell by cell.
    knots, share = fit.law.knots, 1 / (high - low) / sample.lower.size
    for cell in range(0, knots.size - 1, 997):
        covers = (sample.lower <= knots[cell]) & (sample.upper >= knots[cell + 1])
        assert share[covers].sum() <= 1 + 2e-6


def test_weights_count_a_time_several_times() -> None:
    """A weight of two is the same as the time twice."""
    once = turnbull(times((0, 1), (1, 2)), np.array([1.0, 2.0])).law
    twice = turnbull(times((0, 1), (1, 2), (1, 2))).law
    assert once.cdf(np.array([1.0])) == pytest.approx(twice.cdf(np.array([1.0])), abs=1e-5)


def test_means_within_intervals_are_those_of_the_uniform_law() -> None:
    """Mass is spread evenly between knots: the mean of any part of a cell is its middle."""
    law = PiecewiseLaw(np.array([0.0, 2.0, 6.0]), np.array([0.0, 0.5, 1.0]))
    found = law.mean_within(np.array([0.0, 2.5, 0.0]), np.array([1.0, 3.5, 6.0]))
    assert found == pytest.approx([0.5, 3.0, 2.5])
    assert law.ppf(np.array([0.25, 0.75])) == pytest.approx([1.0, 4.0])


def test_a_smooth_law_is_not_taken_for_the_times_of_looks() -> None:
    """With looks near whole seconds alone, ends are spread over the gaps; the likelihood alone errs."""
    rng = np.random.default_rng(5)
    came = 4 * np.exp(0.6 * rng.standard_normal(400))
    looks = np.cumsum(1.015 + 0.01 * rng.standard_normal((400, 80)), axis=1)
    after = (looks < came[:, np.newaxis]).sum(axis=1)
    looks = np.hstack([np.zeros((400, 1)), looks])
    sample = Times(looks[np.arange(400), after], looks[np.arange(400), after + 1])
    law, widths = smoothed(sample)
    late = sample.upper - law.mean_within(sample.lower, sample.upper)
    assert late.mean() == pytest.approx((sample.upper - came).mean(), abs=0.02)
    assert 0.0 not in widths


@pytest.mark.parametrize("seed", [4, 31, 33])
def test_looks_that_nearly_coincide_are_not_taken_for_where_jobs_end(seed: int) -> None:
    """No law has a spike where clients happened to poll, found in the samples with the most chance overlaps.

    Forty jobs, each polled twice at a fixed interval and twice with jitter, as in a run of two settings.
    """
    rng = np.random.default_rng(seed)
    came = np.tile(np.exp(0.5 * rng.standard_normal(40)), 4)[:, np.newaxis]
    fixed = np.cumsum(rng.uniform(0.5025, 0.503, (80, 30)), axis=1)
    ceilings = np.minimum(2, 0.25 * 1.5 ** np.arange(30))
    jittered = np.cumsum(rng.random((80, 30)) * ceilings + 0.0025, axis=1)
    looks = np.hstack([np.zeros((160, 1)), np.vstack([fixed, jittered])])
    after = (looks < came).sum(axis=1)
    law, _ = smoothed(Times(looks[np.arange(160), after - 1], looks[np.arange(160), after]))
    spikes = np.diff(law.knots) < 0.01
    assert np.diff(law.cumulative)[spikes].sum() < 0.1
