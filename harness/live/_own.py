"""The user's own API under load: clients keep to a share of its limits, and stop where no sense is left.

A run stops where a reply is not what the dialect declares: figures of jobs whose states nobody has classified
mean nothing. The reply is quoted, with the keys of the scenario that would declare it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Final
from urllib.parse import urlsplit

from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

from client import (
    Attempt,
    Dialect,
    PollingPolicy,
    Request,
    Submission,
    SubmitFailed,
    Undeclared,
    same_origin,
)
from harness.live._allowance import Shared
from harness.live._budget import Share
from harness.live._exchange import UNSENT
from harness.live._transport import CLIENTS, Client
from scenarios import Target, Transport

_HOPELESS: Final = 5  # submissions that fail before one is accepted: then no more are tried
_CREDENTIALS: Final = (401, 403)
_LOAD: Final = (429,)  # what says "too many", rather than "not like this"
_GATEWAYS: Final = (502, 504)  # what stands in for a service that may have taken the job
_OF_THE_STATE: Final = "status.pending"  # of the keys that would declare an unknown word


@dataclass(frozen=True)
class _Filled(Dialect):
    """A target's dialect that submits the target's inputs: ``fill`` puts a job's own into its submission."""

    fill: Callable[[Request, int], Request] = lambda request, _key: request

    @classmethod
    def by(cls, fill: Callable[[Request, int], Request], dialect: Dialect) -> _Filled:
        own = {each.name: getattr(dialect, each.name) for each in fields(dialect) if each.init}
        return cls(**own, fill=fill)

    def submission(self, key: int | None = None) -> Request:
        """Return the request that submits a job."""
        request = Dialect.submission(self, key)
        return request if key is None else self.fill(request, key)


class OwnApi:
    """One process's dealings with the target in one visit; ``allowance`` is its share of the limits.

    allowed_hosts: where jobs may be polled besides the target's own origin. connections: how many requests
    may be under way at once. setting, run: what a submission
    may be told apart by. stop: told, once it is of no use to go on, why; more than once, perhaps.
    """

    def __init__(
        self,
        target: Target,
        share: Share,
        allowed_hosts: frozenset[str],
        *,
        connections: int,
        setting: str,
        run: str,
        stop: Callable[[str], None],
    ) -> None:
        self.allowance = Shared(share, connections)
        self._target = target
        self._allowed_hosts = allowed_hosts
        self._stop = stop
        self._dialect = _Filled.by(
            lambda request, key: target.submission(request, key, setting, run), target.spoken
        )
        self._accepted = False
        self._failed = 0
        self._read = False  # whether any status could be read

    def client(self, transport: Transport, policy: PollingPolicy) -> Client:
        """Return the client of all lanes; its submissions have the target's time limit."""
        return CLIENTS[transport](
            self._target.base_url,
            replace(policy, request_timeout=self._target.submit_timeout or policy.request_timeout),
            dialect=self._dialect,
            ca=self._target.ca,
        )

    def hidden(self, text: str) -> str:
        """Return a text without the values of secrets."""
        return self._target.hidden(text)

    def submitted(self, submission: Submission) -> bool:
        """Note that a submission was accepted; return whether its job may be polled where the reply says."""
        self._accepted = True
        if not self._dialect.submit.location or self._may_poll(submission.url):
            return True
        host = urlsplit(submission.url).hostname or ""
        self._stop(
            f"a job is to be polled at another origin, {_origin(submission.url)!r}: if that is meant, add "
            f"--allow-host {host!r}; it gets none of the target's headers"
        )
        self.allowance.release(ended=False)
        return False

    def not_submitted(self, failed: SubmitFailed) -> None:
        """Note that a submission failed, and stop where the next ones would fail like it."""
        self.allowance.release(ended=not _may_be_at_work(failed))
        self._failed += failed.status_code not in _LOAD
        at = f" (base_url {self._target.base_url})" if failed.status_code is None else ""
        said = f"{self.hidden(str(failed))}{at}"
        if failed.status_code in _CREDENTIALS:
            self._stop(f"the target does not accept these credentials: {said}")
        elif failed.undeclared is not None:
            self._stop_undeclared("a submission", failed.undeclared)
        elif failed.status_code is None and not failed.retryable:
            self._stop(f"{said}: no other try can mend this")
        elif not self._accepted and self._failed == _HOPELESS:
            self._stop(f"{_HOPELESS} submissions failed and none was accepted, the last: {said}")
        else:
            self._stop_if_choked()

    def polled(self, attempt: Attempt) -> None:
        """Note how a poll went, and stop where the next ones would go like it."""
        self._read = self._read or attempt.status is not None
        if attempt.status_code in _CREDENTIALS:
            self._stop(f"the target does not accept these credentials: a poll got {attempt.failure}")
        elif (unknown := attempt.undeclared) and (not self._read or _OF_THE_STATE in unknown.keys):
            # Once statuses can be read, what is none, a proxy's page say, is a failed read like others.
            self._stop_undeclared("a poll", unknown)

    def ended(self, *, learnt: bool) -> None:
        """Note that a job is no longer followed; ``learnt``: because its client learnt of its end."""
        self.allowance.release(ended=learnt)
        self._stop_if_choked()

    def _stop_undeclared(self, what: str, unknown: Undeclared) -> None:
        keys = " or ".join(f"target.dialect.{key}" for key in unknown.keys)
        got = f"{what} got '{self.hidden(unknown.quote)}'"
        self._stop(f"{got}, which the dialect does not declare: see {keys}")

    def _stop_if_choked(self) -> None:
        if self.allowance.is_choked:
            left = f"{self.allowance.left} jobs were left before their clients learnt of their end"
            self._stop(f"{left} and may still be at work; target.limits.in_flight allows no more")

    def _may_poll(self, url: str) -> bool:
        """Return whether a job may be polled here: the target's own origin, or a host that was allowed."""
        if url.startswith("/") or same_origin(url, self._target.base_url):
            return True
        return (urlsplit(url).hostname or "").rstrip(".") in self._allowed_hosts


def _origin(url: str) -> str:
    """Return where an address leads, without what it asks there."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


def _may_be_at_work(failed: SubmitFailed) -> bool:
    """Return whether the service may have taken a job although its submission failed."""
    if failed.status_code is not None:
        return failed.undeclared is not None or failed.status_code in _GATEWAYS
    return not any(
        hasattr(each, UNSENT) or isinstance(each, NewConnectionError | ConnectTimeoutError | SSLError)
        for each in _chain(failed)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
