"""What virtual time and the keyed draws say of a live run: data, made elsewhere and kept in the run's folder.

The twin is the same scenario without a machine. A machine moves every request by some milliseconds, and where
jobs wait for each other a hair can decide for whole seconds. So there are several twins, each with a little
more on the way than the one before: their spread is what an honest machine may do to the figures. Only the
residuals rest on the run's own times: they are what it claims less what the scenario drew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Self

import numpy as np

from harness.measure._frames import schema_of
from harness.measure._intervals import Floats

if TYPE_CHECKING:
    import polars as pl

_TAIL: Final = 0.01
_FEWEST_IN_TAIL: Final = 3  # one reply in a run may wait for something else on the machine: that is no tail


class TwinRow(NamedTuple):
    """A job of one of the twins, with the columns of ``JobRow`` that runs are held against."""

    twin: int
    setting: str
    repeat: int
    key: int
    lane: int
    planned_at_s: float
    duration_s: float
    outcome: str
    polls: int
    wasted_polls: int
    detection_lag_s: float | None
    completion_latency_s: float | None


class Spread(NamedTuple):
    """How residuals of one visit are spread (seconds).

    ``tail_s`` is exceeded by one in a hundred and by two at least, ``least_s`` and ``max_s`` are the
    extremes.
    """

    n: int
    mean_s: float
    p50_s: float
    p99_s: float
    tail_s: float
    least_s: float
    max_s: float

    @classmethod
    def of(cls, values: Floats) -> Self | None:
        """Return the spread of the values that are known; None of none."""
        ordered = np.sort(values[~np.isnan(values)])
        n = ordered.size
        if n == 0:
            return None
        p50, p99 = (float(each) for each in np.quantile(ordered, [0.5, 0.99]))
        tail = ordered[n - min(n, max(_FEWEST_IN_TAIL, int(np.ceil(_TAIL * n))))]
        return cls(n, float(ordered.mean()), p50, p99, float(tail), float(ordered[0]), float(ordered[-1]))


@dataclass(frozen=True)
class VisitResiduals:
    """What a visit's rows claim, less what the scenario drew for them; None where that cannot be told.

    ``overhead``: of each reply, its latency less the delay drawn for (job, attempt); None where polls wait
    for the service's workers, too. ``finish``: of each job, its finish less submission and work, beyond what
    the measured round trips of its submission and its last poll leave open: nothing on a machine that is
    merely slow. ``queued``: jobs wait for slots behind others whose finish is unknown, so single finishes
    depend on who came first, and only most of them are to be believed. ``contradictions``: jobs whose row
    does not follow from the rows of their polls, or these not from the setting, by what is wrong.
    ``telling_late_s``: how late the polls were sent, on average, that told of an end; the mean lag has
    all of that in it.
    """

    setting: str
    repeat: int
    overhead: Spread | None = None
    finish: Spread | None = None
    queued: bool = False
    contradictions: Mapping[str, int] = field(default_factory=dict)
    telling_late_s: float | None = None


@dataclass(frozen=True, eq=False)
class Twin:
    """The twins of a live run, and its residuals.

    ``jobs`` has the columns of ``TwinRow``, twin after twin; without any, ``reason`` says in a few words why
    there are none. ``overhead`` is that of all replies of a setting.
    """

    jobs: pl.DataFrame
    residuals: tuple[VisitResiduals, ...] = ()
    overhead: Mapping[str, Spread] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def missing(cls, reason: str) -> Self:
        """Return what is known of a run that has no twin."""
        return cls(no_twin_rows(), reason=reason)

    @cached_property
    def count(self) -> int:
        """How many twins there are."""
        return int(self.jobs["twin"].n_unique())

    def mean(self, setting: str, column: str) -> float | None:
        """Return a setting's mean of a column, by all twins together; None where none knows it.

        What is wrong with the run does not reach it.
        """
        return self._means.get(column, {}).get(setting)

    @cached_property
    def _means(self) -> dict[str, dict[str, float | None]]:
        from polars import selectors

        means = self.jobs.group_by("setting").agg(selectors.numeric().mean())
        names = means["setting"].to_list()
        columns = means.drop("setting").to_dict(as_series=False)
        return {column: dict(zip(names, values, strict=True)) for column, values in columns.items()}


def no_twin_rows() -> pl.DataFrame:
    """Return a frame with the columns of TwinRow and no row."""
    import polars as pl

    return pl.DataFrame(schema=schema_of(TwinRow))
