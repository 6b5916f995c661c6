"""A run's folder made whole of its journal, when the process that ran it has ended otherwise."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.live._columns import BadColumns, Columns
from harness.live._framing import Began, Closed, Ended, Measured, entries, part, remove
from harness.measure import (
    JOURNAL,
    JobRow,
    PollRow,
    RunFolder,
    RunUnusable,
    Visit,
    job_frame,
    opened,
    poll_frame,
    read_record,
)
from harness.virtual import with_way_back
from scenarios import Scenario, load_scenario
from scenarios import Visit as PlannedVisit
from scenarios.documents import DocumentError, is_there

if TYPE_CHECKING:
    import polars as pl

_CUT: Final = "the harness was killed: of the last second before that nothing was kept"


class Recovered(NamedTuple):
    """How much a journal held."""

    jobs: int
    polls: int
    incomplete: str | None  # why the run ended early


def recover(
    folder: Path, scenario: Scenario | None = None, into: RunFolder | None = None
) -> Recovered | None:
    """Make a run's folder whole of its journal, which goes; None where it is whole, or has none.

    scenario: what was run, where it is at hand; the folder has a copy. into: another folder to write to,
    where this one cannot be; then the journal stays. Jobs that were polled when it ended are rows as well,
    censored. Raises RunUnusable where the run still goes on or the journal holds none, RunFolderError where
    the folder cannot be written.
    """
    journal = folder / JOURNAL
    if not is_there(journal) or not journal.is_file():
        return None
    with _claimed(journal):
        is_whole = (folder / "run.json").is_file()
        found = None if is_whole else _made_whole(journal, scenario, into or RunFolder(folder))
        if into is None:
            with suppress(OSError):
                remove(folder)
        return found


@contextmanager
def _claimed(journal: Path) -> Iterator[None]:
    """Hold the journal's lock, which its writer has as long as it lives."""
    import fcntl  # exists on Unix only, as does a live run; a report does not need it

    try:
        number = os.open(journal, os.O_RDONLY)
    except OSError as error:
        raise RunUnusable(f"{journal}: {error.strerror}") from error
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunUnusable(f"{journal.parent}: its run still goes on; wait for its end") from None
        except OSError:
            pass  # no locks on this kind of disk
        yield
    finally:
        os.close(number)


class _Read:
    """What a journal tells."""

    def __init__(self, journal: Path) -> None:
        self.jobs, self.polls = Columns(JobRow), Columns(PollRow)
        incomplete: str | None = _CUT
        record: dict[str, Any] | None = None
        closed: list[dict[str, Any]] = []
        self.plans: list[PlannedVisit] = []
        for entry in entries(_Stream(journal.parent).read):
            match entry:
                case Began():
                    record = entry.record
                    self.plans = [PlannedVisit(*each) for each in entry.plans]
                case Measured():
                    try:
                        self.jobs.extend(Columns.from_wire(JobRow, entry.jobs))
                        self.polls.extend(Columns.from_wire(PollRow, entry.polls))
                    except BadColumns as error:
                        raise RunUnusable(f"{journal}: {error}") from error
                case Closed() if record is not None:
                    closed.append(entry.visit)
                case Ended():
                    incomplete = entry.incomplete
        if record is None:
            raise RunUnusable(f"{journal}: it holds no run; nothing was measured yet")
        info, self.visits = read_record(journal, {**record, "visits": closed})
        self.info = replace(info, incomplete=incomplete)

    def take_frames(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Take the jobs and the polls; there may be millions, which should not be in memory twice."""
        jobs, self.jobs = job_frame(self.jobs.frame()), Columns(JobRow)
        polls, self.polls = poll_frame(self.polls.frame()), Columns(PollRow)
        return jobs, polls


class _Stream:
    """The bytes of a journal, in whichever of its parts they are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._file: IO[bytes] | None = None

    def read(self, count: int) -> bytes:
        """Return so many bytes, fewer at the end alone. Raises RunUnusable."""
        data = bytearray()
        while len(data) < count and (file := self._file or self._next()) is not None:
            # A number in a file must not become memory: no more is asked for than there is.
            most = os.fstat(file.fileno()).st_size - file.tell()
            if more := file.read(min(count - len(data), max(0, most))):
                data += more
            else:
                file.close()
                self._file = None
        return bytes(data)

    def _next(self) -> IO[bytes] | None:
        path = part(self._folder, self._number)
        if not path.is_file():
            return None
        self._number += 1
        try:
            self._file = opened(path)
        except OSError as error:
            raise RunUnusable(f"{path}: {error.strerror or error}") from None
        return self._file


def _made_whole(journal: Path, scenario: Scenario | None, into: RunFolder) -> Recovered:
    read = _Read(journal)
    if scenario is None:
        with suppress(DocumentError):  # its traces are gone, perhaps; the rows must not wait for them
            scenario = load_scenario(journal.parent / "scenario.yaml", secrets=False)
    closed = {(each.setting, each.repeat) for each in read.visits}
    visits = list(read.visits)
    for plan in read.plans:
        if (plan.setting, plan.repeat) not in closed:
            visits += _cut_short(scenario, plan, read)
    jobs, polls = read.take_frames()
    if scenario is not None and scenario.target is None:
        jobs = with_way_back(scenario, jobs, polls)
    into.write(read.info, visits, jobs, polls)
    return Recovered(jobs.height, polls.height, read.info.incomplete)


def _cut_short(scenario: Scenario | None, plan: PlannedVisit, read: _Read) -> Iterator[Visit]:
    """Yield the visit that nobody closed, if it had begun; its jobs that were under way join the others."""
    of_jobs, of_polls = (
        rows.is_word("setting", plan.setting) & (rows.column("repeat") == plan.repeat)
        for rows in (read.jobs, read.polls)
    )
    if not (of_jobs.any() or of_polls.any()):
        return
    key, lane, planned, detected = (
        read.jobs.column(name)[of_jobs] for name in ("key", "lane", "planned_at_s", "detected_at_s")
    )
    sent, latency, polled = (read.polls.column(name)[of_polls] for name in ("sent_at_s", "latency_s", "key"))
    pending, planned_jobs = read.polls.is_word("state", "pending")[of_polls], None
    window = max(planned, default=0.0)
    read_at = sent + np.nan_to_num(latency)
    if scenario is not None:
        open_jobs = ~np.isin(polled, key)
        counts, wasted = Counter(polled[open_jobs].tolist()), Counter(polled[open_jobs & pending].tolist())
        # An open plan tells when its jobs were to begin, whatever became of others.
        left_at = {} if scenario.workload.arrivals.is_open else _latest(polled, read_at)
        under_way = list(_under_way(scenario, plan, counts, wasted, left_at))
        read.jobs.extend(under_way)
        window = max(window, max((row.planned_at_s for row in under_way), default=0.0))
        planned_jobs = scenario.planned_jobs(plan.repeat)
    ends = (read_at, np.nan_to_num(detected))
    yield Visit(
        setting=plan.setting,
        repeat=plan.repeat,
        index=plan.index,
        duration_s=float(max(each.max(initial=0.0) for each in ends)),
        submit_window_s=float(window),
        lanes=scenario.workload.lanes if scenario else 1 + int(lane.max(initial=0)),
        planned_jobs=planned_jobs,
        complete=False,
    )


def _latest(keys: NDArray[np.int64], times: NDArray[np.float64]) -> dict[int, float]:
    """Return the last of the times of each key."""
    each, place = np.unique(keys, return_inverse=True)
    latest = np.full(each.size, -np.inf)
    np.maximum.at(latest, place, times)
    return dict(zip(each.tolist(), latest.tolist(), strict=True))


def _under_way(
    scenario: Scenario,
    plan: PlannedVisit,
    counts: Mapping[int, int],
    wasted: Mapping[int, int],
    left_at: Mapping[int, float],
) -> Iterator[JobRow]:
    """Yield the jobs that were polled (``counts``, ``wasted`` of them) and have no row.

    left_at: when the client of each job read its last reply.
    """
    for key, lane, at in _begun(scenario, plan.repeat, counts, left_at):
        yield JobRow(
            setting=plan.setting,
            repeat=plan.repeat,
            key=key,
            lane=lane,
            planned_at_s=at,
            submitted_at_s=None,
            finished_at_s=None,
            detected_at_s=None,
            duration_s=scenario.duration(key) if scenario.target is None else None,
            outcome="censored",
            polls=counts[key],
            wasted_polls=wasted.get(key, 0),
            detection_lag_s=None,
            completion_latency_s=None,
            sent_at_s=None,
        )


def _begun(
    scenario: Scenario, repeat: int, keys: Mapping[int, int], left_at: Mapping[int, float]
) -> Iterator[tuple[int, int, float]]:
    """Yield these jobs, each with its lane and when it was to begin.

    In a closed loop that is when the lane's job before has ended and its client has thought. Where that one
    was not accepted, nobody has written it down, and the job is left out.
    """
    if scenario.workload.arrivals.is_open:
        yield from (each for each in scenario.planned(repeat) if each.key in keys)
        return
    lanes, first = scenario.workload.lanes, scenario.closed_key(repeat, 0, 0)
    for key in sorted(keys):
        before, lane = key - lanes, (key - first) % lanes
        if before in left_at:
            yield key, lane, left_at[before] + scenario.think_time(before)
        elif before < first:
            yield key, lane, 0.0
