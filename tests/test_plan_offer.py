"""What a report offers of the planner: a setting that surely saves polls, or the reason why there is none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from harness.measure import Offer, analyse
from harness.plan import offer
from harness.virtual import simulate
from scenarios import Scenario, load_scenario

TEXT = """\
name: example
seed: 5
job: {{duration: {duration}}}
service: {service}
workload: {{lanes: 2, arrivals: {{type: poisson, rate: 5}}, jobs: 200}}
settings:
  constant-1s: {{curve: constant, initial: 1s}}
  constant-2s: {{curve: constant, initial: 2s}}
"""


def scenario(
    folder: Path, duration: str, service: str = "{delay: 15ms}", rest: str = "objectives: {lag_p95: 2.5s}"
) -> Scenario:
    path = folder / "example.yaml"
    path.write_text(TEXT.format(duration=duration, service=service) + rest + "\n")
    return load_scenario(path)


def test_an_offer_saves_what_it_says_on_jobs_of_another_seed(tmp_path: Path) -> None:
    """The YAML, pasted and run on other jobs, meets the objectives for as many polls, and saves as many."""
    example = scenario(tmp_path, "{type: lognormal, median: 4s, sigma: 0.6}")
    found = offer(example, "plan it")
    assert found.yaml is not None
    assert found.against == "constant-2s"
    assert found.saving is not None
    assert found.words().endswith("fewer than constant-2s: plan it")
    pasted = tmp_path / "pasted.yaml"
    pasted.write_text(example.text.replace("settings:\n", f"settings:\n  {found.yaml}\n"))
    run = simulate(replace(load_scenario(pasted), seed=77), jobs=10_000).run
    seen = analyse(run).settings
    mine, theirs = seen["recommended"].polls_per_job.mean, seen["constant-2s"].polls_per_job.mean
    assert mine is not None
    assert theirs is not None
    assert seen["recommended"].objectives["lag_p95"].met
    assert found.polls_per_job == pytest.approx(mine, rel=0.03)
    assert found.saving == pytest.approx(1 - mine / theirs, abs=0.02)


@pytest.mark.parametrize(
    ("duration", "service", "why"),
    [
        ("4s", "{capacity: {workers: 1, service_time: 5ms}}", "jobs wait for each other"),
        ("{type: lognormal, median: 1s, sigma: 3}", "{}", "few jobs take most of the time"),
    ],
)
def test_where_no_offer_can_be_made_in_seconds_it_says_why(
    tmp_path: Path, duration: str, service: str, why: str
) -> None:
    """Nothing is searched, and nothing said in the report."""
    found = offer(scenario(tmp_path, duration, service), "plan it")
    assert found.yaml is None
    assert why in (found.skipped or "")
    assert found.words() == ""


def test_where_polls_fall_on_the_end_of_jobs_nothing_is_offered(tmp_path: Path) -> None:
    """The baseline's mean lag is 0 then, which no clock measures, and nobody can be held to."""
    found = offer(scenario(tmp_path, "4s", "{}", rest=""), "plan it")
    assert found.skipped == "polls fall exactly on the end of jobs"


def test_an_offer_is_one_line_of_the_yaml_that_plan_prints() -> None:
    """Its sentence names the saving only where there is something to be held against."""
    alone = Offer(command="python -m harness plan x", polls_per_job=1.96, mean_lag_s=1.0, yaml="a: {b: 1}")
    found = "A schedule found by plan needs 1.96 polls per job for a mean lag of 1.00 s"
    assert alone.words() == f"{found}: python -m harness plan x"
    assert yaml.safe_load(alone.yaml or "") == {"a": {"b": 1}}
