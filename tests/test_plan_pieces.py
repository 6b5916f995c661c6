"""What a plan is made of: refusals, laws, thresholds, YAML, sizing and figures, each judged by itself."""

from __future__ import annotations

import math
from pathlib import Path

import click
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from client import CURVES, Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from harness._cli import main
from harness.plan import polls_at_lag
from harness.plan._answer import SettingPlan
from harness.plan._candidates import KINDS, families, rounded
from harness.plan._contradictions import refuse_contradictions
from harness.plan._predict import Prediction, Twin, sampling_for
from harness.plan._robustness import other_distribution
from harness.plan._search import Criteria
from harness.plan._sizing import UTILISATION, busiest_second, size
from harness.plan.limit import grid_of, held_out_frontier, least_polls, threshold_schedules
from scenarios import load_scenario, setting_yaml
from scenarios.documents import Diagnostic, DocumentError
from scenarios.draws import (
    Capped,
    Durations,
    Exponential,
    Fixed,
    Lognormal,
    Mixture,
    Scaled,
    Uniform,
    quantiles,
    sample_of,
)

TEXT = """\
name: example
job:
  duration: {duration}
workload:
  lanes: 2
  arrivals: {{type: poisson, rate: 5}}
  jobs: 100
settings:
  constant-1s: {{curve: constant, initial: 1s{limits}}}
objectives:
{objectives}
"""
LOGNORMAL = "{type: lognormal, median: 4s, sigma: 0.6}"


def problems(folder: Path, duration: str, limits: str = "", **objectives: str) -> tuple[Diagnostic, ...]:
    path = folder / "example.yaml"
    lines = "".join(f"  {name}: {bound}\n" for name, bound in objectives.items())
    path.write_text(TEXT.format(duration=duration, limits=limits, objectives=lines))
    try:
        refuse_contradictions(load_scenario(path))
    except DocumentError as error:
        return error.diagnostics
    return ()


def test_a_law_without_a_finite_mean_is_refused_at_its_line(tmp_path: Path) -> None:
    """A tail that heavy leaves no mean to plan for."""
    (problem,) = problems(
        tmp_path, "{type: lognormal, median: 4s, sigma: 40}", ", deadline: 1h", lag_mean="1s"
    )
    assert (problem.line, problem.path) == (3, "job.duration")
    assert "no finite mean" in problem.message


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("lag_p50", "lag_p95"), ("lag_p99", "lag_max"), ("latency_p90", "latency_p99"), ("lag_mean", "lag_max")],
)
def test_a_lower_quantile_with_a_looser_bound_is_a_slip(tmp_path: Path, lower: str, higher: str) -> None:
    """Both objectives are named, at the line of the one that cannot bind."""
    (problem,) = problems(tmp_path, "5s", **{lower: "30s", higher: "20s"})
    assert (problem.line, problem.path) == (11, f"objectives.{lower}")
    assert higher in problem.message


def test_equal_bounds_and_rising_bounds_are_fine(tmp_path: Path) -> None:
    """A stricter bound on a lower quantile is what bounds are for."""
    assert problems(tmp_path, LOGNORMAL, lag_p50="1s", lag_p95="2s", lag_max="2s", lag_mean="1s") == ()


@pytest.mark.parametrize(
    ("name", "bound", "needed"),
    [("latency_p50", "3900ms", "4 s"), ("latency_p95", "10s", "10.7 s"), ("latency_mean", "4s", "4.63 s")],
)
def test_a_latency_below_the_duration_itself_is_impossible(
    tmp_path: Path, name: str, bound: str, needed: str
) -> None:
    """The message says what the jobs alone take."""
    (problem,) = problems(tmp_path, LOGNORMAL, **{name: bound})
    assert problem.path == f"objectives.{name}"
    assert needed in problem.message


def test_fewer_polls_than_the_limit_are_refused_with_the_limit(tmp_path: Path) -> None:
    """For memoryless jobs of mean m the least polls for a lag are known in closed form."""
    # Interval x: polls = 1 / (1 - exp(-x/m)), lag = x polls - m; x = 1 s, m = 4 s.
    polls = 1.0 / -math.expm1(-0.25)
    lag = f"{polls - 4.0:.6f}s"
    law = "{type: exponential, mean: 4s}"
    assert problems(tmp_path, law, lag_mean=lag, polls_per_job=f"{polls * 1.01:.6f}") == ()
    (problem,) = problems(tmp_path, law, lag_mean=lag, polls_per_job=f"{polls * 0.9:.6f}")
    assert (problem.line, problem.path) == (12, "objectives.polls_per_job")
    assert "lag_mean" in problem.message
    quoted = float(problem.message.split("fewer than ")[1].split()[0])
    assert 0.95 * polls < quoted <= polls * 1.005  # the longest 1 % of the jobs may be given up


def test_less_than_one_poll_per_job_is_refused(tmp_path: Path) -> None:
    """No end is learnt without a poll."""
    (problem,) = problems(tmp_path, LOGNORMAL, polls_per_job="0.9")
    assert "at least 1" in problem.message


def test_all_contradictions_are_told_at_once(tmp_path: Path) -> None:
    """Every slip is named, in the order of the file; too few polls for each objective by itself."""
    found = problems(tmp_path, LOGNORMAL, lag_p50="3s", lag_p95="2s", latency_p50="1s", polls_per_job="1.1")
    assert [problem.line for problem in found] == [11, 13, 14, 14]


LAWS: list[Durations] = [
    Fixed(value=3.0),
    Exponential(mean=4.0),
    Lognormal(median=4.0, sigma=0.6),
    Mixture.model_validate(
        {"of": [{"weight": 1, "type": "fixed", "value": 1}, {"weight": 2, "type": "exponential", "mean": 9}]}
    ),
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.describe())
def test_a_capped_law_has_the_mean_of_the_capped_durations(law: Durations) -> None:
    """The integral of the survival agrees with averaging min(duration, cap)."""
    capped = Capped(law, 5.0)
    sampled = np.minimum(quantiles(law, 2**18), 5.0).mean()
    assert capped.mean() == pytest.approx(sampled, rel=1e-3)
    assert grid_of(capped).mean == pytest.approx(capped.mean())


def test_scaling_a_law_scales_the_limit() -> None:
    """Twice the durations, twice the lag at equal polls."""
    law = Lognormal(median=4.0, sigma=0.6)
    assert grid_of(Scaled(law, 2.0)).mean == pytest.approx(2.0 * grid_of(law).mean)


@pytest.mark.parametrize("law", LAWS[:3], ids=lambda law: law.describe())
def test_the_other_distribution_has_the_same_median_and_another_shape(law: Durations) -> None:
    """Exponential, unless the law is that already."""
    other = other_distribution(law)
    assert other is not None
    name, durations = other
    assert name == ("wide lognormal" if isinstance(law, Exponential) else "exponential")
    assert durations.ppf(0.5) == pytest.approx(float(law.ppf(0.5)))


def late_share(law: Durations, times: tuple[float, ...], bound: float) -> tuple[float, float]:
    """Polls and the share of late jobs of a schedule that covers nearly all durations."""
    values = quantiles(law, 2**15)
    index = np.minimum(np.searchsorted(times, values), len(times) - 1)
    return float(np.mean(index + 1)), float(np.mean(np.array(times)[index] - values > bound))


@pytest.mark.parametrize("law", LAWS[1:], ids=lambda law: law.describe())
def test_no_schedule_beats_the_least_polls_for_a_quantile(law: Durations) -> None:
    """Best schedules and arbitrary ones all spend at least the bound, and the best come close to it."""
    bound = 2.5
    random = np.random.default_rng(5)
    arbitrary = [tuple(np.cumsum(random.uniform(0.3, 4.0, 60)).tolist()) for _ in range(20)]
    closest = math.inf
    for times in [*threshold_schedules(law, "lag", bound), *arbitrary]:
        polls, late = late_share(law, times, bound)
        least = least_polls(law, "lag", bound, 1.0 - late)
        assert polls >= least * 0.999
        closest = min(closest, polls / least)
    assert closest < 1.05


def test_a_uniform_law_needs_one_poll_per_bound_and_a_half() -> None:
    """All jobs within b of uniform [0, 4b]: polls at b, 2b, 3b, 4b, so 2.5 on average."""
    assert least_polls(Uniform(lower=0.0, upper=4.0), "lag", 1.0, 1.0) == pytest.approx(2.5, rel=0.02)


def test_a_latency_bound_needs_one_poll_at_the_bound() -> None:
    """Whoever polls once, when the time is up, is in time; the rest is for the jobs that are late anyway."""
    law = Exponential(mean=1.0)
    share = float(law.cdf(3.0))
    assert least_polls(law, "latency", 3.0, share * 0.999) == pytest.approx(1.0 + (1 - share), rel=0.05)


durations = st.integers(1, 10**6).map(lambda n: n / 1000)
backoffs = st.one_of(
    st.builds(lambda s, j: Backoff("constant", s, jitter=j), durations, st.sampled_from(["none", "full"])),
    st.builds(
        lambda s, m, k: Backoff("exponential", s, multiplier=m, maximum=s * k, jitter="decorrelated"),
        durations,
        st.floats(1.0, 5.0),
        st.floats(1.0, 50.0),
    ),
    st.builds(lambda s, i: Backoff("linear", s, increment=i), durations, durations),
    st.lists(durations, min_size=1, max_size=6).map(lambda delays: Backoff("schedule", delays=delays)),
)
policies = st.builds(
    PollingPolicy,
    backoffs,
    first_poll=st.sampled_from(["after_delay", "immediately"]),
    deadline=st.none() | durations,
    max_attempts=st.none() | st.integers(1, 99),
    request_timeout=durations,
    last_poll_timeout=durations,
    errors=st.builds(ErrorPolicy, backoffs, max_consecutive=st.integers(0, 9), not_found_grace=durations),
    hints=st.builds(HintPolicy, honour=st.booleans(), maximum=durations, spread=st.floats(0.0, 1.0)),
)


@given(policy=policies)
def test_any_policy_survives_its_yaml(
    tmp_path_factory: pytest.TempPathFactory, policy: PollingPolicy
) -> None:
    """What is written can be pasted and means exactly the same."""
    path = tmp_path_factory.getbasetemp() / "pasted.yaml"
    line = setting_yaml("it", policy)
    path.write_text(
        TEXT.format(duration="4s", limits="", objectives="  lag_max: 1h").replace(
            "settings:\n", f"settings:\n  {line}\n"
        )
    )
    assert load_scenario(path).settings["it"] == policy


def test_what_is_usual_is_not_written() -> None:
    """The lines to paste hold what was chosen and no more."""
    assert setting_yaml("it", PollingPolicy(Backoff("schedule", delays=[3.1, 0.07]))) == (
        "it: {curve: schedule, delays: [3.1s, 70ms]}"
    )
    assert yaml.safe_load(setting_yaml("it", PollingPolicy(Backoff("constant", 2.0)))) == {
        "it": {"curve": "constant", "initial": "2s"}
    }


def test_durations_are_rounded_as_people_write_them() -> None:
    """Two significant digits, and never nothing."""
    assert [rounded(x) for x in (3.1415, 0.0123, 1234.5, 1e-9)] == [3.1, 0.012, 1200.0, 0.001]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.describe())
def test_every_candidate_is_a_setting_with_a_sensible_tail(law: Durations) -> None:
    """Schedules are short, and none of them ends in polls without a pause."""
    for family in families(law, grid_of(law, points=2**10), 0.01, {"lag_p95": 1.0}):
        for scale in family.scales:
            backoff = family.at(scale)
            assert backoff is not None
            assert backoff.curve == family.kind.curve
            assert (backoff.jitter != "none") == family.kind.jittered
            assert len(backoff.delays) <= 8
            assert backoff.delay(100, 1.0, 0.999) > 0.0


def test_every_kind_of_setting_is_of_a_curve_that_clients_have() -> None:
    """A kind carries its curve by the client's name for it, and no two kinds are called the same."""
    assert {kind.curve for kind in KINDS} <= set(CURVES)
    assert len({kind.name for kind in KINDS}) == len(KINDS)


def test_ties_in_polls_are_broken_by_lag() -> None:
    """Scores are compared in four digits: what is nearer than that is nothing that the jobs could tell."""
    criteria = Criteria({"lag_p95": 9.0}, cost=1.0)

    def seen(polls: float, lag: float) -> Prediction:
        return Prediction(np.full(2_000, polls), np.full(2_000, lag), np.full(2_000, lag + 4.0))

    assert criteria.key(seen(1.0, 2.0)) == (0, 1.0, 2.0)
    assert criteria.key(seen(1.00004, 1.0)) < criteria.key(seen(1.0, 2.0)) < criteria.key(seen(1.001, 1.0))


def test_beats_of_the_clock_are_planned_for_by_the_scenarios_own_visits(tmp_path: Path) -> None:
    """When a job comes decides how long its first wait is; otherwise one long visit tells the same."""
    path = tmp_path / "example.yaml"
    text = TEXT.format(duration=LOGNORMAL, limits="", objectives="  lag_p95: 2s")
    path.write_text(text)
    assert sampling_for(load_scenario(path)) == "long"
    path.write_text(text.replace("initial: 1s}", "initial: 1s, anchor: clock}"))
    assert sampling_for(load_scenario(path)) == "visits"


def plan_of(polls: float) -> SettingPlan:
    return SettingPlan("", polls, None, 1.0, None, None, 0.0, 1.0, polls, None, 100)


def test_sizing_is_arithmetic_and_a_poisson_quantile() -> None:
    """Mean rate, the second exceeded once a day, and cores at the stated utilisation."""
    sizing = size({"it": plan_of(4.0)}, 9.0, 864_000, 0.003)
    load = sizing.settings["it"]
    assert load.requests_per_second_mean == pytest.approx(40.0)
    assert load.requests_per_second_peak == stats.poisson.ppf(1 - 1 / 86_400, 40.0)
    assert load.cores == pytest.approx(load.requests_per_second_peak * 0.003 / UTILISATION)
    assert size({"it": plan_of(4.0)}, 9.0, 864_000, None).settings["it"].cores is None


def test_clients_that_poll_many_times_a_second_come_in_batches() -> None:
    """The same mean rate has a higher peak when each client contributes several requests to it."""
    assert busiest_second(40.0, 5.0) > busiest_second(40.0, 1.0) > 40.0
    assert busiest_second(0.0, 1.0) == 0.0


@pytest.mark.parametrize(
    ("setting", "batch"),
    [
        ("{curve: constant, initial: 1s}", 1.0),
        ("{curve: constant, initial: 250ms}", 3.72),
        ("{curve: exponential, initial: 500ms, multiplier: 2, maximum: 5s, jitter: full}", 1.44),
        ("{curve: exponential, initial: 10ms, multiplier: 2, maximum: 5s}", 3.46),
        ("{curve: schedule, delays: [3s, 100ms]}", 8.80),
    ],
)
def test_how_polls_cluster_in_a_second_is_seen_in_the_twin(
    tmp_path: Path, setting: str, batch: float
) -> None:
    """Variance over mean of the counts of whole seconds, as a day of a million jobs at random showed it."""
    path = tmp_path / "example.yaml"
    text = TEXT.format(duration=LOGNORMAL, limits="", objectives="  lag_p95: 9s")
    path.write_text(text.replace("{curve: constant, initial: 1s}", setting))
    example = load_scenario(path)
    twin = Twin(example, "long")
    assert twin.dispersion(example.settings["constant-1s"]) == pytest.approx(batch, rel=0.05)


def test_lost_jobs_are_infinitely_late() -> None:
    """Giving up must not pay: a quantile counts lost jobs, a mean is void with more than 1 % of them."""
    lag = np.append(np.full(95, 1.0), np.full(5, np.inf))
    seen = Prediction(np.full(100, 2.0), lag, lag + 4.0)
    assert seen.lost == pytest.approx(0.05)
    assert seen.figure("lag_p50") == (1.0, 1.0)
    assert math.isinf(seen.figure("lag_p99")[0])
    assert math.isinf(seen.figure("lag_mean")[0])
    assert math.isinf(seen.figure("polls_per_job")[0])


def test_the_upper_end_of_a_quantile_is_that_of_the_rows_and_not_of_the_jobs() -> None:
    """Many simulated jobs make no more of a trace with few rows."""
    lag = np.linspace(0.0, 1.0, 10_001)
    sure = Prediction(lag, lag, lag).figure("lag_p95")[1]
    unsure = Prediction(lag, lag, lag, rows=200).figure("lag_p95")[1]
    assert 0.95 < sure < 0.96 < unsure < 1.0
    assert math.isinf(Prediction(lag, lag, lag, rows=50).figure("lag_p95")[1])


def test_a_held_out_frontier_is_no_better_than_the_limit_of_the_sample() -> None:
    """What was fitted to one half cannot beat, on both halves, what was fitted to everything."""
    values = np.random.default_rng(3).lognormal(1.4, 0.6, 300)
    curve = held_out_frontier(values, 1)
    limit = grid_of(sample_of(values))
    lags, polls = [lag for _, lag in curve], [polls for polls, _ in curve]
    assert lags == sorted(lags)
    assert polls == sorted(polls, reverse=True)
    for many, lag in curve:
        assert many >= polls_at_lag(limit, lag)


@pytest.mark.parametrize(("written", "seconds"), [("0.5", 0.5), ("250ms", 0.25), ("1m30s", 90.0), ("2", 2.0)])
def test_the_price_of_a_poll_is_written_as_durations_are(written: str, seconds: float) -> None:
    """A plain number is seconds, as it always was; units mean what they mean in scenarios."""
    assert price(written) == seconds


@pytest.mark.parametrize("written", ["0", "-1", "nan", "1x", "soon"])
def test_a_price_that_is_none_is_refused(written: str) -> None:
    """Nothing, less than nothing and what is no duration are usage errors."""
    with pytest.raises(click.BadParameter):
        price(written)


def price(written: str) -> object:
    (cost,) = (each for each in main.commands["plan"].params if each.name == "cost")
    return cost.type.convert(written, cost, None)
