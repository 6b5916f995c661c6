"""The elementary laws of durations and delays, each drawn by inverting its cumulative function.

``ppf(u)`` turns one uniform draw into one duration, so that keyed randomness stays keyed: the same ``u``
gives the same duration everywhere. A single value takes the same NumPy and SciPy loops as an array does,
which is what makes both agree to the last bit. All values are seconds.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Literal, overload

import numpy as np
from pydantic import Field

from scenarios.documents import LocalDiagnostic, Model, Positive, PositiveSeconds, Seconds, spell_seconds
from scenarios.draws._keyed import Floats

BELOW_ONE: Final = 1.0 - 2.0**-53
"""The largest draw there is."""


def _special() -> Any:
    """Return scipy.special, which is slow to load. Checking a law that needs it loads it: no draw waits."""
    from scipy import special

    return special


class Law(Model, ABC):
    """A distribution of seconds. Laws are values: two with equal parameters are equal."""

    @overload
    def ppf(self, u: float) -> float: ...
    @overload
    def ppf(self, u: Floats) -> Floats: ...
    def ppf(self, u: float | Floats) -> float | Floats:
        """Return the duration in seconds that the draw ``u`` in [0, 1) stands for, in the shape of ``u``."""
        if isinstance(u, float):
            return float(self._quantile(u))
        return np.asarray(self._quantile(np.ascontiguousarray(u, dtype=np.float64)), dtype=np.float64)

    def cdf(self, t: float | Floats) -> Floats:
        """Return the share of durations that are at most ``t`` seconds, in the shape of ``t``."""
        times = np.asarray(t, dtype=np.float64)
        return np.where(times < 0, 0.0, self._cumulative(np.maximum(times, 0.0)))

    @abstractmethod
    def mean(self) -> float:
        """Return the expected duration in seconds."""

    @abstractmethod
    def describe(self) -> str:
        """Return the law in a few English words."""

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        with np.errstate(over="ignore"):
            longest = self.ppf(BELOW_ONE)
        if not math.isfinite(longest):
            yield (), "its longest durations exceed every number; choose a lighter tail"

    # Both are typed loosely because NumPy's functions answer a scalar with a scalar, an array with an array.
    @abstractmethod
    def _quantile(self, u: Any) -> Any: ...

    @abstractmethod
    def _cumulative(self, t: Floats) -> Floats: ...


class Fixed(Law):
    """Always the same duration: ``value`` seconds."""

    type: Literal["fixed"] = "fixed"
    value: Seconds
    """The duration."""

    def mean(self) -> float:
        return self.value

    def describe(self) -> str:
        return f"fixed, {spell_seconds(self.value)}"

    def _quantile(self, u: Any) -> Any:
        return self.value if isinstance(u, float) else np.full(u.shape, self.value)

    def _cumulative(self, t: Floats) -> Floats:
        return np.where(t >= self.value, 1.0, 0.0)


class Uniform(Law):
    """Every duration from ``lower`` to ``upper`` seconds is equally likely."""

    type: Literal["uniform"] = "uniform"
    lower: Seconds
    """The shortest duration."""
    upper: Seconds
    """The longest duration; above ``lower``."""

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        yield from super().contradictions()
        if self.lower >= self.upper:
            yield ("upper",), f"must be above lower ({self.lower:g}), not {self.upper:g}"

    def mean(self) -> float:
        return self.lower + (self.upper - self.lower) / 2

    def describe(self) -> str:
        return f"uniform, {spell_seconds(self.lower)} to {spell_seconds(self.upper)}"

    def _quantile(self, u: Any) -> Any:
        return self.lower + (self.upper - self.lower) * u

    def _cumulative(self, t: Floats) -> Floats:
        return np.clip((t - self.lower) / (self.upper - self.lower), 0.0, 1.0)


class Exponential(Law):
    """Memoryless durations with the given ``mean``: having waited tells nothing about the time left."""

    type: Literal["exponential"] = "exponential"
    expected: PositiveSeconds = Field(alias="mean")  # ``mean`` itself is the method that every law has
    """The expected duration."""

    def mean(self) -> float:
        return self.expected

    def describe(self) -> str:
        return f"exponential, mean {spell_seconds(self.expected)}"

    def _quantile(self, u: Any) -> Any:
        return self.expected * -np.log1p(-u)

    def _cumulative(self, t: Floats) -> Floats:
        return np.asarray(-np.expm1(-t / self.expected))


class Normal(Law):
    """Normal durations truncated at zero: ``mean`` and ``sd`` are those of the bell before truncation."""

    type: Literal["normal"] = "normal"
    centre: Seconds = Field(alias="mean")
    """The bell's centre."""
    sd: PositiveSeconds
    """The bell's standard deviation."""

    @cached_property
    def _kept(self) -> float:
        return float(_special().ndtr(self.centre / self.sd))

    def mean(self) -> float:
        height = math.exp(-((self.centre / self.sd) ** 2) / 2) / math.sqrt(2 * math.pi)
        return self.centre + self.sd * height / self._kept

    def describe(self) -> str:
        return f"normal, mean {spell_seconds(self.centre)}, sd {spell_seconds(self.sd)}, truncated at 0"

    def _quantile(self, u: Any) -> Any:
        # Counted from the upper end, where 1 - u is exact and truncation only rescales.
        return np.maximum(self.centre - self.sd * _special().ndtri((1.0 - u) * self._kept), 0.0)

    def _cumulative(self, t: Floats) -> Floats:
        return np.asarray(1.0 - _special().ndtr((self.centre - t) / self.sd) / self._kept)


class Gamma(Law):
    """Gamma durations: the sum of ``shape`` exponential phases of mean ``scale`` seconds each."""

    type: Literal["gamma"] = "gamma"
    shape: Positive
    """Number of phases; need not be whole."""
    scale: PositiveSeconds
    """Mean duration of one phase."""

    def mean(self) -> float:
        return self.shape * self.scale

    def describe(self) -> str:
        return f"gamma, shape {self.shape:g}, scale {spell_seconds(self.scale)}"

    def _quantile(self, u: Any) -> Any:
        return self.scale * _special().gammaincinv(self.shape, u)

    def _cumulative(self, t: Floats) -> Floats:
        return np.asarray(_special().gammainc(self.shape, t / self.scale))


class Weibull(Law):
    """Weibull durations: a ``shape`` below 1 has a heavy tail, 1 is exponential, above 1 is peaked."""

    type: Literal["weibull"] = "weibull"
    shape: Positive
    """Weight of the tail: the smaller, the heavier."""
    scale: PositiveSeconds
    """The duration below which 63 % of all are."""

    def mean(self) -> float:
        return self.scale * float(_special().gamma(1.0 + 1.0 / self.shape))

    def describe(self) -> str:
        return f"weibull, shape {self.shape:g}, scale {spell_seconds(self.scale)}"

    def _quantile(self, u: Any) -> Any:
        return self.scale * np.power(-np.log1p(-u), 1.0 / self.shape)

    def _cumulative(self, t: Floats) -> Floats:
        return np.asarray(-np.expm1(-np.power(t / self.scale, self.shape)))


class Lognormal(Law):
    """Durations whose logarithm is normal: half are below ``median``; ``sigma`` or ``p99`` sets the tail.

    ``sigma`` is the standard deviation of the logarithm; ``p99`` is the duration that one job in a hundred
    exceeds, so that ``sigma = ln(p99 / median) / 2.326``.
    """

    type: Literal["lognormal"] = "lognormal"
    median: PositiveSeconds
    """Half of the durations are below."""
    sigma: Positive | None = None
    """Standard deviation of the natural logarithm."""
    p99: PositiveSeconds | None = None
    """99 of 100 durations are below; above the median."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        given = [key for key in ("sigma", "p99") if data.get(key) is not None]
        if len(given) == 2:
            yield ("p99",), "sigma and p99 say the same thing twice; keep one of them"
        elif not given:
            yield (), "needs either sigma (spread of the logarithm) or p99 (a duration above the median)"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        if self.p99 is not None and self.p99 <= self.median:
            yield ("p99",), f"must be above the median ({self.median:g}), not {self.p99:g}"
        else:
            yield from super().contradictions()

    @cached_property
    def _spread(self) -> float:
        if self.p99 is not None:
            return math.log(self.p99 / self.median) / float(_special().ndtri(0.99))
        assert self.sigma is not None  # noqa: S101 - ``choices`` has made sure; this tells mypy
        return self.sigma

    def mean(self) -> float:
        with np.errstate(over="ignore"):
            return self.median * float(np.exp(self._spread**2 / 2))

    def describe(self) -> str:
        tail = f"sigma {self.sigma:g}" if self.p99 is None else f"p99 {spell_seconds(self.p99)}"
        return f"lognormal, median {spell_seconds(self.median)}, {tail}"

    def _quantile(self, u: Any) -> Any:
        return self.median * np.exp(self._spread * _special().ndtri(u))

    def _cumulative(self, t: Floats) -> Floats:
        with np.errstate(divide="ignore"):
            return np.asarray(_special().ndtr(np.log(t / self.median) / self._spread))


ELEMENTARY: Final[tuple[type[Law], ...]] = (Fixed, Uniform, Exponential, Normal, Gamma, Weibull, Lognormal)
"""The distributions that stand by themselves; YAML calls each by the value of its ``type``."""
