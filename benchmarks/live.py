"""The load generator beside Locust's own users, on one host that answers from constants; then the simulator.

Contenders take turns, each in a process of its own that stays, and polls are counted per second of that
process's *processor time*: polls/s per core, also on a machine that is busy with something else. What stands
beside another is compared within each round; told are the median of the rounds, the least and the most. All
of it takes some two minutes on an idle machine, and is bounded on any.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks import server

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 5
POLLS = {"lanes": 6000, "FastHttpUser": 4000, "HttpUser": 1500, "lanes over requests": 1200}
"""Polls of each contender in a round: about half a second of a core."""
IN_FLIGHT = 100_000
LANES = 5_000


def main() -> None:
    """Print all tables."""
    with host() as url:
        compare(url)
        waiting(url)
    server.main(rounds=3, seconds=1.5)


@contextmanager
def host() -> Iterator[str]:
    """Serve for a while; yield the address."""
    with started("benchmarks._live_host") as process:
        assert process.stdout
        yield process.stdout.readline().strip()


@contextmanager
def started(*module: str) -> Iterator[subprocess.Popen[str]]:
    """Run a module of this package that ends with its standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def compare(url: str) -> None:
    """All contenders in turns."""
    costs: dict[str, list[float]] = {name: [] for name in POLLS}
    with ExitStack() as stack:
        contenders = {
            name: stack.enter_context(started("benchmarks._live_contender", name, url)) for name in POLLS
        }
        for process in contenders.values():
            told_by(process)  # it is ready
        for _ in range(ROUNDS):
            for name, process in contenders.items():
                assert process.stdin
                print(POLLS[name], file=process.stdin, flush=True)
                told = json.loads(told_by(process))
                costs[name].append(told["cpu_s"] / told["polls"])
    print(f"A poll, everything recorded, 64 at once, by processor time ({ROUNDS} rounds in turns, medians)")
    print(f"{'':22}{'µs/poll':>10}{'polls/s':>10}{'times FastHttpUser':>26}{'times HttpUser':>26}")
    for name, each in costs.items():
        cost = statistics.median(each)
        beside = "".join(f"{times(costs[other], each):>26}" for other in ("FastHttpUser", "HttpUser"))
        print(f"{name:22}{1e6 * cost:10.1f}{1 / cost:10,.0f}{beside}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n", flush=True)


def times(others: list[float], own: list[float]) -> str:
    """Say how many times as fast the contender was as another, round by round."""
    ratios = sorted(other / each for other, each in zip(others, own, strict=True))
    return f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"


def told_by(process: subprocess.Popen[str]) -> str:
    """Return the next line of a contender, which ends by itself when it takes too long."""
    assert process.stdout
    line = process.stdout.readline()
    assert line, f"{process.args} has ended"
    return line


def waiting(url: str) -> None:
    """Jobs that wait, and lanes that start."""
    told = once("waiting", url, IN_FLIGHT)
    print(
        f"{told['jobs']:,.0f} of {IN_FLIGHT:,} jobs of 1,000 lanes in flight: "
        f"{told['bytes_per_job']:,.0f} bytes a job, {told['peak_mb']:,.0f} MB in all"
    )
    told = once("start", url, LANES)
    print(f"{LANES:,} lanes, from the start to the last first request: {told['seconds']:.2f} s\n", flush=True)


def once(name: str, url: str, count: int) -> dict[str, Any]:
    """Return what a process measures once."""
    command = [sys.executable, "-m", "benchmarks._live_contender", name, url, str(count)]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


if __name__ == "__main__":
    main()
