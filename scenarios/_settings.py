"""Settings as YAML writes them, and the client's policies that they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, PrivateAttr

from client import PRESETS, Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from scenarios.documents import Count, Fraction, Mistake, Model, Number, PositiveSeconds, Seconds, suggest

_Built = TypeVar("_Built")
_CADENCE = ("curve", "initial", "multiplier", "increment", "maximum", "jitter", "delays")
_OWN_KEYS = {"multiplier": "exponential", "increment": "linear", "delays": "schedule"}
_REFUSAL = re.compile(
    r"(?P<field>\w+)(?:\[(?P<index>\d+)\])?=(?P<value>.*) cannot be used: (?P<remedy>.*)", re.S
)


class Cadence(Model):
    """The keys of a backoff law; formulas and defaults are the client's."""

    curve: Literal["constant", "linear", "exponential", "fibonacci", "schedule"] | None = None
    """How the ceiling of the delays grows."""
    initial: PositiveSeconds | None = None
    """The first ceiling; required by every curve but schedule."""
    multiplier: Annotated[Number, Field(ge=1)] = 2.0
    """Growth of the exponential curve from one delay to the next."""
    increment: Seconds | None = None
    """Growth of the linear curve; null: as much as ``initial``."""
    maximum: PositiveSeconds | None = None
    """Cap of every delay; null: no cap."""
    jitter: Literal["none", "full", "equal", "decorrelated"] = "none"
    """How a delay is drawn under its ceiling."""
    delays: tuple[Seconds, ...] = ()
    """The delays of a schedule, in order; the last one repeats."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[Mistake]:
        curve = data.get("curve")
        if curve == "schedule":
            if "delays" not in data:
                yield ("delays",), "the schedule needs its delays: [1s, 2s, 4s]"
        elif curve is not None and data.get("initial") is None:
            yield ("initial",), "the curve needs its first delay, such as initial: 1s"
        for key, owner in _OWN_KEYS.items():
            if key in data and curve not in (None, owner):
                yield (key,), f"has no effect on this curve, only on {owner}; remove it"

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return what was written (unset is not null), for the client's constructors."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}

    def backoff(self, base: Backoff | None) -> Backoff:
        """Return the law; without a curve it is ``base`` with what was written changed.

        Raises ValueError, from the client, for a combination that cannot be.
        """
        if self.curve is None and base is not None:
            return replace(base, **self.given(_CADENCE))
        return Backoff(**self.given(_CADENCE))


class OnError(Cadence):
    """How failed status reads are retried: a backoff law of its own and a budget."""

    max_consecutive: Annotated[int, Field(strict=True, ge=0)] = 10
    """Failed reads in a row that are retried; one more gives up."""
    not_found_grace: Seconds = 5.0
    """A 404 this soon after the submission is retried."""

    def policy(self, base: ErrorPolicy) -> ErrorPolicy:
        """Return ``base`` with what was written changed. Raises ValueError like `backoff`."""
        changed = self.given(("max_consecutive", "not_found_grace"))
        return replace(base, backoff=self.backoff(base.backoff), **changed)


class Hints(Model):
    """What a server's Retry-After is worth."""

    honour: Annotated[bool, Field(strict=True)] = True
    """false ignores hints altogether."""
    maximum: PositiveSeconds = 60.0
    """Cap of a hint."""
    spread: Fraction = 0.1
    """One-sided jitter, as a share of the hint."""

    def policy(self, base: HintPolicy) -> HintPolicy:
        """Return ``base`` with what was written changed."""
        return replace(base, **{name: getattr(self, name) for name in self.model_fields_set})


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        guess = suggest(name, PRESETS)
        remedy = f"did you mean {guess!r}?" if guess else f"there are {', '.join(sorted(PRESETS))}"
        raise ValueError(f"{name!r} is no preset; {remedy}")
    return name


Preset = Annotated[
    str, AfterValidator(_known_preset), Field(json_schema_extra={"enum": sorted(PRESETS)}, strict=True)
]


class Setting(Cadence):
    """One named polling configuration: a curve or a preset, limits, and what to do about errors and hints."""

    preset: Preset | None = None
    """Start from a well-known client's configuration; other keys override it."""
    first_poll: Literal["after_delay", "immediately"] = "after_delay"
    """The first poll follows the first delay, or comes at once."""
    deadline: PositiveSeconds | None = None
    """Seconds after the submit reply at which the client stops; null: never."""
    max_attempts: Count | None = None
    """Polls answered ``pending`` before the client gives up; null: any number."""
    request_timeout: PositiveSeconds = 10.0
    """Most seconds for one status request."""
    on_error: OnError = OnError()
    """Retries of failed status reads."""
    hints: Hints = Hints()
    """What Retry-After may do."""

    _policy: PollingPolicy | None = PrivateAttr(None)

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[Mistake]:
        yield from super().choices(data)
        curve, preset = data.get("curve"), data.get("preset")
        if curve is not None and preset is not None:
            yield ("curve",), "a preset has a curve of its own; keep either preset or curve"
        elif curve is None and preset is None:
            yield (), "needs a curve, such as curve: exponential, or a preset"

    def contradictions(self) -> Iterable[Mistake]:
        base = PRESETS[self.preset] if self.preset is not None else None
        mistakes: list[Mistake] = []
        cadence = _attempt(lambda: self.backoff(base.cadence if base else None), (), mistakes)
        errors_base = base.errors if base else ErrorPolicy()
        errors = _attempt(lambda: self.on_error.policy(errors_base), ("on_error",), mistakes)
        hints = _attempt(
            lambda: self.hints.policy(base.hints if base else HintPolicy()), ("hints",), mistakes
        )
        if cadence is not None and errors is not None and hints is not None:
            limits = self.given(("first_poll", "deadline", "max_attempts", "request_timeout"))
            base = base or PollingPolicy(cadence)
            self._policy = _attempt(
                lambda: replace(base, cadence=cadence, errors=errors, hints=hints, **limits), (), mistakes
            )
        return mistakes

    @property
    def policy(self) -> PollingPolicy:
        """The client's policy that this setting means."""
        assert self._policy is not None  # noqa: S101 - a setting that has none is refused
        return self._policy


def _attempt(build: Callable[[], _Built], place: tuple[str, ...], mistakes: list[Mistake]) -> _Built | None:
    """Return what ``build`` returns; note the client's refusal at the key that it names."""
    try:
        return build()
    except ValueError as error:
        match = _REFUSAL.fullmatch(str(error))
        if match is None:
            mistakes.append((place, str(error)))
        else:
            index = () if match["index"] is None else (int(match["index"]),)
            refused = f"{match['value']} cannot be used: {match['remedy']}"
            mistakes.append(((*place, match["field"], *index), refused))
        return None
