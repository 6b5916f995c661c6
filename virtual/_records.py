"""What a stretch of virtual time leaves behind: jobs as columns, polls as counts. Both engines make these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from measure import OUTCOMES
from virtual._draws import Floats, Integers
from virtual._tally import PollCounts

OUTCOME_CODES: Final[Mapping[str, int]] = {name: code for code, name in enumerate(OUTCOMES)}


@dataclass(frozen=True, eq=False)
class JobColumns:
    """One entry per job in every column, meaning what ``measure.JobRow`` says; NaN where unknown.

    ``outcome`` indexes ``measure.OUTCOMES``. ``ended_at`` is when the client's part was over, whatever the
    outcome; it is no column of the rows, but the visit lasts until the latest.
    """

    key: Integers
    lane: Integers
    planned_at: Floats
    sent_at: Floats
    submitted_at: Floats
    duration: Floats
    detected_at: Floats
    lag: Floats
    outcome: Integers
    polls: Integers
    wasted: Integers
    ended_at: Floats

    @property
    def size(self) -> int:
        """How many jobs there are."""
        return int(self.key.size)

    def only(self, which: NDArray[np.bool_]) -> JobColumns:
        """The columns of these jobs."""
        return JobColumns(*(getattr(self, each.name)[which] for each in fields(self)))


@dataclass(frozen=True, eq=False)
class Part:
    """The records of a part of a visit: some of its jobs, all of their polls, and the server's own account.

    ``replies`` counts what the server answered (a reply that came too late for its client is one too);
    ``polls.responses`` what the clients saw. ``lost_submissions`` were answered too late for the client, so
    that no polling followed and there is no row, as in a live run.
    """

    jobs: JobColumns
    polls: PollCounts
    submissions: int
    replies: Mapping[str, int]
    busy_seconds: float
    lost_submissions: int
    ended_at: float
