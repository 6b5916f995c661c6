"""The driver over requests: it sleeps, sends and tells the time for a Conversation, and decides nothing.

It blocks the thread or greenlet that calls it, and works unchanged when gevent has patched the process:
``time`` is looked up at each use, never bound at import.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from os import PathLike
from types import TracebackType
from typing import Any, Final, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, Timeout
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from ._bounded import ENCODINGS, BadReply, Body
from ._causes import closed_before
from ._checks import whole
from ._conversation import Conversation
from ._dialect import NATIVE, Dialect
from ._driver import BASE_URL, LONGEST_SLEEP, RESENT, Driver, Outgoing, checked_ca, job_ref
from ._errors import completed
from ._events import Wait
from ._kept import KeptConnection
from ._policy import PollingPolicy
from ._records import Attempt, JobRef, JobStatus, Result, Submission
from ._wire import Request, Response

__all__ = ["Attempt", "JobStatus", "Result", "Submission", "VideoTranslationClient"]

_PIECE: Final = 1 << 16


class VideoTranslationClient(Driver):
    """Submits jobs to the video-translation service and polls them until they end.

    base_url: where the service is. policy: how to poll unless a call says otherwise; by default exponential
    from 0.5 s doubling to at most 10 s, full jitter, deadline 300 s.
    dialect: how the service says it all; by default as ``python -m server`` does.
    session: a requests.Session to use as it is; without one the client makes its own, which never retries,
    follows no proxy settings of the environment, and keeps up to ``connections`` connections (set it to the
    number of jobs polled at once: one client serves any number of threads or greenlets).
    headers: sent with every request to the service itself, and to no other; so is the user info of base_url.
    ``${NAME}`` in them is taken from the environment.
    ca: a file of certificates in PEM form, to be trusted instead of the usual authorities.
    resend: whether a status request goes out again, at once and once, when the server had closed the
    connection that was kept for it (``Attempt.resent`` counts it); never a submission, nor over a session of
    your own.
    uniform: ``uniform(n)`` is the random number in [0, 1) for a job's n-th wait; random.random by default.
    clock, sleep: time.monotonic and time.sleep by default, looked up at each use.

    Timeouts bound the whole exchange, from connecting to the last byte, and a reply has at most 8 MiB; over a
    session of your own, requests bounds each read and not the whole of a head that drips. No cookies are
    kept.
    """

    wrappings = (requests.RequestException,)
    unsendable = (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema)

    def __init__(
        self,
        base_url: str = BASE_URL,
        policy: PollingPolicy | None = None,
        *,
        dialect: Dialect = NATIVE,
        session: requests.Session | None = None,
        connections: int = 10,
        headers: Mapping[str, str] | None = None,
        ca: str | PathLike[str] | None = None,
        resend: bool = True,
        uniform: Callable[[int], float] | None = None,
        clock: Callable[[], float] | None = None,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        super().__init__(base_url, policy, dialect, uniform, clock, headers, resend)
        trust = checked_ca(ca, lent=session is not None)
        self._session = session or _new_session(whole("connections", connections, at_least=1))
        if trust is not None:
            self._session.verify = str(ca)
        self._owns_session = session is None
        self._sleep = sleep

    def submit(self, key: int | None = None, *, json: Mapping[str, Any] | None = None) -> Submission:
        """Submit one job and return its id and address.

        key: what the service draws the job's duration and outcome by; without one it chooses.
        json: members of the body for this job, besides the dialect's own.
        Sent once, never retried: a submission whose reply was lost may have been accepted.
        Raises SubmitFailed when the service did not accept the job, or could not be reached.
        """
        asked = self.asked(key, json)
        try:
            response = self.exchange(asked, self.policy.request_timeout)
        except OSError as error:
            raise self.cause(error).submit_failed() from error
        return self.submission(response)

    def status(
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
            response = self.exchange(self.dialect.poll(job_ref(job_id), attempt), timeout)
        except OSError as error:
            raise self.cause(error).read_failed() from error
        return self.dialect.read(response)

    def poll(
        self,
        job_id: str | JobRef | Submission | None = None,
        *,
        policy: PollingPolicy | None = None,
        uniform: Callable[[int], float] | None = None,
        started_at: float | None = None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Result:
        """Poll a job (the implicit one without an id) until it ends, time is up, or a budget is spent.

        No outcome raises: read ``Result.outcome``.
        policy, uniform: for this call, instead of the client's.
        job_id: an id, a reference, or what ``submit`` returned. By its id alone, a job that this client
            submitted is polled where, and not before, its submission's reply said.
        started_at: when the submit reply arrived (``Submission.replied_at``), on the client's clock; by
            default that of the submission, or now.
        on_attempt: called after each status request, in the polling thread or greenlet.
        """
        return self.pump(
            self.conversation(
                job_id, policy=policy, uniform=uniform, started_at=started_at, on_attempt=on_attempt
            )
        )

    def pump(self, talk: Conversation) -> Result:
        """Sleep and send for a conversation until it ends, and return how.

        When something stops the pump (an interrupt, a killed greenlet), the conversation is cancelled: its
        ``result`` is then "censored".
        """
        try:
            while not isinstance(step := talk.next(now := self.now()), Result):
                if isinstance(step, Wait):
                    (self._sleep or time.sleep)(min(step.until - now, LONGEST_SLEEP))
                    continue
                try:
                    response = self.exchange(step.request, step.timeout)
                except OSError as error:
                    words, passing, resent = self.cause(error)
                    talk.broke(self.now(), words, retryable=passing, resent=resent)
                else:
                    talk.replied(self.now(), response)
        except BaseException:
            if talk.result is None:
                talk.cancelled(self.now())
            raise
        return step

    def wait_for_completion(
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
        result = self.poll(
            job_id, policy=policy, uniform=uniform, started_at=started_at, on_attempt=on_attempt
        )
        return completed(result)

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

    def exchange(self, request: Request, timeout: float) -> Response:
        """Send a request and return the whole reply: what a driver of your own needs, of a ``Fleet`` say.

        Nothing is sent twice, but for a safe request that met a kept connection which the server had closed.
        Raises OSError, of which ``cause`` says why: what a broken or silent connection raises.
        """
        out, until, resent = self.addressed(request), time.monotonic() + timeout, 0
        while True:
            try:
                reply, content = self._send(request.method, out, timeout)
            except OSError as error:
                timeout = until - time.monotonic()
                if not resent and timeout > 0 and self.may_resend(request) and closed_before(error):
                    resent = 1
                    continue
                setattr(error, RESENT, resent)
                raise
            return self.reply(
                Response(reply.status_code, reply.headers, content, reply.url, time.time(), resent)
            )

    def _send(self, method: str, out: Outgoing, timeout: float) -> tuple[requests.Response, bytes]:
        """Send a request, and return its reply with the body, all within ``timeout``. Raises OSError."""
        until = time.monotonic() + timeout
        # One bound for connecting and the reply together; a plain float would grant it to each.
        bound: Any = Timeout(total=timeout)  # requests documents it, its annotations do not
        headers = {"Accept-Encoding": ENCODINGS, **out.headers}
        body = Body()
        try:
            with self._session.request(
                method,
                out.url,
                headers=headers,
                json=out.json,
                timeout=bound,
                allow_redirects=False,
                stream=True,
            ) as reply:
                for piece in _pieces(reply.raw):
                    body.add(piece)
                    if time.monotonic() > until:
                        raise TimeoutError("the reply was not whole in time")
        except OSError:
            raise
        except HTTPError as error:
            raise requests.ConnectionError(error) from error
        except ValueError as error:  # what these libraries find in a header, they do not always catch
            raise BadReply(f"{type(error).__name__}: {error}") from error
        return reply, body.unpacked(reply.headers.get("Content-Encoding"))


def _pieces(raw: Any) -> Iterator[bytes]:
    """Return a body piece by piece, as it was sent; adapters of one's own may have any file for it."""
    if hasattr(raw, "stream"):
        pieces: Iterator[bytes] = raw.stream(_PIECE, decode_content=False)
        return pieces
    return iter(lambda: raw.read(_PIECE), b"")


class _Http(KeptConnection, HTTPConnection):
    pass


class _Https(KeptConnection, HTTPSConnection):
    pass


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Session(requests.Session):
    """Requests' session without redirects: it looks where they lead even when it does not follow them."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        del resp
        return None


def _new_session(connections: int) -> requests.Session:
    """Return a session that adds nothing of its own: no retries, proxies, credentials or cookies."""
    session = _Session()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = False
    adapter = HTTPAdapter(pool_connections=1, pool_maxsize=connections, max_retries=0, pool_block=False)
    adapter.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
