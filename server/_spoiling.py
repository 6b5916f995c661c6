"""What a fault makes of a good reply, and what a rate limit adds to it. Pure, whatever host sends it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Final

from scenarios import NamedFault, SlowDribble
from server._limiters import Allowance
from server._replies import NoReply, Reply
from server._speaking import Answer

_HTML: Final = "text/html; charset=utf-8"


def _with_body(body: bytes) -> Callable[[Answer], Answer]:
    return lambda answer: answer._replace(body=body)


_SPOILT: Final[Mapping[str, Callable[[Answer], Answer]]] = {
    "MALFORMED_JSON": _with_body(b"{status: pending, }\n"),
    "TRUNCATED_JSON": _with_body(b'{"id": "'),
    "WRONG_CONTENT_TYPE": lambda answer: answer._replace(headers={**answer.headers, "Content-Type": _HTML}),
}


def spoilt(answer: Answer, fault: NamedFault) -> Answer:
    """Return the answer with what the fault does to it; one that changes when or what is told leaves it."""
    spoil = _SPOILT.get(fault.name)
    return answer if spoil is None else spoil(answer)


def dribble_s(reply: Reply | NoReply) -> float:
    """Return the seconds between a reply's first byte and its last."""
    return reply.fault.duration if isinstance(reply.fault, SlowDribble) else 0.0


def limit_headers(quota: int, window: float, allowance: Allowance) -> dict[str, str]:
    """Return the fields of draft-ietf-httpapi-ratelimit-headers, in whole seconds."""
    return {
        "RateLimit-Policy": f'"default";q={quota};w={max(1, ceil(window))}',
        "RateLimit": f'"default";r={allowance.remaining};t={ceil(allowance.reset)}',
    }
