"""Means by batch means, quantiles by order statistics, and how often their intervals hold."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.measure._intervals import (
    batch_means,
    estimate_difference,
    estimate_mean,
    needed,
    quantile,
    quantile_interval,
    supports,
)


@pytest.mark.parametrize(("p", "n"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)])
def test_a_quantile_needs_a_sample_with_an_interval(p: float, n: int) -> None:
    """A quantile is given from the first sample size that has an equal-tailed 95 % interval."""
    tails = [stats.binom.cdf(0, size, min(p, 1 - p)) for size in (n - 1, n)]
    assert tails[0] > 0.025 >= tails[1]
    assert (supports(p, n - 1), supports(p, n), needed(p)) == (False, True, n)
    values = np.arange(n, dtype=np.float64)
    assert quantile(values[:-1], p) is None
    assert quantile_interval(values[:-1], p) is None
    assert quantile(values, p) == pytest.approx(np.quantile(values, p))
    assert quantile_interval(values, p) is not None


def test_an_interval_uses_the_order_statistics_of_the_tables() -> None:
    """For 20 values the 95 % interval of the median runs from the 6th to the 15th (David and Nagaraja)."""
    assert quantile_interval(np.arange(1.0, 21.0), 0.5) == (6.0, 15.0)


@given(st.integers(72, 5000), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_order_statistics_are_the_binomials(n: int, p: float) -> None:
    """Both tails have at most 2.5 %, and would have more one order statistic further in."""
    span = quantile_interval(np.arange(1.0, n + 1), p)
    assert span is not None
    lower, upper = (int(each) for each in span)
    law = stats.binom(n, p)
    assert law.cdf(lower - 1) <= 0.025 < law.cdf(lower)
    assert law.sf(upper - 1) <= 0.025 < law.sf(upper - 2)


def test_quantiles_of_a_sample_with_infinities() -> None:
    """Lost jobs as infinities leave a quantile finite as long as it lies below them."""
    values = np.array([1.0] * 95 + [math.inf] * 5)
    assert quantile(values, 0.9) == 1.0
    assert quantile(values, 0.95) == math.inf
    assert quantile(np.full(100, math.inf), 0.9) == math.inf


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9)), min_size=10, max_size=40))
def test_a_weighted_sample_is_the_sample_written_out(pairs: list[tuple[int, int]]) -> None:
    """Counting equal values changes no quantile."""
    tally: dict[int, int] = {}
    for value, count in pairs:
        tally[value] = tally.get(value, 0) + count
    values = np.array(sorted(tally), dtype=np.float64)
    counts = np.array([tally[int(value)] for value in values])
    for p in (0.5, 0.95):
        assert quantile(values, p, counts) == quantile(np.repeat(values, counts), p)


def test_batches_are_contiguous_even_and_at_most_twenty() -> None:
    """Batches follow the order of the jobs, differ by at most one in size, and small samples have none."""
    assert batch_means(np.arange(200.0)).tolist() == [4.5 + 10 * n for n in range(20)]
    assert batch_means(np.arange(60.0)).size == 12
    assert batch_means(np.arange(49.0)).size == 49
    assert batch_means(np.arange(1003.0)).size == 20
    ones = np.ones(1003)
    assert batch_means(ones).tolist() == [1.0] * 20


def test_the_interval_is_students_over_the_batches() -> None:
    """Mean, standard error and degrees of freedom are those of the batch means."""
    values = np.random.default_rng(1).exponential(size=400)
    estimate = estimate_mean(values)
    means = values.reshape(20, 20).mean(axis=1)
    assert estimate is not None
    expected = stats.t.interval(0.95, 19, values.mean(), stats.sem(means))
    assert estimate.interval() == pytest.approx(expected)


def test_too_few_values_have_no_interval() -> None:
    """Of nothing there is no mean, of one value no interval, and of equal values a point."""
    assert estimate_mean(np.array([])) is None
    one = estimate_mean(np.array([3.0]))
    assert one is not None
    assert (one.mean, one.interval()) == (3.0, None)
    same = estimate_mean(np.full(5, 2.0))
    assert same is not None
    assert same.interval() == (2.0, 2.0)


def coverage(rho: float, n: int, runs: int) -> tuple[float, float]:
    """How often the interval holds the true mean 0 of an AR(1) process: batch means, and naively."""
    draws = np.random.default_rng(7)
    batch, naive = 0, 0
    for _ in range(runs):
        noise = draws.normal(size=n)
        values = np.empty(n)
        values[0] = noise[0] / math.sqrt(1 - rho**2)
        for i in range(1, n):
            values[i] = rho * values[i - 1] + noise[i]
        estimate = estimate_mean(values)
        assert estimate is not None
        span = estimate.interval()
        assert span is not None
        batch += span[0] <= 0 <= span[1]
        naive += abs(values.mean()) <= 1.96 * values.std(ddof=1) / math.sqrt(n)
    return batch / runs, naive / runs


def test_intervals_hold_for_correlated_jobs() -> None:
    """With neighbours that resemble each other (rho 0.8) the interval still holds about 95 % of the time."""
    batch, naive = coverage(rho=0.8, n=2000, runs=400)
    assert 0.92 <= batch <= 0.98
    assert naive < 0.70, "the naive interval must fail here, or this test shows nothing"


def test_intervals_hold_for_skewed_independent_jobs() -> None:
    """For 150 independent, skewed values the interval of the mean holds about 95 % of the time."""
    draws = np.random.default_rng(11)
    hits = 0
    for _ in range(1000):
        estimate = estimate_mean(draws.exponential(size=150))
        assert estimate is not None
        span = estimate.interval()
        assert span is not None
        hits += span[0] <= 1 <= span[1]
    assert 0.92 <= hits / 1000 <= 0.98


@pytest.mark.parametrize("p", [0.5, 0.95])
def test_quantile_intervals_hold(p: float) -> None:
    """The order statistics hold the true quantile in at least 95 % of samples, and not in all."""
    draws = np.random.default_rng(13)
    true = -math.log(1 - p)
    hits = 0
    for _ in range(1000):
        span = quantile_interval(np.sort(draws.exponential(size=150)), p)
        assert span is not None
        hits += span[0] <= true <= span[1]
    assert 0.935 <= hits / 1000 <= 0.99


def test_unpaired_differences_are_welchs() -> None:
    """Below fifty values a batch is a job, and the difference is the textbook's Welch test."""
    draws = np.random.default_rng(3)
    a, b = draws.normal(1, 1, 30), draws.normal(0, 3, 40)
    estimate = estimate_difference(a, b)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert estimate is not None
    assert estimate.interval() == pytest.approx((expected.low, expected.high))
    assert estimate_difference(a, np.array([])) is None
