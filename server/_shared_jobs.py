"""Jobs that share the workers with requests (``capacity: {discipline: ps, shared: true}``).

Whoever comes later makes such a job end later, so no ticket can hold its end: the ticket says infinity, and
the rest is kept here. Of the jobs that have ended the latest are remembered; a client that asks for an older
one is told 404, as by services that keep results for a while. So memory is bounded by the jobs in work and
that number, whatever the number of jobs.
"""

from __future__ import annotations

from collections import deque
from math import inf, nextafter
from typing import Any, Final

from server._replies import Ticket
from server._sharing import Sharing

REMEMBERED: Final = 2**17
"""How many jobs are remembered after their end."""


class SharedJob:
    """One job, and between which marks of the sharing's ``received`` it is done.

    ``finished_at`` is infinite until the job has ended.
    """

    __slots__ = ("begins", "ends", "finished_at", "ticket")

    def __init__(self, ticket: Ticket) -> None:
        self.ticket = ticket
        self.begins = self.ends = 0.0
        self.finished_at = inf

    def presumed(self, now: float, sharing: Sharing[Any]) -> Ticket:
        """Return the ticket with the job's end; while it is open, that at the pace which it has had so far.

        So the progress that follows from the ticket is the share of the work that is done.
        """
        if self.finished_at < inf:
            return self.ticket._replace(finished_at=self.finished_at)
        received, elapsed = sharing.received(now), now - self.ticket.started_at
        done, left = received - self.begins, self.ends - received
        pace = elapsed / done if done > 0.0 else 1.0 / sharing.rate
        return self.ticket._replace(finished_at=max(now + left * pace, nextafter(now, inf)))


class SharedJobs:
    """The jobs in work, and the latest ``REMEMBERED`` that have ended, by their tickets."""

    def __init__(self) -> None:
        self._jobs: dict[Ticket, SharedJob] = {}
        self._ended: deque[Ticket] = deque()

    def add(self, job: SharedJob) -> None:
        """Take in a job."""
        self._jobs[job.ticket] = job

    def end(self, job: SharedJob, at: float) -> None:
        """Settle the end of a job, and forget the one that ended longest ago if there are too many."""
        job.finished_at = at
        self._ended.append(job.ticket)
        if len(self._ended) > REMEMBERED:
            self._jobs.pop(self._ended.popleft(), None)  # two submissions may have one ticket, and one fate

    def find(self, ticket: Ticket) -> SharedJob | None:
        """Return the job of this ticket; None for one that was forgotten or never was here."""
        return self._jobs.get(ticket)
