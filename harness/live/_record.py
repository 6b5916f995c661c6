"""What one run has measured so far; kept whatever happens to the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from harness.live._columns import Columns
from harness.measure import JobRow, PollRow, RunInfo, Visit, run_info
from scenarios import Scenario
from scenarios import Visit as PlannedVisit

_REPORTED_PACKAGES: Final = ("flask", "gevent", "locust", "numpy", "requests", "scipy")


@dataclass
class Record:
    """The raw records of one run: what it planned, its rows, and why it ended early if it did.

    ``jobs`` and ``polls`` are the rows that nobody has taken yet. ``incomplete`` is the reason in words, None
    as long as nothing went wrong.
    """

    started_at: datetime
    plans: Sequence[PlannedVisit]
    visits: list[Visit] = field(default_factory=list)
    jobs: Columns[JobRow] = field(default_factory=lambda: Columns(JobRow))
    polls: Columns[PollRow] = field(default_factory=lambda: Columns(PollRow))
    incomplete: str | None = None
    _had_rows: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing was measured."""
        return not (self._had_rows or self.visits or self.jobs or self.polls)

    def take_rows(self) -> tuple[Columns[JobRow], Columns[PollRow]]:
        """Take the rows that came in since they were last taken."""
        jobs, polls = self.jobs, self.polls
        self._had_rows = self._had_rows or bool(jobs or polls)
        self.jobs, self.polls = Columns(JobRow), Columns(PollRow)
        return jobs, polls


def info_of(scenario: Scenario, record: Record) -> RunInfo:
    """Return what was run, when and where; of the scenario's settings those that the run planned to visit."""
    target = scenario.target
    return run_info(
        scenario,
        {plan.setting for plan in record.plans},
        engine="live",
        started_at=record.started_at,
        packages=_REPORTED_PACKAGES,
        incomplete=record.incomplete,
        target="simulator" if target is None else "own",
        finish_resolution_s=1.0 if target is not None and target.dialect.status.finished_at else 0.0,
    )
