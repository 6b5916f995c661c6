"""How much a scenario asks for, told by arithmetic before anything is made: polls, and the time they take."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from client import Done, Poller, PollingPolicy, Wait

_FOLLOWED: Final = 1_000  # polls of one job, from which on its rate is taken to stay


class Effort(NamedTuple):
    """What one job costs its client: polls, and seconds until the client is done."""

    polls: float
    seconds: float


def effort_of(policy: PollingPolicy, length: float, latency: float = 0.0, follow: int = _FOLLOWED) -> Effort:
    """Return what a job of ``length`` seconds costs, with every draw in the middle and no failed reads.

    A reply takes ``latency`` seconds. Beyond ``follow`` polls the pace so far is taken to stay: at a pace of
    zero seconds a job costs any number of polls.
    """
    poller = Poller(policy, lambda _n: 0.5)
    command: Wait | Done = poller.start(0.0)
    polls, now = 0, 0.0
    while isinstance(command, Wait):
        if polls >= follow:
            end = min(length, math.inf if policy.deadline is None else policy.deadline)
            left = math.inf if policy.max_attempts is None else policy.max_attempts
            return Effort(min(left, polls * end / now if now else math.inf), end)
        now = command.until
        poller.wake(now)
        polls += 1
        now += latency
        command = poller.reply(now, "completed" if now >= length else "pending")
    return Effort(polls, now)
