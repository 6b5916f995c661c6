"""What one run has measured so far; kept whatever happens to the run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from harness.live._columns import Columns
from harness.measure import JobRow, PollRow, Visit
from scenarios import Visit as PlannedVisit


@dataclass
class Record:
    """The raw records of one run: what it planned, its rows, and why it ended early if it did.

    ``incomplete`` is the reason in words, None as long as nothing went wrong.
    """

    started_at: datetime
    plans: Sequence[PlannedVisit]
    visits: list[Visit] = field(default_factory=list)
    jobs: Columns[JobRow] = field(default_factory=lambda: Columns(JobRow))
    polls: Columns[PollRow] = field(default_factory=lambda: Columns(PollRow))
    incomplete: str | None = None
