"""Processes that are stopped or overloaded while a run goes on: the run says that it is not to be trusted."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from live_parts import ROOT
from test_end_to_end import free_port, has_jobs, simulator_of, two_processes, wait_for

SCENARIO = """
name: short
question: short?
seed: 7
job: {duration: {type: uniform, lower: 500ms, upper: 1500ms}}
service: {delay: 5ms}
workload: {lanes: 8, arrivals: {type: constant, rate: 20}, duration: 2500ms}
settings:
  constant-300ms: {curve: constant, initial: 300ms, deadline: 20s}
"""
OVERLOAD = """
name: over
seed: 7
job: {duration: {type: fixed, value: 5s}}
service: {}
workload: {lanes: 20, arrivals: {type: constant, rate: RATE}, duration: 8s}
settings:
  constant-500ms: {curve: constant, initial: 500ms, deadline: 60s}
"""
STOPPED_S = 3.0


@contextlib.contextmanager
def running(folder: Path, text: str, *more: str) -> Iterator[subprocess.Popen[str]]:
    """A headless run of the scenario; the simulator's process is its child."""
    (folder / "run.yaml").write_text(text)
    command = [sys.executable, "-m", "locust", "-f", "harness", "--headless", "--skip-log-setup"]
    command += ["--scenario", str(folder / "run.yaml"), "--reports", str(folder / "reports")]
    process = subprocess.Popen(
        [*command, "--simulator-port", str(free_port()), *more],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                each.kill()
        process.wait(30)


def results_of(folder: Path) -> dict[str, Any]:
    (path,) = (folder / "reports").iterdir()
    results: dict[str, Any] = json.loads((path / "results.json").read_text())
    return results


def stop_for_a_while(process: psutil.Process) -> None:
    """Stop a process for some seconds, as a machine does that has no time for it."""
    process.send_signal(signal.SIGSTOP)
    try:
        with contextlib.suppress(psutil.TimeoutExpired):
            process.wait(STOPPED_S)  # it does not end, so this is the wait
    finally:
        process.send_signal(signal.SIGCONT)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "victim", ["simulator", pytest.param("generator", marks=SLOW), pytest.param("worker", marks=SLOW)]
)
def test_a_process_that_is_stopped_for_three_seconds_spoils_the_run(victim: str, tmp_path: Path) -> None:
    """Nothing is recommended: lags are off by what everybody had to wait."""
    with running(tmp_path, SCENARIO, *(two_processes() if victim == "worker" else ())) as locust:
        simulator = wait_for(lambda: simulator_of(locust), "the simulator")
        wait_for(lambda: has_jobs(simulator), "the first jobs")
        me = psutil.Process(locust.pid)
        if victim == "worker":
            me = next(each for each in me.children() if "locust" in each.cmdline())
        stop_for_a_while(simulator if victim == "simulator" else me)
        output, errors = locust.communicate(timeout=90)
    assert locust.returncode == 1, output + errors
    results = results_of(tmp_path)
    found = {each["check"]: each["status"] for each in results["trust"]}
    assert found["twin residual"] == "invalid", results["trust"]
    if victim == "simulator":
        assert found["poll overhead"] == "invalid", results["trust"]
    assert results["recommendation"]["setting"] is None


@pytest.mark.slow
@pytest.mark.parametrize("rate", [40, 400, 4000])
def test_an_overload_is_invalid_or_changes_nothing(rate: int, tmp_path: Path) -> None:
    """At any load the figures are the twin's, within a tenth and 20 ms, or the run says that they are not."""
    with running(tmp_path, OVERLOAD.replace("RATE", str(rate))) as locust:
        locust.communicate(timeout=240)
    results = results_of(tmp_path)
    figures = results["settings"]["constant-500ms"]
    if not any(each["status"] == "invalid" for each in results["trust"]):
        assert locust.returncode == 0
        # Each job of 5 s is found by its tenth poll, late by what these took; an idle machine takes some ms.
        assert figures["polls_per_job"]["mean"] == pytest.approx(10.0, rel=0.06)
        assert figures["detection_lag_s"]["mean"] < 0.1
