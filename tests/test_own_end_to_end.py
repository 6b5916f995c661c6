"""Real runs on a service of somebody else's: Locust, processes, HTTP, a report."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign_service import DIALECT, Foreign, foreign_service

ROOT = Path(__file__).resolve().parent.parent
SECRET = "open-sesame-1001"
SCENARIO = """\
name: own
target:
  base_url: URL
  dialect:
DIALECT
  headers: {X-Api-Key: "${OWN_API_KEY}"}
  inputs: [{url: "https://a"}, {url: "https://b"}]
  limits: {jobs: 12, rate: 8, in_flight: 4}
workload: {lanes: 4, arrivals: {type: constant, rate: 8}, jobs: 6}
settings:
  quick: {curve: constant, initial: 200ms}
  slow: {curve: constant, initial: 800ms}
""".replace("DIALECT", DIALECT.rstrip())


@pytest.fixture
def service() -> Iterator[Foreign]:
    with foreign_service(duration_s=0.4) as service:
        yield service


def command(folder: Path, text: str, *more: str) -> list[str]:
    path = folder / "own.yaml"
    path.write_text(text)
    reports = ["--reports", str(folder / "reports")]
    return [sys.executable, "-m", "harness", "run", str(path), *reports, *more]


def run(folder: Path, text: str, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, text, *more),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "OWN_API_KEY": SECRET},
    )


def recorded(folder: Path) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, str]]]:
    """The results, the record and the job rows of the one run there is."""
    (run,) = (folder / "reports").iterdir()
    with (run / "jobs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    results, record = (json.loads((run / f"{name}.json").read_text()) for name in ("results", "run"))
    return results, record, rows


@pytest.mark.slow
def test_two_processes_together_keep_to_the_limits(service: Foreign, tmp_path: Path) -> None:
    """Counted at the service: requests in the worst second, jobs at once, jobs in all. No secret stays."""
    done = run(tmp_path, SCENARIO.replace("URL", service.url), "--processes", "2")
    results, record, rows = recorded(tmp_path)
    assert "This run of own (quick, slow) sends requests" in done.stderr
    assert service.busiest_second <= 8 + 1
    assert service.most_open <= 4
    assert len(service.bodies) == len(rows) == 12
    assert len(service.arrivals) == 12 + len(service.polls)
    assert sum(int(row["polls"]) for row in rows) == len(service.polls)
    assert {row["outcome"] for row in rows} == {"completed"}
    assert {row["setting"] for row in rows} == {"quick", "slow"}
    assert (record["info"]["target"], results["target"]) == ("own", "own")
    assert {row["duration_s"] for row in rows} == {""}
    assert results["complete"]
    for written in tmp_path.rglob("*"):
        assert not written.is_file() or SECRET.encode() not in written.read_bytes(), written
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_run_that_makes_no_sense_keeps_what_there_is(service: Foreign, tmp_path: Path) -> None:
    """Exit status 1, one line with the reply and the key, partial results marked incomplete."""
    text = SCENARIO.replace("URL", service.url).replace("completed: [finished]", "completed: [done]")
    done = run(tmp_path, text)
    _, record, rows = recorded(tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "a poll got 'HTTP 200" in line]
    assert "Finished" in line
    assert "target.dialect.status.completed" in line
    assert record["info"]["incomplete"] == line
    assert rows
    assert {row["outcome"] for row in rows} == {"censored"}
    assert "slow" not in {row["setting"] for row in rows}


@pytest.mark.slow
def test_ctrl_c_keeps_the_rows(service: Foreign, tmp_path: Path) -> None:
    """Jobs under way are censored; the service is asked for nothing more."""
    service.duration_s = 60.0
    process = subprocess.Popen(
        command(tmp_path, SCENARIO.replace("URL", service.url)),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OWN_API_KEY": SECRET},
    )
    try:
        give_up = time.monotonic() + 60
        while not service.polls and time.monotonic() < give_up:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    _, record, rows = recorded(tmp_path)
    assert process.returncode == 130
    assert record["info"]["incomplete"] == "stopped before the end"
    assert rows
    assert {row["outcome"] for row in rows} == {"censored"}


@pytest.mark.parametrize(
    ("url", "more", "said"),
    [
        ("http://staging.invalid", [], "--allow-host staging.invalid"),
        ("http://staging.invalid", ["--allow-host", "staging.invalid"], "--yes"),
    ],
)
def test_a_run_without_leave_sends_nothing(tmp_path: Path, url: str, more: list[str], said: str) -> None:
    """Exit status 2, with what to type; no report."""
    done = run(tmp_path, SCENARIO.replace("URL", url), *more)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "reports").exists()
