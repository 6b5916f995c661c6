"""What a process still may send in a visit: the simulator takes anything, the user's own API its share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import gevent
from gevent.lock import Semaphore

from harness.live._budget import Pacer, Share
from harness.measure import Held

Turn = Callable[[float], float]
"""When a request that is due may be sent: see ``client.Conversation``."""


class Allowance(Protocol):
    """What lanes ask before they send anything."""

    submissions: int
    """Jobs that were admitted, whether their submissions were accepted or not."""
    left: int
    """Of these, jobs that may still be under way though nobody follows them any more."""
    is_spent: bool
    """Whether a job was not admitted, all submissions being used up."""

    def admit(self) -> bool:
        """Wait until one more job may be submitted; return False if none may any more."""

    def turn(self) -> Turn | None:
        """Return the turns of one job's polls; None: they need none."""

    def release(self, *, ended: bool) -> None:
        """Make room where a job was, unless it may still be under way."""

    def close(self) -> None:
        """Admit no more jobs."""

    def held(self) -> tuple[Held, Held]:
        """Return how many submissions and polls had to wait for their turn or for room, and how long."""


class Unlimited:
    """The simulator is there to be loaded."""

    submissions = 0
    left = 0
    is_spent = False

    def admit(self) -> bool:
        """Admit any number."""
        return True

    def turn(self) -> Turn | None:
        """Return None."""
        return None

    def release(self, *, ended: bool) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def held(self) -> tuple[Held, Held]:
        """Return that nothing was held."""
        return Held(), Held()


class Shared:
    """A process's share of the limits of the user's own API. Whoever waits is served in turn."""

    def __init__(self, share: Share) -> None:
        self.submissions = 0
        self.left = 0
        self.is_spent = False
        self._share = share
        self._pacer = Pacer(share.rate)
        self._room = Semaphore(share.in_flight)
        self._closed = False
        self._jobs, self._polls = Held(), Held()

    def admit(self) -> bool:
        """Wait until one more job may be submitted; return False if none may any more."""
        asked_at = time.monotonic()
        self._room.acquire()
        if self._closed or self.submissions >= self._share.jobs:
            self.is_spent = True
            self._room.release()
            return False
        self.submissions += 1
        self._jobs = self._jobs.and_of(self._wait() - asked_at)
        return True

    def _wait(self) -> float:
        """Wait for the turn of one request; return when it came."""
        turn = self._pacer.queue()
        while (at := turn(now := time.monotonic())) > now:
            gevent.sleep(at - now)
        return now

    def turn(self) -> Turn:
        """Return the turns of one job's polls."""
        turn = self._pacer.queue()
        asked_at: float | None = None

        def ask(now: float) -> float:
            nonlocal asked_at
            asked_at = now if asked_at is None else asked_at
            if (at := turn(now)) <= now:
                self._polls = self._polls.and_of(now - asked_at)
                asked_at = None
            return at

        return ask

    def release(self, *, ended: bool) -> None:
        """Make room where a job was, unless it may still be under way."""
        if ended:
            self._room.release()
        else:
            self.left += 1

    @property
    def is_choked(self) -> bool:
        """Whether every job that may be under way at once is one that nobody follows any more."""
        return self.left >= self._share.in_flight

    def close(self) -> None:
        """Admit no more jobs."""
        self._closed = True

    def held(self) -> tuple[Held, Held]:
        """Return how many submissions and polls had to wait for their turn or for room, and how long."""
        return self._jobs, self._polls
