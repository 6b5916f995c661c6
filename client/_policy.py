"""Frozen policies: what a client does about "not finished", "this read failed" and "the server says wait"."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias, get_args

from ._anchors import ANCHORS, Missed
from ._backoff import Backoff
from ._checks import POSITIVE, ZERO_OR_MORE, InvalidSetting, Rule, Seconds, choices, fill
from ._curves import spell

FirstPoll: TypeAlias = Literal["after_delay", "immediately"]
RestartOn: TypeAlias = Literal["progress"]

_ERROR_BACKOFF: Final = Backoff("exponential", 1.0, multiplier=2.0, maximum=20.0, jitter="full")


@dataclass(frozen=True, slots=True, init=False)
class ErrorPolicy:
    """How failed status reads are retried; a failed read is not a failed job, and has a budget of its own.

    backoff: the law of the wait after the n-th failed read in a row (n is its attempt number).
    max_consecutive: this many failed reads in a row are retried; one more and the poller gives up. A good
        read starts the count afresh.
    not_found_grace: a 404 within this many seconds of the start is retried, for a job may take a moment to
        become visible after it was accepted. Later, a 404 means that the job is not there.

    Raises InvalidSetting naming the field, its value and what would be right.
    """

    backoff: Annotated[Backoff, Rule("object", of=Backoff), "The law of the waits after failed reads."]
    max_consecutive: Annotated[
        int, Rule("whole"), "Failed reads in a row that are retried; one more gives up."
    ]
    not_found_grace: Annotated[float, ZERO_OR_MORE, "A 404 this soon after the submission is retried."]

    def __init__(
        self, backoff: Backoff = _ERROR_BACKOFF, *, max_consecutive: int = 10, not_found_grace: Seconds = 5.0
    ) -> None:
        fill(self, backoff=backoff, max_consecutive=max_consecutive, not_found_grace=not_found_grace)
        if self.backoff.until:
            raise InvalidSetting(
                "backoff", backoff.until, "retries are counted: give their delays one by one, without until"
            )


@dataclass(frozen=True, slots=True, init=False)
class HintPolicy:
    """What a server's Retry-After is worth: it may lengthen a wait, never shorten it.

    With a hint h the wait is ``max(own wait, min(h, maximum) * (1 + spread * u))``: capped, so that a
    mistaken server cannot park its clients for a day, and spread to one side, so that clients that were all
    told the same time do not come back all at once, and none before that time.

    honour: False ignores hints altogether.
    maximum: cap of a hint, in seconds.
    spread: the one-sided jitter as a share of the hint, from 0 to 1.

    Raises InvalidSetting naming the field, its value and what would be right.
    """

    honour: Annotated[bool, Rule("flag"), "false ignores hints altogether."]
    maximum: Annotated[float, POSITIVE, "Cap of a hint."]
    spread: Annotated[float, Rule("number", at_most=1), "One-sided jitter, as a share of the hint."]

    def __init__(self, *, honour: bool = True, maximum: Seconds = 60.0, spread: float = 0.1) -> None:
        fill(self, honour=honour, maximum=maximum, spread=spread)

    def lengthen(self, wait: float, hint: float | None, u: float) -> float:
        """Return the wait in seconds under the hint (seconds or None), with u uniform in [0, 1)."""
        if not self.honour or hint is None or not hint > 0:  # "not >" also turns a NaN away
            return wait
        return max(wait, min(hint, self.maximum) * (1 + self.spread * u))


@dataclass(frozen=True, slots=True, init=False)
class PollingPolicy:
    """Everything that decides when a status request is sent and when to stop: one setting under comparison.

    cadence: the law of the waits while the job is pending.
    anchor: what the waits are counted from, a name in ``ANCHORS``: "reply", "start" or "clock".
    missed: what becomes of beats that have passed when a wait is computed: "skip" leaves them out,
        "catch_up" lets each follow at once. Replies miss none, so there it stays "skip".
    restart_on: "progress" starts the cadence again whenever a reply tells another progress than the one
        before it; None for never. Budgets and the deadline do not start again.
    first_poll: "after_delay" (the first poll follows the first delay) or "immediately".
    deadline: seconds from the start in which the answer is wanted; None for no deadline. No wait or request
        runs past it, and one last poll is sent when it falls due.
    max_attempts: give up after this many polls answered ``pending``; None for no limit.
    request_timeout: most seconds for one status request; never more than what is left before the deadline.
    last_poll_timeout: seconds allowed to the last poll, the one sent at the deadline: the only time by which
        a deadline may be overrun, and meant for one round trip.
    errors: retries of failed status reads. hints: what Retry-After may do.

    Durations are float seconds or timedelta, stored as float seconds.
    Raises InvalidSetting naming the field, its value and what would be right.
    """

    cadence: Annotated[Backoff, Rule("object", of=Backoff), "The law of the waits while the job is pending."]
    anchor: Annotated[str, choices(ANCHORS), "What the waits are counted from."]
    missed: Annotated[
        Missed,
        choices(get_args(Missed)),
        "What becomes of beats of the start or the clock that pass during a request.",
    ]
    restart_on: Annotated[
        RestartOn | None,
        choices(get_args(RestartOn)),
        "Start the cadence again whenever this changes; never unless given.",
    ]
    first_poll: Annotated[
        FirstPoll,
        choices(get_args(FirstPoll)),
        "The first poll follows the first delay, or comes at once.",
    ]
    deadline: Annotated[
        float | None,
        POSITIVE,
        "Seconds after the submit reply at which the client stops; never unless given.",
    ]
    max_attempts: Annotated[
        int | None,
        Rule("whole", at_least=1),
        "Polls answered ``pending`` before the client gives up; any number unless given.",
    ]
    request_timeout: Annotated[float, POSITIVE, "Most seconds for one status request."]
    last_poll_timeout: Annotated[float, POSITIVE, "Most seconds for the last poll, the one at the deadline."]
    errors: Annotated[ErrorPolicy, Rule("object", of=ErrorPolicy), "Retries of failed status reads."]
    hints: Annotated[HintPolicy, Rule("object", of=HintPolicy), "What Retry-After may do."]

    def __init__(
        self,
        cadence: Backoff,
        *,
        anchor: str = "reply",
        missed: Missed = "skip",
        restart_on: RestartOn | None = None,
        first_poll: FirstPoll = "after_delay",
        deadline: Seconds | None = None,
        max_attempts: int | None = None,
        request_timeout: Seconds = 10.0,
        last_poll_timeout: Seconds = 1.0,
        errors: ErrorPolicy = ErrorPolicy(),
        hints: HintPolicy = HintPolicy(),
    ) -> None:
        fill(
            self,
            cadence=cadence,
            anchor=anchor,
            missed=missed,
            restart_on=restart_on,
            first_poll=first_poll,
            deadline=deadline,
            max_attempts=max_attempts,
            request_timeout=request_timeout,
            last_poll_timeout=last_poll_timeout,
            errors=errors,
            hints=hints,
        )
        if ANCHORS[anchor].beats and cadence.grows_by_itself:
            raise InvalidSetting(
                "anchor",
                anchor,
                f"{cadence.jitter} jitter has no beats; choose the anchor reply, or another jitter",
            )
        if missed != "skip" and not ANCHORS[anchor].beats:
            raise InvalidSetting("missed", missed, f"anchor={anchor!r} has no beats to miss; leave it out")

    def describe(self) -> str:
        """Return the setting as one line of English.

        For example "constant: every 1 s, no jitter, first poll after the first delay, deadline 60 s". What is
        left at its default is not said, except for the first poll and the deadline.
        """
        usual = PollingPolicy(self.cadence)
        parts = [
            self.cadence.describe(),
            *self._anchored(),
            "first poll at once" if self.first_poll == "immediately" else "first poll after the first delay",
            "no deadline" if self.deadline is None else f"deadline {spell(self.deadline)}",
        ]
        if self.max_attempts is not None:
            parts.append(
                f"gives up after {self.max_attempts} pending {'poll' if self.max_attempts == 1 else 'polls'}"
            )
        if self.request_timeout != usual.request_timeout:
            parts.append(f"request timeout {spell(self.request_timeout)}")
        if self.last_poll_timeout != usual.last_poll_timeout:
            parts.append(f"last poll timeout {spell(self.last_poll_timeout)}")
        if self.errors.max_consecutive != usual.errors.max_consecutive:
            parts.append(f"failed reads retried {self.errors.max_consecutive} times in a row")
        if self.errors.backoff != usual.errors.backoff:
            parts.append(f"after failed reads {self.errors.backoff.describe()}")
        if self.errors.not_found_grace != usual.errors.not_found_grace:
            parts.append(f"404 retried for {spell(self.errors.not_found_grace)}")
        if not self.hints.honour:
            parts.append("Retry-After ignored")
        elif self.hints != usual.hints:
            parts.append(f"Retry-After up to {spell(self.hints.maximum)} plus {self.hints.spread:.0%} spread")
        return ", ".join(parts)

    def _anchored(self) -> Iterator[str]:
        """Yield how the cadence is anchored, if not as usual."""
        if words := ANCHORS[self.anchor].words:
            yield words
        if self.missed == "catch_up":
            yield "missed polls made up for at once"
        if self.restart_on is not None:
            yield f"starting again on {self.restart_on}"
