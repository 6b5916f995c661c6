"""Errors that say whose fault it is.

Ours: ValueError (a setting that cannot be) and IllegalEvent (a driver that breaks the poller's rules). The
server's: SubmitFailed, StatusReadFailed, GaveUp. The job's: JobFailed. Time's: DeadlineExceeded.
"""

from __future__ import annotations

from typing import Final

from ._events import Failure, Outcome, Undeclared
from ._records import Result, polls_made

_WORD_LENGTH: Final = 80


class IllegalEvent(RuntimeError):
    """An event that the poller's state does not allow: a bug in the driver. The poller is unchanged."""


class ClientError(Exception):
    """Base of what this library raises about servers, jobs and time."""


class SubmitFailed(ClientError):
    """The job was not accepted.

    status_code: None when no reply came. detail: what the server or the transport said.
    retryable: False when no other try can mend it, as for a certificate that is not trusted, or a 404.
    undeclared: the reply and the dialect's keys, if it is one that the dialect does not declare.
    retry_after, hint: as in ``StatusReadFailed``.
    """

    def __init__(
        self,
        status_code: int | None,
        detail: str,
        retryable: bool = True,
        undeclared: Undeclared | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(status_code, detail, retryable, undeclared, retry_after, hint)
        self.status_code = status_code
        self.detail = detail
        self.retryable = retryable
        self.undeclared = undeclared
        self.retry_after = retry_after
        self.hint = hint

    def __str__(self) -> str:
        answer = "no reply" if self.status_code is None else f"HTTP {self.status_code}"
        return f"the job was not accepted: {answer}: {self.detail}"


class StatusReadFailed(ClientError):
    """One status read failed: ``failure`` says how.

    retry_after: when to try again, in seconds; hint: what said so (a header, say). None when nothing did.
    """

    def __init__(self, failure: Failure, retry_after: float | None = None, hint: str | None = None) -> None:
        super().__init__(failure, retry_after, hint)
        self.failure = failure
        self.retry_after = retry_after
        self.hint = hint

    def __str__(self) -> str:
        return f"the status could not be read: {self.failure}"


class UnknownState(StatusReadFailed):
    """The reply tells a state, but by a word that the dialect does not have.

    member: where the word was found. word: as the server spelled it.
    """

    def __init__(
        self,
        member: str,
        word: str | int,
        status_code: int,
        retry_after: float | None = None,
        hint: str | None = None,
        quote: str = "",
    ) -> None:
        remedy = "declare it in the dialect's status.pending, status.completed or status.error"
        shown = repr(word)[:_WORD_LENGTH]
        keys = Undeclared(quote, ("status.pending", "status.completed", "status.error"))
        failure = Failure("unknown state", status_code, f"{member} {shown}: {remedy}", undeclared=keys)
        super().__init__(failure, retry_after, hint)
        # The arguments as given, so that the error can be pickled.
        self.args = (member, word, status_code, retry_after, hint, quote)
        self.member = member
        self.word = word
        self.short = f"unknown state ({member} {shown})"
        """The failure without its remedy."""


class PollingError(ClientError):
    """Polling ended, and not in ``completed``: ``result`` has the last status, the counts and the reason."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)  # the arguments are kept as given, so that the error can be pickled
        self.result = result

    def __str__(self) -> str:
        job = "the job" if self.result.job_id is None else f"job {self.result.job_id}"
        spent = f"{polls_made(self.result.attempts)} in {self.result.elapsed:.3g} s"
        return f"{job}: {self.result.reason} ({spent}, last status: {self.result.status or 'none seen'})"


class JobFailed(PollingError):
    """The job itself ended in ``error``. Polling worked."""


class DeadlineExceeded(PollingError, TimeoutError):
    """The deadline passed, and the last poll still brought no end. Also a TimeoutError, as callers expect."""


class GaveUp(PollingError):
    """A budget (of pending polls, of failed reads) ran out, or a read failed in a way no retry can mend."""


_BY_OUTCOME: Final[dict[Outcome, type[PollingError]]] = {
    "error": JobFailed,
    "timeout": DeadlineExceeded,
    "gave_up": GaveUp,
}


def completed(result: Result) -> Result:
    """Return the result of a job that completed; raise the error that is due to any other outcome."""
    if result.outcome in _BY_OUTCOME:
        raise _BY_OUTCOME[result.outcome](result)
    return result
