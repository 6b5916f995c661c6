"""A live run that goes on for long: what its processes take, and what is left of it on the disk.

A million jobs and some five million polls within 20 minutes; ``SOAK_MINUTES`` makes it shorter at the same
rate. The resident memory of simulator, generator (a worker of its own) and master is looked at every few
seconds; memory that grows with the time is a leak, or rows that somebody keeps.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

ROOT = Path(__file__).resolve().parent.parent
MINUTES = float(os.environ.get("SOAK_MINUTES", "20"))
JOBS_PER_S = 1e6 / 1200
EVERY_S = 5.0
SCENARIO = f"""
name: soak
seed: 1
job: {{duration: {{type: uniform, lower: 2500ms, upper: 6500ms}}}}
service: {{delay: {{type: lognormal, median: 2ms, sigma: 0.4}}}}
workload:
  lanes: 1000
  arrivals: {{type: poisson, rate: {JOBS_PER_S:.6g}}}
  duration: {60 * MINUTES:.6g}
settings:
  constant-1s: {{curve: constant, initial: 1s, deadline: 60s}}
"""


def main() -> None:
    """Run it and print the table."""
    with TemporaryDirectory() as folder:
        scenario = Path(folder, "soak.yaml")
        scenario.write_text(SCENARIO)
        reports = Path(folder, "reports")
        command = [sys.executable, "-m", "locust", "-f", "harness", "--headless", "--processes", "1"]
        told = [
            "--only-summary",
            "--loglevel",
            "ERROR",
            "--scenario",
            str(scenario),
            "--reports",
            str(reports),
            "--simulator-port",
            "0",
        ]
        started = time.monotonic()
        with subprocess.Popen([*command, *told], cwd=ROOT, stdout=subprocess.DEVNULL) as run:
            try:
                resident = watch(psutil.Process(run.pid), started)
            finally:
                if run.poll() is None:
                    run.terminate()
        tell(resident, reports, time.monotonic() - started, run.returncode)


def watch(master: psutil.Process, started: float) -> dict[str, list[tuple[float, float]]]:
    """Return for each process the times (seconds) and its resident memory (MB), until the master ends."""
    resident: dict[str, list[tuple[float, float]]] = {}
    while master.is_running() and master.status() != psutil.STATUS_ZOMBIE:
        now = time.monotonic() - started
        for process in [master, *master.children(recursive=True)]:
            try:
                role = role_of(process, master)
                resident.setdefault(role, []).append((now, process.memory_info().rss / 1e6))
            except psutil.Error:
                continue  # it has just ended
        time.sleep(EVERY_S)
    return resident


def role_of(process: psutil.Process, master: psutil.Process) -> str:
    """Return which part of the run a process is."""
    words = process.cmdline()
    if process == master:
        return "master"
    if "report" in words:
        return "report"
    return "simulator" if "server" in words else "generator"


def tell(resident: dict[str, list[tuple[float, float]]], reports: Path, seconds: float, status: int) -> None:
    """Print what was seen."""
    submitting = 60 * MINUTES
    print(f"{MINUTES:g} minutes of {JOBS_PER_S:,.0f} jobs/s: exit status {status} after {seconds:,.0f} s")
    print(f"{'resident MB':12}{'at 10 %':>10}{'at 50 %':>10}{'at 100 %':>10}{'most':>10}")
    for role, samples in resident.items():
        at = [min(samples, key=lambda each: abs(each[0] - part * submitting))[1] for part in (0.1, 0.5, 1.0)]
        print(f"{role:12}" + "".join(f"{each:10,.0f}" for each in (*at, max(mb for _, mb in samples))))
    for results in reports.glob("*/results.json"):
        told = json.loads(results.read_text())
        (setting,) = told["settings"].values()
        jobs, polls = setting["jobs"], setting["status_requests"]["total"]
        print(f"{jobs['submitted']:,} jobs ({jobs['completed']:,} completed), {polls:,} polls")
        print(f"overhead: {setting['overhead_s']}")
        for check in told["trust"]:
            print(f"  {check['status']:8}{check['check']}: {check['detail']}")


if __name__ == "__main__":
    main()
