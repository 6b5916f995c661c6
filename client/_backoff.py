"""Backoff laws: how long to wait before poll number k, as pure functions of (attempt, previous, u).

A law is a curve (``_curves``: the ceiling of delay k), capped at ``maximum``, and a jitter (``_jitter``: the
delay under that ceiling). Jitter that grows by itself (decorrelated) replaces the curve and goes with
``exponential`` only.

Worked: ``Backoff("exponential", 0.5, multiplier=2, maximum=10)``

====================  =====  =====  =====  =====  =====  =====  =====
attempt                   1      2      3      4      5      6      7
====================  =====  =====  =====  =====  =====  =====  =====
none                    0.5      1      2      4      8     10     10
full, u = 0.25        0.125   0.25    0.5      1      2    2.5    2.5
equal, u = 0.25      0.3125  0.625   1.25    2.5      5   6.25   6.25
decorrelated, u = ½       1   1.75  2.875  4.562  7.094     10     10
====================  =====  =====  =====  =====  =====  =====  =====
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from ._beats import Beats
from ._checks import POSITIVE, ZERO_OR_MORE, InvalidSetting, Rule, Seconds, choices, fill, parameters, put
from ._curves import CURVES, DOUBLING, LONGEST, Curve, curve_parameters, spell, up_to
from ._jitter import FARTHEST, JITTERS, Jitter


@dataclass(frozen=True, slots=True, init=False)
class Backoff:
    """One backoff law: a curve, its cap and its jitter. Frozen, hashable, picklable, and free of randomness.

    Durations are float seconds or timedelta, and are stored as float seconds. A parameter that the curve has
    no use for must stay at its default, so that nothing you write is silently ignored. Without ``maximum`` a
    growing curve saturates at the largest float instead of overflowing.

    curve: a name in ``CURVES``.
    initial: the first ceiling, more than 0; required except for a schedule.
    multiplier: growth of the exponential curve, at least 1.
    increment: growth of the linear curve in seconds; ``initial`` unless given.
    maximum: cap of every ceiling, at least ``initial``; None for no cap. Of every delay too, except with the
        jitters that go beyond their ceiling: half-around and tenth-more.
    jitter: a name in ``JITTERS``.
    delays: the delays of a schedule, in order; the last one repeats and must be more than 0.
    until: seconds from the start of the cadence until which the delays before the last one repeat, in order:
        with ``delays=(5, 15, 30), until=(120, 600)`` every 5 s until 120 s, every 15 s until 600 s, then
        every 30 s. There may be fewer than delays: the first ones then come once each.

    Raises InvalidSetting (a ValueError) naming the field, its value and what would be right.
    The formulas are in the tables of ``docs/client.md``.
    """

    curve: Annotated[str, choices(CURVES), "How the ceiling of the delays grows."]
    initial: Annotated[float | None, POSITIVE, "The first ceiling; required by every curve but schedule."]
    multiplier: Annotated[
        float, Rule("number", at_least=1), "Growth of the exponential curve from one delay to the next."
    ]
    increment: Annotated[
        float | None, ZERO_OR_MORE, "Growth of the linear curve; as much as ``initial`` unless given."
    ]
    maximum: Annotated[float | None, POSITIVE, "Cap of every ceiling; none unless given."]
    jitter: Annotated[str, choices(JITTERS), "How a delay is drawn under its ceiling."]
    delays: Annotated[
        tuple[float, ...],
        Rule("seconds", several=True),
        "The delays of a schedule, in order; the last one repeats.",
    ]
    until: Annotated[
        tuple[float, ...],
        Rule("seconds", above=True, several=True),
        "Until when the delays before the last one of a schedule repeat; none: each comes once.",
    ]
    # What the fields mean, looked up once: these are read at every wait.
    _law: Curve = field(init=False, repr=False, compare=False)
    _jitter: Jitter = field(init=False, repr=False, compare=False)
    _cap: float = field(init=False, repr=False, compare=False)
    _first: float = field(init=False, repr=False, compare=False)
    _most: float = field(init=False, repr=False, compare=False)
    beats: Beats = field(init=False, repr=False, compare=False)
    """When delays end if none is drawn and each begins where the one before ended."""

    def __init__(
        self,
        curve: str,
        initial: Seconds | None = None,
        *,
        multiplier: float = DOUBLING,
        increment: Seconds | None = None,
        maximum: Seconds | None = None,
        jitter: str = "none",
        delays: Iterable[Seconds] = (),
        until: Iterable[Seconds] = (),
    ) -> None:
        fill(
            self,
            curve=curve,
            initial=initial,
            multiplier=multiplier,
            increment=increment,
            maximum=maximum,
            jitter=jitter,
            delays=delays,
            until=until,
        )
        put(self, "_law", self._made())
        put(self, "_jitter", JITTERS[self.jitter])
        put(self, "_cap", LONGEST if self.maximum is None else self.maximum)
        put(self, "_first", self.ceiling(1))
        put(self, "beats", Beats(self._law, self._cap))
        put(self, "_most", self._cap if self._jitter.capped else LONGEST)
        self._check_together()

    def _made(self) -> Curve:
        """Return the curve with its own parameters, having refused those of other curves."""
        own = curve_parameters(self.curve)
        if "initial" in own and self.initial is None:
            raise InvalidSetting("initial", None, f"the {self.curve} curve needs its first delay in seconds")
        for each in parameters(Backoff):
            value = getattr(self, each.name)
            if each.name not in {*own, "curve", "maximum", "jitter"} and value != each.default:
                raise InvalidSetting(each.name, value, f"the {self.curve} curve ignores it; leave it out")
        return CURVES[self.curve](**{name: getattr(self, name) for name in own})

    def _check_together(self) -> None:
        """Refuse combinations in which a parameter would be ignored or contradicted."""
        if self.maximum is not None and self.initial is not None and self.maximum < self.initial:
            raise InvalidSetting("maximum", self.maximum, f"give at least initial={self.initial!r}")
        if self._jitter.grows and self.curve != "exponential":
            raise InvalidSetting(
                "jitter",
                self.jitter,
                "it grows by itself from the previous delay, "
                f"so the {self.curve} curve would be ignored; give curve='exponential' or another jitter",
            )

    def ceiling(self, attempt: int, elapsed: float = 0.0) -> float:
        """Return the longest that delay number ``attempt`` (from 1) may be before decorrelation, in seconds.

        elapsed: seconds from the start of the cadence to that of the delay; only ``until`` looks at it.
        Finite for every attempt. Raises ValueError when ``attempt`` is less than 1.
        """
        if attempt < 1:
            raise ValueError(f"attempt={attempt!r} cannot be used: delays are numbered from 1")
        ceiling = self._law.ceiling(attempt, elapsed)
        if ceiling > self._cap:
            return self._cap
        return ceiling

    def delay(self, attempt: int, previous: float | None, u: float, elapsed: float = 0.0) -> float:
        """Return delay number ``attempt`` (from 1) in seconds: a pure function of its arguments.

        previous: the delay before this one, None at the first; only decorrelated jitter looks at it.
        u: the random number, uniform in [0, 1); jitter "none" ignores it.
        elapsed: as for ``ceiling``.
        Raises ValueError when ``attempt`` is less than 1 or u is outside [0, 1].
        """
        if not 0.0 <= u <= 1.0:
            raise ValueError(f"u={u!r} cannot be used: give a number in [0, 1)")
        jitter = self._jitter
        if jitter.grows is None:
            drawn = float(jitter.draw(self.ceiling(attempt, elapsed), self._first, u))
            if drawn > self._most:
                return self._most
            return drawn
        first = self.ceiling(min(attempt, 1))
        since = first if previous is None else min(previous, FARTHEST)
        return min(self._most, float(jitter.draw(first, since, u)))

    @property
    def grows_by_itself(self) -> bool:
        """Whether a delay is drawn from the one before it, so that no curve says when delays end."""
        return self._jitter.grows is not None

    def describe(self) -> str:
        """Return the law in English: "exponential: 0.5 s doubling to at most 10 s, full jitter"."""
        jitter = "no jitter" if self.jitter == "none" else f"{self.jitter} jitter"
        grows = self._jitter.grows
        shape = self._law.words(self.maximum)
        if grows is not None:
            shape = f"{spell(self.ceiling(1))} {grows} {up_to(self.maximum)}"
        return f"{self.curve}: {shape}, {jitter}"
