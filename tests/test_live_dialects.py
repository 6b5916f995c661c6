"""A live run in a foreign language against its twin, job by job: lanes of Locust, a simulator's process."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from live_parts import live_run

from harness.measure import load_run
from harness.virtual import simulate
from scenarios import load_scenario

# Jobs end half a second away from every poll, so that no machine's lateness changes a count.
SCENARIO = """\
name: spoken
seed: 7
job: {{duration: 1500ms, error_rate: 0.2}}
service:
  dialect: {dialect}
  faults: [{{status: 503, rate: 0.1, retry_after: 1s}}, {{fault: CONNECTION_RESET_BY_PEER, rate: 0.05}}]
workload: {{lanes: 3, arrivals: {{type: constant, rate: 20}}, jobs: 30}}
settings:
  steady: {{curve: constant, initial: 1s, on_error: {{curve: constant, initial: 1s}}}}
"""
OWN = (
    "{submit: {path: '/v1/tasks?v=1', accepted: [201], id: 'tasks[0].id', location: {body: links.poll}}, "
    "status: {method: POST, path: '/v1/task?v=1&id={id}', state: task.state, pending: [], not_ready: [202], "
    "completed: [DONE], error: [BROKEN], hints: [{body: wait_ms, unit: ms}]}}"
)


@pytest.mark.slow
def test_a_live_run_in_a_language_of_its_own_is_as_its_twin_foresees(tmp_path: Path) -> None:
    """Each job has the twin's outcome and its polls, and every end is told with its age."""
    file = tmp_path / "spoken.yaml"
    file.write_text(SCENARIO.format(dialect=OWN))
    folder = live_run(file, tmp_path / "reports")
    run = load_run(folder)
    columns = ["key", "outcome", "polls"]
    twin = simulate(load_scenario(file)).run.jobs.sort("key")
    real = run.jobs.sort("key")
    assert real.select(columns).cast({"outcome": pl.String}).rows() == twin.select(columns).rows()
    assert real["detection_lag_s"].null_count() == 0
    assert {"completed", "error"} == set(real["outcome"])
