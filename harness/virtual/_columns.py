"""What a stretch of virtual time leaves behind: jobs as columns, polls as counts. Both engines make these."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import numpy as np
from numpy.typing import NDArray

from client import Done
from harness.measure import OUTCOMES
from harness.virtual._counts import PollCounts
from scenarios import Simulation
from scenarios.draws import Floats, Integers, Stream, uniforms

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

    @classmethod
    def joined(cls, parts: Sequence[JobColumns]) -> JobColumns:
        """Return the columns of all these jobs, one part after the other."""
        return cls(*(np.concatenate([getattr(part, each.name) for part in parts]) for each in fields(cls)))

    def only(self, which: NDArray[np.bool_]) -> JobColumns:
        """Return the columns of these jobs."""
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


class FinishedJobs:
    """Jobs in the order in which they ended, kept by column: objects would take ten times the room."""

    def __init__(self) -> None:
        self._whole = {name: array("q") for name in ("key", "lane", "outcome", "polls", "wasted")}
        self._real = {
            name: array("d")
            for name in ("planned_at", "sent_at", "submitted_at", "detected_at", "lag", "ended_at")
        }

    def __len__(self) -> int:
        return len(self._whole["key"])

    def add(
        self,
        key: int,
        lane: int,
        planned_at: float,
        sent_at: float,
        submitted_at: float,
        done: Done,
        lag: float | None,
    ) -> None:
        """Add a job; ``lag`` is None where its client did not learn of its end."""
        learnt = lag is not None
        whole = (key, lane, OUTCOME_CODES[done.outcome], done.attempts, done.wasted)
        real = (
            planned_at,
            sent_at,
            submitted_at,
            done.at if learnt else np.nan,
            np.nan if lag is None else lag,
            done.at,
        )
        for column, number in zip(self._whole.values(), whole, strict=True):
            column.append(number)
        for times, seconds in zip(self._real.values(), real, strict=True):
            times.append(seconds)

    def columns(self, simulation: Simulation) -> JobColumns:
        """Return the columns in order of the keys, which is the order of planned submission."""
        order = np.argsort(np.array(self._whole["key"]))

        def whole(name: str) -> Integers:
            return np.array(self._whole[name], dtype=np.int64)[order]

        def real(name: str) -> Floats:
            return np.array(self._real[name])[order]

        keys = whole("key")
        return JobColumns(
            key=keys,
            lane=whole("lane"),
            planned_at=real("planned_at"),
            sent_at=real("sent_at"),
            submitted_at=real("submitted_at"),
            duration=durations(simulation, keys),
            detected_at=real("detected_at"),
            lag=real("lag"),
            outcome=whole("outcome"),
            polls=whole("polls"),
            wasted=whole("wasted"),
            ended_at=real("ended_at"),
        )


def durations(simulation: Simulation, keys: Integers) -> Floats:
    """Return the work in each of these jobs, in seconds."""
    return simulation.job.duration.ppf(uniforms(simulation.seed, Stream.DURATION, keys))
