"""Distributions made of others, which no scenario file writes: scaled, cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from scenarios.documents import spell_seconds
from scenarios.draws._keyed import Floats

_NODES: Final = 2**18  # steps of a numerical mean


class Durations(Protocol):
    """What the twin and the limit need of a distribution of durations; those of scenario files have it."""

    def ppf(self, u: Any) -> Any:
        """Return the duration of the draw ``u`` in [0, 1)."""

    def cdf(self, t: Any) -> Any:
        """Return the share of durations of at most ``t`` seconds."""

    def mean(self) -> float:
        """Return the mean in seconds."""

    def describe(self) -> str:
        """Return a few English words."""


@dataclass(frozen=True)
class Scaled:
    """The distribution of ``factor`` times the duration."""

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
    """The distribution of min(duration, cap): what a client sees that stops waiting after ``cap`` seconds.

    Such a client sends the polls that it would send if every longer job ended at the cap, so a bound for this
    distribution holds for it, with the lag of the jobs that it abandons counted as zero.
    """

    base: Durations
    cap: float

    def ppf(self, u: Any) -> Any:
        return np.minimum(self.base.ppf(u), self.cap)

    def cdf(self, t: Any) -> Any:
        times = np.asarray(t, dtype=np.float64)
        return np.where(times >= self.cap, 1.0, self.base.cdf(times))

    def mean(self) -> float:
        """Return the integral of the survival up to the cap, by the trapezoidal rule between quantiles."""
        nodes = np.union1d(quantiles(self.base, _NODES), np.linspace(0.0, self.cap, _NODES))
        nodes = np.append(nodes[nodes < self.cap], self.cap)
        left = 1.0 - np.asarray(self.base.cdf(nodes), dtype=np.float64)
        low = np.asarray(self.base.cdf(np.nextafter(nodes, 0.0)), dtype=np.float64)
        before = np.where(nodes > 0.0, 1.0 - low, 1.0)
        return float(np.dot(np.diff(nodes), left[:-1] + before[1:]) / 2.0)  # jumps sit on nodes' edges

    def describe(self) -> str:
        return f"{self.base.describe()}, cut at {spell_seconds(self.cap)}"


def quantiles(durations: Durations, size: int) -> Floats:
    """Return the (k + 1/2) / size quantiles, ascending; sorted, for a mixture's ppf need not ascend."""
    return np.sort(np.asarray(durations.ppf((np.arange(size) + 0.5) / size), dtype=np.float64))
