"""`new --from RUN`: a model of the service that a run polled, held against the run by the twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from own_runs import own_run

from harness._cli import main
from harness.measure import RunFolder, analyse, load_run
from harness.virtual import simulate
from scenarios import load_scenario

ORIGINAL = """\
name: original
seed: 11
job: {duration: {type: lognormal, median: 4s, sigma: 0.6}, error_rate: 0.1}
service:
  delay: {type: lognormal, median: 30ms, sigma: 0.5}
  faults: [{status: 503, rate: 0.04}, {fault: CONNECTION_RESET_BY_PEER, rate: 0.02}]
workload: {lanes: 4, arrivals: {type: poisson, rate: 10}, jobs: 400}
settings:
  constant-1s: {curve: constant, initial: 1s}
  jittered: {curve: exponential, initial: 500ms, multiplier: 2, maximum: 5s, jitter: full}
objectives: {polls_per_job: 9}
baseline: constant-1s
"""


def harness(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "original.yaml"
    path.write_text(ORIGINAL)
    return path


@pytest.mark.parametrize("truth", ["known", "stripped"])
def test_the_model_gives_the_run_s_figures(original: Path, tmp_path: Path, truth: str) -> None:
    """Simulate, strip the truth, model, simulate: polls within 5 %, mean lag within 6 %, failures alike."""
    scenario = load_scenario(original)
    own_run(scenario, tmp_path / "run")
    known = simulate(scenario).run
    if truth == "known":
        (tmp_path / "known").mkdir()
        RunFolder(tmp_path / "known").write(known.info, known.visits, known.jobs, known.polls)
    model = tmp_path / "model" / "model.yaml"
    done = harness("new", "--from", tmp_path / ("known" if truth == "known" else "run"), "--out", model)
    assert done.exit_code == 0, done.output
    assert harness("check", model).exit_code == 0
    modelled = load_scenario(model)
    assert modelled.settings == scenario.settings
    assert (modelled.objectives, modelled.baseline) == (scenario.objectives, scenario.baseline)
    exact = analyse(known).settings
    again = analyse(simulate(replace(modelled, seed=12), jobs=4000).run).settings
    for name, figures in again.items():
        assert figures.polls_per_job.mean == pytest.approx(exact[name].polls_per_job.mean, rel=0.05)
        assert figures.detection_lag_s.mean == pytest.approx(exact[name].detection_lag_s.mean, rel=0.06)
        assert figures.status_latency_s.p50 == pytest.approx(exact[name].status_latency_s.p50, rel=0.1)
        failed = figures.responses["503"] / figures.status_requests.total
        assert failed == pytest.approx(0.04, abs=0.01)
        assert figures.jobs.error / figures.jobs.submitted == pytest.approx(0.1, abs=0.03)
    assert ("an estimate" in model.read_text()) == (truth == "stripped")


def test_the_target_stays_in_the_model_as_a_comment(tmp_path: Path) -> None:
    """What was polled is there to be put back, as it was written; secrets are names."""
    path = tmp_path / "plain.yaml"
    path.write_text(ORIGINAL)
    own_run(load_scenario(path), tmp_path / "run")
    text = (
        "name: own\ntarget:\n  base_url: http://127.0.0.1:9/v1\n  headers: {X-Api-Key: '${KEY}'}\n"
        "  limits: {jobs: 5, rate: 1, in_flight: 1}\n"
        + ORIGINAL.partition("workload")[1]
        + ORIGINAL.partition("workload")[2]
    )
    (tmp_path / "run" / "scenario.yaml").write_text(text)
    model = tmp_path / "model.yaml"
    assert harness("new", "--from", tmp_path / "run", "--out", model).exit_code == 0
    assert (
        "# target:\n#   base_url: http://127.0.0.1:9/v1\n#   headers: {X-Api-Key: '${KEY}'}\n"
        in model.read_text()
    )
    assert "#   limits: {jobs: 5, rate: 1, in_flight: 1}" in model.read_text()
    assert load_scenario(model).target is None


def test_nothing_is_overwritten_and_no_run_is_no_traceback(original: Path, tmp_path: Path) -> None:
    """A file that exists, a folder without a run: status 2, one line with the remedy."""
    own_run(load_scenario(original), tmp_path / "run")
    done = harness("new", "--from", tmp_path / "run", "--out", original)
    assert (done.exit_code, original.read_text()) == (2, ORIGINAL)
    assert "--out" in done.output
    done = harness("new", "--from", tmp_path / "nowhere", "--out", tmp_path / "model.yaml")
    assert done.exit_code == 2
    assert "no such run folder" in done.output
    assert not (tmp_path / "model.yaml").exists()


def test_a_run_without_ends_shows_no_durations(tmp_path: Path) -> None:
    """Where every job was lost there is nothing to model, and that is said."""
    path = tmp_path / "lost.yaml"
    path.write_text(
        ORIGINAL.replace("initial: 1s}", "initial: 1s, deadline: 100ms}").replace(
            "jitter: full", "deadline: 100ms"
        )
    )
    own_run(load_scenario(path), tmp_path / "run")
    assert set(load_run(tmp_path / "run").jobs["outcome"]) == {"timeout"}
    done = harness("new", "--from", tmp_path / "run", "--out", tmp_path / "model.yaml")
    assert done.exit_code == 2
    assert "no job's end was learnt" in done.output
