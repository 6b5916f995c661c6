"""The driver over httpx, for asyncio: it sleeps, sends and tells the time for a Conversation, no more.

Needs the extra ``async``. One client serves any number of tasks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from http.cookiejar import DefaultCookiePolicy
from os import PathLike
from ssl import SSLContext
from types import TracebackType
from typing import Any, Final, Self

try:
    import httpx
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "the asyncio client needs httpx: pip install 'backoff-harness[async]'", name=missing.name
    ) from None

from ._bounded import ENCODINGS, Body
from ._checks import whole
from ._conversation import Conversation
from ._dialect import NATIVE, Dialect
from ._driver import BASE_URL, LONGEST_SLEEP, RESENT, Driver, checked_ca, job_ref
from ._errors import completed
from ._events import Wait
from ._policy import PollingPolicy
from ._records import Attempt, JobRef, JobStatus, Result, Submission
from ._wire import Request, Response

__all__ = ["AsyncVideoTranslationClient", "Attempt", "JobStatus", "Result", "Submission"]

# What comes of a connection that is broken or silent, or of a reply that makes no sense: libraries let some
# of what they find in a header escape as a ValueError. What is wrong with our requests is found before.
_TRANSPORT: Final = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError)


class AsyncVideoTranslationClient(Driver):
    """Submits jobs to the video-translation service and polls them until they end, without blocking.

    The arguments are those of ``client.blocking.VideoTranslationClient``, but
    http: an httpx.AsyncClient to use as it is; without one the client makes its own, which never retries,
    follows no proxy settings of the environment, and keeps up to ``connections`` idle connections.
    sleep: asyncio.sleep by default.

    Timeouts bound the whole exchange, from connecting to the last byte, and a reply has at most 8 MiB. No
    cookies are kept. A task that is cancelled cancels its conversation, whose result is then "censored"; the
    cancellation goes on.
    """

    unsendable = (httpx.InvalidURL, httpx.UnsupportedProtocol)

    def __init__(
        self,
        base_url: str = BASE_URL,
        policy: PollingPolicy | None = None,
        *,
        dialect: Dialect = NATIVE,
        http: httpx.AsyncClient | None = None,
        connections: int = 10,
        headers: Mapping[str, str] | None = None,
        ca: str | PathLike[str] | None = None,
        resend: bool = True,
        uniform: Callable[[int], float] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(base_url, policy, dialect, uniform, clock, headers, resend)
        trust = checked_ca(ca, lent=http is not None)
        self._http = http or _new_http(whole("connections", connections, at_least=1), trust)
        self._owns_http = http is None
        self._sleep = sleep

    async def submit(self, key: int | None = None, *, json: Mapping[str, Any] | None = None) -> Submission:
        """Submit one job and return its id and address.

        key: what the service draws the job's duration and outcome by; without one it chooses.
        json: members of the body for this job, besides the dialect's own.
        Sent once, never retried: a submission whose reply was lost may have been accepted.
        Raises SubmitFailed when the service did not accept the job, or could not be reached.
        """
        asked = self.asked(key, json)
        try:
            response = await self._exchange(asked, self.policy.request_timeout)
        except _TRANSPORT as error:
            raise self.cause(error).submit_failed() from error
        return self.submission(response)

    async def status(
        self,
        job_id: str | JobRef | Submission | None = None,
        *,
        attempt: int | None = None,
        timeout: float = 10.0,
    ) -> JobStatus:
        """Read a job's status once; without an id, that of the service's implicit job (``GET /status``).

        attempt: the number of this status request for this job, sent as the header ``Poll-Attempt``.
        timeout: most seconds for the whole exchange.
        Raises StatusReadFailed when no known status came back.
        """
        try:
            response = await self._exchange(self.dialect.poll(job_ref(job_id), attempt), timeout)
        except _TRANSPORT as error:
            raise self.cause(error).read_failed() from error
        return self.dialect.read(response)

    async def poll(
        self,
        job_id: str | JobRef | Submission | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Result:
        """Poll a job (the implicit one without an id) until it ends, time is up, or a budget is spent.

        No outcome raises: read ``Result.outcome``. The arguments are those of the blocking client.
        """
        return await self.pump(
            self.conversation(
                job_id, policy=policy, uniform=uniform, started_at=started_at, on_attempt=on_attempt
            )
        )

    async def wait_for_completion(
        self,
        job_id: str | JobRef | Submission | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Result:
        """Poll as ``poll`` does, and return only if the job completed.

        Raises JobFailed, DeadlineExceeded or GaveUp: each is a PollingError and carries the result.
        """
        result = await self.poll(
            job_id, policy=policy, uniform=uniform, started_at=started_at, on_attempt=on_attempt
        )
        return completed(result)

    async def pump(self, talk: Conversation) -> Result:
        """Sleep and send for a conversation until it ends, and return how.

        When something stops the pump (a cancelled task, say), the conversation is cancelled: its ``result``
        is then "censored".
        """
        try:
            while not isinstance(step := talk.next(now := self.now()), Result):
                if isinstance(step, Wait):
                    await self._sleep(min(step.until - now, LONGEST_SLEEP))
                    continue
                try:
                    response = await self._exchange(step.request, step.timeout)
                except _TRANSPORT as error:
                    words, passing, resent = self.cause(error)
                    talk.broke(self.now(), words, retryable=passing, resent=resent)
                else:
                    talk.replied(self.now(), response)
        except BaseException:
            if talk.result is None:
                talk.cancelled(self.now())
            raise
        return step

    async def aclose(self) -> None:
        """Close the connections, if they are the client's own."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _exchange(self, request: Request, timeout: float) -> Response:
        """Send a request and return the whole reply.

        Nothing is sent twice, but for a safe request that met a kept connection which the server had closed.
        """
        out, resent = self.addressed(request), 0
        try:
            async with asyncio.timeout(timeout):
                while True:
                    kept = _KeptConnection()
                    try:
                        async with self._http.stream(
                            request.method,
                            out.url,
                            headers={"Accept-Encoding": ENCODINGS, **out.headers},
                            json=out.json,
                            timeout=None,
                            follow_redirects=False,
                            extensions={"trace": kept},
                        ) as reply:
                            body = Body()
                            async for piece in reply.aiter_raw():
                                body.add(piece)
                    except (httpx.NetworkError, httpx.RemoteProtocolError):
                        if resent or not self.may_resend(request) or not kept.closed_before:
                            raise
                        resent = 1
                    else:
                        break
            content = body.unpacked(reply.headers.get("Content-Encoding"))
        except _TRANSPORT as error:
            setattr(error, RESENT, resent)
            raise
        return self.reply(
            Response(reply.status_code, reply.headers, content, str(reply.url), time.time(), resent)
        )


class _KeptConnection:
    """What httpcore traces of one request: whether it went over a kept connection, and a reply began."""

    def __init__(self) -> None:
        self._events: set[str] = set()

    async def __call__(self, event: str, _info: object) -> None:
        self._events.add(event)

    @property
    def closed_before(self) -> bool:
        """Whether it went out over a connection that had served another, and no head of a reply came."""
        sent = "http11.send_request_headers.started" in self._events
        fresh = "connection.connect_tcp.started" in self._events
        return sent and not fresh and "http11.receive_response_headers.complete" not in self._events


def _new_http(connections: int, trust: SSLContext | None) -> httpx.AsyncClient:
    """Return a client that adds nothing of its own: no retries, no proxies or credentials, no waiting."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=connections)
    http = httpx.AsyncClient(trust_env=False, limits=limits, verify=trust or True)
    http.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return http
