"""What the board hands out: tickets and answers. Times are seconds on the board's clock."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Literal, NamedTuple

from scenarios import ConnectionReset, NamedFault
from server._limiters import Allowance


class Ticket(NamedTuple):
    """All that decides a job's future, settled at its submission. Times are seconds on the board's clock.

    Work begins at ``started_at``, which is later than ``submitted_at`` when the job queued for a slot, and
    ends at ``finished_at`` with ``outcome``.
    """

    key: int
    submitted_at: float
    started_at: float
    finished_at: float
    outcome: Literal["completed", "error"]


class JobView(NamedTuple):
    """What a status reply says of a job: its status, progress from 0 to 1, and seconds since it finished."""

    status: Literal["pending", "completed", "error"]
    progress: float
    finished_ago: float | None


class Reply(NamedTuple):
    """An answer that leaves at the time ``at`` (seconds on the board's clock).

    ``retry_after`` is in whole seconds, rounded up. ``job`` is None unless the request succeeded. ``fault``
    names what is wrong with a reply of status 200. ``allowance`` is what the rate limit tells, if it does.
    """

    at: float
    status_code: int
    retry_after: int | None
    job: JobView | None
    fault: NamedFault | None = None
    allowance: Allowance | None = None

    @property
    def hint(self) -> int | None:
        """Return the seconds that a client reads in it: Retry-After, else the time until more is allowed."""
        if self.retry_after is None and self.allowance is not None and self.allowance.remaining == 0:
            return ceil(self.allowance.reset)
        return self.retry_after

    @property
    def reset(self) -> bool:
        """Whether the connection is reset instead of answered: never."""
        return False


class NoReply(NamedTuple):
    """No answer to a status request: at the time ``at`` the host does what ``fault`` asks for.

    It has what a ``Reply`` has, all of it None.
    """

    at: float
    fault: NamedFault

    @property
    def status_code(self) -> None:
        """Return None: there is no reply that could have one."""
        return None

    @property
    def retry_after(self) -> None:
        """Return None: there is no reply that could carry a hint."""
        return None

    @property
    def job(self) -> None:
        """Return None: nothing is said about the job."""
        return None

    @property
    def reset(self) -> bool:
        """Whether the connection is reset."""
        return isinstance(self.fault, ConnectionReset)

    @property
    def hint(self) -> None:
        """Return None: nothing is said."""
        return None


class InService:
    """A status request that shares the workers with others: who else comes decides when its reply leaves.

    ``reply`` is None until it has been served. It may leave later than that: its time is in ``reply.at``.
    """

    __slots__ = ("_answer", "reply")

    def __init__(self, answer: Callable[[float], Reply | NoReply]) -> None:
        self._answer = answer
        self.reply: Reply | NoReply | None = None

    def leave(self, served_at: float) -> None:
        """Settle the reply: the workers are done with it at this time."""
        self.reply = self._answer(served_at)
