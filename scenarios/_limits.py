"""Limits on how often the service may be asked: the table of the kinds of rate limit. Times are in seconds.

A kind is a model here and a row of ``RATE_LIMITS``; ``server._limiters`` has the meter of each. Whoever is
above the limit is answered 429 with the seconds until it would be let in.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator

from scenarios.documents import Count, Model, OneOf, PositiveSeconds, Rate, spell_seconds

USUAL_LIMIT: Final = "token_bucket"
"""The kind of a rate limit whose ``type`` is not given."""


class Limit(Model, ABC):
    """A rate limit; its ``type`` is its name in YAML."""

    per: Literal["service", "client", "job"] = "service"
    """What has a limit of its own: the service as a whole, each client (a lane), or each job."""
    headers: bool = False
    """Whether replies tell what is left, in the RateLimit fields of draft-ietf-httpapi-ratelimit-headers."""

    @property
    @abstractmethod
    def per_second(self) -> float:
        """Return how many requests per second are let in in the long run."""

    @property
    @abstractmethod
    def policy(self) -> tuple[int, float]:
        """Return the quota and the window in seconds, as the RateLimit-Policy field has them."""

    @abstractmethod
    def words(self) -> str:
        """Return what is let in, in English."""

    def describe(self) -> str:
        """Return the limit in English."""
        of = {"service": "", "client": " of each client", "job": " of each job"}[self.per]
        told = "; replies tell what is left" if self.headers else ""
        return f"{self.words()}{of}{told}"


class TokenBucket(Limit):
    """Tokens flow into a bucket and each request takes one: steady in the long run, with bursts."""

    type: Literal["token_bucket"] = "token_bucket"
    rate: Rate
    """Tokens added per second."""
    burst: Count
    """Tokens that the bucket holds; it starts full."""

    @property
    def per_second(self) -> float:
        return self.rate

    @property
    def policy(self) -> tuple[int, float]:
        return self.burst, self.burst / self.rate

    def words(self) -> str:
        return f"at most {self.rate:g} status requests/s (bursts of {self.burst})"


class Windowed(Limit, ABC):
    """So many requests in a window of time."""

    limit: Count
    """Requests that are let in during a window."""
    window: PositiveSeconds
    """Seconds of a window."""

    @property
    def per_second(self) -> float:
        return self.limit / self.window

    @property
    def policy(self) -> tuple[int, float]:
        return self.limit, self.window


class FixedWindow(Windowed):
    """Counted anew in each window; windows begin at multiples of their length on the scenario clock."""

    type: Literal["fixed_window"] = "fixed_window"

    def words(self) -> str:
        return f"at most {self.limit} status requests in each {spell_seconds(self.window)}, counted anew"


class SlidingWindow(Windowed):
    """Counted over the window that ends now."""

    type: Literal["sliding_window"] = "sliding_window"

    def words(self) -> str:
        return f"at most {self.limit} status requests in any {spell_seconds(self.window)}"


RATE_LIMITS: Final[tuple[type[Limit], ...]] = (TokenBucket, FixedWindow, SlidingWindow)
"""Every kind of rate limit that a scenario may name; a new one is a class and its place in this table."""


def _usual(value: object) -> object:
    """Return a limit without a type as the token bucket that it always was."""
    return {"type": USUAL_LIMIT, **value} if isinstance(value, Mapping) and "type" not in value else value


RateLimit = Annotated[Limit, OneOf(*RATE_LIMITS), BeforeValidator(_usual)]
"""Any of the ``RATE_LIMITS``, chosen by its ``type``; a token bucket unless that is given."""
