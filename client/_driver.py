"""What every driver has: an address, a policy, a clock, and one conversation for each job."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from json import dumps
from os import PathLike
from ssl import SSLContext, create_default_context
from typing import Any, ClassVar, Final, NamedTuple

from ._address import checked_address, same_origin, with_query
from ._backoff import Backoff
from ._causes import Cause, cause_of
from ._checks import InvalidSetting
from ._conversation import Conversation
from ._dialect import Dialect
from ._kept import may_be_resent
from ._policy import PollingPolicy
from ._records import Attempt, JobRef, Submission
from ._sent import checked_headers, fill, hidden, secrets_of, secrets_sent
from ._wire import Request, Response

BASE_URL: Final = "http://127.0.0.1:5000"
RESENT: Final = "resent_by_the_client"
"""The attribute of an exchange's error that counts how many times the request was sent again."""
_REMEMBERED: Final = 10_000  # submissions, by their ids
LONGEST_SLEEP: Final = 86_400.0  # sleeping overflows on a wait without end, such as an uncapped curve's
_DEFAULT_POLICY: Final = PollingPolicy(
    Backoff("exponential", 0.5, maximum=10.0, jitter="full"), deadline=300.0
)


class Outgoing(NamedTuple):
    """A request as it leaves."""

    url: str
    headers: dict[str, str]
    json: Any


class Driver:
    """The part of a client that neither sends nor sleeps. See the drivers for the arguments.

    environment: what holds the secrets, the process's own environment unless given.
    """

    wrappings: ClassVar[tuple[type[BaseException], ...]] = ()
    """Errors of a library under which the system's own are found."""

    unsendable: ClassVar[tuple[type[BaseException], ...]] = ()
    """A library's errors about addresses that nothing can be sent to: another try is no use."""

    def __init__(
        self,
        base_url: str,
        policy: PollingPolicy | None,
        dialect: Dialect,
        uniform: Callable[[int], float] | None,
        clock: Callable[[], float] | None,
        headers: Mapping[str, str] | None,
        resend: bool,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._environment: Mapping[str, str] = os.environ if environment is None else environment
        address = checked_address(base_url)
        self.base_url = address.url
        self._below = f"{address.url}/"
        self._authorization = address.authorization
        self._headers = checked_headers(headers)
        calls = (dialect.submit, dialect.status)
        self._secrets = {*secrets_of(self._headers), *(name for call in calls for name in secrets_sent(call))}
        if address.authorization and "authorization" not in map(str.lower, self._headers):
            self._headers["Authorization"] = address.authorization
        self._reached = False  # whether the service has answered yet
        self.policy = policy or _DEFAULT_POLICY
        self.dialect = dialect
        self._uniform = uniform or (lambda _n: random.random())  # noqa: S311 -- jitter, not a secret
        self._clock = clock
        self._resend = resend
        for sent in (self._headers, *(call.headers for call in calls)):
            self._filled(
                sent
            )  # a secret that is missing, or cannot be a header, is told before anything is sent
        fill([f"${{{name}}}" for name in sorted(self._secrets)], self._environment)
        self._submitted: dict[str, Submission] = {}

    def now(self) -> float:
        """Return the time in seconds on the client's clock, the one that all its records are stamped with."""
        return (self._clock or time.monotonic)()

    def addressed(self, request: Request) -> Outgoing:
        """Return a request as it leaves: secrets filled in, and what is the service's own for it alone."""
        url = request.url(self.base_url)
        home = url.startswith(self._below) or same_origin(url, self.base_url)
        if home and not (request.private or request.query or self._headers or request.json):
            return Outgoing(url, dict(request.headers), request.json)  # most polls
        own = self._filled({**request.private, **self._headers}) if home else {}
        names = {name.lower() for name in own}
        headers = {k: v for k, v in request.headers.items() if k.lower() not in names} | own
        if home and request.query:
            url = with_query(url, fill(request.query, self._environment))
        return Outgoing(url, headers, fill(request.json, self._environment))

    def asked(self, key: int | None, json: Mapping[str, Any] | None) -> Request:
        """Return the request that submits a job; ``json``: members of the body besides the dialect's own."""
        request = self.dialect.submission(key)
        if not json:
            return request
        try:
            dumps(dict(json), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidSetting("json", "this body", f"give what JSON can say ({error})") from None
        sent = request.json if isinstance(request.json, dict) else {}
        return replace(request, json={**sent, **json})

    def may_resend(self, request: Request) -> bool:
        """Return whether a request may go out again when the server had closed the connection kept for it."""
        return self._resend and may_be_resent(request)

    def hidden(self, text: str) -> str:
        """Return what may be shown or kept of a text: without the values of secrets that were sent."""
        if self._authorization:  # the user info of the base address
            text = text.replace(self._authorization.removeprefix("Basic "), "...")
        return hidden(text, self._secrets, self._environment) if self._secrets else text

    def reply(self, response: Response) -> Response:
        """Take a reply that has just come; services repeat what they were sent, so secrets are hidden."""
        self._reached = True
        if self._secrets or self._authorization:
            told = self.hidden(response.body.decode("utf-8", "surrogateescape"))
            response = replace(response, body=told.encode("utf-8", "surrogateescape"))
        return response

    def cause(self, error: BaseException) -> Cause:
        """Return why an exchange broke, in the system's words."""
        cause = cause_of(error, self.wrappings, reached=self._reached)
        passing = cause.passing and not isinstance(error, self.unsendable)
        return Cause(self.hidden(cause.words), passing, getattr(error, RESENT, 0))

    def _filled(self, headers: Mapping[str, str]) -> dict[str, str]:
        return checked_headers(fill(headers, self._environment)) if self._secrets else dict(headers)

    def submission(self, response: Response) -> Submission:
        """Return the job that this reply accepted, just now; raise SubmitFailed if it did not."""
        job, hint = self.dialect.accepted(response), self.dialect.hint(response)
        waits, ended = hint.seconds if hint else None, self.dialect.ended(response)
        submission = Submission(job.id or "", job.url or "", self.now(), waits, ended)
        if job.id is not None and (waits is not None or ended is not None or self.dialect.submit.location):
            self._submitted[job.id] = submission
            if len(self._submitted) > _REMEMBERED:
                self._submitted.pop(next(iter(self._submitted)), None)
        return submission

    def conversation(
        self,
        job: str | JobRef | Submission | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        epoch: float | None = None,
        turn: Callable[[float], float] | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Conversation:
        """Return the polling of a job, ready to be pumped.

        epoch: when the clock of ``anchor="clock"`` shows 0, on the client's clock; by default 1970, by the
        time of day that it is now. Clocks that are set later on change nothing. turn: as for
        ``Conversation``. The other arguments are those of ``poll``.
        """
        submission = job if isinstance(job, Submission) else None
        if started_at is None:
            started_at = submission.replied_at if submission else self.now()
        retry_after = submission.retry_after if submission else None
        if isinstance(job, str) and (submission := self._submitted.pop(job, None)):
            job = submission  # by its id alone: what its submission was told holds all the same
            if submission.retry_after is not None:
                retry_after = max(0.0, submission.replied_at + submission.retry_after - started_at)
        return Conversation(
            job_ref(job),
            policy or self.policy,
            uniform or self._uniform,
            started_at=started_at,
            epoch=self.now() - time.time() if epoch is None else epoch,
            retry_after=retry_after,
            ended=submission.ended if submission else None,
            dialect=self.dialect,
            turn=turn,
            on_attempt=() if on_attempt is None else (on_attempt,),
        )


def job_ref(job: str | JobRef | Submission | None) -> JobRef:
    """Return the job that is meant: by its id, by a reference, or as it was submitted."""
    match job:
        case JobRef():
            return job
        case Submission():
            return JobRef(job.id or None, job.url)
        case _:
            return JobRef(job)


def checked_ca(ca: str | PathLike[str] | None, *, lent: bool) -> SSLContext | None:
    """Return how to trust the authorities in a PEM file alone, None for the usual ones; raise InvalidSetting.

    lent: the connections are the caller's, with their own trust.
    """
    if ca is None:
        return None
    if lent:
        raise InvalidSetting("ca", str(ca), "leave it away, and give your own connections this trust")
    try:
        return create_default_context(cafile=ca)
    except (OSError, ValueError) as error:  # SSLError is an OSError
        remedy = f"give a file with the authority's certificate in PEM form ({error})"
        raise InvalidSetting("ca", str(ca), remedy) from None
