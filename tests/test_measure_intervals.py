"""Means, quantiles and shares, and how often their intervals hold."""

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
    over_visits,
    paired_share_interval,
    quantile,
    quantile_interval,
    share_interval,
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


def test_the_interval_is_students() -> None:
    """Mean, standard error and degrees of freedom are the textbook's."""
    values = np.random.default_rng(1).exponential(size=400)
    estimate = estimate_mean(values)
    assert estimate is not None
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    assert estimate.interval() == pytest.approx(expected)


def test_the_visit_is_the_unit_where_jobs_wait_for_each_other() -> None:
    """Student's interval over the means of four visits or more, in whatever order the jobs are."""
    values = np.random.default_rng(2).exponential(size=80)
    visits = np.tile(np.arange(4), 20)
    means = [values[visits == number].mean() for number in range(4)]
    estimate = over_visits(values, visits)
    assert estimate is not None
    assert estimate.interval() == pytest.approx(stats.t.interval(0.95, 3, np.mean(means), stats.sem(means)))
    three = over_visits(values, np.minimum(visits, 2))
    assert three is not None
    assert three.interval() is None


@pytest.mark.parametrize(("k", "n"), [(0, 120), (1, 50), (7, 200), (20, 20)])
def test_the_interval_of_a_share_is_wilsons(k: int, n: int) -> None:
    """It is that of SciPy, and has a width even where nothing was lost."""
    expected = stats.binomtest(k, n).proportion_ci(0.95, "wilson")
    assert share_interval(k, n) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert share_interval(0, 0) is None


def test_the_interval_of_a_paired_difference_of_shares_is_newcombes() -> None:
    """The worked examples of the paper (method 10): 36/12/2/0 and 20/12/2/16."""
    assert paired_share_interval(36, 12, 2, 0, 0.95) == pytest.approx((0.0569, 0.3404), abs=6e-4)
    assert paired_share_interval(20, 12, 2, 16, 0.95) == pytest.approx((0.0562, 0.3290), abs=6e-4)
    assert paired_share_interval(0, 0, 0, 0, 0.95) is None


def test_too_few_values_have_no_interval() -> None:
    """Of nothing there is no mean, of one value no interval, and of equal values a point."""
    assert estimate_mean(np.array([])) is None
    one = estimate_mean(np.array([3.0]))
    assert one is not None
    assert (one.mean, one.interval()) == (3.0, None)
    same = estimate_mean(np.full(5, 2.0))
    assert same is not None
    assert same.interval() == (2.0, 2.0)


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
    """The difference of independent samples is the textbook's Welch test."""
    draws = np.random.default_rng(3)
    a, b = draws.normal(1, 1, 30), draws.normal(0, 3, 40)
    estimate = estimate_difference(a, b)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert estimate is not None
    assert estimate.interval() == pytest.approx((expected.low, expected.high))
    assert estimate_difference(a, np.array([])) is None
