"""What a process still may send in a visit: the simulator takes anything, the user's own API its share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from client import Budget
from harness.live._budget import Share
from harness.measure import Held

# What the network squeezes together by a tenth of a second must still fit.
_SLACK: Final = 1.1


class Allowance(Protocol):
    """What lanes ask before they send anything."""

    budget: Budget
    """What the fleet of all jobs may send."""
    submissions: int
    """Jobs that were submitted, whether their submissions were accepted or not."""
    left: int
    """Of these, jobs that may still be under way though nobody follows them any more."""
    is_spent: bool
    """Whether a job was not admitted, all submissions being used up."""

    def admit(self, start: Callable[[], None]) -> None:
        """Call ``start`` once one more job may be submitted: now, when one has ended, or never."""

    def sent(self, *, submission: bool, held_s: float) -> None:
        """Note a request, and how long it had to wait for its turn, or for room."""

    def release(self, *, ended: bool) -> None:
        """Make room where a job was, unless it may still be under way."""

    def close(self) -> None:
        """Admit no more jobs."""

    def held(self) -> tuple[Held, Held]:
        """Return how many submissions and polls had to wait for their turn or for room, and how long."""


class Unlimited:
    """The simulator is there to be loaded: with as many requests at once as there are connections."""

    submissions = 0
    left = 0
    is_spent = False

    def __init__(self, connections: int) -> None:
        self.budget = Budget(in_flight=connections)
        self._closed = False

    def admit(self, start: Callable[[], None]) -> None:
        """Admit any number."""
        if not self._closed:
            start()

    def sent(self, *, submission: bool, held_s: float) -> None:
        """Do nothing."""

    def release(self, *, ended: bool) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Admit no more jobs."""
        self._closed = True

    def held(self) -> tuple[Held, Held]:
        """Return that nothing was held."""
        return Held(), Held()


class Shared:
    """A process's share of the limits of the user's own API. Whoever waits is served in turn.

    Requests are let go no closer than their rate has it, however late they are: in no window of one second
    are there more than the rate, rounded up.
    """

    def __init__(self, share: Share, connections: int) -> None:
        self.budget = Budget(share.rate / _SLACK, in_flight=connections)
        self.submissions = 0
        self.left = 0
        self.is_spent = False
        self._share = share
        self._admitted = 0
        self._room = share.in_flight
        self._waiting: deque[Callable[[], None]] = deque()
        self._closed = False
        self._jobs, self._polls = Held(), Held()

    def admit(self, start: Callable[[], None]) -> None:
        """Call ``start`` once one more job may be submitted: now, when one has ended, or never."""
        self._waiting.append(start)
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._room:
            if self._closed or self._admitted == self._share.jobs:
                self.is_spent = True
                self._waiting.clear()
                return
            self._admitted += 1
            self._room -= 1
            self._waiting.popleft()()

    def sent(self, *, submission: bool, held_s: float) -> None:
        """Note a request, and how long it had to wait for its turn, or for room."""
        if submission:
            self.submissions += 1
            self._jobs = self._jobs.and_of(held_s)
        else:
            self._polls = self._polls.and_of(held_s)

    def release(self, *, ended: bool) -> None:
        """Make room where a job was, unless it may still be under way."""
        if ended:
            self._room += 1
            self._let_in()
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
