"""The grid that measured values lie on: whole seconds, milliseconds, minutes, or several of them mixed.

What is measured is continuous; what is written down is rounded. Values that all lie on a grid did not fall
there by chance: of values with one decimal more, one in ten would. The grids are tried from coarse to fine,
and each takes the values that lie on it if far more of them do than on the finer ones would by chance. So a
file of whole seconds, one whose short jobs have milliseconds, and one of three significant digits each come
out as what they are. Only distinct values are evidence: a time-out that ends a third of the jobs is no grid.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from scenarios.documents import spell_seconds
from scenarios.draws._keyed import Floats, Integers

_NS: Final = 1e9
_SECOND: Final = 10**9
_UNITS: Final = (
    *(factor * _SECOND for factor in (86400, 3600, 600, 60, 10)),
    *(10**power for power in range(9, -1, -1)),
)
"""What people round to, in nanoseconds."""

_FINEST: Final = 1000
"""Nanoseconds of the finest grid; below a microsecond values count as exact."""

_BETWEEN: Final = (
    *(factor * _SECOND for factor in (1800, 900, 300, 120, 30, 20, 15, 5, 2)),
    *(factor * 10**power for power in range(8, -1, -1) for factor in (5, 2)),
)
"""What some round to: taken for the grid on more evidence only."""

_LADDER: Final = tuple(sorted((*_UNITS, *_BETWEEN), reverse=True))

_FEWEST: Final = 5
"""Distinct values that can tell a grid: of fewer, all may be round by chance, or be typed by a person."""

_LEAST: Final = 0.01
"""Share of the rows that a grid must have to be worth a word."""

_CHANCE: Final = 1e-3
"""Probability below which values are not taken to lie on a grid by chance."""

_LOOKED_AT: Final = 50_000
"""Distinct values that are looked at; more would tell nothing new."""


def steps_of(seconds: Floats) -> Floats | None:
    """Return for each value the step of the grid that it was rounded to, in seconds; None: there is no grid.

    Zero stands for a value that lies on none of the grids that the others lie on.
    """
    if seconds.max(initial=0.0) > 2.0**62 / _NS:  # beyond 146 years no nanoseconds are left
        return None
    return steps_of_ns(np.rint(seconds * _NS).astype(np.int64))


def steps_of_ns(values: Integers) -> Floats | None:
    """Return the same for whole nanoseconds."""
    distinct, rows = np.unique(values[values > 0], return_counts=True)
    some = slice(None, None, max(1, distinct.size // _LOOKED_AT))
    found = _grids(distinct[some], rows[some])
    if not found:
        return None
    steps = np.zeros(values.size)
    free = np.ones(values.size, dtype=bool)
    for grid in found:
        mine = free & (values % grid == 0)
        steps[mine] = grid / _NS
        free &= ~mine
    return steps


def describe_steps(steps: Floats) -> str:
    """Return the steps in English: "1 s", or what share of the values has which."""
    shares = shares_of(steps)
    if len(shares) == 1:
        return spell_seconds(shares[0][0])
    parts = [
        f"{'exact' if step == 0.0 else spell_seconds(step)} ({100 * share:.2g}% of them)"
        for step, share in shares
    ]
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def shares_of(steps: Floats) -> list[tuple[float, float]]:
    """Return each step in seconds with the share of the values that have it, from coarse to fine."""
    sizes, counts = np.unique(steps, return_counts=True)
    return [*zip(sizes.tolist(), (counts / steps.size).tolist(), strict=True)][::-1]


def _grids(distinct: Integers, rows: Integers) -> list[int]:
    """Return the grids in nanoseconds, from coarse to fine; each takes what those before it have left.

    ``rows`` says how many rows have each of the distinct values.
    """
    found: list[int] = []
    least = _LEAST * rows.sum()
    while distinct.size >= _FEWEST:
        on = _Counts(distinct)
        likely = (step for step in _LADDER if on[step] >= _FEWEST and _is_grid(on, step))
        enough = (step for step in likely if rows[distinct % step == 0].sum() >= least)
        grid = _common(distinct) or next(enough, 0)
        if grid < _FINEST:
            break
        found.append(grid)
        off = distinct % grid != 0
        distinct, rows = distinct[off], rows[off]
    return found


def _common(values: Integers) -> int | None:
    """Return the grid of all values if it is none that people round to, such as 15.625 ms of an old clock."""
    common = int(np.gcd.reduce(values))
    usual = next(step for step in _LADDER if common % step == 0)
    return common if (usual / common) ** values.size < _CHANCE else None


class _Counts(dict[int, int]):
    """How many of the values lie on the grid of a step, counted when somebody asks."""

    def __init__(self, values: Integers) -> None:
        super().__init__()
        self._values = values

    def __missing__(self, step: int) -> int:
        self[step] = int(np.count_nonzero(self._values % step == 0))
        return self[step]


def _is_grid(on: _Counts, step: int) -> bool:
    """Say whether there are too many values on the grid of this step for any finer grid."""
    for finer in (each for each in _LADDER if each < step and step % each == 0):
        matters = finer in _UNITS or on[finer] > on[step]
        if matters and not _more_than_chance(on[step], on[finer], finer / step):
            return False
    return True


def _more_than_chance(on: int, of: int, share: float) -> bool:
    """Say whether ``on`` of so many values are more than this share of them would be by chance.

    And that most of them are where they are because of the grid, for all of them will be spread over it.
    """
    if on == of:
        return bool(share**on < _CHANCE)
    expected = of * share
    rounded = (on - expected) / (1.0 - share)
    return on > expected + 4.0 * math.sqrt(expected * (1.0 - share)) and rounded >= on / 2.0
