"""Load a simulator for a second and say what each side took; ``_machine`` runs it in a process of its own.

For it needs Locust, whose statistics are part of what a request costs, and which patches the process. The
figures are requests per second of *processor time*, so that other work on the machine hardly counts.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import gevent
import msgspec
from locust.env import Environment

from harness.live._lanes import LoadGenerator
from harness.live._machine import Capacity
from harness.live._messages import Message, StartVisit
from harness.live._process import SimulatorProcess
from scenarios import load_scenario

_LANES: Final = 64
_WARM_S: Final = 0.3  # connections, caches
_SECONDS: Final = 1.0
_SCENARIO: Final = """
name: calibration
job: {duration: {type: exponential, mean: 200ms}}
service: {delay: {type: lognormal, median: 100us, sigma: 0.4}}
workload: {lanes: @LANES@, arrivals: {type: closed}, duration: 60s, transport: @TRANSPORT@}
settings: {quick: {curve: constant, initial: 1ms}}
"""


def capacity(transport: str) -> Capacity:
    """Poll as fast as it goes, and return what a core would do."""
    environment = Environment()
    environment.create_local_runner()  # it hangs Locust's statistics on the events
    with tempfile.TemporaryDirectory(prefix="backoff-calibration-") as folder:
        path = Path(folder, "calibration.yaml")
        path.write_text(_SCENARIO.replace("@LANES@", str(_LANES)).replace("@TRANSPORT@", transport))
        scenario = load_scenario(path)
        simulator = SimulatorProcess.start(path, "127.0.0.1", 0)
        try:
            told: list[Message] = []
            generator = LoadGenerator(scenario, told.append, environment.events.request.fire)
            host, lanes = simulator.url, list(range(_LANES))
            generator.start(
                StartVisit(visit=1, setting="quick", repeat=0, host=host, lanes=lanes, starts_in=0.0)
            )
            gevent.sleep(_WARM_S)
            before, own_before = simulator.counters(), time.process_time()
            gevent.sleep(_SECONDS)
            after, own_after = simulator.counters(), time.process_time()
            generator.abort()
        finally:
            simulator.stop()
    done = sum(after[name] - before[name] for name in ("polls", "submissions"))
    return Capacity(
        generator=_rounded(done / (own_after - own_before)),
        simulator=_rounded(done / (after["cpu_seconds"] - before["cpu_seconds"])),
    )


def _rounded(per_second: float) -> float:
    return float(f"{per_second:.2g}")


def main(transport: str) -> None:
    """Print the capacity as JSON."""
    sys.stdout.buffer.write(msgspec.json.encode(capacity(transport)))
