"""A live run against its twin, job by job."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from live_parts import live_run

from harness.measure import load_run
from harness.virtual import Overhead, simulate
from scenarios import load_scenario
from scenarios.draws import uniforms

SCENARIO = """\
# Does the twin foresee each job of a live run?
name: parity
question: Does the twin foresee each job of a live run?
seed: 11
job:
  duration: {type: uniform, lower: 500ms, upper: 4s}
  error_rate: 0.1
service:
  delay: {type: uniform, lower: 5ms, upper: 15ms}
  faults: [{status: 503, rate: 0.05, retry_after: 1s}, {fault: CONNECTION_RESET_BY_PEER, rate: 0.02}]
workload:
  lanes: 6
  arrivals: {type: constant, rate: 40}
  duration: 3s
settings:
  constant: {curve: constant, initial: 800ms, deadline: 3s}
  jittered: {curve: exponential, initial: 700ms, multiplier: 1.5, maximum: 3s, jitter: equal}
  beats: {curve: constant, initial: 800ms, jitter: equal, anchor: start}
"""
KEY = ["setting", "repeat", "key"]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of one short live run."""
    folder = tmp_path_factory.mktemp("parity")
    (folder / "parity.yaml").write_text(SCENARIO)
    return live_run(folder / "parity.yaml", folder / "reports")


def measured_overhead(folder: Path) -> Overhead:
    """What this machine added to each poll: medians over the run's replies, halved between the two ways."""
    polls = pl.read_csv(folder / "polls.csv").filter(pl.col("response").cast(pl.String) != "transport_error")
    scenario = load_scenario(folder / "scenario.yaml")
    draws = uniforms(scenario.seed, "delay", polls["key"].to_numpy(), polls["attempt"].to_numpy())
    assert scenario.service.delay is not None
    way = float(np.median(polls["latency_s"].to_numpy() - scenario.service.delay.ppf(draws))) / 2
    late = float(np.median(polls["sent_at_s"] - polls["planned_at_s"]))
    return Overhead(request_s=max(way, 0.0), reply_s=max(way, 0.0), wake_s=max(late, 0.0))


def test_the_twin_foresees_each_job_of_a_live_run(live: Path) -> None:
    """Same jobs, equal outcomes for all, equal polls for at least 97 %, lags within the machine's noise."""
    overhead = measured_overhead(live)
    twin = simulate(load_scenario(live / "scenario.yaml"), overhead=overhead).run
    real = load_run(live).jobs
    both = real.join(twin.jobs, on=KEY, suffix="_twin")
    assert len(both) == len(real) == len(twin.jobs) == 360
    assert np.allclose(both["planned_at_s"], both["planned_at_s_twin"], atol=1e-6)
    assert np.allclose(both["duration_s"], both["duration_s_twin"], atol=1e-6)

    # A job may finish within a moment of a poll; then a hair decides which poll finds it, or whether any does
    # before the deadline. No other difference is allowed.
    same_polls = both["polls"] == both["polls_twin"]
    assert same_polls.mean() >= 0.97, both.filter(~same_polls)
    assert (both["outcome"] == both["outcome_twin"]).all(), both.filter(
        pl.col("outcome") != pl.col("outcome_twin")
    )

    alike = both.filter(same_polls & both["detection_lag_s"].is_not_null())
    difference = (alike["detection_lag_s"] - alike["detection_lag_s_twin"]).abs()
    polls = pl.read_csv(live / "polls.csv")
    noise = float((polls["sent_at_s"] - polls["planned_at_s"]).max()) + 0.005
    assert difference.median() < 0.01
    assert difference.max() < alike["polls"].max() * noise
