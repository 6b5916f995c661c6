"""The laws of duration that a plan asks about: the scenario's own, and what it would be if things change."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from harness.plan.limit._grid import Floats, Law
from scenarios import Scenario
from scenarios.documents import describe_seconds
from scenarios.draws import Exponential, Fixed, Lognormal, Trace

_NODES = 2**18  # steps of a numerical mean
#: Cells of a law: the bound is then within 0.2 % of the optimum at 3 polls a job, less than the twin's noise.
POINTS = 2**14
COARSE = 2**13
"""Cells where many laws or settings are looked at: within 0.4 %."""


class Durations(Protocol):
    """What the twin and the limit need of a law of duration; `server.Distribution` has it."""

    def ppf(self, u: Any) -> Any:
        """The duration of the draw ``u`` in [0, 1)."""

    def cdf(self, t: Any) -> Any:
        """The share of durations of at most ``t`` seconds."""

    def mean(self) -> float:
        """The mean in seconds."""

    def describe(self) -> str:
        """A few English words."""


@dataclass(frozen=True)
class Scaled:
    """The law of ``factor`` times the duration."""

    base: Durations
    factor: float

    def ppf(self, u: Any) -> Any:
        return self.base.ppf(u) * self.factor

    def cdf(self, t: Any) -> Any:
        return self.base.cdf(np.asarray(t, dtype=np.float64) / self.factor)

    def mean(self) -> float:
        return self.base.mean() * self.factor

    def describe(self) -> str:
        return f"{self.factor:g} x ({self.base.describe()})"


@dataclass(frozen=True)
class Capped:
    """The law of min(duration, cap): what a client sees that stops waiting after ``cap`` seconds.

    Such a client sends the polls that it would send if every longer job ended at the cap, so a bound for this
    law holds for it, with the lag of the jobs that it abandons counted as zero.
    """

    base: Durations
    cap: float

    def ppf(self, u: Any) -> Any:
        return np.minimum(self.base.ppf(u), self.cap)

    def cdf(self, t: Any) -> Any:
        times = np.asarray(t, dtype=np.float64)
        return np.where(times >= self.cap, 1.0, self.base.cdf(times))

    def mean(self) -> float:
        """The integral of the survival up to the cap, by the trapezoidal rule between quantiles."""
        nodes = np.union1d(quantiles(self.base, _NODES), np.linspace(0.0, self.cap, _NODES))
        nodes = np.append(nodes[nodes < self.cap], self.cap)
        left = 1.0 - np.asarray(self.base.cdf(nodes), dtype=np.float64)
        low = np.asarray(self.base.cdf(np.nextafter(nodes, 0.0)), dtype=np.float64)
        before = np.where(nodes > 0.0, 1.0 - low, 1.0)
        return float(np.dot(np.diff(nodes), left[:-1] + before[1:]) / 2.0)  # jumps sit on nodes' edges

    def describe(self) -> str:
        return f"{self.base.describe()}, cut at {describe_seconds(self.cap)}"


@dataclass(frozen=True, eq=False)
class Sample:
    """Measured durations, each equally likely."""

    values: Floats = field(repr=False)  # ascending

    def ppf(self, u: Any) -> Any:
        chosen = self.values[np.floor(np.asarray(u) * self.values.size).astype(np.intp)]
        return float(chosen) if np.ndim(u) == 0 else chosen

    def cdf(self, t: Any) -> Any:
        return np.searchsorted(self.values, np.asarray(t, dtype=np.float64), side="right") / self.values.size

    def mean(self) -> float:
        return float(np.mean(self.values))

    def describe(self) -> str:
        return f"{self.values.size} measured values"


def sample_of(values: Sequence[float] | Floats) -> Sample:
    """The law of measured durations in any order."""
    return Sample(np.sort(np.asarray(values, dtype=np.float64)))


def quantiles(durations: Durations, size: int) -> Floats:
    """The (k + 1/2) / size quantiles, ascending; sorted, for a mixture's ppf need not ascend."""
    return np.sort(np.asarray(durations.ppf((np.arange(size) + 0.5) / size), dtype=np.float64))


def law_of(durations: Durations, *, points: int = POINTS) -> Law:
    """The law prepared for the limit; exact for fixed and measured durations. Raises ValueError: no mean."""
    if isinstance(durations, Fixed):
        return Law.from_sample([durations.value])
    if isinstance(durations, Trace):
        return Law.from_sample(durations.seconds)
    if isinstance(durations, Sample):
        return Law.from_sample(durations.values)
    if isinstance(durations, Scaled | Capped) and (values := _exact(durations)) is not None:
        return Law.from_sample(values)
    return Law.from_ppf(durations.ppf, durations.cdf, durations.mean(), points=points)


def _exact(durations: Scaled | Capped) -> Floats | None:
    """All values of a law that has few of them."""
    base = durations.base
    if not isinstance(base, Fixed | Trace | Sample):
        return None
    values = np.asarray(
        [base.value] if isinstance(base, Fixed) else base.seconds if isinstance(base, Trace) else base.values,
        dtype=np.float64,
    )
    if isinstance(durations, Scaled):
        return values * durations.factor
    return np.minimum(values, durations.cap)


def with_durations(scenario: Scenario, durations: Durations) -> Scenario:
    """The same scenario with jobs of another law."""
    # The twin asks a law for ppf, cdf and mean alone, so it takes one that YAML cannot write, too.
    return replace(scenario, job=scenario.job.model_copy(update={"duration": durations}))


def other_law(durations: Durations) -> tuple[str, Durations] | None:
    """Another law of the same median and what it is called: memoryless, or wider if it is that already."""
    median = float(quantiles(durations, 2**14 + 1)[2**13])
    if not 0.0 < median < math.inf:
        return None
    if isinstance(durations, Exponential):
        return "wide lognormal", Lognormal(median=median, sigma=1.5)
    return "exponential", Exponential(mean=median / math.log(2.0))
