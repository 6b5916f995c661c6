"""Many processes at a rate, and what asks for more than the machine can give."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from scenarios import load_scenario

ROOT = Path(__file__).resolve().parent.parent
LOCUST = [sys.executable, "-m", "locust", "-f", "harness", "--headless", "--skip-log-setup"]
SCENARIO = """
name: many
seed: 3
job: {duration: {type: uniform, lower: 1s, upper: 3s}}
service: {delay: 5ms}
workload: {lanes: 400, arrivals: {type: constant, rate: @RATE@}, duration: @DURATION@}
settings: {steady: {curve: constant, initial: 100ms, jitter: equal, deadline: 30s}}
"""


def scenario(folder: Path, rate: int, duration: str) -> Path:
    path = folder / "many.yaml"
    path.write_text(SCENARIO.replace("@RATE@", str(rate)).replace("@DURATION@", duration))
    return path


def the_run(reports: Path) -> tuple[dict[str, Any], dict[str, Any], pl.DataFrame]:
    """The results, the record and the jobs of the only run there."""
    (folder,) = (each for each in reports.iterdir() if each.is_dir())
    results = json.loads((folder / "results.json").read_text())
    return results, json.loads((folder / "run.json").read_text()), pl.read_csv(folder / "jobs.csv")


def assert_the_jobs_of_the_plan(path: Path, jobs: pl.DataFrame) -> None:
    plan = [(each.key, each.lane) for each in load_scenario(path).planned(0)]
    assert sorted(jobs.select("key", "lane").iter_rows()) == sorted(plan)


def checks(results: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {each["check"]: (each["status"], each["detail"]) for each in results["trust"]}


@pytest.mark.slow
@pytest.mark.parametrize("how", ["--processes", "--master"])
def test_four_processes_share_four_thousand_polls_a_second(how: str, tmp_path: Path) -> None:
    """They run the jobs of the plan, each once, and every poll that they sent was counted by the simulator.

    Whether this machine was quick enough is for the run to judge.
    """
    path, reports = scenario(tmp_path, 150, "5s"), tmp_path / "reports"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [*LOCUST, "--scenario", str(path), "--reports", str(reports), "--simulator-port", "0"]
    command += ["--master-bind-port", port]
    workers = 0
    if how == "--processes":
        command += ["--processes", "4", "--master-port", port]
    else:
        command, workers = [*command, "--master", "--expect-workers", "4"], 4
    worker = [*LOCUST, "--worker", "--master-port", port, "--scenario", str(path)]
    with ExitStack() as stack:
        for _ in range(workers):
            process = stack.enter_context(subprocess.Popen(worker, cwd=ROOT))
            stack.callback(process.terminate)  # harmless: by then it has ended with its master
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode in (0, 1), done.stderr
    results, record, jobs = the_run(reports)
    assert_the_jobs_of_the_plan(path, jobs)
    assert len(record["visits"][0]["generator_cpu"]) == 4
    found = checks(results)
    for check in ("jobs conserved", "polls counted alike", "rows consistent", "workers", "run complete"):
        assert found[check][0] == "pass", found[check]
    requests = results["settings"]["steady"]["status_requests"]
    if done.returncode == 0:  # the polls of 150 jobs/s of two seconds, one each 75 ms on average
        assert requests["per_second_peak"] > 3600


@pytest.mark.slow
def test_more_than_the_machine_can_give_is_judged_invalid_with_the_figure(tmp_path: Path) -> None:
    """No silent slowing down: the run says how late it was, and how much this machine can send."""
    path, reports = scenario(tmp_path, 1500, "2s"), tmp_path / "reports"
    command = [sys.executable, "-m", "harness", "run", str(path), "--port", "0", "--reports", str(reports)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 1, done.stderr
    results, record, jobs = the_run(reports)
    failed = sum(record["visits"][0]["failed_submissions"].values())
    assert jobs.height + failed == load_scenario(path).planned_jobs(0)  # late, but all of them
    found = checks(results)
    late = {check: said for check, (status, said) in found.items() if status == "invalid"}
    # Which of them depends on who else wants the machine's cores.
    assert late.keys() & {"generator CPU", "poll lateness", "poll overhead", "server CPU"}, found
    assert all(any(digit.isdigit() for digit in said) for said in late.values()), late
    assert "this machine: " in found["generator CPU"][1]
    assert results["headroom"]["polls_per_second"] < 1500 * 20  # what was asked for
    assert results["recommendation"]["setting"] is None
