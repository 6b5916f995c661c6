"""Messages, rows and records for the tests of the live half."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from harness.live._messages import Rows, ShareDone
from harness.live._record import Record
from harness.measure import JobRow, PollRow
from scenarios import Scenario

ROOT = Path(__file__).resolve().parent.parent
STARTED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def live_run(file: Path, reports: Path) -> Path:
    """Run a scenario live, and return the folder of the only run there."""
    command = [sys.executable, "-m", "harness", "run", str(file), "--port", "0"]
    done = subprocess.run(
        [*command, "--reports", str(reports)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode in (0, 1), done.stderr  # 1: the machine was too slow to trust the timing
    (folder,) = reports.iterdir()
    return folder


def job_row(key: int = 1, planned_at_s: float = 0.0, setting: str = "quick") -> JobRow:
    """A completed job: one poll, detected 1 s after its plan, 0.25 s late."""
    return JobRow(
        setting=setting,
        repeat=0,
        key=key,
        lane=0,
        planned_at_s=planned_at_s,
        submitted_at_s=planned_at_s + 0.1,
        finished_at_s=planned_at_s + 0.75,
        detected_at_s=planned_at_s + 1.0,
        duration_s=0.65,
        outcome="completed",
        polls=1,
        wasted_polls=0,
        detection_lag_s=0.25,
        completion_latency_s=1.0,
        sent_at_s=planned_at_s,
    )


def poll_row(key: int = 1, setting: str = "quick") -> PollRow:
    """A first poll that was answered."""
    return PollRow(setting, 0, key, 1, 0.9, 0.9, 0.1, "200")


def rows(visit: int, *jobs: JobRow, submitted: int = 0) -> Rows:
    """What a process has measured: these jobs, one poll each."""
    return Rows(visit=visit, submitted=submitted, jobs=list(jobs), polls=[poll_row(job.key) for job in jobs])


def share_done(visit: int, ended_at_s: float = 3.0, failed_submissions: int = 0) -> ShareDone:
    """A process's last word on a visit."""
    return ShareDone(
        visit=visit,
        ended_at_s=ended_at_s,
        failed_submissions={"503": failed_submissions} if failed_submissions else {},
        cpu_mean=0.25,
        cpu_peak=0.5,
    )


def record_of(scenario: Scenario) -> Record:
    """An empty record of a run of the whole scenario."""
    return Record(STARTED_AT, scenario.visits())
