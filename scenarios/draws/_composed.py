"""All distributions: the elementary laws, measured values, mixtures, and the union that YAML chooses from."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BeforeValidator, Field, create_model

from scenarios.documents import LocalDiagnostic, OneOf, Positive, Seconds
from scenarios.draws._distributions import BELOW_ONE, ELEMENTARY, Law
from scenarios.draws._keyed import Floats
from scenarios.draws._resolution import describe_steps
from scenarios.draws._sample import Sample
from scenarios.draws._traces import Spans


class Trace(Spans, Law):
    """Durations drawn from measured ones: rows of a ``file``, each equally likely."""

    type: Literal["trace"] = "trace"

    @cached_property
    def sample(self) -> Sample:
        """The values as a distribution, each spread over the cell that its resolution leaves open."""
        return Sample(self.seconds, self.steps, self.spread)

    def mean(self) -> float:
        return self.sample.mean()

    def describe(self) -> str:
        rounded = "" if self.steps is None else f", rounded to {describe_steps(self.steps)}"
        return f"{len(self.seconds)} measured values, {self.source} of {Path(self.file).name}{rounded}"

    def _quantile(self, u: Any) -> Any:
        return self.sample.quantile(u)

    def _cumulative(self, t: Floats) -> Floats:
        return np.asarray(self.sample.cdf(t))


class _Component(Law):
    """A distribution as a part of a ``Mixture``."""

    weight: Positive
    """Share of the jobs, relative to the other weights."""


_PARTS: Final[tuple[type[Law], ...]] = (*ELEMENTARY, Trace)

_COMPONENTS: Final = {
    f"Weighted{part.__name__}": create_model(
        f"Weighted{part.__name__}",
        __base__=(_Component, part),
        __module__=__name__,
        __doc__=f"``{part.__name__}`` as a part of a ``Mixture``.",
    )
    for part in _PARTS
}
globals().update(_COMPONENTS)  # pickle looks a class up by its module and name

Component = Annotated[_Component, OneOf(*_COMPONENTS.values())]
"""Any distribution but a mixture, with its ``weight``."""


class Mixture(Law):
    """Several kinds of jobs: each duration follows one of the laws, chosen in proportion to the weights.

    ``ppf`` splits [0, 1) among the components and stretches each share to the component's own [0, 1). One
    draw thus decides both; the durations have the mixture's distribution, yet need not grow with ``u``.
    """

    type: Literal["mixture"] = "mixture"
    of: tuple[Component, ...] = Field(json_schema_extra={"minItems": 1})
    """The kinds of jobs: laws of any type but mixture, each with its ``weight``."""

    def contradictions(self) -> Iterable[LocalDiagnostic]:
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


DISTRIBUTIONS: Final[tuple[type[Law], ...]] = (*_PARTS, Mixture)
"""Every distribution that a scenario may name; a new one is a class and its place in a table."""

_ANY: Final = OneOf(*DISTRIBUTIONS)


def _expand_shorthand(value: object) -> object:
    return value if isinstance(value, Mapping | Law) else {"type": "fixed", "value": value}


Distribution = Annotated[
    Law,
    _ANY,
    BeforeValidator(_expand_shorthand, json_schema_input_type=Seconds | Annotated[Law, _ANY]),
]
"""Any of the ``DISTRIBUTIONS``, chosen by its ``type``; a plain duration stands for ``Fixed``."""
