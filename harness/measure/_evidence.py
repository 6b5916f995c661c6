"""What the checks of a run look at, and the words that they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure._figures import FIGURES, SettingFigures
from harness.measure._frames import VisitTotals, totals_by_visit
from harness.measure._intervals import Floats
from harness.measure._results import Status
from harness.measure._rows import PollAggregate, Run, Visit
from harness.measure._twin import Twin

if TYPE_CHECKING:
    import polars as pl

Finding = tuple[Status, str]


@dataclass(frozen=True)
class Evidence:
    """What the checks look at; ``jobs`` by setting in (repeat, key) order, ``visits`` with their polls.

    ``twin`` is what virtual time says of a live run on the simulator, if it could be asked.
    """

    run: Run
    settings: Mapping[str, SettingFigures]
    jobs: Mapping[str, pl.DataFrame]
    visits: tuple[tuple[Visit, PollAggregate | None], ...]
    twin: Twin

    @cached_property
    def totals(self) -> dict[tuple[str, int], VisitTotals]:
        """What the jobs of each visit add up to."""
        return totals_by_visit(self.run.jobs)

    def totals_of(self, visit: Visit) -> VisitTotals:
        return self.totals.get((visit.setting, visit.repeat), VisitTotals(0, 0))

    @property
    def own(self) -> bool:
        """Whether the user's own service was polled, of which only its replies are known."""
        return self.run.info.target == "own"

    def column(self, name: str) -> Floats:
        """Return a column of all jobs, NaN where it is unknown."""
        return self.run.jobs[name].to_numpy().astype(np.float64, copy=False)

    def mean(self, setting: str, column: str) -> float | None:
        """Return what errors of the instrument under a setting are held against; None where it is unknown.

        It is the twins', which nothing that is wrong with the run has touched; without a twin the run's own.
        """
        if self.twin.jobs.is_empty():
            return FIGURES[column].read(self.settings[setting]) if setting in self.settings else None
        return self.twin.mean(setting, column)


@dataclass(frozen=True)
class Bounds:
    """From where on something is worth a warning, and from where on the figures are spoilt.

    Both are shares of what is measured, but never less than the ``_s``: a request's own way over loopback.
    """

    warn: float
    invalid: float
    warn_s: float
    invalid_s: float

    def judge(self, value: float, reference: float) -> Status:
        """Return the status of an error of this size in something that is as large as the reference."""
        return graded(
            value, max(self.warn * reference, self.warn_s), max(self.invalid * reference, self.invalid_s)
        )


MEAN_ERROR: Final = Bounds(0.05, 0.10, 0.010, 0.020)
"""What the instrument adds on average: the figures are off by about as much."""
TAIL_ERROR: Final = Bounds(0.20, 0.50, 0.030, 0.050)
"""What it adds in one case of a hundred: quantiles and maxima may be off."""

_ORDER: Final = ("pass", "warn", "invalid")


def worst(findings: Iterable[Finding], otherwise: str) -> Finding:
    """Return the first of the worst findings; ``otherwise`` says what it is that there are none."""
    found = list(findings)
    return max(found, key=lambda each: _ORDER.index(each[0]), default=("pass", otherwise))


def graded(value: float, warn: float, invalid: float) -> Status:
    return "invalid" if value > invalid else "warn" if value > warn else "pass"


def named_visit(visit: Visit) -> str:
    return f"{visit.setting} (repeat {visit.repeat})"
