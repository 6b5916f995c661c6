"""The twin against closed forms: both engines must give what theory says, within what chance allows.

Each band is five standard errors wide to either side, so that a correct engine fails once in a million
seeds; the seeds are fixed all the same. Where the standard error is itself taken from the sample it says so.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from virtual_scenarios import every, scenario

from client import Backoff, ErrorPolicy, PollingPolicy
from harness.virtual import simulate

JOBS = {"vector": 50_000, "event": 4_000}
ENGINES = pytest.mark.parametrize("engine", ["vector", "event"])


def assert_mean(values: pl.Series, expected: float) -> None:
    """The sample's mean is the expected one within five of its standard errors."""
    error = values.std() / math.sqrt(len(values))
    assert values.mean() == pytest.approx(expected, abs=5 * error + 1e-12)


def jobs_of(policy: PollingPolicy, engine: Any, **options: Any) -> pl.DataFrame:
    """Jobs that arrive evenly, under one setting."""
    arrivals = options.pop("arrivals", {"type": "constant", "rate": 50.0})
    made = scenario(policy, arrivals=arrivals, jobs=options.pop("jobs", JOBS[engine]), **options)
    return simulate(made, engine=engine).run.jobs


@ENGINES
def test_a_constant_interval_is_on_average_half_an_interval_late(engine: str) -> None:
    """Where a job's end is uniform within the interval x, so is the lag: mean x/2, variance x²/12."""
    jobs = jobs_of(every(2.0), engine, duration={"type": "uniform", "lower": 0, "upper": 2.0})
    assert (jobs["polls"] == 1).all()
    assert_mean(jobs["detection_lag_s"], 1.0)
    assert jobs["detection_lag_s"].var() == pytest.approx(4 / 12, rel=0.1)


@ENGINES
@pytest.mark.parametrize("interval", [0.5, 2.0])
def test_memoryless_jobs_take_a_geometric_number_of_polls(engine: str, interval: float) -> None:
    """Exponential jobs of mean m polled each x: 1/(1 - exp(-x/m)) polls, and a lag of x times that less m."""
    mean = 3.0
    jobs = jobs_of(every(interval), engine, duration={"type": "exponential", "mean": mean})
    polls = 1 / (1 - math.exp(-interval / mean))
    assert_mean(jobs["polls"], polls)
    assert_mean(jobs["detection_lag_s"], interval * polls - mean)
    p = 1 / polls
    assert jobs["polls"].var() == pytest.approx((1 - p) / p**2, rel=0.15)


@ENGINES
def test_full_jitter_makes_polls_a_renewal_process(engine: str) -> None:
    """Long after the start the wait that covers a job's end is length-biased: the mean lag of U(0, d) is d/3.

    The mean residual life of a renewal process is E[W²] / (2 E[W]) = (d²/3) / d = d/3.
    """
    policy = PollingPolicy(Backoff("constant", 1.5, jitter="full"))
    jobs = jobs_of(policy, engine, duration={"type": "uniform", "lower": 30, "upper": 40})
    assert_mean(jobs["detection_lag_s"], 0.5)


@ENGINES
def test_exponential_backoff_polls_at_the_partial_sums(engine: str) -> None:
    """Without jitter the poll that finds a job is the first partial sum of 1, 2, 4, 8... past its end."""
    policy = PollingPolicy(Backoff("exponential", 1.0))
    jobs = jobs_of(policy, engine, duration={"type": "uniform", "lower": 0, "upper": 40})
    sums = 2.0 ** np.arange(1, 8) - 1
    expected = np.searchsorted(sums, jobs["duration_s"].to_numpy(), side="left") + 1
    # A sum and a duration may only meet in their last digits.
    assert (jobs["polls"].to_numpy() == expected).mean() > 0.999
    assert np.allclose(
        jobs["detection_lag_s"], sums[jobs["polls"].to_numpy() - 1] - jobs["duration_s"], atol=1e-9
    )


@ENGINES
def test_failed_reads_add_their_own_polls(engine: str) -> None:
    """If each read fails with probability q and is retried at once, it takes 1/(1 - q) times the polls."""
    retry = ErrorPolicy(Backoff("constant", 1e-6), max_consecutive=100)
    policy = every(1.0, errors=retry)
    jobs = jobs_of(policy, engine, duration="3500ms", service={"faults": [{"status": 500, "rate": 0.25}]})
    assert (jobs["wasted_polls"] == 3).all()
    assert_mean(jobs["polls"], 4 / 0.75)


def test_one_slot_with_fixed_work_is_an_m_d_1_queue() -> None:
    """The mean wait for the slot is that of Pollaczek and Khinchine: rho * work / (2 * (1 - rho)).

    Successive waits are correlated, so the standard error comes from means of batches of 500 jobs.
    """
    rate, work = 5.0, 0.1
    rho = rate * work
    jobs = jobs_of(
        every(0.5),
        "event",
        duration=work,
        slots=1,
        arrivals={"type": "poisson", "rate": rate},
        jobs=20_000,
    )
    waits = jobs["finished_at_s"] - work - jobs["submitted_at_s"]
    batches = pl.Series(waits.to_numpy()[1000:].reshape(-1, 500).mean(axis=1))
    assert_mean(batches, rho * work / (2 * (1 - rho)))


def test_several_slots_with_memoryless_work_are_an_m_m_c_queue() -> None:
    """The mean wait is Erlang's: C(c, a) * m / (c - a), with a the offered load."""
    rate, mean, slots = 10.0, 0.25, 4
    load = rate * mean
    terms = [load**k / math.factorial(k) for k in range(slots)]
    last = load**slots / math.factorial(slots) * slots / (slots - load)
    delayed = last / (sum(terms) + last)
    jobs = jobs_of(
        every(0.5),
        "event",
        duration={"type": "exponential", "mean": mean},
        slots=slots,
        arrivals={"type": "poisson", "rate": rate},
        jobs=20_000,
    )
    waits = jobs["finished_at_s"] - jobs["duration_s"] - jobs["submitted_at_s"]
    batches = pl.Series(waits.to_numpy()[1000:].reshape(-1, 500).mean(axis=1))
    assert_mean(batches, delayed * mean / (slots - load))


@ENGINES
def test_the_load_of_a_steady_workload_is_its_rate_times_polls_per_job(engine: str) -> None:
    """In the steady middle of the visit, 64 jobs/s of 4 polls each are 256 polls/s, in any second."""
    made = scenario(every(1.0), duration="4s", arrivals={"type": "constant", "rate": 64.0}, jobs=640)
    (polls,) = simulate(made, engine=engine).run.polls  # type: ignore[arg-type]
    ramp = [0, 64, 128, 192]
    assert polls.per_second.tolist() == [*ramp, *[256] * 7, *reversed(ramp[1:])]
    assert polls.peak_per_second == 256


MONITORS = 25


def typical_latency(policy: PollingPolicy, arrivals: dict[str, Any]) -> float:
    """The median status latency of 25 monitors that poll one worker of 200 ms for five minutes.

    The case is that of apache/hertzbeat, issue 4328: 25 monitors, every 10 s, one worker.
    """
    made = scenario(
        policy,
        duration="300s",
        service={"capacity": {"workers": 1, "service_time": "200ms"}},
        arrivals=arrivals,
        lanes=MONITORS,
        jobs=MONITORS,
    )
    (polls,) = simulate(made).run.polls
    return float(np.median(np.repeat(polls.latency_s, polls.latency_count)))


AT_ONCE = {"type": "burst", "size": MONITORS}
SPREAD = {"type": "constant", "rate": MONITORS / 10}


def test_a_fixed_rate_keeps_its_herd_in_lockstep() -> None:
    """Monitors that start together queue in every cycle: the 13th of 25 waits for 13 services, 2.6 s."""
    policy = every(10.0, anchor="start")
    assert typical_latency(policy, AT_ONCE) == pytest.approx(13 * 0.2, abs=1e-6)
    assert typical_latency(policy, SPREAD) == pytest.approx(0.2, abs=1e-6)


def test_the_clock_herds_whoever_starts_when() -> None:
    """On the clock it makes no difference that the monitors started apart."""
    policy = every(10.0, anchor="clock")
    assert typical_latency(policy, AT_ONCE) == pytest.approx(13 * 0.2, abs=1e-6)
    assert typical_latency(policy, SPREAD) == pytest.approx(13 * 0.2, abs=1e-6)


@pytest.mark.parametrize("anchor", ["start", "clock"])
@pytest.mark.parametrize("arrivals", [AT_ONCE, SPREAD], ids=["at once", "spread"])
def test_jitter_dissolves_a_herd_on_beats(anchor: str, arrivals: dict[str, Any]) -> None:
    """Spread over the slot, polls meet little but their own service: between 0.2 and 0.6 s."""
    jittered = PollingPolicy(Backoff("constant", 10, jitter="full"), anchor=anchor)
    assert 0.2 <= typical_latency(jittered, arrivals) <= 0.6


def test_a_queue_dissolves_a_herd_that_waits_from_its_replies() -> None:
    """Each next wait begins where the queue put the reply, so the herd queues once and never again."""
    assert typical_latency(every(10.0), AT_ONCE) == pytest.approx(0.2, abs=1e-6)


@ENGINES
@pytest.mark.parametrize("anchor", ["start", "clock"])
def test_full_jitter_on_beats_makes_gaps_uneven_but_not_more(engine: str, anchor: str) -> None:
    """Gaps of x(1 + u' - u) have the mean x and the variance x²/6: the lag is E[gap²] / 2E[gap] = 7x/12."""
    policy = PollingPolicy(Backoff("constant", 2.0, jitter="full"), anchor=anchor)
    jobs = jobs_of(
        policy,
        engine,
        duration={"type": "uniform", "lower": 4, "upper": 10},
        arrivals={"type": "poisson", "rate": 50.0},
    )
    assert_mean(jobs["detection_lag_s"], 7 / 6)
