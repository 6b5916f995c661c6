"""One contender of the benchmark of load generators, in a process of its own: what its polls cost.

``python -m benchmarks._live_contender NAME URL [COUNT]`` prints figures as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import psutil
from gevent.event import Event
from locust import FastHttpUser, HttpUser, constant, task
from locust.env import Environment
from locust.exception import StopUser

from benchmarks._live_host import POLLS_PER_JOB
from harness.live._lanes import LoadGenerator
from harness.live._messages import Message, Rows, ShareDone, StartVisit
from scenarios import load_scenario

AT_ONCE = 64
LONGEST_S = 60
"""After which a round, or what is measured once, ends this process."""


def begun(*lines: str) -> tuple[LoadGenerator, list[Message]]:
    """Return lanes of a scenario, with Locust's statistics, and the messages that they will send."""
    environment = Environment()
    environment.create_local_runner()  # it hangs the statistics on the events
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "benchmark.yaml")
        path.write_text("\n".join(["name: benchmark", "job: {duration: 1s}", *lines, ""]))
        scenario = load_scenario(path)
    told: list[Message] = []
    return LoadGenerator(scenario, told.append, environment.events.request.fire), told


def start(lanes: LoadGenerator, url: str, own: range) -> None:
    """Start a visit now."""
    visit = StartVisit(visit=1, setting="quick", repeat=0, host=url, lanes=list(own), starts_in=0.0)
    lanes.start(visit)


def generator(url: str, polls: int, transport: str = "lean") -> int:
    """Our lanes, with Locust's statistics and every row recorded and handed over."""
    lanes, told = begun(
        f"workload: {{lanes: {AT_ONCE}, arrivals: {{type: closed}}, jobs: {polls // POLLS_PER_JOB}, "
        f"transport: {transport}}}",
        "settings: {quick: {curve: constant, initial: 1ms}}",
    )
    start(lanes, url, range(AT_ONCE))
    while not any(isinstance(each, ShareDone) for each in told):
        gevent.sleep(0.05)
    return sum(len(each.polls) for each in told if isinstance(each, Rows))


def over_requests(url: str, polls: int) -> int:
    """Our lanes over requests."""
    return generator(url, polls, "requests")


def users(base: type[Any], url: str, polls: int) -> int:
    """Locust's own users, each of which reads the status and its JSON again and again."""
    left, over = [polls], Event()

    class Reader(base):  # type: ignore[misc]
        host = url
        wait_time = constant(0)

        @task  # type: ignore[untyped-decorator]
        def read(self) -> None:
            left[0] -= 1
            if left[0] < 0:
                over.set()
                raise StopUser
            with self.client.get("/jobs/some-job-of-a-benchmark", name="quick", catch_response=True) as reply:
                assert reply.json()["status"] == "pending"

    environment = Environment(user_classes=[Reader])
    runner = environment.create_local_runner()
    runner.start(AT_ONCE, spawn_rate=AT_ONCE)
    over.wait()
    runner.quit()  # not by a user: it would wait for itself
    return int(environment.stats.total.num_requests)


def fast_http_user(url: str, polls: int) -> int:
    """Locust's FastHttpUser."""
    return users(FastHttpUser, url, polls)


def http_user(url: str, polls: int) -> int:
    """Locust's HttpUser."""
    return users(HttpUser, url, polls)


CONTENDERS: dict[str, Callable[[str, int], int]] = {
    "lanes": generator,
    "FastHttpUser": fast_http_user,
    "HttpUser": http_user,
    "lanes over requests": over_requests,
}


def serve(name: str, url: str) -> None:
    """Run one contender for each line of standard input, a number of polls, and print what they took."""
    contender = CONTENDERS[name]
    signal.alarm(LONGEST_S)
    contender(url, 500)  # imports, connections, caches
    print("ready", flush=True)
    for line in sys.stdin:
        signal.alarm(LONGEST_S)
        cpu = time.process_time()
        done = contender(url, int(line))
        print(json.dumps({"polls": done, "cpu_s": time.process_time() - cpu}), flush=True)


def waiting(url: str, jobs: int) -> dict[str, float]:
    """Submit so many jobs, whose first polls are far away; return what each takes of memory."""
    lanes, told = begun(
        f"workload: {{lanes: 1000, arrivals: {{type: constant, rate: 5000}}, jobs: {jobs}}}",
        "settings: {quick: {curve: constant, initial: 1h}}",
    )
    before = resident()
    start(lanes, url, range(1000))
    submitted = until_submitted(told, jobs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"jobs": submitted, "bytes_per_job": (resident() - before) / submitted, "peak_mb": peak}


def until_submitted(told: list[Message], jobs: int) -> int:
    """Return how many jobs were submitted: all of them, or those until there is no time for more."""
    submitted, until = 0, time.perf_counter() + LONGEST_S - 15.0
    while submitted < jobs and time.perf_counter() < until:
        gevent.sleep(0.05)
        submitted = sum(each.submitted for each in told if isinstance(each, Rows))
    return submitted


def first_requests(url: str, count: int) -> dict[str, float]:
    """Start so many lanes of a closed loop; return the seconds until each has submitted a job."""
    lanes, told = begun(
        f"workload: {{lanes: {count}, arrivals: {{type: closed}}, jobs: {count}}}",
        "settings: {quick: {curve: constant, initial: 1h}}",
    )
    began = time.perf_counter()
    start(lanes, url, range(count))
    assert until_submitted(told, count) == count
    return {"seconds": time.perf_counter() - began}


def resident() -> int:
    """Return the bytes of this process that are in memory."""
    return int(psutil.Process().memory_info().rss)


def main(name: str, url: str, *count: str) -> None:
    """Run one contender again and again, or measure what waits and starts once."""
    others = {"waiting": waiting, "start": first_requests}
    if name in others:
        signal.alarm(LONGEST_S)
        print(json.dumps(others[name](url, int(count[0]))), flush=True)
    else:
        serve(name, url)
    os._exit(0)  # jobs may still wait


if __name__ == "__main__":
    main(*sys.argv[1:])
