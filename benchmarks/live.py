"""The load generator beside Locust's own users, on one host that answers from constants.

Contenders run in turns, each in a process of its own, and each figure is the median over the rounds, so that
whatever else the machine does meets all of them alike. Polls are counted per second of *processor time* of
the contender's process: that is polls/s per core, also on a machine that is busy with something else.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3
POLLS = 20_000
CONTENDERS = ("lanes", "FastHttpUser", "HttpUser", "lanes over requests")
IN_FLIGHT = 100_000
LANES = 5_000


def main() -> None:
    """Print both tables."""
    with host() as url:
        compare(url)
        waiting(url)


@contextmanager
def host() -> Iterator[str]:
    """Serve for a while; yield the address."""
    command = [sys.executable, "-m", "benchmarks._live_host"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)


def told_by(*arguments: str) -> dict[str, Any]:
    """Return what a contender's process prints."""
    command = [sys.executable, "-m", "benchmarks._live_contender", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def compare(url: str) -> None:
    """All contenders in turns."""
    rates: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name in CONTENDERS:
            told = told_by(name, url, str(POLLS))
            rates[name].append(told["polls"] / told["cpu_s"])
    print(f"Polls per second of processor time, 64 at once ({ROUNDS} rounds in turns, medians)")
    print(f"{'':22}{'polls/s':>10}{'µs/poll':>10}{'x FastHttpUser':>16}{'x HttpUser':>12}")
    rate = {name: statistics.median(each) for name, each in rates.items()}
    for name, each in rate.items():
        beside = f"{each / rate['FastHttpUser']:16.2f}{each / rate['HttpUser']:12.2f}"
        print(f"{name:22}{each:10,.0f}{1e6 / each:10.1f}{beside}")
    print()


def waiting(url: str) -> None:
    """Jobs that wait, and lanes that start."""
    told = told_by("waiting", url, str(IN_FLIGHT))
    print(
        f"{told['jobs']:,.0f} jobs of 1,000 lanes in flight: {told['bytes_per_job']:,.0f} bytes a job",
        end=", ",
    )
    print(f"{told['peak_mb']:,.0f} MB in all")
    told = told_by("start", url, str(LANES))
    print(f"{LANES:,} lanes, from the start to the last first request: {told['seconds']:.2f} s")


if __name__ == "__main__":
    main()
