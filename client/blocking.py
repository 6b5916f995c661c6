"""The driver over requests: it sleeps, sends and tells the time for a Poller, and decides nothing itself.

It blocks the thread or greenlet that calls it, and works unchanged when gevent has patched the process:
``time`` is looked up at each use, never bound at import.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Timeout

from ._backoff import Backoff
from ._checks import whole
from ._errors import DeadlineExceeded, GaveUp, JobFailed, PollingError, StatusReadFailed, SubmitFailed
from ._events import Done, Failure, Outcome, Wait
from ._http import checked_url, read_status, read_submission
from ._policy import PollingPolicy
from ._poller import Poller
from ._records import Attempt, JobStatus, Result, Submission

__all__ = ["Attempt", "JobStatus", "Result", "Submission", "VideoTranslationClient"]

_DEFAULT_POLICY: Final = PollingPolicy(
    Backoff("exponential", 0.5, maximum=10.0, jitter="full"), deadline=300.0
)
# What a broken or silent connection raises. Other RequestExceptions (a bad URL, say) are the caller's own.
_TRANSPORT: Final = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    requests.exceptions.ContentDecodingError,
)
_LONGEST_SLEEP: Final = 86_400.0  # time.sleep overflows on a wait without end, such as an uncapped curve's
_ERRORS: Final[dict[Outcome, type[PollingError]]] = {
    "error": JobFailed,
    "timeout": DeadlineExceeded,
    "gave_up": GaveUp,
}


class VideoTranslationClient:
    """Submits jobs to the video-translation service and polls them until they end.

    base_url: where the service is. policy: how to poll unless a call says otherwise; by default exponential
    from 0.5 s doubling to at most 10 s, full jitter, deadline 300 s.
    session: a requests.Session to use as it is; without one the client makes its own, which never retries,
    follows no proxy settings of the environment, and keeps up to ``connections`` connections (set it to the
    number of jobs polled at once: one client serves any number of threads or greenlets).
    uniform: ``uniform(n)`` is the random number in [0, 1) for a job's n-th wait; random.random by default.
    clock, sleep: time.monotonic and time.sleep by default, looked up at each use.

    Timeouts bound connecting and the wait for the first byte together; a server that drips its reply byte by
    byte can exceed them, for requests bounds each read and not the whole.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:5000",
        policy: PollingPolicy | None = None,
        *,
        session: requests.Session | None = None,
        connections: int = 10,
        uniform: Callable[[int], float] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self.base_url = checked_url(base_url).rstrip("/")
        self.policy = policy or _DEFAULT_POLICY
        self._session = session or _new_session(whole("connections", connections, at_least=1))
        self._owns_session = session is None
        self._uniform = uniform or (lambda _n: random.random())  # noqa: S311 -- jitter, not a secret
        self._clock = clock
        self._sleep = sleep

    def submit(self, key: int | None = None) -> Submission:
        """Submit one job and return its id and address.

        key: what the service draws the job's duration and outcome by; without one it chooses.
        Sent once, never retried: a submission whose reply was lost may have been accepted.
        Raises SubmitFailed when the service did not accept the job, or could not be reached.
        """
        try:
            response = self._session.post(
                f"{self.base_url}/jobs",
                json={} if key is None else {"key": key},
                headers={"Accept": "application/json"},
                timeout=self._timeout(self.policy.request_timeout),
                allow_redirects=False,
            )
        except _TRANSPORT as error:
            raise SubmitFailed(None, _cause(error)) from error
        job_id = read_submission(response.status_code, response.content)
        url = urljoin(response.url, response.headers.get("Location", self._path(job_id)))
        return Submission(job_id, url, self.now())

    def status(
        self, job_id: str | None = None, *, attempt: int | None = None, timeout: float = 10.0
    ) -> JobStatus:
        """Read a job's status once; without an id, that of the service's implicit job (``GET /status``).

        attempt: the number of this status request for this job, sent as the header ``Poll-Attempt``.
        timeout: most seconds for connecting and the first byte together.
        Raises StatusReadFailed when no known status came back.
        """
        headers = {"Accept": "application/json"}
        if attempt is not None:
            headers["Poll-Attempt"] = str(attempt)
        try:
            response = self._session.get(
                self.base_url + self._path(job_id),
                headers=headers,
                timeout=self._timeout(timeout),
                allow_redirects=False,
            )
        except _TRANSPORT as error:
            raise StatusReadFailed(Failure("transport", detail=_cause(error))) from error
        return read_status(response.status_code, response.headers, response.content, time.time())

    def poll(
        self,
        job_id: str | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Result:
        """Poll a job (the implicit one without an id) until it ends, time is up, or a budget is spent.

        No outcome raises: read ``Result.outcome``.
        policy, uniform: for this call, instead of the client's.
        started_at: when the submit reply arrived (``Submission.replied_at``), on the client's clock; now by
            default.
        on_attempt: called after each status request, in the polling thread or greenlet.
        """
        poller = Poller(policy or self.policy, uniform or self._uniform)
        started_at = self.now() if started_at is None else started_at
        command: Wait | Done = poller.start(started_at)
        seen: JobStatus | None = None
        while isinstance(command, Wait):
            planned_at = command.until
            self._sleep_until(planned_at)
            sent_at = self.now()
            send = poller.wake(sent_at)
            failure: Failure | None = None
            try:
                seen = self.status(job_id, attempt=send.attempt, timeout=send.timeout)
            except StatusReadFailed as failed:
                replied_at, failure, hint = self.now(), failed.failure, failed.retry_after
                command = poller.fail(replied_at, failure, hint)
            else:
                replied_at, hint = self.now(), seen.retry_after
                command = poller.reply(replied_at, seen.status, hint)
            if on_attempt:
                on_attempt(
                    Attempt(
                        number=send.attempt,
                        planned_at=planned_at,
                        sent_at=sent_at,
                        replied_at=replied_at,
                        status_code=failure.status_code if failure else 200,
                        status=seen.status if seen and not failure else None,
                        failure=str(failure) if failure else None,
                        retry_after=hint,
                        command=command,
                    )
                )
        return Result(
            job_id=job_id,
            outcome=command.outcome,
            status=seen.status if seen else None,
            started_at=started_at,
            detected_at=command.at,
            finished_ago=seen.finished_ago if seen else None,
            attempts=command.attempts,
            wasted=command.wasted,
            failures=command.failures,
            reason=command.reason,
        )

    def wait_for_completion(
        self,
        job_id: str | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Result:
        """Poll as ``poll`` does, and return only if the job completed.

        Raises JobFailed, DeadlineExceeded or GaveUp: each is a PollingError and carries the result.
        """
        result = self.poll(
            job_id, policy=policy, uniform=uniform, started_at=started_at, on_attempt=on_attempt
        )
        if result.outcome in _ERRORS:
            raise _ERRORS[result.outcome](result)
        return result

    def now(self) -> float:
        """Return the time in seconds on the client's clock, the one that all its records are stamped with."""
        return (self._clock or time.monotonic)()

    def close(self) -> None:
        """Close the connections, if the session is the client's own."""
        if self._owns_session:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def _sleep_until(self, moment: float) -> None:
        while (left := moment - self.now()) > 0:  # a loop, for some timers fire early
            (self._sleep or time.sleep)(min(left, _LONGEST_SLEEP))

    @staticmethod
    def _path(job_id: str | None) -> str:
        return "/status" if job_id is None else f"/jobs/{quote(job_id, safe='')}"

    @staticmethod
    def _timeout(seconds: float) -> Any:
        """One bound for connecting and first byte together; a plain float would grant it to each."""
        return Timeout(total=seconds)  # requests documents it, its annotations do not


def _new_session(connections: int) -> requests.Session:
    """A session that adds nothing of its own: no retries, no proxies or credentials from the environment."""
    session = requests.Session()
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0, pool_block=False)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _cause(error: BaseException) -> str:
    """The operating system's words for a broken connection, from under the wrappings of requests."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, OSError) and not isinstance(inner, requests.RequestException):
            return f"{type(inner).__name__}: {inner}"
        inner = inner.__cause__ or inner.__context__
    return f"{type(error).__name__}: {error}"
