"""A target's replies, watched for what its dialect does not declare: going on would measure nothing.

The run is stopped with the reply in quotes, and the key of the scenario that would declare it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Final
from urllib.parse import urlsplit

from client import (
    Dialect,
    JobRef,
    JobStatus,
    Request,
    Response,
    Source,
    StatusReadFailed,
    SubmitFailed,
    UnknownState,
    same_origin,
)
from scenarios import Target

_QUOTED: Final = 200
_LOOKED_AT: Final = 10_000
_CREDENTIALS: Final = (401, 403)


@dataclass(frozen=True)
class Watched(Dialect):
    """A target's dialect that submits the target's inputs, and says what it finds undeclared.

    fill: what makes a job's own submission out of the dialect's. may_poll: whether a job may be polled at an
    address. stop: told, once it is of no use to go on, why; perhaps more than once. hide: takes secrets out
    of a text.
    """

    fill: Callable[[Request, int], Request] = lambda request, _key: request
    may_poll: Callable[[str], bool] = lambda _url: True
    stop: Callable[[str], None] = lambda _reason: None
    hide: Callable[[str], str] = lambda text: text
    _read: list[bool] = field(default_factory=list)  # holds something once a status was read

    @classmethod
    def over(cls, dialect: Dialect, **watch: Callable[..., object]) -> Watched:
        """Return a dialect, watched."""
        own = {each.name: getattr(dialect, each.name) for each in fields(dialect) if each.init}
        return cls(**own, **watch)  # type: ignore[arg-type] # the callables have their types above

    def submission(self, key: int | None = None) -> Request:
        """Return the request that submits a job with its own input."""
        request = Dialect.submission(self, key)
        return request if key is None else self.fill(request, key)

    def accepted(self, response: Response) -> JobRef:
        """Return the accepted job; raise SubmitFailed as any dialect does, or where it may not be polled."""
        try:
            job = Dialect.accepted(self, response)
        except SubmitFailed:
            if reason := self._unsubmitted(response):
                self.stop(reason)
            raise
        place = self.poll(job).path
        if not place.startswith("/") and not self.may_poll(place):
            host = urlsplit(place).hostname or ""
            reason = (
                f"a job is to be polled at another origin, {self._origin(place)}: if that is meant, add "
                f"--allow-host {host}; it gets none of the target's headers"
            )
            self.stop(reason)
            raise SubmitFailed(response.status_code, reason)
        return job

    def read(self, response: Response) -> JobStatus:
        """Return the status that was read; raise StatusReadFailed as any dialect does."""
        try:
            status = Dialect.read(self, response)
        except StatusReadFailed as failed:
            if reason := self._unread(response, failed):
                self.stop(reason)
            raise
        if not self._read:
            self._read.append(True)
        return status

    def _unsubmitted(self, response: Response) -> str | None:
        """Return why a submission's reply stops the run; None: it is one submission that failed."""
        code, call = response.status_code, self.submit
        if code in _CREDENTIALS:
            return f"the target does not accept these credentials: a submission got {self._quoted(response)}"
        if 200 <= code < 400 and code not in call.accepted:
            return self._undeclared("a submission", response, "submit.accepted")
        named = Source(body=call.id).find(response, response.document()) is not None
        if code in call.accepted and not named and not self._is_problem(call.problem, response):
            return self._undeclared("a submission", response, "submit.id", "submit.location")
        return None

    def _unread(self, response: Response, failed: StatusReadFailed) -> str | None:
        """Return why a failed status read stops the run; None: it is one failed read."""
        code, call = response.status_code, self.status
        if code in _CREDENTIALS:
            return f"the target does not accept these credentials: a poll got {self._quoted(response)}"
        if isinstance(failed, UnknownState):
            return self._undeclared("a poll", response, "status.pending", "status.completed", "status.error")
        # Once statuses can be read, a page of a proxy's, say, is a failed read like others.
        if 200 <= code < 400 and not self._read and not self._is_problem(call.problem, response):
            return self._undeclared("a poll", response, "status.path" if code >= 300 else "status.state")
        return None

    def _undeclared(self, what: str, response: Response, *keys: str) -> str:
        where = response.header("Location") if 300 <= response.status_code < 400 else None
        leads = f", leading to {self._origin(where)}" if where else ""
        declared = " or ".join(f"target.dialect.{key}" for key in keys)
        got = f"{what} got {self._quoted(response)}{leads}"
        return f"{got}, which the dialect does not declare: see {declared}"

    def _is_problem(self, member: str | None, response: Response) -> bool:
        return member is not None and bool(Source(body=member).find(response, response.document()))

    def _quoted(self, response: Response) -> str:
        """Return a reply as people may read it: its code, and its beginning, escaped and without secrets."""
        text = " ".join(self.hide(response.body[:_LOOKED_AT].decode("utf-8", "replace")).split())
        return f"HTTP {response.status_code} {text[:_QUOTED]!r}{'...' if len(text) > _QUOTED else ''}"

    @staticmethod
    def _origin(url: str) -> str:
        """Return where an address leads, escaped and without what it asks there."""
        try:
            parts = urlsplit(url)
            return repr(
                f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"[:_QUOTED]
            )
        except ValueError:
            return repr(url[:_QUOTED])


def may_poll(target: Target, allowed_hosts: frozenset[str], url: str) -> bool:
    """Return whether a job may be polled here: at the target's own origin, or at a host that was allowed."""
    if same_origin(url, target.base_url):
        return True
    try:
        return (urlsplit(url).hostname or "").rstrip(".") in allowed_hosts
    except ValueError:
        return False
