"""Reading a million recorded durations: ``load_scenario`` against the csv module and pandas, if it is there.

The rivals do the least that could be called reading: one column of text to floats, with no check of a cell.
All run in turns, each in a fresh process, and each figure is the median over the rounds; the time of starting
Python and of importing is counted, for it is what a command costs.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

ROWS: Final = 10**6
ROUNDS: Final = 5

SCENARIO: Final = """\
name: traces
job: {duration: {type: trace, file: FILE, KEYS}}
workload: {lanes: 10, arrivals: {type: constant, rate: 10}, jobs: 200}
settings: {one: {curve: constant, initial: 1s}}
"""
OURS: Final = "from scenarios import load_scenario; load_scenario('{}')"
NOTHING: Final = "import scenarios"
CSV_MODULE: Final = """
import csv
with open('{}', newline='') as stream:
    rows = csv.reader(stream)
    at = next(rows).index('seconds')
    [float(row[at]) for row in rows]
"""
PANDAS: Final = "import pandas; pandas.read_csv('{}', usecols=['seconds'])['seconds'].to_numpy()"


def main() -> None:
    """Print a table of seconds, and of each as a multiple of the csv module's."""
    with tempfile.TemporaryDirectory() as name:
        contenders = _contenders(Path(name))
        spent: dict[str, list[tuple[float, float]]] = {each: [] for each in contenders}
        for _ in range(ROUNDS):
            for each, code in contenders.items():
                spent[each].append(_spent(code))
    print(f"Reading {ROWS:,} rows, median of {ROUNDS} rounds (wall clock; processor time)")
    least = statistics.median(wall for wall, _ in spent["csv module"])
    for each, times in spent.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"{each:42}{wall:8.2f} s{cpu:8.2f} s{wall / least:8.2f} x")


def _contenders(folder: Path) -> Mapping[str, str]:
    """Write the files; return the code of each contender."""
    drawn = np.random.default_rng(1)
    took = drawn.lognormal(3.0, 0.8, ROWS)
    began = 1_700_000_000 + np.cumsum(drawn.exponential(0.01, ROWS))
    rows = zip(began.tolist(), (began + took).tolist(), took.tolist(), strict=True)
    csv_file, json_file = folder / "t.csv", folder / "t.jsonl"
    with csv_file.open("w") as table, json_file.open("w") as lines:
        table.write("id,status,began,ended,seconds\n")
        for index, (start, end, seconds) in enumerate(rows):
            status = "failed" if index % 7 == 0 else "success"
            table.write(f"{index},{status},{start:.3f},{end:.3f},{seconds:.3f}\n")
            lines.write(f'{{"id": {index}, "status": "{status}", "seconds": {seconds:.3f}}}\n')
    keys = {
        "load_scenario": (csv_file, "column: seconds"),
        "load_scenario, where": (csv_file, 'column: seconds, where: status == "success"'),
        "load_scenario, start and end": (csv_file, "start: began, end: ended"),
        "load_scenario, JSON lines": (json_file, "column: seconds"),
    }
    ours = {}
    for number, (name, (file, more)) in enumerate(keys.items()):
        scenario = folder / f"{number}.yaml"
        scenario.write_text(SCENARIO.replace("FILE", str(file)).replace("KEYS", more))
        ours[name] = OURS.format(scenario)
    pandas = {"pandas, unchecked": PANDAS.format(csv_file)} if find_spec("pandas") else {}
    rivals = {"csv module": CSV_MODULE.format(csv_file), **pandas}
    return {**ours, "load_scenario of no trace (imports alone)": NOTHING, **rivals}


def _spent(code: str) -> tuple[float, float]:
    """Return the wall-clock and processor seconds of a process that runs the code."""
    before, started = os.times(), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    wall, after = time.perf_counter() - started, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system
