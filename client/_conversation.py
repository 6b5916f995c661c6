"""One job's polling, whole: the poller decides when, the dialect what, and the records tell how it went.

Without input or output, like the poller itself. A driver is a pump:

    talk = Conversation(job, policy, uniform, started_at=now())
    while not isinstance(step := talk.next(now()), Result):
        match step:
            case Wait(until):                              # sleep until then, and ask again
            case SendRequest(request, timeout=timeout):    # send it, give it that long, and say
                talk.replied(now(), response)              # what came back,
                talk.broke(now(), cause)                   # or why nothing did

A driver that is stopped says ``cancelled(now())``; the result is then "censored". Times are seconds on the
driver's monotonic clock. An event out of turn raises IllegalEvent and changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ._dialect import NATIVE, Dialect
from ._errors import StatusReadFailed, UnknownState
from ._events import Done, Failure, JobState, Send, Wait
from ._maker import maker
from ._policy import PollingPolicy
from ._poller import Poller
from ._records import Attempt, JobRef, JobStatus, Result
from ._wire import Request, Response


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Command: send this, which is status request number ``attempt``, and give it ``timeout`` seconds.

    Answer with ``replied`` or ``broke``.
    """

    request: Request
    attempt: int
    timeout: float


_send_request: Final = maker(SendRequest)
_attempt: Final = maker(Attempt)
_NO_WORDS: Final[frozenset[str | int]] = frozenset()  # each call makes another one, of 216 bytes


class Conversation:
    """Everything about the polling of one job but the sending and the waiting; see the module's pump.

    job: what is polled, ``JobRef()`` for the service's implicit job. policy, uniform: as for ``Poller``.
    started_at: when the submit reply arrived, t = 0 of the polling. retry_after: its hint (seconds or None).
    epoch: when the clock of ``anchor="clock"`` shows 0, on the driver's clock.
    ended: the status of a job that had ended by then; nothing is sent.
    turn: ``turn(now)`` says when a request that is due may be sent: at once, unless that is later than
    ``now``; then it is asked again at that time. For a limit that many jobs share (in a fleet: ``Budget``).
    on_attempt: called in turn with the ``Attempt`` after each status request.
    """

    __slots__ = (
        "_command",
        "_dialect",
        "_failure",
        "_on_attempt",
        "_poller",
        "_sent",
        "_sent_at",
        "_turn",
        "_unknown",
        "answered",
        "failures",
        "job",
        "result",
        "seen",
        "started_at",
        "wasted",
    )

    def __init__(
        self,
        job: JobRef,
        policy: PollingPolicy,
        uniform: Callable[[int], float],
        *,
        started_at: float,
        epoch: float = 0.0,
        retry_after: float | None = None,
        ended: JobStatus | None = None,
        dialect: Dialect = NATIVE,
        turn: Callable[[float], float] | None = None,
        on_attempt: Iterable[Callable[[Attempt], None]] = (),
    ) -> None:
        self.job = job
        self.started_at = started_at
        self.seen: JobStatus | None = None
        """The last status that was read."""
        self.result: Result | None = None
        """How it ended, None before."""
        self.answered = 0
        """Status requests that were replied to or broke; one more may be in flight (see ``polls``)."""
        self.wasted = 0
        """Of these, how many were answered "pending"."""
        self.failures = 0
        """And how many failed."""
        self._dialect = dialect
        self._turn = turn
        self._on_attempt = tuple(on_attempt)
        self._poller = Poller(policy, uniform, epoch=epoch)
        self._command: Wait | Done = self._poller.start(started_at, retry_after)
        if ended is not None and ended.status != "pending":
            self._poller.cancel(started_at)  # no event is in turn any more
            self.seen = ended
            self._command = Done(ended.status, started_at, 0, 0, 0, f"the job ended: {ended.status}")
        self._sent: Send | None = None  # the request in flight
        self._sent_at = started_at
        self._failure: Failure | None = None  # how the last read failed, None when it did not
        self._unknown = _NO_WORDS  # words that the dialect does not have
        if isinstance(self._command, Done):
            self._finish(self._command)

    @property
    def polls(self) -> int:
        """Return how many status requests were sent, one in flight included."""
        return self.answered + (self._sent is not None)

    @property
    def due(self) -> float | None:
        """Return when the next request is due; None while one is in flight, and after the end."""
        return self._command.until if isinstance(self._command, Wait) and self._sent is None else None

    def next(self, now: float) -> Wait | SendRequest | Result:
        """Return what to do: wait until a time, send a request, or stop with a result.

        Called before its time it says the same wait again. While a request is in flight it is out of turn.
        """
        if self.result is not None:
            return self.result
        if self._sent is None:
            command = self._command
            if isinstance(command, Wait) and now < command.until:
                return command
            if self._turn is not None and (at := self._turn(now)) > now:
                return Wait(at)
        sent = self._sent = self._poller.wake(now)
        self._sent_at = now
        return _send_request(self._dialect.poll(self.job, sent.attempt), sent.attempt, sent.timeout)

    def replied(self, now: float, response: Response) -> Attempt:
        """Take a reply, of whatever code; return (and tell the hooks) how the attempt went."""
        try:
            status = self._dialect.read(response)
        except UnknownState as unknown:  # its remedy is told once
            again = unknown.word in self._unknown
            self._unknown |= {unknown.word}
            said = unknown.short if again else None
            return self._failed(now, unknown, said, resent=response.resent)
        except StatusReadFailed as failed:
            return self._failed(now, failed, resent=response.resent)
        silent = status.progress is None and status.word is None
        told = None if silent else (status.word, status.progress)
        command = self._poller.reply(now, status.status, status.retry_after, told)
        self.seen, self._failure = status, None
        self.wasted += status.status == "pending"
        return self._told(
            now, command, response.status_code, status, status=status.status, resent=response.resent
        )

    def broke(self, now: float, cause: str, *, retryable: bool = True, resent: int = 0) -> Attempt:
        """Note that no whole reply came, and why; return (and tell the hooks) how the attempt went.

        retryable: False when no other try can mend it, as for a certificate that is not trusted. resent: how
        many times the request was sent again, on a connection that the server had not closed.
        """
        failure = Failure("transport", detail=cause, retryable=retryable)
        return self._failed(now, StatusReadFailed(failure), resent=resent)

    def cancelled(self, now: float) -> Result:
        """End before the job does; return the result, whose outcome is "censored"."""
        self._command = self._poller.cancel(now)
        return self._finish(self._command)

    def _failed(
        self, now: float, failed: StatusReadFailed, said: str | None = None, *, resent: int
    ) -> Attempt:
        failure = failed.failure
        command = self._poller.fail(now, failure, failed.retry_after)
        self.failures += 1
        self._failure = failure
        said = said or str(failure)
        return self._told(now, command, failure.status_code, failed, failure=said, resent=resent)

    def _told(
        self,
        now: float,
        command: Wait | Done,
        status_code: int | None,
        read: JobStatus | StatusReadFailed,
        *,
        status: JobState | None = None,
        failure: str | None = None,
        resent: int,
    ) -> Attempt:
        """Keep the books of one attempt, and tell the hooks."""
        before, sent = self._command, self._sent
        assert isinstance(before, Wait)  # noqa: S101 - the poller has admitted the event
        assert sent is not None  # noqa: S101
        attempt = _attempt(
            number=sent.attempt,
            planned_at=before.until,
            sent_at=self._sent_at,
            replied_at=now,
            status_code=status_code,
            status=status,
            failure=failure,
            retry_after=read.retry_after,
            command=command,
            hint=read.hint,
            resent=resent,
            undeclared=self._failure.undeclared if self._failure else None,
        )
        self._command, self._sent = command, None
        self.answered += 1
        if isinstance(command, Done):
            self._finish(command)
        for hook in self._on_attempt:
            hook(attempt)
        return attempt

    def _finish(self, done: Done) -> Result:
        self.result = Result(
            job_id=self.job.id,
            outcome=done.outcome,
            status=self.seen.status if self.seen else None,
            started_at=self.started_at,
            detected_at=done.at,
            finished_ago=self.seen.finished_ago if self.seen else None,
            result_url=self.seen.result_url if self.seen else None,
            attempts=done.attempts,
            wasted=done.wasted,
            failures=done.failures,
            reason=done.reason,
            failure=self._failure,
        )
        return self.result
