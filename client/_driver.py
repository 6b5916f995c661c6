"""What every driver has: an address, a policy, a clock, and one conversation for each job."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Final

from ._address import checked_url
from ._backoff import Backoff
from ._conversation import Conversation
from ._dialect import Dialect
from ._policy import PollingPolicy
from ._records import Attempt, JobRef, Submission
from ._wire import Response

BASE_URL: Final = "http://127.0.0.1:5000"
LONGEST_SLEEP: Final = 86_400.0  # sleeping overflows on a wait without end, such as an uncapped curve's
_DEFAULT_POLICY: Final = PollingPolicy(
    Backoff("exponential", 0.5, maximum=10.0, jitter="full"), deadline=300.0
)


class Driver:
    """The part of a client that neither sends nor sleeps. See the drivers for the arguments."""

    def __init__(
        self,
        base_url: str,
        policy: PollingPolicy | None,
        dialect: Dialect,
        uniform: Callable[[int], float] | None,
        clock: Callable[[], float] | None,
    ) -> None:
        self.base_url = checked_url(base_url).rstrip("/")
        self.policy = policy or _DEFAULT_POLICY
        self.dialect = dialect
        self._uniform = uniform or (lambda _n: random.random())  # noqa: S311 -- jitter, not a secret
        self._clock = clock

    def now(self) -> float:
        """Return the time in seconds on the client's clock, the one that all its records are stamped with."""
        return (self._clock or time.monotonic)()

    def submission(self, response: Response) -> Submission:
        """Return the job that this reply accepted, just now; raise SubmitFailed if it did not."""
        job, hint = self.dialect.accepted(response), self.dialect.hint(response)
        return Submission(job.id or "", job.url or "", self.now(), hint.seconds if hint else None)

    def conversation(
        self,
        job: str | JobRef | Submission | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Conversation:
        """Return the polling of a job, ready to be pumped; the arguments are those of ``poll``."""
        submission = job if isinstance(job, Submission) else None
        if started_at is None:
            started_at = submission.replied_at if submission else self.now()
        return Conversation(
            job_ref(job),
            policy or self.policy,
            uniform or self._uniform,
            started_at=started_at,
            retry_after=submission.retry_after if submission else None,
            dialect=self.dialect,
            on_attempt=() if on_attempt is None else (on_attempt,),
        )


def job_ref(job: str | JobRef | Submission | None) -> JobRef:
    """Return the job that is meant: by its id, by a reference, or as it was submitted."""
    match job:
        case JobRef():
            return job
        case Submission():
            return JobRef(job.id, job.url)
        case _:
            return JobRef(job)


def cause_of(error: BaseException, wrappings: tuple[type[BaseException], ...]) -> str:
    """Return the operating system's words for a broken connection, from under a library's wrappings."""
    inner: BaseException | None = error
    while inner is not None:
        nameless = type(inner) is OSError and inner.errno is None  # a library's own summary
        if isinstance(inner, OSError) and not isinstance(inner, wrappings) and not nameless:
            return f"{type(inner).__name__}: {inner}"
        inner = inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {error}"
