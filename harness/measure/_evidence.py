"""What the checks of a run look at, and the words that they share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from harness.measure._figures import SettingFigures
from harness.measure._frames import VisitTotals, totals_by_visit
from harness.measure._intervals import Floats
from harness.measure._results import Status
from harness.measure._rows import PollAggregate, Run, Visit

if TYPE_CHECKING:
    import polars as pl

Finding = tuple[Status, str]


@dataclass(frozen=True)
class Evidence:
    """What the checks look at; ``jobs`` by setting in (repeat, key) order, ``visits`` with their polls."""

    run: Run
    settings: Mapping[str, SettingFigures]
    jobs: Mapping[str, pl.DataFrame]
    visits: tuple[tuple[Visit, PollAggregate | None], ...]

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


def graded(value: float, warn: float, invalid: float) -> Status:
    return "invalid" if value > invalid else "warn" if value > warn else "pass"


def named_visit(visit: Visit) -> str:
    return f"{visit.setting} (repeat {visit.repeat})"
