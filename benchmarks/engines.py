"""The twin's engines: the event engine against SimPy, the vector engine from 10 thousand to 10 million jobs.

What is compared side by side runs in turns, in one process, and each figure is the median over the rounds, so
that whatever else the machine does meets all of them alike. Memory is the peak of a process of its own.
"""

from __future__ import annotations

import gc
import resource
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from heapq import heappop, heapreplace
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from benchmarks._simpy_visit import SimpyVisit
from client import Poller, Wait
from harness.virtual import simulate_visit
from scenarios import Scenario, load_scenario
from server import Board

FOLDER = Path(__file__).parent
SETTING = "full-jitter"
ROUNDS = 7
SIZES = (10**4, 10**5, 10**6, 10**7)


class Measured(NamedTuple):
    """One run of the vector engine in a process of its own."""

    polls: int
    seconds: float
    peak_mb: float


def main() -> None:
    """Print both tables."""
    compare_events()
    for name in ("steady", "backoff"):
        scale_vector(name)


def compare_events() -> None:
    """One visit of 10,000 jobs by each contender, in turns."""
    scenario = load_scenario(FOLDER / "backoff.yaml")
    contenders: dict[str, Callable[[Scenario], int]] = {
        "event engine": events,
        "SimPy": lambda scenario: SimpyVisit(scenario, SETTING).run(),
        "client and service alone": alone,
        "bare heapq": bare_heap,
        "vector engine": vector,
    }
    costs: dict[str, list[float]] = {name: [] for name in contenders}
    polls: dict[str, int] = {}
    for _ in range(ROUNDS):
        for name, contender in contenders.items():
            gc.collect()
            started = time.perf_counter()
            polls[name] = contender(scenario)
            costs[name].append((time.perf_counter() - started) / polls[name])
    compared = {polls[name] for name in ("event engine", "SimPy", "vector engine")}
    assert len(compared) == 1, f"they did not send the same polls: {polls}"
    cost = {name: statistics.median(each) for name, each in costs.items()}
    print(f"One visit of 10,000 jobs, {polls['SimPy']:,} polls ({ROUNDS} rounds in turns, medians)")
    print(f"{'':26}{'µs/poll':>10}{'polls/s':>14}{'times SimPy':>13}")
    for name, each in cost.items():
        print(f"{name:26}{each * 1e6:10.2f}{1 / each:14,.0f}{cost['SimPy'] / each:13.2f}")
    floor = cost["client and service alone"]
    added = {name: (cost[name] - floor) * 1e6 for name in ("event engine", "SimPy")}
    print("Beyond client and service, the loop itself costs ", end="")
    print(f"{added['event engine']:.2f} µs/poll here and {added['SimPy']:.2f} in SimPy.\n")


def events(scenario: Scenario) -> int:
    """Run the event engine, with all its records."""
    return sum(part.polls.total for part in simulate_visit(scenario, SETTING, engine="event"))


def vector(scenario: Scenario) -> int:
    """Run the vector engine, with all its records."""
    return sum(part.polls.total for part in simulate_visit(scenario, SETTING, engine="vector"))


def alone(scenario: Scenario) -> int:
    """Run the shipped client and service without any engine: one job after another, nothing recorded."""
    policy, polls = scenario.settings[SETTING], 0
    for arrival in scenario.planned(0):
        board = Board(scenario.simulation, epoch=arrival.at)
        ticket, accepted = board.submit(arrival.at, arrival.key)
        poller = Poller(policy, lambda n, key=arrival.key: scenario.jitter(key, n))  # type: ignore[misc]
        command = poller.start(accepted.at)
        while isinstance(command, Wait):
            send = poller.wake(command.until)
            reply = board.poll(command.until, ticket, send.attempt)
            assert reply.job is not None  # nothing fails in this scenario
            command = poller.reply(reply.at, reply.job.status, reply.retry_after)
            polls += 1
    return polls


def bare_heap(scenario: Scenario) -> int:
    """As many events as there are polls, of as many jobs at once, and nothing done at any of them."""
    in_flight, polls_per_job = 2000, 11
    sequence = count()
    heap = [(index / in_flight, next(sequence), polls_per_job) for index in range(in_flight)]
    left = (scenario.workload.jobs or 0) - in_flight
    polls = 0
    while heap:
        at, _, more = heap[0]
        polls += 1
        if more > 1:
            heapreplace(heap, (at + 1.0, next(sequence), more - 1))
        elif left > 0:
            left -= 1
            heapreplace(heap, (at + 1.0, next(sequence), polls_per_job))
        else:
            heappop(heap)
    return polls


def scale_vector(name: str) -> None:
    """Run the same scenario with more and more jobs, each in a fresh process."""
    print(f"Vector engine, {name}.yaml (draws keyed by job and poll, arrivals and records included)")
    print(f"{'jobs':>12}{'polls':>14}{'seconds':>10}{'M polls/s':>12}{'ns/poll':>10}{'peak MB':>10}")
    for jobs in SIZES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            polls, seconds, peak_mb = pool.submit(measure_vector, name, jobs).result()
        rate = polls / seconds
        print(f"{jobs:12,}{polls:14,}{seconds:10.2f}{rate / 1e6:12.1f}{1e9 / rate:10.1f}{peak_mb:10.0f}")
    print()


def measure_vector(name: str, jobs: int) -> Measured:
    """Simulate one visit part by part; the best of three for what is over in a moment."""
    scenario = load_scenario(FOLDER / f"{name}.yaml")
    best, polls = float("inf"), 0
    for _ in range(3 if jobs < 10**7 else 1):
        started = time.perf_counter()
        polls = sum(part.polls.total for part in simulate_visit(scenario, SETTING, jobs=jobs))
        best = min(best, time.perf_counter() - started)
    # Linux counts in kB, macOS in bytes.
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Measured(polls, best, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
