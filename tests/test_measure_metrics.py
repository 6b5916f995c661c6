"""The figures of a setting, exactly, on records made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from measure_records import info_of, job, polls_of, results_of, run_of, statuses, visits_of

from harness.measure import PollRow, Run, job_frame


def figures(run: Run, setting: str = "a") -> dict[str, Any]:
    """The results of one setting."""
    result: dict[str, Any] = results_of(run)["settings"][setting]
    return result


def test_jobs_are_counted_by_outcome() -> None:
    """Every outcome has its count, and those without a learnt end are lost."""
    outcomes = ["completed", "completed", "error", "timeout", "gave_up", "censored"]
    found = figures(run_of([job(key=key, outcome=outcome) for key, outcome in enumerate(outcomes)]))
    assert found["jobs"] == {
        "submitted": 6, "completed": 2, "error": 1, "timeout": 1, "gave_up": 1, "censored": 1,
    }  # fmt: skip
    assert found["lost_jobs"] == {"n": 3, "share": 0.5}


def test_polls_count_for_all_jobs_and_lags_for_learnt_ones() -> None:
    """A lost job's polls were load, but it has no lag and no latency."""
    jobs = [
        job(key=0, polls=2, lag=1.0),
        job(key=1, polls=4, lag=3.0),
        job(key=2, polls=9, outcome="timeout"),
    ]
    found = figures(run_of(jobs))
    assert found["polls_per_job"]["mean"] == 5.0
    assert found["polls_per_job"]["max"] == 9.0
    assert found["wasted_polls_per_job"] == pytest.approx((1 + 3 + 9) / 3)
    assert found["detection_lag_s"]["n"] == 2
    assert found["detection_lag_s"]["mean"] == 2.0
    assert found["completion_latency_s"]["mean"] == 4.0
    assert found["detection_lag_s"]["p50"] is None


def test_requests_per_second_are_over_the_visits_and_peak_over_the_worst_second() -> None:
    """The mean is over the time of all repeats, drain included; the peak is the worst repeat's."""
    jobs = [job(key=key, repeat=repeat, polls=2) for repeat in (0, 1) for key in range(3)]
    polls = [
        PollRow("a", repeat, key, attempt, 0.0, sent, 0.01, "200")
        for repeat, times in ((0, [0.0, 0.4, 0.8, 1.2, 1.6, 9.0]), (1, [0.0, 2.0, 4.0, 6.0, 8.0, 9.0]))
        for (key, attempt), sent in zip([(k, n) for k in range(3) for n in (1, 2)], times, strict=True)
    ]
    found = figures(run_of(jobs, polls=polls, visits=visits_of(jobs, duration_s=10.0)))
    assert found["status_requests"] == {
        "total": 12, "measured_s": 20.0, "per_second_mean": 0.6, "per_second_peak": 3,
    }  # fmt: skip


def test_responses_always_list_the_usual_ones() -> None:
    """A zero can be read; what else was answered is there too."""
    polls = [PollRow("a", 0, 0, n, 0.0, 0.1, None, code) for n, code in enumerate(["503", "418", "200"])]
    assert figures(run_of([job()], polls=polls))["responses"] == {
        "200": 1, "418": 1, "429": 0, "503": 1, "transport_error": 0,
    }  # fmt: skip


def test_status_latency_pools_the_repeats() -> None:
    """Reply times of all repeats are one sample."""
    jobs = [job(key=key, repeat=repeat, polls=4) for repeat in (0, 1) for key in range(10)]
    rows = [row._replace(latency_s=0.001 * (n + 1)) for n, row in enumerate(polls_of(jobs))]
    found = figures(run_of(jobs, polls=rows))["status_latency_s"]
    assert found["n"] == 80
    assert found["p50"] == pytest.approx(np.quantile(np.arange(1, 81) / 1000, 0.5))
    assert found["p99"] is None
    assert found["max"] == pytest.approx(0.080)


def test_server_time_is_summed_or_unknown() -> None:
    """The server's seconds add up over visits, and are null when one visit's are missing."""
    jobs = [job(repeat=repeat) for repeat in (0, 1)]
    assert figures(run_of(jobs))["server"] == {"cpu_seconds": 10.0, "busy_seconds": 2.0}
    visits = [visits_of(jobs)[0], *(each for each in visits_of([jobs[1]]))]
    without = [visits[0], type(visits[1])(**{**vars(visits[1]), "server": None})]
    assert figures(run_of(jobs, visits=without))["server"] == {"cpu_seconds": None, "busy_seconds": None}


def test_constant_polling_of_uniform_jobs_has_a_mean_lag_of_half_the_interval() -> None:
    """Polling each x seconds finds a job of uniform duration x/2 late, after E[T]/x + 1/2 polls."""
    interval, n = 0.8, 4000
    # Stratified over [0, 4 x): the sample's mean is the law's up to rounding.
    durations = (np.random.default_rng(5).permutation(n) + 0.5) / n * 4 * interval
    jobs = []
    for key, duration in enumerate(durations):
        polls = int(np.ceil(duration / interval))
        jobs.append(
            job(key=key, polls=polls, lag=polls * interval - float(duration), duration=float(duration))
        )
    run = Run(info_of(jobs), tuple(visits_of(jobs)), job_frame(jobs), ())
    found = figures(run)
    lag = found["detection_lag_s"]
    assert lag["mean"] == pytest.approx(interval / 2, rel=1e-6)
    assert lag["ci95"][0] <= interval / 2 <= lag["ci95"][1]
    assert lag["p50"] == pytest.approx(interval / 2, abs=0.001)
    assert lag["p95"] == pytest.approx(0.95 * interval, abs=0.001)
    assert lag["quantiles_ci95"]["p95"][0] < 0.95 * interval < lag["quantiles_ci95"]["p95"][1]
    assert found["polls_per_job"]["mean"] == pytest.approx(2 * interval / interval + 0.5, rel=1e-6)


def test_order_of_rows_does_not_matter() -> None:
    """Results are a function of the set of rows: batches are made by key, not by time of writing."""
    draws = np.random.default_rng(2)
    jobs = [job(key=key, lag=float(draws.exponential())) for key in range(200)]
    shuffled = [jobs[i] for i in draws.permutation(200)]
    assert figures(run_of(jobs)) == figures(run_of(shuffled))


@pytest.mark.parametrize(
    ("objective", "limit", "met", "value"),
    [
        ("lag_mean", 0.6, True, 0.5),
        ("lag_mean", 0.4, False, 0.5),
        ("lag_p95", 0.5, True, 0.5),
        ("lag_max", 0.49, False, 0.5),
        ("latency_p50", 2.5, True, 2.5),
        ("latency_mean", 2.0, False, 2.5),
        ("polls_per_job", 3.0, True, 3.0),
        ("requests_per_second_peak", 20, False, 30),
        ("lag_p99", 0.6, None, None),
    ],
)
def test_objectives_are_upper_bounds(
    objective: str, limit: float, met: bool | None, value: float | None
) -> None:
    """A figure at its limit is within it; a quantile that the sample cannot support is unknown."""
    run = run_of([job(key=key) for key in range(100)], objectives={objective: limit})
    judged = figures(run)["objectives"][objective]
    assert (judged["met"], judged["value"], judged["limit"]) == (met, value, limit)


def test_giving_up_does_not_pay() -> None:
    """Lost jobs are infinitely late in quantiles, and more than 1 % of them spoil every average."""
    objectives = {"lag_p90": 1.0, "lag_p95": 1.0, "lag_max": 1.0, "lag_mean": 1.0, "polls_per_job": 5.0}
    jobs = [job(key=key, outcome="gave_up" if key % 12 == 0 else "completed") for key in range(120)]
    judged = figures(run_of(jobs, objectives=objectives))["objectives"]
    assert {name: each["met"] for name, each in judged.items()} == {
        "lag_p90": True, "lag_p95": False, "lag_max": False, "lag_mean": False, "polls_per_job": False,
    }  # fmt: skip
    assert judged["lag_p95"]["value"] is None
    assert "8.3 % of the jobs were lost" in judged["lag_p95"]["note"]


def test_a_limit_within_the_interval_is_a_close_call() -> None:
    """A figure whose interval holds the limit says so."""
    jobs = [job(key=key, lag=0.1 + key % 10 / 10) for key in range(100)]
    judged = figures(run_of(jobs, objectives={"lag_mean": 0.551, "lag_p50": 5.0}))["objectives"]
    assert "close call" in judged["lag_mean"]["note"]
    assert judged["lag_p50"]["note"] is None


def test_an_unknown_objective_is_an_error() -> None:
    """A name that means nothing is not silently met."""
    with pytest.raises(ValueError, match="unknown objective 'lag_typical'"):
        results_of(run_of([job()], objectives={"lag_typical": 1.0}))


def test_a_setting_without_jobs_has_no_figures_but_is_listed() -> None:
    """An interrupted run still reports what it has, and null for what it has not."""
    run = run_of([job("a", key) for key in range(3)], settings={"a": "x", "b": "y"}, incomplete="interrupted")
    results = results_of(run)
    assert results["settings"]["b"]["jobs"]["submitted"] == 0
    assert results["settings"]["b"]["detection_lag_s"]["mean"] is None
    assert (results["complete"], results["incomplete_reason"]) == (False, "interrupted")
    assert statuses(results)["run complete"] == "invalid"
