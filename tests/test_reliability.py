"""What ends processes at any moment, and what is left of a run then; the table in docs/reliability.md.

The moments are drawn from a seed, so that a failure can be repeated.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

import psutil
import pytest
from live_parts import ROOT
from test_end_to_end import LOCUST, arguments, simulator_of, started, two_processes, wait_for

from harness.live import recover
from harness.measure import RunUnusable, load_run
from scenarios.draws import Stream, uniform

SCENARIO: Final = """\
name: short
seed: 7
job: {duration: {type: uniform, lower: 300ms, upper: 900ms}}
service: {delay: 5ms}
workload: {lanes: 4, arrivals: {type: constant, rate: 20}, duration: 2s}
settings:
  quick: {curve: constant, initial: 100ms, deadline: 20s}
  slow: {curve: constant, initial: 300ms, deadline: 20s}
"""
KILLS: Final = 20
KINDS: Final = ("master", "worker", "simulator", "report")
QUICK: Final = ("master", 1)  # a master with two workers, early in the load
LEFT_S: Final = 5.0  # in which every process must be gone


def reporter_of(locust: subprocess.Popen[str]) -> psutil.Process | None:
    return descendant(locust, "report")


def worker_of(locust: subprocess.Popen[str]) -> psutil.Process | None:
    return descendant(locust, "locust")


def descendant(locust: subprocess.Popen[str], word: str) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(locust.pid).children(recursive=True):
            if word in child.cmdline():
                return child
    return None


def journal_of(reports: Path) -> Path | None:
    return next(reports.glob("*/rows.journal"), None)


def kill_at_some_moment(kind: str, seed: int, folder: Path) -> tuple[int, str, Path | None]:
    """Run, kill a process of the kind at a moment of the load, or of the report; return the run's end.

    That is the exit status, what was said, and the run's folder, if it has one. Every process must be gone in
    time.
    """
    (folder / "short.yaml").write_text(SCENARIO)
    reports, draw = folder / "reports", uniform(KINDS.index(kind), Stream.JITTER, seed, 0)
    more = two_processes() if kind == "worker" or seed % 2 else []
    with started([*LOCUST, *arguments(folder / "short.yaml"), *more]) as locust:
        wait_for(lambda: journal_of(reports) or locust.poll() is not None, "a journal", 120)
        if kind == "report":
            victim = wait_for(lambda: reporter_of(locust), "the process of the report", 120)
            time.sleep(draw * 2.0)
        else:
            time.sleep(draw * 6.0)
            victim = {
                "master": lambda: psutil.Process(locust.pid),
                "worker": lambda: worker_of(locust),
                "simulator": lambda: simulator_of(locust),
            }[kind]()
        family = [psutil.Process(locust.pid), *psutil.Process(locust.pid).children(recursive=True)]
        if victim is not None:
            with contextlib.suppress(psutil.NoSuchProcess):  # it was quicker
                victim.send_signal(signal.SIGKILL)
        output, errors = locust.communicate(timeout=180)
        _, alive = psutil.wait_procs([each for each in family if each.pid != locust.pid], LEFT_S)
        for each in alive:
            each.kill()
    assert alive == [], f"{kind} {seed}: left behind: {alive}"
    return locust.returncode, output + errors, next(reports.iterdir(), None)


def check_what_is_left(kind: str, seed: int, folder: Path) -> str:
    """Kill at some moment and hold what is left against the table; return what it was."""
    status, said, run = kill_at_some_moment(kind, seed, folder)
    if run is None:  # killed before the first job was submitted
        assert status == 1, said
        return "nothing was measured"
    if kind == "master":
        assert status == -signal.SIGKILL or status in (0, 1)
        try:
            found = recover(run)
        except RunUnusable:  # killed before the first entry was there
            assert (run / "rows.journal").stat().st_size == 0
            return "nothing was measured"
        kept = load_run(run)
        if found is None:
            return "the folder was whole"
        assert kept.info.incomplete
        assert (kept.jobs.height, sum(each.total for each in kept.polls)) == (found.jobs, found.polls)
        assert kept.jobs["polls"].sum() == found.polls  # those of jobs that were under way included
        assert not (run / "rows.journal").exists()
        return "the journal was whole"
    kept = load_run(run)
    assert kept.jobs.height > 0 or kept.info.incomplete
    if (run / "results.json").is_file():
        assert status in (0, 1), said
        return "a report, " + ("complete" if kept.info.incomplete is None else "incomplete")
    assert status == 1, said
    assert f"rows are in {run}" in said
    return "the rows were whole"


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        pytest.param(kind, seed, marks=[] if (kind, seed) == QUICK else pytest.mark.slow)
        for kind in KINDS
        for seed in range(KILLS)
    ],
)
def test_a_kill_at_any_moment_leaves_rows_and_no_process(kind: str, seed: int, tmp_path: Path) -> None:
    """What was measured is there or in a journal, the status tells, and all other processes end."""
    assert check_what_is_left(kind, seed, tmp_path)


def test_each_row_of_the_table_names_tests_that_there_are() -> None:
    """What docs/reliability.md promises is proved by a file of tests."""
    text = (ROOT / "docs" / "reliability.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 15
    for row in rows:
        files = re.findall(r"`(test_\w+\.py)`", row)
        assert files or row.endswith("| the same |"), row
        assert all((ROOT / "tests" / file).is_file() for file in files), row
