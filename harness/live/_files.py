"""Open files and ports, of which each connection takes one: raised before the start, or named."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np

from harness._refusal import UNUSABLE, Refusal
from scenarios import Scenario
from scenarios.draws import Stream, uniforms

_MOST_CONNECTIONS: Final = 8192  # each takes some 20 kB with its greenlet while a request is under way
_OTHER_FILES: Final = 200  # that this process has open beside its connections
_FEWEST_CONNECTIONS: Final = 16
_RAISED_TO: Final = 65536  # where there is no hard limit
_PORTS: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_BLOCK: Final = 2**17
_BLOCKS: Final = 8  # of the plan that are looked at


def most_connections() -> int:
    """Return how many requests this process can have under way at once, by its limit of open files."""
    return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, open_files() - _OTHER_FILES))


def open_files() -> int:
    """Return how many files this process may have open."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _RAISED_TO if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Let this process, and those that it starts, open as many files as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _RAISED_TO if hard == resource.RLIM_INFINITY else min(hard, _RAISED_TO)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # macOS has a lower limit of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_in_flight(scenario: Scenario) -> int:
    """Return about how many jobs are in flight at once at most, by the plan of the first repeat.

    Each has one request under way at most. Where jobs wait for each other, it may be all of them.
    """
    if scenario.target is not None:
        return scenario.target.limits.in_flight
    workload = scenario.workload
    if not workload.arrivals.is_open:
        return min(workload.lanes, workload.jobs or workload.lanes)
    blocks = list(islice(scenario.planned_blocks(0, _BLOCK), _BLOCKS))
    if not blocks:
        return 0
    begins = np.concatenate([block.times for block in blocks])
    if scenario.simulation.jobs_wait:
        return int(begins.size)
    draws = uniforms(scenario.seed, Stream.DURATION, np.concatenate([block.keys for block in blocks]))
    ends = np.sort(begins + scenario.simulation.job.duration.ppf(draws))
    # A job that ends at the moment at which another begins is still waited for.
    return int((np.arange(1, begins.size + 1) - np.searchsorted(ends, np.sort(begins), side="left")).max())


def check_files(scenario: Scenario, processes: int = 1) -> Iterator[str]:
    """Yield what ``processes`` that share this scenario may run short of, after raising what can be.

    Raises ``Refusal`` where no run is possible at all.
    """
    raise_limit()
    jobs, limit = most_in_flight(scenario), open_files()
    at_once = min(_MOST_CONNECTIONS, -(-jobs // processes))
    wanted = max(_FEWEST_CONNECTIONS, at_once) + _OTHER_FILES
    if limit >= wanted:
        return
    short = f"this process may have {limit:,} files open, and each connection is one"
    remedy = f"raise it first: ulimit -n {wanted} (above the hard limit an administrator must)"
    need = f"{scenario.name} has up to {jobs:,} jobs in flight at once"
    if limit < _FEWEST_CONNECTIONS + _OTHER_FILES:
        fewest = _FEWEST_CONNECTIONS + _OTHER_FILES
        raise Refusal(f"{short}; a run needs {fewest}, and {need}; {remedy}", UNUSABLE)
    yield (
        f"{short}, so that {limit - _OTHER_FILES:,} requests can be under way at once; {need}, and what "
        f"waits for a connection is late on record; {remedy}"
    )


def check_ports(scenario: Scenario) -> Iterator[str]:
    """Yield that the system has fewer ports for connections than the scenario has jobs in flight at once."""
    ports, at_once = ports_there_are(), min(_MOST_CONNECTIONS, most_in_flight(scenario))
    if ports is not None and ports < at_once:
        yield (
            f"this machine has {ports:,} ports for connections, and {scenario.name} up to {at_once:,} at "
            "once; give it more: sysctl -w net.ipv4.ip_local_port_range='1024 65535'"
        )


def ports_there_are() -> int | None:
    """Return how many ephemeral ports there are; None where the system does not say."""
    with contextlib.suppress(OSError, ValueError):
        first, last = map(int, _PORTS.read_text(encoding="ascii").split())
        return last - first + 1
    return None
