"""How often two runs of one scenario are told apart, though nothing differs but the machine.

    python -m benchmarks aa
    python -m benchmarks.aa --pairs 20 --scenario scenarios/video-translation.yaml

In virtual time each run of a pair has a machine of its own, some per cent quicker or slower than a healthy
one (the standard deviation of its logarithm is given). Live, one run after the other is made and compared
with the one before it, so that N pairs take N + 1 runs: exit 0 is as good, 1 a false verdict, 2 not to be
trusted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from benchmarks.coverage import ROWS, machine_of
from harness.measure import Calibration, Run, RunUnusable, compare_runs, load_run
from harness.measure._basis import Basis, noise, residual_spread
from harness.measure._compare_sides import Pair, Side
from harness.measure._figures import Verdict
from harness.measure._folder import load_twin
from harness.measure._metrics import job_order
from harness.measure._verdicts import Margins, judge
from harness.virtual import calibrate, simulate, twin_of
from scenarios import Scenario

ROOT: Final = Path(__file__).resolve().parent.parent
SHORT: Final = """\
name: aa
seed: 7
job: {duration: {type: uniform, lower: 500ms, upper: 1500ms}}
service: {delay: 5ms}
workload: {lanes: 8, arrivals: {type: constant, rate: 20}, duration: 2s}
settings:
  constant-300ms: {curve: constant, initial: 300ms}
  exponential: {curve: exponential, initial: 200ms, maximum: 2s}
baseline: constant-300ms
objectives: {lag_mean: 1s}
"""
_VIRTUAL: Final = ("independent, 200 jobs", "slots 10, 90 %", "rate limit 40/s")
_SPREADS: Final = (0.1, 0.3)
_TOLD: Final = {"better", "worse"}


def main(arguments: Sequence[str] = ()) -> None:
    """Print the shares of pairs with a false verdict, in virtual time and live."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aa")
    parser.add_argument("--pairs", type=int, default=2, help="of live runs")
    parser.add_argument("--virtual", type=int, default=20, metavar="PAIRS", help="of runs in virtual time")
    parser.add_argument("--scenario", type=Path, help="that is run live; without one, a run of ten seconds")
    parser.add_argument("--reports", type=Path, help="where the live runs are kept")
    asked = parser.parse_args(arguments)
    if asked.virtual:
        print("one seed, two machines: share of pairs with any better or worse, with 3 s_AA and without")
    for name in _VIRTUAL if asked.virtual else ():
        calibration = calibrate(ROWS[name].scenario(1), 1)
        for spread in _SPREADS:
            seeds = range(10**6, 10**6 + asked.virtual)
            told = [told_apart(ROWS[name].scenario(seed), calibration, spread) for seed in seeds]
            shares = np.mean(told, axis=0) * 100
            said = f"{shares[0]:5.1f} %  {shares[1]:5.1f} %"
            print(f"  {name:24s} machines differ by {spread:4.0%}: {said}", flush=True)
    if asked.pairs:
        with tempfile.TemporaryDirectory() as folder:
            print_live(asked.scenario, asked.reports or Path(folder), asked.pairs)


def told_apart(scenario: Scenario, calibration: Calibration, spread: float) -> tuple[bool, bool]:
    """Say whether anything is better or worse between two runs of one seed; the second: without s_AA."""
    speeds = np.exp(spread * np.random.default_rng(scenario.seed).standard_normal(2)).tolist()
    runs = [simulate(scenario, overhead=machine_of(speed, k)).run for k, speed in enumerate(speeds)]
    return verdicts_between(scenario, runs, calibration)


def verdicts_between(scenario: Scenario, runs: Sequence[Run], calibration: Calibration) -> tuple[bool, bool]:
    """Say whether anything is better or worse between two runs; the second: without s_AA."""
    basis = Basis("twin", "", calibration, independent=runs[0].info.waiting is None)
    jobs = [job_order(run.jobs) for run in runs]
    twin = twin_of(scenario, runs[0], None)
    residuals: dict[str, list[float]] = {}
    for each in jobs:
        for figure, off in residual_spread(each, twin, ()).items():
            residuals.setdefault(figure, []).extend(off)
    without, both = (_verdicts(jobs, basis, known, scenario.margin) for known in ({}, residuals))
    return bool(both & _TOLD), bool(without & _TOLD)


def _verdicts(
    jobs: Sequence[Mapping[str, pl.DataFrame]],
    basis: Basis,
    residuals: Mapping[str, Sequence[float]],
    margin: float,
) -> set[Verdict]:
    differences = []
    for name in jobs[0]:
        theirs, ours = (Side(name, each[name], basis, None) for each in jobs)
        differences += Pair(name, ours, theirs, residuals, shared=True).differences(())
    return {row.verdict for row in judge(differences, Margins.of(margin, residuals))}


def print_live(scenario: Path | None, reports: Path, pairs: int) -> None:
    """Make the runs and compare each with the one before; print the exit codes and s_AA."""
    reports.mkdir(parents=True, exist_ok=True)
    if scenario is None:
        scenario = reports / "aa.yaml"
        scenario.write_text(SHORT, encoding="utf-8")
    codes: Counter[int] = Counter()
    before: Path | None = None
    for number in range(pairs + 1):
        folder = reports / f"run-{number:03d}"
        command = [sys.executable, "-m", "harness", "run", str(scenario), "--port", "0"]
        ended = subprocess.run([*command, "--reports", str(folder)], cwd=ROOT, capture_output=True, text=True)
        after = max(
            folder.iterdir(), key=lambda each: each.stat().st_mtime_ns
        )  # it may have runs from before
        said = f"  run {number}: exit {ended.returncode}, {_machine_noise(after)}"
        if before is not None:
            try:
                found = compare_runs(before, after)
            except RunUnusable as error:
                codes[2] += 1
                said += f"; compare exits 2: {str(error)[:160]}"
            else:
                codes[found.exit_code] += 1
                said += (
                    f"; compare exits {found.exit_code}{': ' if found.worse else ''}{', '.join(found.worse)}"
                )
        print(said, flush=True)
        before = after
    print(f"live: of {pairs} pairs compare exits 0, 1, 2 in {codes[0]}, {codes[1]}, {codes[2]}")


def _machine_noise(folder: Path) -> str:
    """Return s_AA of lag and polls, of a run in its folder."""
    run, twin = load_run(folder), load_twin(folder)
    off = residual_spread(job_order(run.jobs), twin, ())
    lag, polls = (noise(off.get(figure, ())) for figure in ("detection_lag_s", "polls_per_job"))
    return f"s_AA of the lag {lag * 1e3:.1f} ms, of polls per job {polls:.3f}"


if __name__ == "__main__":
    main(sys.argv[1:])
