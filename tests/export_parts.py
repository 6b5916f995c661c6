"""What tests of exported settings share: a clock that sleeps move, and our own poller's run beside it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from azure.core.polling.base_polling import LROBasePolling
from azure_parts import poll_with

from client import Backoff, ErrorPolicy, Failure, HintPolicy, Poller, PollingPolicy, Wait

ENOUGH = 200


@dataclass(frozen=True)
class Reply:
    """What one poll gets: a state, or nothing that can be read; and perhaps a hint."""

    state: str = "pending"
    retry_after: float | None = None
    failed: bool = False
    not_found: bool = False


@dataclass(frozen=True)
class Ran:
    """When the polls were sent, and how it ended: by the state read, or "timeout" or "gave_up"."""

    times: list[float]
    outcome: str


def seeded(seed: int) -> random.Random:
    """A source of random numbers, the same for the same seed."""
    return random.Random(seed)  # noqa: S311 - no secret


def replies(count: int, last: str = "completed") -> Iterator[Reply]:
    """A job that is done at its poll number ``count``."""
    for _ in range(count - 1):
        yield Reply()
    yield Reply(last)


def poller_run(
    policy: PollingPolicy, script: Iterator[Reply], source: random.Random, retry_after: float | None = None
) -> Ran:
    """What our own poller does with these replies and draws."""
    poller, times = Poller(policy, lambda _n: source.random()), list[float]()
    command: Any = poller.start(0.0, retry_after)
    while isinstance(command, Wait):
        times.append(command.until)
        poller.wake(command.until)
        reply = next(script)
        if reply.failed:
            code = 404 if reply.not_found else 503
            command = poller.fail(command.until, Failure(f"http {code}", code), reply.retry_after)
        else:
            state: Any = reply.state
            command = poller.reply(command.until, state, reply.retry_after)
    return Ran(times, command.outcome)


class World:
    """A clock that sleeps alone move, and a service that answers by a script."""

    def __init__(self, script: Iterator[Reply]) -> None:
        self._script = script
        self.now = 0.0
        self.times: list[float] = []

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def clock(self) -> float:
        return self.now

    def poll(self) -> Reply:
        self.times.append(self.now)
        return next(self._script)


def replace_time(monkeypatch: pytest.MonkeyPatch, world: World, source: random.Random) -> None:
    """Let whatever sleeps, reads a clock or draws in this process use these."""
    monkeypatch.setattr(time, "sleep", world.sleep)
    monkeypatch.setattr(time, "monotonic", world.clock)
    monkeypatch.setattr(random, "random", source.random)
    monkeypatch.setattr(random, "uniform", source.uniform)


def run_azure(method: LROBasePolling[Any, Any, Any], world: World) -> None:
    """Let azure-core's own method poll this world."""
    poll_with(method, lambda: world.poll().state != "pending", world.sleep)


Runs = Callable[[str, World], str]


def settings_of_all_kinds(curves: Any, jitters: Any) -> Iterator[PollingPolicy]:
    """Every curve with every jitter that goes with it; capped or not, the first poll late or at once."""
    laws: dict[str, dict[str, Any]] = {
        "constant": {"initial": 1.7},
        "linear": {"initial": 0.5, "increment": 0.3},
        "exponential": {"initial": 0.4, "multiplier": 1.7},
        "fibonacci": {"initial": 0.3},
        "schedule": {"delays": (1, 0.25, 3, 7)},
    }
    for place, curve in enumerate(sorted(curves)):
        for turn, jitter in enumerate(sorted(jitters)):
            if jitter == "decorrelated" and curve != "exponential":
                continue
            maximum = 5.0 if (place + turn) % 2 else None
            backoff = Backoff(curve, jitter=jitter, maximum=maximum, **laws[curve])
            yield PollingPolicy(backoff, first_poll="after_delay" if turn % 3 else "immediately")


LIMITED = [
    PollingPolicy(Backoff("schedule", delays=(1, 3, 5, 9), until=(12, 30), jitter="equal"), max_attempts=12),
    PollingPolicy(Backoff("schedule", delays=(2, 7), until=(11,)), deadline=40, first_poll="immediately"),
    PollingPolicy(Backoff("exponential", 0.5, maximum=10, jitter="full"), deadline=60),
    PollingPolicy(Backoff("constant", 2, jitter="equal"), deadline=11, first_poll="immediately"),
    PollingPolicy(Backoff("constant", 2), deadline=10),  # a poll falls on the edge by itself
    PollingPolicy(Backoff("constant", 20), deadline=10),  # the first wait is cut
    PollingPolicy(Backoff("linear", 1), max_attempts=1),
    PollingPolicy(Backoff("fibonacci", 1, maximum=8), max_attempts=9, first_poll="immediately"),
    PollingPolicy(Backoff("schedule", delays=(3, 1)), max_attempts=12, deadline=9),
    PollingPolicy(Backoff("exponential", 1, maximum=20, jitter="decorrelated"), deadline=45, max_attempts=30),
]
"""Settings whose polling ends before the job does."""

DEMANDING = PollingPolicy(
    Backoff("exponential", 0.5, maximum=6, jitter="equal"),
    deadline=90,
    hints=HintPolicy(maximum=20, spread=0.25),
    errors=ErrorPolicy(
        Backoff("exponential", 0.7, maximum=5, jitter="decorrelated"), max_consecutive=3, not_found_grace=2
    ),
)
"""A setting with hints, failed reads and a grace of its own."""

_SCRIPTS: dict[str, list[Reply]] = {
    "hints": [Reply(), Reply(retry_after=9), Reply(retry_after=0.01), Reply(retry_after=99), Reply("error")],
    "failures": [
        Reply(failed=True, not_found=True),
        Reply(failed=True, retry_after=4),
        Reply(),
        *[Reply(failed=True)] * 3,
        Reply(),
        Reply("completed"),
    ],
    "too many failures": [Reply(), *[Reply(failed=True)] * 4],
    "not there": [Reply()] * 6 + [Reply(failed=True, not_found=True)],
    "deadline in failures": [Reply(retry_after=19)] * 4 + [Reply(failed=True)] * 3,
    "never": [],
}
SCRIPTS = {name: script + [Reply()] * 60 for name, script in _SCRIPTS.items()}
"""Replies that meet every branch of a loop that polls; then the job stays pending."""
