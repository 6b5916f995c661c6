"""The user's own API under load: clients keep to a share of its limits, and stop where no sense is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, SSLError

from client import PollingPolicy, SubmitFailed
from client.blocking import VideoTranslationClient
from harness.live._allowance import Shared
from harness.live._budget import Share
from harness.live._watch import Watched, may_poll
from scenarios import Target

_HOPELESS: Final = 5  # submissions that fail before one is accepted: then no more are tried
_LOAD: Final = (429,)  # what says "too many", rather than "not like this"
_GATEWAYS: Final = (502, 504)  # what stands in for a service that may have taken the job


class OwnApi:
    """One process's dealings with the target in one visit; ``allowance`` is its share of the limits.

    setting, run: what a submission may be told apart by. stop: told, once it is of no use to go on, why; more
    than once, perhaps.
    """

    def __init__(
        self,
        target: Target,
        share: Share,
        allowed_hosts: frozenset[str],
        *,
        setting: str,
        run: str,
        stop: Callable[[str], None],
    ) -> None:
        self.allowance = Shared(share)
        self._target = target
        self._stop = stop
        self._dialect = Watched.over(
            target.spoken,
            fill=lambda request, key: target.submission(request, key, setting, run),
            may_poll=partial(may_poll, target, allowed_hosts),
            stop=stop,
            hide=target.hidden,
        )
        self._accepted = False
        self._failed = 0

    def client(self, policy: PollingPolicy, connections: int) -> VideoTranslationClient:
        """Return a client for one lane; its submissions have the target's time limit."""
        return VideoTranslationClient(
            self._target.base_url,
            replace(policy, request_timeout=self._target.submit_timeout or policy.request_timeout),
            dialect=self._dialect,
            session=_session(self.allowance, self._target.ca, connections),
        )

    def hidden(self, text: str) -> str:
        """Return a text without the values of secrets."""
        return self._target.hidden(text)

    def submitted(self) -> None:
        """Note that a submission was accepted."""
        self._accepted = True

    def not_submitted(self, failed: SubmitFailed) -> None:
        """Note that a submission failed, and stop where the next ones would fail like it."""
        self.allowance.release(ended=not _may_be_at_work(failed))
        self._failed += failed.status_code not in _LOAD
        said = self.hidden(str(failed))
        if not failed.retryable:
            self._stop(f"{said!r}: no other try can mend this")
        elif not self._accepted and self._failed == _HOPELESS:
            self._stop(f"{_HOPELESS} submissions failed and none was accepted, the last: {said!r}")
        else:
            self._stop_if_choked()

    def ended(self, *, learnt: bool) -> None:
        """Note that a job is no longer followed; ``learnt``: because its client learnt of its end."""
        self.allowance.release(ended=learnt)
        self._stop_if_choked()

    def _stop_if_choked(self) -> None:
        if self.allowance.is_choked:
            left = f"{self.allowance.left} jobs were left before their clients learnt of their end"
            self._stop(f"{left} and may still be at work; target.limits.in_flight allows no more")


class _CountedAdapter(HTTPAdapter):
    """Lets no request leave without its turn, one that is sent a second time included."""

    def __init__(self, allowance: Shared, **options: Any) -> None:
        super().__init__(**options)
        self._allowance = allowance

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        """Send a request once it is its turn."""
        self._allowance.leaves()
        return super().send(*arguments, **options)


def _session(allowance: Shared, ca: str | None, connections: int) -> requests.Session:
    """Return a session that adds nothing of its own: no retries, no proxies, no credentials."""
    session = requests.Session()
    session.trust_env = False
    adapter = _CountedAdapter(allowance, pool_connections=1, pool_maxsize=connections, max_retries=0)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    if ca is not None:
        session.verify = ca
    return session


def _may_be_at_work(failed: SubmitFailed) -> bool:
    """Return whether the service may have taken a job although its submission failed."""
    if failed.status_code is not None:
        return failed.status_code in _GATEWAYS
    return not any(
        isinstance(each, NewConnectionError | ConnectTimeoutError | SSLError) for each in _chain(failed)
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
