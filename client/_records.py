"""What a driver reports: frozen records. Times are seconds on the driver's monotonic clock."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._events import Done, Failure, JobState, Outcome, Undeclared, Wait


@dataclass(frozen=True, slots=True)
class JobRef:
    """A job by the names that its service gave it.

    id: None for the service's implicit job. url: its own address, None when the service did not say.
    """

    id: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """An accepted job: its id, its address, and when the reply arrived (t = 0 of its polling).

    retry_after: the reply's hint in seconds, or None: the first poll is not due before.
    ended: the job's status, if it had ended by then: it is not polled.
    """

    id: str
    url: str
    replied_at: float
    retry_after: float | None = None
    ended: JobStatus | None = None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """One good status read.

    progress: 0.0 to 1.0, None when the server did not say.
    finished_ago: seconds since the job's end by the server's clock, in terminal replies; the detection lag is
        this number, and no clocks need to agree. None when the server did not say.
    retry_after: the server's hint in seconds, or None. hint: what gave it, a header or a member of the body.
    result_url: where a completed job's result is, when a 303 said so.
    word: the server's own word for the state, None when its code alone told it.
    """

    id: str | None
    status: JobState
    progress: float | None = None
    finished_ago: float | None = None
    retry_after: float | None = None
    hint: str | None = field(default=None, compare=False)
    result_url: str | None = None
    word: str | int | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One status request as it went, and what the poller decided next (``command``).

    planned_at: when the poller wanted it; ``sent_at - planned_at`` is the driver's own lateness.
    status_code: None when no reply came. status: None when the read failed, and ``failure`` says how.
    retry_after: the server's hint in seconds, or None. hint: what gave it, a header or a member of the body.
    resent: how many times the request was sent again, for the server had closed a kept connection: 0 or 1.
    undeclared: the reply and the dialect's keys, if it is one that the dialect does not declare.
    """

    number: int
    planned_at: float
    sent_at: float
    replied_at: float
    status_code: int | None
    status: JobState | None
    failure: str | None
    retry_after: float | None
    command: Wait | Done
    hint: str | None = field(default=None, compare=False)
    resent: int = field(default=0, compare=False)
    undeclared: Undeclared | None = field(default=None, compare=False)


def polls_made(count: int) -> str:
    """Return "1 poll" or "7 polls"."""
    return "1 poll" if count == 1 else f"{count} polls"


@dataclass(frozen=True, slots=True)
class Result:
    """How polling one job ended.

    outcome, attempts, wasted, failures, reason: as in ``Done``.
    status: the last job status seen, None when no read succeeded.
    started_at, detected_at: start of polling and its end.
    finished_ago: seconds between the job's end and the reply that told of it, by the server's clock.
    result_url: where the result is, when a 303 said so.
    failure: how the last read failed, None when it did not.
    """

    job_id: str | None
    outcome: Outcome
    status: JobState | None
    started_at: float
    detected_at: float
    finished_ago: float | None
    attempts: int
    wasted: int
    failures: int
    reason: str
    result_url: str | None = None
    failure: Failure | None = field(default=None, compare=False)

    @property
    def elapsed(self) -> float:
        """Seconds from the start of polling to its end."""
        return self.detected_at - self.started_at
