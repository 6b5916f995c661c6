"""The limit against closed forms, exhaustive search and schedules drawn at random."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray
from scipy import integrate, optimize, stats

from harness.plan import DurationGrid, Optimum, evaluate, frontier, lag_at_polls, optimum, polls_at_lag, split

Floats = NDArray[np.float64]

durations = st.lists(st.integers(0, 40).map(lambda n: n / 4), min_size=1, max_size=7)
costs = st.floats(1e-3, 20.0)
gaps = st.lists(st.floats(0.01, 6.0), min_size=1, max_size=8)


def exponential(mean: float, points: int = 2**15) -> DurationGrid:
    law = stats.expon(scale=mean)
    return DurationGrid.from_ppf(law.ppf, law.cdf, mean, points=points)


def uniform(upper: float, points: int = 2**15) -> DurationGrid:
    law = stats.uniform(0.0, upper)
    return DurationGrid.from_ppf(law.ppf, law.cdf, upper / 2.0, points=points)


def lognormal(sigma: float, points: int = 2**15) -> DurationGrid:
    law = stats.lognorm(sigma, scale=4.0)
    return DurationGrid.from_ppf(law.ppf, law.cdf, float(law.mean()), points=points)


LAWS = [
    pytest.param(exponential(4.0, 2**11), id="exponential"),
    pytest.param(uniform(8.0, 2**11), id="uniform"),
    pytest.param(lognormal(0.6, 2**11), id="lognormal"),
    pytest.param(
        DurationGrid.from_sample(np.random.default_rng(7).lognormal(1.4, 0.6, 500)), id="exact sample"
    ),
    pytest.param(
        DurationGrid.from_sample(np.random.default_rng(7).lognormal(1.4, 0.6, 5000), points=2**11),
        id="gathered sample",
    ),
]


def watch(values: ArrayLike, schedule: Sequence[float]) -> tuple[float, float]:
    """Mean polls and lag by following every job through a schedule that covers them all."""
    polls, lag = [], []
    for value in np.asarray(values, dtype=float).tolist():
        number, found = next((n, t) for n, t in enumerate(schedule, 1) if t >= value)
        polls.append(number)
        lag.append(found - value)
    return math.fsum(polls) / len(polls), math.fsum(lag) / len(lag)


def best_by_exhaustion(values: Sequence[float], cost: float) -> float:
    """The least objective of all schedules that poll at some of the values and at the largest."""
    *others, last = sorted(set(values))
    subsets = itertools.chain.from_iterable(
        itertools.combinations(others, size) for size in range(len(others) + 1)
    )
    results = (watch(values, [*subset, last]) for subset in subsets)
    return min(cost * polls + lag for polls, lag in results)


def best_by_quadratic_search(values: Floats, cost: float) -> float:
    """The recursion of the definition, V(s) = min over t > s of S(s) (c + t - s) + V(t), in O(n^2)."""
    times = np.unique(values)
    states = np.append(-1.0, times)  # before the first poll nothing is known, not even that D > 0
    ahead = np.zeros(len(states))
    for state in range(len(states) - 2, -1, -1):
        share = float(np.mean(values > states[state]))
        later = states[state + 1 :]
        steps = share * (cost + later - max(states[state], 0.0)) + ahead[state + 1 :]
        ahead[state] = steps.min()
    return float(ahead[0] - values.mean())


# Closed forms


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 1.0, 10.0])
def test_memoryless_jobs_are_polled_at_the_known_constant_interval(ratio: float) -> None:
    """For exponential durations the best interval x solves e^(x/m) - x/m = 1 + c/m."""
    mean, cost = 4.0, 4.0 * ratio
    x = mean * optimize.brentq(lambda y: math.expm1(y) - y - ratio, 1e-9, 50.0)
    polls = 1.0 / -math.expm1(-x / mean)
    lag = x * polls - mean
    best = optimum(exponential(mean), cost)
    objective = cost * polls + lag
    assert best.bound_s <= objective <= best.objective_s * (1.0 + 1e-12)
    assert best.objective_s == pytest.approx(objective, rel=2e-6)
    assert best.bound_s == pytest.approx(objective, rel=3e-3)
    assert best.polls == pytest.approx(polls, rel=1e-3)
    assert best.lag_s == pytest.approx(lag, rel=2e-3)
    early = np.diff([0.0, *best.schedule_s])[: max(1, int(2.0 * mean / x))]
    assert early == pytest.approx(x, rel=0.05)


@pytest.mark.parametrize("ratio", [0.001, 0.01, 0.1, 0.6, 5.0])
def test_uniform_jobs_are_polled_at_intervals_that_shrink_by_the_cost(ratio: float) -> None:
    """For U[0, a] poll k is at k a/n + c k (n - k)/2, n being the greatest with n (n - 1) < 2 a/c."""
    upper, cost = 8.0, 8.0 * ratio
    number = max(n for n in range(1, 1000) if n * (n - 1) < 2.0 / ratio)
    k = np.arange(1, number + 1)
    times = k * upper / number + cost * k * (number - k) / 2.0
    reached = 1.0 - np.append(0.0, times[:-1]) / upper
    polls = float(reached.sum())
    lag = float(np.dot(np.diff(times, prepend=0.0), reached)) - upper / 2.0
    best = optimum(uniform(upper), cost)
    assert best.bound_s <= cost * polls + lag <= best.objective_s * (1.0 + 1e-12)
    assert best.objective_s == pytest.approx(cost * polls + lag, rel=1e-6)
    assert best.bound_s == pytest.approx(cost * polls + lag, rel=2e-3)
    assert best.schedule_s == pytest.approx(times, rel=5e-3)


@pytest.mark.parametrize("cost", [1e-6, 1.0, 1e6])
def test_jobs_of_one_length_take_one_poll_and_no_lag(cost: float) -> None:
    """A fixed duration is polled once, exactly then, whatever a poll costs."""
    functions = DurationGrid.from_ppf(
        lambda u: np.full_like(u, 4.0), lambda t: np.asarray(t >= 4.0, dtype=float), 4.0
    )
    for law in (functions, DurationGrid.from_sample([4.0, 4.0, 4.0])):
        assert law.exact
        assert optimum(law, cost) == Optimum(cost, 1.0, 0.0, cost, (4.0,), cost)
        assert polls_at_lag(law, 0.0) == 1.0
        assert lag_at_polls(law, 1.0) == 0.0


def test_frequent_polls_follow_the_square_root_of_the_hazard() -> None:
    """Cheap polls come every sqrt(2 c / h(t)); polls * lag nears half the squared integral of sqrt(f S).

    Keller 1974.
    """
    law, cost = stats.lognorm(0.6, scale=4.0), 0.002
    best = optimum(lognormal(0.6), cost)
    times = np.array(best.schedule_s)
    at = (times[:-1] + times[1:]) / 2.0
    middle = (law.cdf(at) > 0.05) & (law.cdf(at) < 0.95)
    expected = np.sqrt(2.0 * cost * law.sf(at) / law.pdf(at))
    assert np.diff(times)[middle] == pytest.approx(expected[middle], rel=0.05)
    root, _ = integrate.quad(lambda t: math.sqrt(law.pdf(t) * law.sf(t)), 0.0, 100.0)
    assert best.polls * best.lag_s == pytest.approx(root**2 / 2.0, rel=0.04)


# Exhaustive search


@given(durations, costs)
def test_no_choice_of_poll_times_beats_the_sweep(values: list[float], cost: float) -> None:
    """On a small sample the optimum equals the best of all schedules made of its values."""
    best = optimum(DurationGrid.from_sample(values), cost)
    assert best.objective_s == pytest.approx(best_by_exhaustion(values, cost), rel=1e-12, abs=1e-12)
    assert best.bound_s == pytest.approx(best.objective_s, rel=1e-12, abs=1e-12)


@given(st.integers(0, 2**32), st.integers(1, 120), costs)
def test_the_sweep_equals_the_quadratic_search(seed: int, size: int, cost: float) -> None:
    """On longer samples, with and without ties, the sweep finds the value of the O(n^2) recursion."""
    values = np.random.default_rng(seed).gamma(0.7, 3.0, size)
    if seed % 2:
        values = np.round(values, 1)
    best = optimum(DurationGrid.from_sample(values), cost)
    assert best.objective_s == pytest.approx(best_by_quadratic_search(values, cost), rel=1e-10, abs=1e-10)


@given(durations, costs)
def test_reported_polls_and_lag_are_those_of_the_schedule(values: list[float], cost: float) -> None:
    """Following each job through `schedule_s` gives the polls and the lag that the optimum states."""
    best = optimum(DurationGrid.from_sample(values), cost)
    assert (best.polls, best.lag_s) == pytest.approx(watch(values, best.schedule_s), abs=1e-12)
    assert best.objective_s == cost * best.polls + best.lag_s


# The bound


@pytest.mark.parametrize("law", LAWS)
@given(schedules=st.lists(gaps, min_size=1, max_size=5), cost=costs)
@settings(max_examples=40, deadline=None)
def test_no_schedule_and_no_mixture_of_schedules_beats_the_limit(
    law: DurationGrid, schedules: list[list[float]], cost: float
) -> None:
    """A jittered setting, a mixture of schedules, needs the limit's polls for its lag, or more."""
    results = [evaluate(law, np.cumsum(steps).tolist()) for steps in schedules]
    polls, lag = (float(np.mean(column)) for column in zip(*results, strict=True))
    assert optimum(law, cost).bound_s <= (cost * polls + lag) * (1.0 + 1e-9)
    assert polls_at_lag(law, lag) <= polls * (1.0 + 1e-9)
    assert lag_at_polls(law, polls) <= lag * (1.0 + 1e-9) + 1e-9


@given(st.integers(0, 2**32), st.integers(2, 40), costs)
def test_gathering_a_sample_brackets_its_exact_optimum(seed: int, points: int, cost: float) -> None:
    """Cells that hold many values give a bound below the exact optimum and a schedule above it."""
    values = np.round(np.random.default_rng(seed).lognormal(1.0, 1.0, 200), 2)
    exact, gathered = DurationGrid.from_sample(values), DurationGrid.from_sample(values, points=points)
    assert gathered.points <= points
    truth, rough = optimum(exact, cost), optimum(gathered, cost)
    assert rough.bound_s <= truth.objective_s + 1e-9
    assert rough.objective_s >= truth.objective_s - 1e-9
    assert evaluate(exact, rough.schedule_s) == pytest.approx((rough.polls, rough.lag_s))
    for lag in (0.0, 0.3, 3.0):
        assert polls_at_lag(gathered, lag) <= polls_at_lag(exact, lag) + 1e-9


@pytest.mark.parametrize("law", LAWS)
def test_the_frontier_is_monotone_and_convex(law: DurationGrid) -> None:
    """Dearer polls mean fewer of them and more lag, at a rate of exchange between neighbouring prices."""
    points = frontier(law)
    assert len(points) > 5
    for cheap, dear in itertools.pairwise(points):
        assert cheap.cost_per_poll_s < dear.cost_per_poll_s
        assert cheap.polls > dear.polls
        assert cheap.lag_s < dear.lag_s
        exchange = (dear.lag_s - cheap.lag_s) / (cheap.polls - dear.polls)
        assert cheap.cost_per_poll_s * (1 - 1e-3) <= exchange <= dear.cost_per_poll_s * (1 + 1e-3)
    assert points[-1].polls < 1.2


def test_the_limit_is_attained_at_the_corners_of_an_exact_frontier() -> None:
    """For an exact sample, an optimum's lag needs the optimum's polls, and the other way round."""
    law = DurationGrid.from_sample(np.random.default_rng(3).lognormal(1.4, 0.6, 300))
    for best in frontier(law):
        assert polls_at_lag(law, best.lag_s) == pytest.approx(best.polls, rel=1e-8)
        assert lag_at_polls(law, best.polls) == pytest.approx(best.lag_s, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("law", LAWS[:3])
def test_the_bound_is_close_to_what_a_schedule_reaches(law: DurationGrid) -> None:
    """At a twentieth of the mean a poll, 2,048 cells place the limit within 2 % of a real schedule."""
    best = optimum(law, law.mean / 20.0)
    assert best.bound_s < best.objective_s < best.bound_s * 1.01
    assert best.polls * 0.98 < polls_at_lag(law, best.lag_s) <= best.polls


@given(durations)
def test_least_polls_fall_with_the_lag_from_every_value_to_one(values: list[float]) -> None:
    """No lag at all takes a poll at each distinct value; the lag of a single poll takes one."""
    law = DurationGrid.from_sample(values)
    every, _ = watch(values, sorted(set(values)))
    assert polls_at_lag(law, 0.0) == pytest.approx(every)
    single = max(values) - law.mean
    needed = [polls_at_lag(law, single * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    assert needed == sorted(needed, reverse=True)
    assert polls_at_lag(law, single + 1e-9) == 1.0
    assert lag_at_polls(law, 1.0) == pytest.approx(single, abs=1e-12)
    assert lag_at_polls(law, 1e6) == pytest.approx(0.0, abs=1e-12)


@given(durations, costs, st.integers(-10, 10))
def test_the_unit_of_time_does_not_matter(values: list[float], cost: float, power: int) -> None:
    """Durations and cost in another unit give the same polls, with lag and schedule in that unit."""
    unit = 2.0**power
    here = optimum(DurationGrid.from_sample(values), cost)
    there = optimum(DurationGrid.from_sample([value * unit for value in values]), cost * unit)
    assert there.polls == here.polls
    assert there.lag_s == here.lag_s * unit
    assert there.schedule_s == tuple(time * unit for time in here.schedule_s)


# Laws


def test_jobs_that_finish_at_once_are_polled_at_once() -> None:
    """Where many jobs take no time a poll at 0 pays; where all do it is the only one."""
    assert optimum(DurationGrid.from_sample([0.0, 0.0, 0.0, 9.0]), 0.1).schedule_s == (0.0, 9.0)
    assert optimum(DurationGrid.from_sample([0.0, 0.0]), 0.1).schedule_s == (0.0,)
    assert frontier(DurationGrid.from_sample([0.0]))[0].polls == 1.0
    law = stats.expon(scale=10.0)
    mixed = DurationGrid.from_ppf(
        lambda u: np.where(u < 0.5, 0.0, law.ppf(np.clip(2.0 * u - 1.0, 0.0, 1.0))),
        lambda t: 0.5 * (np.asarray(t) >= 0.0) + 0.5 * law.cdf(t),
        5.0,
    )
    best = optimum(mixed, 0.1)
    assert best.schedule_s[0] == 0.0
    assert best.objective_s < best.bound_s * 1.002


def test_a_quantile_function_out_of_order_is_enough() -> None:
    """A mixture that picks its component from u is located by its cdf, jumps included."""
    narrow, wide = stats.uniform(2.0, 1.0), stats.expon(scale=20.0)

    def ppf(u: Floats) -> Floats:
        return np.select(
            [u < 0.3, u < 0.6],
            [wide.ppf(np.clip(u / 0.3, 0.0, 1.0)), np.full_like(u, 5.0)],
            narrow.ppf(np.clip((u - 0.6) / 0.4, 0.0, 1.0)),
        )

    def cdf(t: Floats) -> Floats:
        return np.asarray(0.3 * wide.cdf(t) + 0.3 * (np.asarray(t) >= 5.0) + 0.4 * narrow.cdf(t))

    law = DurationGrid.from_ppf(ppf, cdf, 0.3 * 20.0 + 0.3 * 5.0 + 0.4 * 2.5)
    best = optimum(law, 0.2)
    assert 5.0 in best.schedule_s
    assert best.objective_s < best.bound_s * 1.003
    sample = DurationGrid.from_sample(ppf((np.arange(40_000) + 0.5) / 40_000))
    assert optimum(sample, 0.2).objective_s == pytest.approx(best.objective_s, rel=2e-3)


def test_a_trace_given_by_functions_is_as_exact_as_the_sample() -> None:
    """The jumps of a cdf are found, so that its limit is that of the values themselves."""
    values = np.sort(np.random.default_rng(5).lognormal(1.0, 1.0, 300))
    law = DurationGrid.from_ppf(
        lambda u: values[np.minimum((u * 300).astype(int), 299)],
        lambda t: np.searchsorted(values, t, side="right") / 300,
        float(values.mean()),
    )
    ours, theirs = optimum(law, 0.1), optimum(DurationGrid.from_sample(values), 0.1)
    assert ours.objective_s == pytest.approx(theirs.objective_s, rel=1e-9)
    assert ours.bound_s == pytest.approx(theirs.objective_s, rel=1e-9)
    assert polls_at_lag(law, 0.0) == pytest.approx((300 + 1) / 2.0)  # job k of 300 takes k polls


@pytest.mark.parametrize("is_recorded", [False, True], ids=["narrow", "recorded"])
def test_a_law_of_more_jumps_than_cells_has_no_more_cells_for_them(is_recorded: bool) -> None:
    """They are as good as a density; with a cell for each, a report would take seconds more."""
    law, points = stats.lognorm(1.0 if is_recorded else 1e-9, scale=3.0), 2**12
    values = law.ppf((np.arange(200_000) + 0.5) / 200_000)
    grid = DurationGrid.from_ppf(
        (lambda u: values[np.minimum((u * 200_000).astype(int), 199_999)]) if is_recorded else law.ppf,
        (lambda t: np.searchsorted(values, t, side="right") / 200_000) if is_recorded else law.cdf,
        float(values.mean()),
        points=points,
    )
    assert grid.points <= 3 * points + 1
    exact = DurationGrid.from_sample(values, points=200_000)
    for price in (0.01, 0.1, 1.0):
        best = optimum(grid, price)
        assert best.objective_s < best.bound_s * 1.03  # a law without jumps: 1.02
        assert best.objective_s == pytest.approx(optimum(exact, price).objective_s, rel=1e-2)


def test_a_jump_in_an_almost_empty_stretch_is_bounded_tightly() -> None:
    """Half the jobs end at 5 s, next to none shortly before: the bound must not find that half early."""
    early, rare = stats.uniform(0.0, 1.0), stats.uniform(0.0, 10.0)

    def cdf(t: Floats) -> Floats:
        return np.asarray(0.499999 * early.cdf(t) + 0.5 * (np.asarray(t) >= 5.0) + 1e-6 * rare.cdf(t))

    law = DurationGrid.from_ppf(
        lambda u: np.where(u < 0.5, early.ppf(2.0 * np.minimum(u, 0.5)), np.where(u < 0.999999, 5.0, 10.0)),
        cdf,
        0.499999 * 0.5 + 0.5 * 5.0 + 1e-6 * 5.0,
        points=256,
    )
    best = optimum(law, 0.1)
    assert 5.0 in best.schedule_s
    assert best.objective_s < best.bound_s * 1.02


def test_weights_count_like_repetitions() -> None:
    """A value with weight 3 is three jobs, and one with weight 0 is none."""
    weighted = DurationGrid.from_sample([1.0, 2.0, 7.0, 50.0], [3, 1, 2, 0])
    repeated = DurationGrid.from_sample([1.0, 1.0, 1.0, 2.0, 7.0, 7.0])
    for cost in (0.01, 0.5, 3.0):
        ours, theirs = optimum(weighted, cost), optimum(repeated, cost)
        assert ours.schedule_s == theirs.schedule_s
        assert ours.objective_s == pytest.approx(theirs.objective_s, rel=1e-12)


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_heavy_tails_keep_both_sides_together(sigma: float) -> None:
    """Bound and schedule stay within half a percent for lognormal tails of any practical weight."""
    law = lognormal(sigma)
    for best in frontier(law, [law.mean * ratio for ratio in (0.01, 0.1, 1.0)]):
        assert best.bound_s < best.objective_s < best.bound_s * 1.005


def test_an_infinite_mean_is_refused() -> None:
    """A Pareto tail of index 1 or less has no limit, and the message says what to do."""
    law = stats.lomax(1.0)
    with pytest.raises(ValueError, match=r"finite mean duration, not inf.*deadline"):
        DurationGrid.from_ppf(law.ppf, law.cdf, math.inf)


@pytest.mark.parametrize("mean", [4e-3, 3.9, 4.1])
def test_a_mean_that_contradicts_the_distribution_is_refused(mean: float) -> None:
    """A mean in the wrong unit, or of another law, would make a false bound."""
    values = np.arange(9.0)
    with pytest.raises(ValueError, match=r"contradicts the distribution function.* between 4 s and 4 s"):
        DurationGrid.from_ppf(
            lambda u: values[(u * 9).astype(int)],
            lambda t: np.searchsorted(values, t, side="right") / 9,
            mean,
        )


@pytest.mark.parametrize("ceiling", [0.9, math.nan])
def test_a_distribution_function_that_never_reaches_one_is_refused(ceiling: float) -> None:
    """A defective cdf is an error, not an endless search for its end."""
    law = stats.expon()
    with pytest.raises(ValueError, match="contradicts the distribution function"):
        DurationGrid.from_ppf(law.ppf, lambda t: ceiling * law.cdf(t), 1.0)


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([], None, "non-empty"),
        ([[1.0]], None, "non-empty"),
        ([1.0, -2.0], None, r"durations: number 1 is -2\.0"),
        ([math.nan], None, "durations: number 0 is nan"),
        ([math.inf], None, "durations: number 0 is inf"),
        ([1.0], [-1.0], "weights: number 0"),
        ([1.0, 2.0], [1.0], "1 given for 2 durations"),
        ([1.0], [0.0], "positive weight"),
    ],
)
def test_unusable_samples_are_refused(values: ArrayLike, weights: ArrayLike | None, message: str) -> None:
    """Each fault of a sample is named."""
    with pytest.raises(ValueError, match=message):
        DurationGrid.from_sample(values, weights)


@pytest.mark.parametrize("cost", [0.0, -1.0, math.nan, math.inf])
def test_a_poll_must_have_a_positive_price(cost: float) -> None:
    """Free polls have no optimum."""
    with pytest.raises(ValueError, match="cost_per_poll_s"):
        optimum(DurationGrid.from_sample([1.0]), cost)


def test_targets_outside_the_plane_are_refused() -> None:
    """A negative lag and less than one poll are no targets."""
    law = DurationGrid.from_sample([1.0, 2.0])
    with pytest.raises(ValueError, match="lag_s"):
        polls_at_lag(law, -0.1)
    with pytest.raises(ValueError, match="polls"):
        lag_at_polls(law, 0.99)
    with pytest.raises(ValueError, match="points"):
        DurationGrid.from_sample([1.0, 2.0], points=1)


# Evaluating a schedule


def test_a_poll_finds_a_job_that_finishes_at_that_moment() -> None:
    """Jobs of 1 s and 3 s polled at 1, 2, 3 s take 1 and 3 polls and no lag."""
    assert evaluate(DurationGrid.from_sample([1.0, 3.0]), [1.0, 2.0, 3.0]) == (2.0, 0.0)


def test_survival_is_the_share_still_unfinished() -> None:
    """S(t) = P(D > t), so that it steps down at a finish, not after it."""
    law = DurationGrid.from_sample([1.0, 3.0, 3.0, 4.0])
    assert law.survival(np.array([0.0, 1.0, 2.9, 3.0, 4.0])).tolist() == [1.0, 0.75, 0.75, 0.25, 0.0]
    assert law.mean == 2.75


@given(durations, gaps)
def test_evaluation_follows_every_job_beyond_the_last_poll(values: list[float], steps: list[float]) -> None:
    """The last gap repeats for as long as a job needs it."""
    times = np.cumsum(steps)
    more = times[-1] + steps[-1] * np.arange(1, 2 + math.ceil(max(values) / steps[-1]))
    polls, lag = evaluate(DurationGrid.from_sample(values), times.tolist())
    reference = watch(values, [*times.tolist(), *more.tolist()])
    # Where a job finishes at a poll to the last bit, rounding may put it on either side: one poll, one gap.
    if abs(polls - reference[0]) > 1e-9:
        distance = np.abs(np.asarray(values)[:, None] - np.append(times, more)[None, :]).min()
        assert distance < 1e-9
    else:
        assert lag == pytest.approx(reference[1], abs=1e-9)


@pytest.mark.parametrize("gap", [1e-5, 0.01, 1.0, 30.0])
def test_a_constant_interval_on_memoryless_jobs_has_its_closed_form(gap: float) -> None:
    """Polling an exponential every x takes 1 / (1 - e^(-x/m)) polls, also when x is tiny."""
    polls, lag = evaluate(exponential(4.0), [gap])
    assert polls == pytest.approx(1.0 / -math.expm1(-gap / 4.0), rel=1e-9, abs=0.02)
    assert lag == pytest.approx(gap / -math.expm1(-gap / 4.0) - 4.0, rel=1e-6, abs=0.02 * gap)


def test_a_sample_and_its_functions_evaluate_alike() -> None:
    """A doubling schedule that stops doubling costs the same on a law and on its quantiles."""
    law = stats.lognorm(0.6, scale=4.0)
    sample = DurationGrid.from_sample(law.ppf((np.arange(100_000) + 0.5) / 100_000))
    schedule = np.cumsum([0.5, 1.0, 2.0, 4.0, 4.0])
    assert evaluate(sample, schedule.tolist()) == pytest.approx(
        evaluate(lognormal(0.6), schedule.tolist()), rel=1e-3
    )


@pytest.mark.parametrize(
    ("schedule", "repeat", "message"),
    [
        ([], True, "at least one poll"),
        ([1.0, 1.0], True, "strictly increasing"),
        ([-1.0, 1.0], True, "at least 0"),
        ([1.0, math.inf], True, "finite"),
        ([0.0], True, "never found"),
        ([1.0, 2.0], False, "longer than 2 s are never found"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(schedule: list[float], repeat: bool, message: str) -> None:
    """Disorder and jobs that nobody ever finds are errors, not numbers."""
    with pytest.raises(ValueError, match=message):
        evaluate(DurationGrid.from_sample([1.0, 3.0]), schedule, repeat_last=repeat)


def test_a_covering_schedule_needs_no_repetition() -> None:
    """With `repeat_last=False` a schedule that outlasts every job is accepted."""
    assert evaluate(DurationGrid.from_sample([1.0, 3.0]), [2.0, 4.0], repeat_last=False) == (1.5, 1.0)


# Fitting on one half, reporting on the other


@given(st.lists(st.floats(0.0, 100.0), min_size=2, max_size=50), st.integers(0, 2**32))
def test_a_split_shares_out_every_job_once(values: list[float], seed: int) -> None:
    """The halves differ by at most one job and together are the trace."""
    draws = np.random.default_rng(seed).random(len(values))
    fit, test = split(values, draws)
    assert 0 <= len(test) - len(fit) <= 1
    assert sorted([*fit, *test]) == sorted(values)


def test_a_split_is_decided_by_the_draws_alone() -> None:
    """The smaller half of the draws marks the jobs to fit, in the order of the trace."""
    fit, test = split([1.0, 2.0, 3.0, 4.0, 5.0], [0.9, 0.1, 0.5, 0.2, 0.7])
    assert fit.tolist() == [2.0, 4.0]
    assert test.tolist() == [1.0, 3.0, 5.0]
    with pytest.raises(ValueError, match="1 durations and 1 draws"):
        split([1.0], [0.5])
    with pytest.raises(ValueError, match="3 durations and 2 draws"):
        split([1.0, 2.0, 3.0], [0.5, 0.6])


def test_a_schedule_looks_better_on_the_jobs_it_was_fitted_to() -> None:
    """On 40 jobs the fitted half flatters a schedule; the other half tells."""
    rng = np.random.default_rng(11)
    flattery = []
    for _ in range(50):
        fit, test = split(rng.lognormal(1.4, 0.6, 40), rng.random(40))
        best = optimum(DurationGrid.from_sample(fit), 0.2)
        polls, lag = evaluate(DurationGrid.from_sample(test), best.schedule_s)
        flattery.append(0.2 * polls + lag - best.objective_s)
    assert np.mean(flattery) > 0.2
