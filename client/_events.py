"""The poller's vocabulary: what it is told about reads, and the commands it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from ._checks import put

JobState: TypeAlias = Literal["pending", "completed", "error"]
Outcome: TypeAlias = Literal["completed", "error", "timeout", "gave_up", "censored"]


def is_retryable(status_code: int | None, *, hinted: bool = False) -> bool:
    """Return whether a status read that failed like this is worth another try; None: no reply came.

    4xx are not, except 408, 425 and 429, and those that are ``hinted``: that say when to come back.
    Everything else is.
    """
    return status_code is None or not 400 <= status_code < 500 or hinted or status_code in (408, 425, 429)


@dataclass(frozen=True, slots=True)
class Undeclared:
    """A reply that the dialect has nothing for: either the dialect is incomplete, or the service is broken.

    quote: the reply's beginning in one line, cut and escaped. keys: those of the dialect that would declare
    it, such as "status.pending".
    """

    quote: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, init=False)
class Failure:
    """Why one status read failed. It says nothing of the job.

    kind: "transport" (no whole reply came), "malformed" (a reply without a state), "unknown state" (a word
        that the dialect does not have), "problem" (a 2xx that says that the request failed) or "http <code>".
    status_code: of the reply, None when there was none.
    detail: what the server or the transport said, for a reader.
    retryable: worth another try; unless given, ``is_retryable`` of the code. (A 404 soon after the start is
        retried all the same: ``ErrorPolicy.not_found_grace``.)
    undeclared: the reply and the dialect's keys, if it is one that the dialect does not declare.
    """

    kind: str
    status_code: int | None
    detail: str
    retryable: bool
    undeclared: Undeclared | None = field(default=None, compare=False)

    def __init__(
        self,
        kind: str,
        status_code: int | None = None,
        detail: str = "",
        *,
        retryable: bool | None = None,
        undeclared: Undeclared | None = None,
    ) -> None:
        put(self, "kind", kind)
        put(self, "status_code", status_code)
        put(self, "detail", detail)
        put(self, "retryable", is_retryable(status_code) if retryable is None else retryable)
        put(self, "undeclared", undeclared)

    @classmethod
    def http(cls, status_code: int, detail: str = "", *, hinted: bool = False) -> Failure:
        """Return the failure that a reply with this status code, and perhaps a hint, stands for."""
        return cls(
            f"http {status_code}", status_code, detail, retryable=is_retryable(status_code, hinted=hinted)
        )

    def __str__(self) -> str:
        return f"{self.kind} ({self.detail})" if self.detail else self.kind


@dataclass(frozen=True, slots=True)
class Wait:
    """Command: do nothing until this time on the driver's clock (it may have passed), then call ``wake``."""

    until: float


@dataclass(frozen=True, slots=True)
class Send:
    """Command: send status request number ``attempt`` (from 1), and give it at most ``timeout`` seconds.

    Answer with ``reply`` or ``fail``.
    """

    attempt: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Done:
    """Command: stop. Polling is over.

    outcome: "completed" or "error" (the job's own end), "timeout" (deadline), "gave_up" (a budget ran out, or
        a read failed beyond mending) or "censored" (cancelled first).
    at: when, on the driver's clock.
    attempts: status requests sent; of these ``wasted`` were answered "pending" and ``failures`` failed. What
        is left is 1 for a job's end, 1 for a request cancelled in flight, and otherwise 0.
    reason: one phrase of English.
    """

    outcome: Outcome
    at: float
    attempts: int
    wasted: int
    failures: int
    reason: str
