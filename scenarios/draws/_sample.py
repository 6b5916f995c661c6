"""Measured durations as a distribution: each equally likely, spread over the cell that rounding left open."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from scenarios.draws._keyed import Floats, Integers

Rounding = Literal["nearest", "floor", "ceil"]
"""How a value came to lie on its grid: rounded to nearest, down or up."""

Spread = Literal["nearest", "floor", "ceil", "difference"]
"""Where in its cell a value lies: by its rounding, or as the difference of two moments rounded alike."""

_CELLS: Final = {"nearest": (-0.5, 0.5), "floor": (0.0, 1.0), "ceil": (-1.0, 0.0), "difference": (-1.0, 1.0)}
"""Where the cell of a value begins and ends, in steps from it."""

_PARTS: Final = 8
"""Even parts of the cell of a difference: its triangle as a histogram, whose shares are exact."""


class _Pieces(NamedTuple):
    """The law piece by piece, ascending: uniform on an interval, or one point where its width is 0."""

    low: Floats
    width: Floats
    weight: Floats
    before: Floats  # the weights of all pieces below


@dataclass(frozen=True, eq=False)
class Sample:
    """Measured durations, in any order.

    ``steps`` has the step of the grid that each was rounded to, in seconds (0: it is exact; None: all are);
    the true value may lie anywhere in its cell, ``rounding`` says on which side, and never below zero. The
    difference of two rounded moments has two such errors: their density is a triangle, a step to either side.
    One draw gives both the row and the place in its cell: what is left of ``u * n`` behind the row's number
    is uniform too. So ``ppf`` ascends, and strictly where nothing is exact.
    """

    values: Floats = field(repr=False)
    steps: Floats | None = field(default=None, repr=False)
    rounding: Spread = "nearest"

    @property
    def exact(self) -> bool:
        """Whether no value is spread."""
        return self.steps is None

    def take(self, rows: Integers) -> Sample:
        """Return the sample of these rows."""
        return Sample(self.values[rows], None if self.steps is None else self.steps[rows], self.rounding)

    def scattered(self, u: Floats) -> Floats:
        """Return each value at the place in its cell that its draw in [0, 1) stands for."""
        low, high = self._cells
        if self.rounding == "difference":
            corner = np.where(u < 0.5, np.sqrt(u / 2.0), 1.0 - np.sqrt((1.0 - u) / 2.0))
            return np.abs(low + (high - low) * corner)
        return low + (high - low) * u

    def ppf(self, u: Any) -> Any:
        drawn = self.quantile(float(u) if np.ndim(u) == 0 else np.asarray(u, dtype=np.float64))
        return float(drawn) if np.ndim(u) == 0 else drawn

    def quantile(self, u: Any) -> Any:
        """Return ``ppf`` without a change of type: NumPy's for an array as for a single number."""
        low, width, weight, before = self._pieces
        place = u * self.values.size
        piece = np.searchsorted(before, place, side="right") - 1
        part = (place - before[piece]) / weight[piece]
        return low[piece] + width[piece] * np.minimum(part, 1.0)

    def cdf(self, t: Any) -> Any:
        low, width, weight, before = self._pieces
        times = np.asarray(t, dtype=np.float64)
        piece = np.maximum(np.searchsorted(low, times, side="right") - 1, 0)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(width[piece] > 0.0, (times - low[piece]) / width[piece], 1.0)
        found = before[piece] + weight[piece] * np.clip(part, 0.0, 1.0)
        return np.where(times < low[0], 0.0, found / self.values.size)

    def mean(self) -> float:
        if self.exact:
            return math.fsum(self.values.tolist()) / self.values.size
        pieces = self._pieces
        return math.fsum((pieces.weight * (pieces.low + pieces.width / 2.0)).tolist()) / self.values.size

    def describe(self) -> str:
        return f"{self.values.size} measured values"

    @cached_property
    def _cells(self) -> tuple[Floats, Floats]:
        """Where the cell of each value begins and ends; that of a difference may begin below zero."""
        if self.steps is None:
            return self.values, self.values
        begin, end = _CELLS[self.rounding]
        exact = self.steps == 0.0
        step = np.where(exact, 1.0, self.steps)
        place = self.values / step
        # On the grid itself, so that the end of one cell and the beginning of the next are one number.
        on = np.rint(place)
        place = np.where(np.abs(place - on) < 1e-6, on, place)
        least = -np.inf if self.rounding == "difference" else 0.0
        low = np.where(exact, self.values, np.maximum((place + begin) * step, least))
        high = np.where(exact, self.values, np.maximum((place + end) * step, least))
        return low, high

    @cached_property
    def _pieces(self) -> _Pieces:
        begin, end = self._cells
        cells, counts = np.unique(begin + 1j * end, return_counts=True)  # pairs, which sort fastest so
        low, high, weight = cells.real, cells.imag, counts.astype(np.float64)
        if self.rounding == "difference":
            low, high, weight = _triangles(low, high, weight)
        if (low[1:] < high[:-1]).any():
            low, high, weight = _disjoint(low, high, weight)
        return _Pieces(low, high - low, weight, np.append(0.0, np.cumsum(weight)[:-1]))


def sample_of(values: Sequence[float] | Floats) -> Sample:
    """Return the distribution of exact durations in any order."""
    return Sample(np.asarray(values, dtype=np.float64))


def _triangles(low: Floats, high: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return triangles over these cells as histograms; what lies below zero counts as far above it."""
    spread = high > low
    part = np.arange(_PARTS)
    share = (2.0 * np.minimum(part, _PARTS - 1 - part) + 1.0) / (_PARTS**2 / 2.0)
    edges = low[spread, None] + (high - low)[spread, None] * np.arange(_PARTS + 1) / _PARTS
    edges = edges.round(10)  # so that the parts of neighbouring values have the same edges
    begin, end = edges[:, :-1].ravel(), edges[:, 1:].ravel()
    folded = np.sort(np.abs([begin, end]), axis=0)
    lows = np.concatenate([np.where(begin * end < 0.0, 0.0, folded[0]), low[~spread]])
    highs = np.concatenate([folded[1], high[~spread]])
    weights = np.concatenate([(weight[spread, None] * share).ravel(), weight[~spread]])
    order = np.lexsort((highs, lows))
    return lows[order], highs[order], weights[order]


def _disjoint(low: Floats, high: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Return overlapping cells (of several steps, or off the grid) as pieces that do not overlap."""
    spread = high > low
    edges = np.unique(np.concatenate([low, high[spread]]))
    width = (high - low).round(12)
    density = np.zeros(edges.size)
    # Cells of one width are counted in whole numbers, so that nothing is left over between them.
    for each in np.unique(width[spread]):
        mine = spread & (width == each)
        change = np.zeros(edges.size)
        np.add.at(change, np.searchsorted(edges, low[mine]), weight[mine])
        np.add.at(change, np.searchsorted(edges, high[mine]), -weight[mine])
        density += np.cumsum(change) / each
    mass = density[:-1] * np.diff(edges)
    mass *= weight[spread].sum() / mass.sum()
    kept = mass > 0.0
    lows = np.concatenate([edges[:-1][kept], low[~spread]])
    highs = np.concatenate([edges[1:][kept], low[~spread]])
    counts = np.concatenate([mass[kept], weight[~spread]])
    order = np.lexsort((highs, lows))
    return lows[order], highs[order], counts[order]
