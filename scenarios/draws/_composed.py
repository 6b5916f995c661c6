"""All distributions: the elementary laws, measured values, mixtures, and the union that YAML chooses from."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from scenarios.documents import Mistake, Model, Positive, Seconds, require_type
from scenarios.draws._distributions import (
    BELOW_ONE,
    Exponential,
    Fixed,
    Floats,
    Gamma,
    Law,
    Lognormal,
    Normal,
    Uniform,
    Weibull,
)
from scenarios.draws._traces import MeasuredTimes


class Trace(MeasuredTimes, Law):
    """Durations drawn from measured ones: a ``column`` of a CSV ``file``, each row equally likely."""

    type: Literal["trace"] = "trace"

    @cached_property
    def _sorted(self) -> bytes:
        # Bytes rather than an array: models are compared by value, which arrays refuse.
        return np.sort(np.array(self.seconds, dtype=np.float64)).tobytes()

    def mean(self) -> float:
        return math.fsum(self.seconds) / len(self.seconds)

    def describe(self) -> str:
        return f"{len(self.seconds)} measured values, column {self.column!r} of {Path(self.file).name}"

    def _quantile(self, u: Any) -> Any:
        values = np.frombuffer(self._sorted)
        return values[np.floor(u * values.size).astype(np.intp)]

    def _cumulative(self, t: Floats) -> Floats:
        values = np.frombuffer(self._sorted)
        return np.asarray(np.searchsorted(values, t, side="right") / values.size)


class _Weighted(Model):
    weight: Positive
    """Share of the jobs, relative to the other weights."""


class WeightedFixed(_Weighted, Fixed):
    """`Fixed` as a part of a `Mixture`."""


class WeightedUniform(_Weighted, Uniform):
    """`Uniform` as a part of a `Mixture`."""


class WeightedExponential(_Weighted, Exponential):
    """`Exponential` as a part of a `Mixture`."""


class WeightedNormal(_Weighted, Normal):
    """`Normal` as a part of a `Mixture`."""


class WeightedGamma(_Weighted, Gamma):
    """`Gamma` as a part of a `Mixture`."""


class WeightedWeibull(_Weighted, Weibull):
    """`Weibull` as a part of a `Mixture`."""


class WeightedLognormal(_Weighted, Lognormal):
    """`Lognormal` as a part of a `Mixture`."""


class WeightedTrace(_Weighted, Trace):
    """`Trace` as a part of a `Mixture`."""


_ELEMENTARY = ("fixed", "uniform", "exponential", "normal", "gamma", "weibull", "lognormal", "trace")

Component = Annotated[
    WeightedFixed
    | WeightedUniform
    | WeightedExponential
    | WeightedNormal
    | WeightedGamma
    | WeightedWeibull
    | WeightedLognormal
    | WeightedTrace,
    Field(discriminator="type"),
    BeforeValidator(partial(require_type, types=_ELEMENTARY)),
]


class Mixture(Law):
    """Several kinds of jobs: each duration follows one of the laws, chosen in proportion to the weights.

    ``ppf`` splits [0, 1) among the components and stretches each share to the component's own [0, 1). One
    draw thus decides both; the durations have the mixture's distribution, yet need not grow with ``u``.
    """

    type: Literal["mixture"] = "mixture"
    of: tuple[Component, ...] = Field(json_schema_extra={"minItems": 1})
    """The kinds of jobs: laws of any type but mixture, each with its ``weight``."""

    def contradictions(self) -> Iterable[Mistake]:
        if not self.of:  # pydantic's own minimum would also complain when every component is at fault
            yield ("of",), "needs at least one component: {weight: 1, type: ...}"

    @cached_property
    def _bounds(self) -> tuple[float, ...]:
        total = math.fsum(part.weight for part in self.of)
        return (0.0, *accumulate(part.weight / total for part in self.of[:-1]), 1.0)

    def mean(self) -> float:
        return math.fsum(part.mean() * share for part, share in zip(self.of, self._shares, strict=True))

    def describe(self) -> str:
        parts = (
            f"{share:.3g} x ({part.describe()})" for part, share in zip(self.of, self._shares, strict=True)
        )
        return "mixture of " + " and ".join(parts)

    @property
    def _shares(self) -> tuple[float, ...]:
        return tuple(high - low for low, high in zip(self._bounds[:-1], self._bounds[1:], strict=True))

    def _quantile(self, u: Any) -> Any:
        bounds = self._bounds
        if isinstance(u, float):
            index = bisect_right(bounds, u) - 1
            low, high = bounds[index], bounds[index + 1]
            return self.of[index].ppf(min((u - low) / (high - low), BELOW_ONE))
        times = np.empty_like(u)
        chosen = np.searchsorted(np.array(bounds), u, side="right") - 1
        for index, (part, low, high) in enumerate(zip(self.of, bounds[:-1], bounds[1:], strict=True)):
            mine = chosen == index
            times[mine] = part.ppf(np.minimum((u[mine] - low) / (high - low), BELOW_ONE))
        return times

    def _cumulative(self, t: Floats) -> Floats:
        shares = zip(self.of, self._shares, strict=True)
        return np.asarray(sum((part.cdf(t) * share for part, share in shares), start=np.zeros_like(t)))


def _expand_shorthand(value: object) -> object:
    if isinstance(value, Mapping | Law):
        return require_type(value, (*_ELEMENTARY, "mixture"))
    return {"type": "fixed", "value": value}


_AnyLaw = Annotated[
    Fixed | Uniform | Exponential | Normal | Gamma | Weibull | Lognormal | Trace | Mixture,
    Field(discriminator="type"),
]

Distribution = Annotated[
    _AnyLaw, BeforeValidator(_expand_shorthand, json_schema_input_type=Seconds | _AnyLaw)
]
"""Any of the laws, chosen by its ``type``; a plain duration stands for `Fixed`."""
