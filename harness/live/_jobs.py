"""One job of a lane, from its planned submission to the client's learning of its end. No input or output.

A lane is a number: what happens to its jobs is a ``JobTalk`` each, a machine that a fleet carries like the
conversation that it becomes once the submission is accepted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from client import Attempt, Conversation, Request, Response, Result, SendRequest, Wait

_EARLY_S: Final = 0.01  # timers may fire a hair before their time


class Books(Protocol):
    """Who is told what becomes of jobs."""

    def submitted(self, job: JobTalk, now: float, response: Response) -> Conversation | None:
        """Take the reply to a submission; return how the job is polled, None if it is not."""

    def not_submitted(self, job: JobTalk, now: float) -> None:
        """Note that no whole reply to a submission came; why, is the job's ``error``."""

    def polled(self, job: JobTalk, attempt: Attempt) -> None:
        """Note a status request."""

    def ended(self, job: JobTalk, talk: Conversation, now: float) -> None:
        """Note that a job is no longer polled."""


class JobTalk:
    """A job that is submitted at its time and then polled. Times are seconds on the driver's clock.

    request: what submits it, and is given ``timeout`` seconds. due: when its next request is, None while one
    is in flight and at the end. waited: seconds that it was kept from joining the fleet beyond its plan.
    patience: seconds that it is polled at most, None for as long as its policy wants.
    """

    __slots__ = (
        "_books",
        "_leave_at",
        "_patience",
        "_request",
        "_talk",
        "_timeout",
        "due",
        "error",
        "key",
        "lane",
        "planned_at",
        "sent_at",
        "submitted_at",
        "waited",
    )

    def __init__(
        self,
        books: Books,
        key: int,
        lane: int,
        planned_at: float,
        request: Request,
        timeout: float,
        waited: float = 0.0,
        patience: float | None = None,
    ) -> None:
        self._books = books
        self._request: Request | None = request
        self._timeout = timeout
        self._patience = patience
        self._leave_at: float | None = None
        self._talk: Conversation | None = None
        self.due: float | None = planned_at
        self.error: OSError | None = None
        """What broke its submission, if that is how it ended."""
        self.key = key
        self.lane = lane
        self.planned_at = planned_at
        self.sent_at = planned_at
        self.submitted_at = planned_at
        self.waited = waited

    def next(self, now: float) -> Wait | SendRequest | Result:
        """Return its next request."""
        self.due = None
        talk = self._talk
        if talk is None:
            request, self._request = self._request, None
            assert request is not None  # noqa: S101 - it is due once
            self.sent_at = now
            return SendRequest(request, 0, self._timeout)
        if self._leave_at is None:
            return talk.next(now)
        if now >= self._leave_at:
            return self._leave(talk, now)
        step = talk.next(now)
        if isinstance(step, SendRequest):
            step = replace(step, timeout=min(step.timeout, self._leave_at - now))
        return step

    def replied(self, now: float, response: Response) -> None:
        """Take the reply to its request."""
        talk = self._talk
        if talk is not None:
            self._books.polled(self, talk.replied(now, response))
            self._go_on(talk, now)
            return
        self.submitted_at = now
        talk = self._talk = self._books.submitted(self, now, response)
        if talk is not None:
            self._leave_at = None if self._patience is None else now + self._patience
            self._go_on(talk, now)

    def broke(self, now: float, cause: str, *, retryable: bool = True) -> None:
        """Note that no whole reply came."""
        talk = self._talk
        if talk is None:
            self._books.not_submitted(self, now)
        elif self._leave_at is not None and now >= self._leave_at - _EARLY_S:
            self._leave(talk, now)
        else:
            self._books.polled(self, talk.broke(now, cause, retryable=retryable))
            self._go_on(talk, now)

    def cancelled(self, now: float) -> None:
        """End it before its time: it is censored, if it was submitted."""
        self.due, self._request = None, None
        if self._talk is not None and self._talk.result is None:
            self._leave(self._talk, now)

    def _go_on(self, talk: Conversation, now: float) -> None:
        if talk.result is not None:
            self._books.ended(self, talk, now)
            return
        due = talk.due
        leave_at = self._leave_at
        self.due = due if leave_at is None or due is None else min(due, leave_at)

    def _leave(self, talk: Conversation, now: float) -> Result:
        result = talk.cancelled(now)
        self._books.ended(self, talk, now)
        return result
