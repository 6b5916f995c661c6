"""The rows of a run on disk while it is under way: whatever ends the process, they are there.

Once a second, and at each visit's end, the journal takes the rows that the record has by then, and gives them
to the spool. When the process ends, however it does, the kernel has the bytes; a power failure can lose what
the disk had not taken yet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from harness.live._framing import Began, Closed, Ended, Entry, Measured
from harness.live._record import Record, info_of
from harness.live._spool import Spool
from harness.measure import RunInfo, plain_record
from scenarios import Scenario

_INTERVAL_S: Final = 1.0


class Journal:
    """Keep each run's record on disk while it grows, in the folder that the run will have; one run at a time.

    reports: where the folders of runs are.
    """

    def __init__(self, scenario: Scenario, reports: Path) -> None:
        self._scenario = scenario
        self._reports = reports
        self._run: _Run | None = None

    @property
    def folder(self) -> Path | None:
        """Where the run is, None where no folder could be made."""
        return self._run.spool.folder if self._run else None

    def begin(self, record: Record) -> None:
        """Begin with a run."""
        self._run = _Run(self._scenario, self._reports, record)

    def keep(self, now: float) -> None:
        """Take what the record has more by now, at most once a second but for the ends of visits."""
        if self._run is not None:
            self._run.keep(now)

    def flush(self, seconds: float) -> None:
        """Wait until all that was taken is written, for so long at most."""
        if self._run is not None:
            self._run.spool.flush(seconds)

    def end(self) -> bool:
        """Take the rest, and let go of the files; return whether they have everything."""
        return self._run is not None and self._run.end()

    def let_go(self) -> None:
        """Let go of the run and of its files, which stay."""
        run, self._run = self._run, None
        if run is not None:
            run.spool.flush(_INTERVAL_S)
            run.spool.close()

    def discard(self) -> None:
        """Let go of the run, and remove its folder."""
        run, self._run = self._run, None
        if run is not None:
            run.spool.discard()


class _Run:
    """One run, and what of it was given to the spool."""

    def __init__(self, scenario: Scenario, reports: Path, record: Record) -> None:
        self._record = record
        self._info: RunInfo = info_of(scenario, record)
        self._closed = 0  # visits
        self._next_at = 0.0
        self.spool = Spool(reports, self._info, record.started_at)
        plans = [(each.index, each.repeat, each.setting) for each in record.plans]
        self.spool.add(Began(plain_record(self._info, ()), plans), *self._news())

    def keep(self, now: float) -> None:
        """Give what is new, if it is time."""
        if now >= self._next_at or len(self._record.visits) > self._closed:
            self._next_at = now + _INTERVAL_S
            self.spool.add(*self._news())

    def end(self) -> bool:
        """Give the rest, and close the files; return whether they have everything."""
        self.spool.add(*self._news(), Ended(self._record.incomplete))
        try:
            return self.spool.end()
        finally:
            self.spool.close()

    def _news(self) -> list[Entry]:
        jobs, polls = self._record.take_rows()
        news: list[Entry] = [Measured(jobs.to_wire(), polls.to_wire())] if jobs or polls else []
        visits = self._record.visits[self._closed :]
        self._closed += len(visits)
        return [*news, *map(Closed, plain_record(self._info, visits)["visits"])]
