"""What a setting would cost on an ideal network: its polling schedule laid over the very jobs of the run."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heapreplace
from itertools import islice
from typing import NamedTuple

from client import PollingPolicy
from scenarios._scenario import Scenario

_MOST_JOBS = 2_000
_MOST_POLLS = 10_000


class Estimate(NamedTuple):
    """One visit of a setting, by its first jobs."""

    jobs: int
    """Jobs looked at."""
    all_jobs: bool
    """Whether these are all the jobs of a visit."""
    polls_per_job: float
    seconds: float
    """From the visit's start until the last of these jobs is found done."""


def estimate(scenario: Scenario, name: str) -> Estimate:
    """Estimate the first visit of a setting.

    Counted are the cadence, its jitter, the deadline and the mean delay of replies; not counted are failed
    reads, hints, and waits for slots, capacity or tokens.
    """
    policy = scenario.settings[name]
    delay = scenario.service.delay
    reply = delay.mean() if delay is not None else 0.0
    walk = _open_loop if scenario.workload.arrivals.is_open else _closed_loop
    polls, ends = [], []
    for end, count in islice(walk(scenario, policy, reply), _MOST_JOBS + 1):
        ends.append(end)
        polls.append(count)
    return Estimate(
        len(polls), len(polls) <= _MOST_JOBS, sum(polls) / max(1, len(polls)), max(ends, default=0.0)
    )


def _open_loop(scenario: Scenario, policy: PollingPolicy, reply: float) -> Iterator[tuple[float, int]]:
    for arrival in scenario.planned(0):
        polls, seconds = _polls(scenario, policy, arrival.key, reply)
        yield arrival.at + reply + seconds, polls


def _closed_loop(scenario: Scenario, policy: PollingPolicy, reply: float) -> Iterator[tuple[float, int]]:
    lanes = scenario.workload.lanes
    free = [(0.0, lane, 0) for lane in range(lanes)]
    heapify(free)
    over = 0
    while over < lanes:
        at, lane, iteration = free[0]
        if at == float("inf"):
            return
        if scenario.workload.is_over(at, lane + iteration * lanes):
            over += 1
            heapreplace(free, (float("inf"), lane, iteration))
            continue
        key = scenario.closed_key(0, lane, iteration)
        polls, seconds = _polls(scenario, policy, key, reply)
        end = at + reply + seconds
        heapreplace(free, (end + scenario.think_time(key), lane, iteration + 1))
        yield end, polls


def _polls(scenario: Scenario, policy: PollingPolicy, key: int, reply: float) -> tuple[int, float]:
    """Return how many polls find the job done, and when that is, counted from the submit reply."""
    duration = scenario.duration(key)
    deadline = float("inf") if policy.deadline is None else policy.deadline
    budget = min(policy.max_attempts or _MOST_POLLS, _MOST_POLLS)
    at, previous, wait, polls = 0.0, None, 0, 0
    if policy.first_poll == "immediately":
        at, polls = reply, 1
    while at < min(duration, deadline) and polls < budget:
        wait += 1
        previous = policy.cadence.delay(wait, previous, scenario.jitter(key, wait))
        at = min(at + previous, deadline) + reply
        polls += 1
    return polls, at
