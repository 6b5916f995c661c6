"""What is polled: something at an address, which may be able to start afresh and to tell its own counts."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any, Protocol

import psutil

from harness.live._cpu import ProcessesMeter
from harness.live._process import SimulatorError, SimulatorProcess
from harness.measure import ServerCounts
from scenarios import Address
from scenarios import Target as OwnApiTarget


class Target(Protocol):
    """What the conductor needs of whatever is polled; no method raises."""

    @property
    def url(self) -> str:
        """Return the address that lanes submit to and poll."""

    def reset(self, lead_s: float) -> float:
        """Start afresh, counts and scenario clock, ``lead_s`` seconds after it was told; if it can.

        Return how long ago that was by now, in seconds.
        """

    def sample(self) -> None:
        """Look at what it costs its machine; called many times a second during a visit."""

    def counters(self) -> ServerCounts | None:
        """Return its counts since the last reset, None when it cannot tell them: a matter for trust."""

    def death(self) -> str | None:
        """Return why it is gone for good, in one line; None while it lives, or is not ours to watch."""

    def close(self) -> None:
        """Let go of it, and end it if it was started for this run."""


class OwnTarget:
    """The user's own API: it is there, starts nothing afresh, and counts nothing for us."""

    def __init__(self, target: OwnApiTarget) -> None:
        self._target = target

    @property
    def url(self) -> str:
        """Return its base address."""
        return self._target.base_url

    def reset(self, lead_s: float) -> float:  # noqa: ARG002 - what is not done needs no lead
        """Do nothing: a service does not start afresh for us."""
        return 0.0

    def sample(self) -> None:
        """Do nothing: its machine is not ours to look at."""

    def counters(self) -> ServerCounts | None:
        """Return None: its own counts are not known."""
        return None

    def death(self) -> str | None:
        """Return None: how it fares shows in its replies, and its end is not ours to watch."""
        return None

    def close(self) -> None:
        """Do nothing: it was there before."""


class SimulatorTarget:
    """Our simulator, started for this run or found running: its counts reconcile with the clients'."""

    def __init__(self, simulator: SimulatorProcess) -> None:
        self._simulator = simulator
        self._before: dict[str, Any] | None = None
        self._cpu: ProcessesMeter | None = None

    @classmethod
    def start(cls, scenario: Path, place: Address) -> SimulatorTarget:
        """Start a simulator of the scenario file; raises ``SimulatorError`` when that cannot be done."""
        return cls(SimulatorProcess.start(scenario, place.host, place.port, place.processes))

    @classmethod
    def attach(cls, url: str, fingerprint: str) -> SimulatorTarget:
        """Use the simulator at ``url``; raises ``SimulatorError`` unless it serves this simulation."""
        return cls(SimulatorProcess.attach(url, fingerprint))

    @property
    def url(self) -> str:
        """Return the simulator's address."""
        return self._simulator.url

    def reset(self, lead_s: float) -> float:
        """Zero the counts and start the scenario clock ``lead_s`` seconds after it was told.

        Return how long ago that was by now. It was told in the middle of the request, about.
        """
        self._before = None
        told_at = asked_at = time.monotonic()
        with contextlib.suppress(SimulatorError):  # unreadable counts are a trust check, not the end
            self._simulator.reset(lead_s)
            told_at = (asked_at + time.monotonic()) / 2
            self._before = self._simulator.counters()
        self._cpu = self._simulator.cpu()
        return time.monotonic() - told_at

    def sample(self) -> None:
        """Take the busiest of its processes' share of a core, once a second."""
        if self._cpu is not None:
            with contextlib.suppress(OSError, psutil.Error):  # then the peak is that of what was seen
                self._cpu.sample()

    def counters(self) -> ServerCounts | None:
        """Return the simulator's counts since the last reset; None if either end of them was unreadable."""
        if self._before is None:
            return None
        try:
            after = self._simulator.counters()
        except SimulatorError:
            return None
        return ServerCounts(
            submissions=after["submissions"],
            polls=after["polls"],
            replies=after["replies"],
            cpu_seconds=after["cpu_seconds"] - self._before["cpu_seconds"],
            busy_seconds=after["busy_seconds"],
            processes=after.get("processes", 1),
            cpu_peak=self._cpu.peak if self._cpu else None,
        )

    def death(self) -> str | None:
        """Return why the process that was started is gone."""
        return self._simulator.death()

    def close(self) -> None:
        """Stop the process if it was started for this run."""
        self._simulator.stop()
