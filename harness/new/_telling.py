"""What services call things: the members of replies, by how much a name says, and the words for states.

Names are compared in lower case without signs, words as the client compares them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

Telling: TypeAlias = tuple[tuple[str, int], ...]
"""Patterns of names, and the points that each is worth."""

_JOBS: Final = (
    r"job|task|operation|execution|run|prediction|render|batch|process|workflow|video|generation|transcript"
)
_OTHERS: Final = (
    r"trace|correlation|user|account|project|org|tenant|customer|session|parent|model|template|owner"
)

IDS: Final[Telling] = (
    (r"id|uuid|guid", 50),
    (rf"(?:{_JOBS})(?:id|uuid|name|number)", 48),
    (rf"(?!(?:{_OTHERS})id)\w+id", 30),
    (_JOBS, 25),
    (r"(?:trace|correlation)id|handle|number|reference|ref|key|name", 10),
)
"""The job's id."""

STATES: Final[Telling] = (
    (r"state|status", 50),
    (r"\w*(?:status|state)", 45),
    (r"phase", 40),
    (r"stage|result", 20),
)
"""Its state, as a word."""

DONE: Final[Telling] = ((r"(?:is)?(?:done|finished|completed?|ready)", 30),)
"""Whether it has ended, as true or false."""

PLACES: Final[Telling] = (
    (r"(?:status|polling|poll|get|self|monitor|operation|tracking)(?:ur[il]|link|href|location)?", 40),
    (r"(?:ur[il]|href|link|location)", 20),
)
"""The address to poll."""

LOCATIONS: Final = ("Operation-Location", "Azure-AsyncOperation", "Location", "Content-Location")
"""The headers that have it, the most telling first."""

ENDS: Final[Telling] = ((r"(?:completed|finished|ended|done|succeeded)(?:at|time|on|date)?|endtime|end", 10),)
"""The moment of its end."""

WAITS: Final[Telling] = (
    (r"(?:retryafter|pollafter|poll(?:ing)?interval|nextpoll)(?:in)?(?:ms|millis|seconds|s|sec)?", 10),
)
"""When to come back."""

State: TypeAlias = Literal["pending", "completed", "error"]
"""What a word says of a job."""

WORDS: Final[Mapping[State, tuple[str, ...]]] = {
    "pending": (
        "pending", "queued", "in queue", "enqueued", "waiting", "submitted", "accepted", "received",
        "created", "new", "scheduled", "not started", "starting", "started", "initializing", "preparing",
        "provisioning", "running", "in progress", "processing", "working", "active", "executing", "rendering",
        "generating", "retry", "retrying",
    ),
    "completed": (
        "completed", "complete", "succeeded", "success", "successful", "done", "finished", "ready", "ok",
    ),
    "error": (
        "error", "errored", "failed", "failure", "cancelled", "canceled", "aborted", "expired", "rejected",
        "revoked", "timed out", "timeout", "terminated", "crashed", "broken", "invalid",
    ),
}  # fmt: skip
"""What services call a job that is not finished, one that ended well, and one that ended badly."""

OF_REQUESTS: Final = ("ok", "success", "successful")
"""Words by which a submission is said to have gone well, rather than the job to have ended."""

_SIGNS: Final = re.compile(r"[\s_-]+")


def plain(word: str) -> str:
    """Return a word as it is compared: ``In Progress``, ``IN_PROGRESS`` and ``inProgress`` are one."""
    return _SIGNS.sub("", word.casefold())


_MEANINGS: Final[Mapping[str, State]] = {
    plain(word): state for state, words in WORDS.items() for word in words
}


def meaning(word: str) -> State | None:
    """Return what a word says of a job at other services, None if nobody is known to use it."""
    return _MEANINGS.get(plain(word))
