"""Running a scenario in virtual time: visit after visit, in this process or in a pool of them."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness.measure import OUTCOMES, JobRow, PhaseCounter, PollAggregate, Run, ServerCounts, Visit, run_info
from harness.virtual._columns import JobColumns, Part
from harness.virtual._counts import VisitCounter
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from harness.virtual._vector import obstacle, run_block
from scenarios import MOST_ROWS, Block, Scenario
from scenarios import Visit as PlannedVisit
from scenarios.documents import counted

if TYPE_CHECKING:
    import polars as pl

BLOCK: Final = 2**17
"""Jobs per block: enough work for one task of a pool of processes, and a bounded amount of memory."""

_MOST_JOBS: Final = 10**9
"""Most jobs in a visit: beyond, keys would be those of the next repeat."""

_AHEAD: Final = 32  # tasks handed to an executor before the first result is waited for
_REPORTED_PACKAGES: Final = ("numpy", "polars", "scipy")


class EngineChoice(NamedTuple):
    """Which engine simulates a scenario, and why, in English."""

    engine: Literal["vector", "event"]
    reason: str


class Resized(NamedTuple):
    """A scenario with another number of jobs, and what had to be done instead of longer visits, if that."""

    scenario: Scenario
    note: str | None


class Progress(NamedTuple):
    """How far a simulation has come: jobs ended and polls sent in visit number ``visit`` (from 1)."""

    visit: int
    visits: int
    setting: str
    jobs: int
    polls: int


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """A run in virtual time: the records, as ``measure`` takes them, and the engine that made them."""

    run: Run
    choice: EngineChoice


def choose_engine(scenario: Scenario) -> EngineChoice:
    """Return the engine for this scenario: "vector" unless its jobs touch each other."""
    if (reason := obstacle(scenario)) is not None:
        return EngineChoice("event", f"event by event, for {reason}")
    return EngineChoice("vector", "whole arrays of jobs at a time, for no job touches another")


def simulate(
    scenario: Scenario,
    *,
    only: Sequence[str] | None = None,
    jobs: int | None = None,
    engine: Literal["auto", "vector", "event"] = "auto",
    overhead: Overhead | None = None,
    executor: Executor | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SimulatedRun:
    """Run a scenario in virtual time.

    only: these settings alone. jobs: this many jobs per visit, as ``resized`` does it.
    engine: "vector" or "event" instead of the one that ``choose_engine`` gives; both give the same records.
    overhead: what real machines add to each request; nothing by default.
    executor: a ``concurrent.futures`` pool of processes (or Dask's or Ray's equivalent); the records do not
    depend on it. on_progress: called now and then, in this process.

    Raises ValueError when a setting is unknown, when the vector engine is asked for a scenario that it cannot
    do, and when more than MOST_ROWS rows would be kept; VisitTooLong when a poll would come after a year of
    virtual time.
    """
    if jobs is not None:
        visits = len(scenario.visits(only))
        scenario = resized(scenario, jobs).scenario
        _check_rows(jobs * visits)
    choice = _choice(scenario, engine, overhead)
    overhead = overhead or Overhead()
    records = [_VisitRecord(visit, scenario) for visit in scenario.visits(only)]
    started_at = datetime.now(UTC)

    def notify(record: _VisitRecord, rows: int, sent: int) -> None:
        if on_progress is not None:
            visit = record.visit
            on_progress(Progress(visit.index + 1, len(records), visit.setting, rows, sent))

    def tasks() -> Iterator[tuple[_VisitRecord, _Task]]:
        blocks: dict[int, list[Block]] = {}
        for record in records:
            setting, repeat = record.visit.setting, record.visit.repeat
            if choice.engine == "vector" and repeat not in blocks:
                # The settings of a repeat follow each other and share its plan.
                blocks = {repeat: list(scenario.planned_blocks(repeat, BLOCK))}
            # A pool's processes cannot call back; then the ends of visits must do.
            inside = partial(notify, record) if executor is None else None
            for task in _tasks(choice, scenario, setting, repeat, overhead, blocks.get(repeat, ()), inside):
                yield record, task

    for record, part in _results(tasks(), executor):
        record.add(part)
        _check_rows(sum(each.rows for each in records))
        notify(record, record.rows, record.sent)
    info = run_info(
        scenario,
        {record.visit.setting for record in records},
        engine="virtual",
        started_at=started_at,
        packages=_REPORTED_PACKAGES,
        more={"engine": f"{choice.engine}: {choice.reason}", "overhead": asdict(overhead)},
    )
    run = Run(
        info,
        tuple(record.measured() for record in records),
        _frame(records),
        tuple(record.polls() for record in records),
    )
    return SimulatedRun(run, choice)


def simulate_visit(
    scenario: Scenario,
    setting: str,
    repeat: int = 0,
    *,
    jobs: int | None = None,
    engine: Literal["auto", "vector", "event"] = "auto",
    overhead: Overhead | None = None,
    executor: Executor | None = None,
) -> Iterator[Part]:
    """Yield the records of one visit part by part, in order: memory stays bounded however many jobs.

    The parameters are those of ``simulate``, but for ``jobs``: one visit is lengthened, whatever is set in
    its time. The event engine yields a single part.
    """
    choice = _choice(scenario, engine, overhead)
    if jobs is not None:
        scenario = _lengthened(scenario, jobs)
    blocks = scenario.planned_blocks(repeat, BLOCK)
    tasks = _tasks(choice, scenario, setting, repeat, overhead or Overhead(), blocks, None)
    return (part for _, part in _results(((None, task) for task in tasks), executor))


_Task = Callable[[], Part]
_Notify = Callable[[int, int], None]
_Tag = TypeVar("_Tag")


def _check_rows(rows: int) -> None:
    if rows > MOST_ROWS:
        raise ValueError(
            f"{rows} rows cannot be kept: give fewer jobs or settings (at most {MOST_ROWS} rows in all), "
            "or take the visits one by one with simulate_visit"
        )


def _choice(scenario: Scenario, engine: str, overhead: Overhead | None) -> EngineChoice:
    chosen = choose_engine(scenario)
    if overhead is not None and overhead.scatter_s and chosen.engine == "vector":
        chosen = EngineChoice("event", "event by event, for submissions are scattered")
    if engine == "auto" or engine == chosen.engine:
        return chosen
    if engine == "event":
        return EngineChoice("event", "event by event, as asked")
    if engine == "vector":
        raise ValueError(f"engine='vector' cannot be used: in this scenario {obstacle(scenario)}")
    raise ValueError(f"engine={engine!r} cannot be used: give 'auto', 'vector' or 'event'")


def resized(scenario: Scenario, jobs: int) -> Resized:
    """Return the scenario with this many jobs per visit; keys and times of arrival stay what they are.

    A visit that is bound to its own length, by outages set in its time or by arrivals that end, is not
    lengthened, for that would be another experiment: it is repeated, with other jobs each time, until there
    are at least so many. Raises ValueError when there is no such number.
    """
    longer, workload = _lengthened(scenario, jobs), scenario.workload
    if scenario.service.outages:
        reason, times = "the outages are set in the time of a visit", _visits_of(scenario, jobs)
    else:
        own = workload.arrivals.most or jobs
        reason, times = "the arrivals of a visit end", math.ceil(jobs / own)
        workload = workload.model_copy(update={"duration": None, "jobs": own})
    if times == 1:
        return Resized(longer, None)
    more = workload.model_copy(update={"repeats": workload.repeats * times})
    note = f"{reason}; instead of one visit of {counted(jobs, 'job')}, {times} of its own length"
    return Resized(replace(scenario, workload=more), note)


def _lengthened(scenario: Scenario, jobs: int) -> Scenario:
    if not 1 <= jobs <= _MOST_JOBS:
        raise ValueError(f"jobs={jobs!r} cannot be used: give a whole number from 1 to {_MOST_JOBS}")
    workload = scenario.workload.model_copy(update={"duration": None, "jobs": jobs})
    return replace(scenario, workload=workload)


def _visits_of(scenario: Scenario, jobs: int) -> int:
    """Return how many visits of its own length have this many jobs, or more, between them."""
    workload, total = scenario.workload, 0
    if not workload.arrivals.is_open and workload.jobs is not None:
        return math.ceil(jobs / workload.jobs)
    for repeat in count():
        if workload.arrivals.is_open:
            total += sum(block.keys.size for block in scenario.planned_blocks(repeat, min(jobs, BLOCK)))
        if total >= jobs:
            return repeat + 1
        if total == 0:
            break
    raise ValueError(
        f"jobs={jobs}: the outages are set in the time of a visit, whose own jobs cannot be counted; "
        "give the scenario more repeats instead"
    )


def _tasks(
    choice: EngineChoice,
    scenario: Scenario,
    setting: str,
    repeat: int,
    overhead: Overhead,
    blocks: Iterable[Block],
    notify: _Notify | None,
) -> Iterator[_Task]:
    """Yield the work of a visit part by part; ``blocks`` are its submissions, for the vector engine."""
    policy = scenario.settings[setting]
    if choice.engine == "vector":
        for block in blocks:
            yield partial(run_block, scenario.simulation, policy, overhead, block)
        return
    # Plain dicts, for a read-only view does not travel to another process.
    portable = replace(scenario, settings={setting: policy}, objectives={})
    yield partial(_play, partial(EventVisit, portable, setting, repeat, overhead, on_progress=notify))


def _play(visit: Callable[[], EventVisit]) -> Part:
    """Simulate a visit that is made here: one that has been made does not travel to another process."""
    return visit().run()


def _results(tasks: Iterator[tuple[_Tag, _Task]], executor: Executor | None) -> Iterator[tuple[_Tag, Part]]:
    """Yield the parts in the order of the tasks, whoever makes them, with a bounded number under way."""
    if executor is None:
        for tag, task in tasks:
            yield tag, task()
        return
    under_way: deque[tuple[_Tag, Future[Part]]] = deque()
    try:
        for tag, task in tasks:
            under_way.append((tag, executor.submit(task)))
            if len(under_way) == _AHEAD:
                tag, future = under_way.popleft()
                yield tag, future.result()
        while under_way:
            tag, future = under_way.popleft()
            yield tag, future.result()
    finally:
        for _, future in under_way:
            future.cancel()


class _VisitRecord:
    """What has been gathered of one visit."""

    def __init__(self, visit: PlannedVisit, scenario: Scenario) -> None:
        self.visit = visit
        self._workload = scenario.workload
        self._counter, self._phases = VisitCounter(), PhaseCounter()
        self.jobs: list[JobColumns] = []
        self.rows = 0
        self.sent = 0
        self._submissions = 0
        self._replies: Counter[str] = Counter()
        self._busy_seconds = 0.0
        self._ended_at = 0.0

    def add(self, part: Part) -> None:
        """Add the next part."""
        self.jobs.append(part.jobs)
        self.rows += part.jobs.size
        self.sent += part.polls.total
        # The next part's jobs, and so their polls, come after the last of this one.
        self._counter.add(part.polls, float(part.jobs.planned_at.max(initial=0.0)))
        self._phases.add(part.polls.bins, part.polls.counts)
        self._submissions += part.submissions
        self._replies.update(part.replies)
        self._busy_seconds += part.busy_seconds
        self._ended_at = max(self._ended_at, part.ended_at)

    def measured(self) -> Visit:
        """Return the visit as ``measure`` describes it."""
        last = max((float(each.planned_at.max(initial=0.0)) for each in self.jobs), default=0.0)
        duration = self._workload.duration
        return Visit(
            setting=self.visit.setting,
            repeat=self.visit.repeat,
            index=self.visit.index,
            duration_s=self._ended_at,
            submit_window_s=last if duration is None else duration,
            lanes=self._workload.lanes,
            planned_jobs=self._submissions if self._workload.arrivals.is_open else None,
            server=ServerCounts(
                submissions=self._submissions,
                polls=sum(self._replies.values()),
                replies=dict(sorted(self._replies.items())),
                busy_seconds=self._busy_seconds,
            ),
        )

    def polls(self) -> PollAggregate:
        """Return the visit's polls as ``measure`` describes them."""
        latency_s, latency_count = self._counter.latencies()
        return PollAggregate(
            setting=self.visit.setting,
            repeat=self.visit.repeat,
            per_second=self._counter.per_second(),
            peak_per_second=self._counter.peak(),
            responses=dict(sorted(self._counter.responses.items())),
            latency_s=latency_s,
            latency_count=latency_count,
            phases=self._phases.phases(),
        )


def _frame(records: Sequence[_VisitRecord]) -> pl.DataFrame:
    """Return the rows of all jobs, visit by visit in order of the keys, with the columns of ``JobRow``."""
    import polars as pl

    plans = [(record.visit, jobs.size) for record in records for jobs in record.jobs]
    sizes = [size for _, size in plans]
    parts = [jobs for record in records for jobs in record.jobs]

    def column(name: str) -> NDArray[Any]:
        return np.concatenate([getattr(jobs, name) for jobs in parts])

    settings = sorted({plan.setting for plan, _ in plans})
    which = np.repeat(np.array([settings.index(plan.setting) for plan, _ in plans], dtype=np.int64), sizes)
    planned_at, detected_at, lag = column("planned_at"), column("detected_at"), column("lag")
    columns = {
        "setting": pl.Series(settings, dtype=pl.Categorical).gather(which),
        "repeat": np.repeat(np.array([plan.repeat for plan, _ in plans], dtype=np.int64), sizes),
        "key": column("key"),
        "lane": column("lane"),
        "planned_at_s": planned_at,
        "submitted_at_s": column("submitted_at"),
        "finished_at_s": detected_at - lag,
        "detected_at_s": detected_at,
        "duration_s": column("duration"),
        "outcome": pl.Series(OUTCOMES, dtype=pl.Categorical).gather(column("outcome")),
        "polls": column("polls"),
        "wasted_polls": column("wasted"),
        "detection_lag_s": lag,
        "completion_latency_s": detected_at - planned_at,
        "sent_at_s": column("sent_at"),
    }
    return pl.DataFrame(columns).select(JobRow._fields).fill_nan(None)
