"""The simulator's host against plain Flask, mountebank and json-server, and how exactly it keeps a delay.

The last two need npm, and are left out where it is not, with the reason.

The contenders run at the same time and are loaded in turns, so that whatever else the machine does meets all
of them alike; figures are medians over the rounds. Beside replies per second stands what the server's own
processor time gives, for that is what a core can do when nobody else wants it.
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
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import requests

from benchmarks._load import latencies
from benchmarks._node import PACKAGES, installed, serving

ROUNDS = 5
SECONDS = 3.0
CONNECTIONS = 64
JOBS = 64
DELAY_S = 0.05
DELAYED_CONNECTIONS = 500

FREE = """
seed: 1
job: {duration: 1h}
service:
  delay: {type: lognormal, median: 1us, sigma: 0.5}
  faults: [{status: 503, rate: 0.01, retry_after: 1s}, {fault: MALFORMED_JSON, rate: 0.002}]
"""
DELAYED = f"job: {{duration: 1h}}\nservice: {{delay: {DELAY_S}}}\n"


class Server(NamedTuple):
    """A contender: where it listens and what it is asked for."""

    process: psutil.Process
    port: int
    paths: list[str]


def main(rounds: int = ROUNDS, seconds: float = SECONDS) -> None:
    """Print both tables."""
    with TemporaryDirectory() as folder:
        compare(Path(folder), rounds, seconds)
        keep_a_delay(Path(folder), rounds, seconds)


def compare(folder: Path, rounds: int, seconds: float) -> None:
    """Load the simulator and the others in turns."""
    rates: dict[str, list[float]] = {}
    per_core: dict[str, list[float]] = {}
    with ExitStack() as stack:
        contenders = {
            "simulator": stack.enter_context(simulator(folder, FREE)),
            "plain Flask + jsonify": stack.enter_context(plain_flask()),
        }
        if (why := installed(folder)) is not None:
            print(f"without {', '.join(PACKAGES)}: {why}")
        else:
            ids = [f"{'x' * 85}{key:03}" for key in range(JOBS)]
            for name in PACKAGES:
                process, port = stack.enter_context(serving(name, folder, ids))
                contenders[name] = Server(process, port, [f"/jobs/{each}" for each in ids])
        for _ in range(rounds):
            for name, server in contenders.items():
                before = sum(server.process.cpu_times()[:2])
                took = latencies(server.port, server.paths, CONNECTIONS, seconds)
                cpu = sum(server.process.cpu_times()[:2]) - before
                rates.setdefault(name, []).append(len(took) / seconds)
                per_core.setdefault(name, []).append(len(took) / cpu)
    print(f"Status requests, {CONNECTIONS} connections ({rounds} rounds of {seconds:g} s in turns, medians)")
    print(f"{'':24}{'status/s':>12}{'per s of CPU':>14}{'times Flask':>13}{'(by CPU)':>10}")
    flask = [statistics.median(each["plain Flask + jsonify"]) for each in (rates, per_core)]
    for name in rates:
        rate, core = statistics.median(rates[name]), statistics.median(per_core[name])
        print(f"{name:24}{rate:12,.0f}{core:14,.0f}{rate / flask[0]:13.2f}{core / flask[1]:10.2f}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")


def keep_a_delay(folder: Path, rounds: int, seconds: float) -> None:
    """Ask for replies of 50 ms over 500 connections."""
    ideal = DELAYED_CONNECTIONS / DELAY_S
    print(f"Replies of {DELAY_S * 1e3:g} ms, {DELAYED_CONNECTIONS} connections, ideal {ideal:,.0f}/s")
    print(f"{'':24}{'status/s':>12}{'of ideal':>10}{'late by ms: p50':>17}{'p99':>8}{'max':>8}")
    with simulator(folder, DELAYED) as server:
        for number in range(rounds):
            took = latencies(server.port, server.paths, DELAYED_CONNECTIONS, seconds)
            late = sorted((each - DELAY_S) * 1e3 for each in took)
            rate = len(took) / (seconds - DELAY_S)
            shown = "".join(f"{late[int(len(late) * q)]:{w}.2f}" for q, w in ((0.5, 17), (0.99, 8)))
            print(f"{f'round {number + 1}':24}{rate:12,.0f}{rate / ideal:10.1%}{shown}{late[-1]:8.2f}")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n")


@contextmanager
def simulator(folder: Path, scenario: str) -> Iterator[Server]:
    """Run ``python -m server`` with jobs of an hour."""
    file = folder / "scenario.yaml"
    file.write_text(scenario)
    command = [sys.executable, "-m", "server", "--scenario", str(file), "--port", "0", "--ready-fd", "1"]
    with started([*command, "--exit-with-parent"]) as (process, line):
        url = json.loads(line)["url"]
        ids = [requests.post(f"{url}/jobs", json={"key": key}, timeout=9).json()["id"] for key in range(JOBS)]
        yield Server(process, int(url.rpartition(":")[2]), [f"/jobs/{each}" for each in ids])


@contextmanager
def plain_flask() -> Iterator[Server]:
    """Run the contender."""
    with started([sys.executable, "-m", "benchmarks._plain_flask"]) as (process, line):
        yield Server(process, int(line), [f"/jobs/{'x' * 85}{key:03}" for key in range(JOBS)])


@contextmanager
def started(command: list[str]) -> Iterator[tuple[psutil.Process, str]]:
    """Run a command that says in one line where it listens, until the block ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert process.stdout
        yield psutil.Process(process.pid), process.stdout.readline()
    finally:
        process.kill()
        process.communicate()
