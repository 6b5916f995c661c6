"""The raw records of a run: one row per job, one per poll, and what was true of each visit.

Everything that is reported is a pure function of these. Times are seconds from the start of the
setting's visit, by a monotonic clock; an unknown value is ``None`` (an empty field on disk, null in a frame).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from harness.measure._phases import Phase, phases_of
from scenarios import MARGIN
from scenarios.documents import Fraction
from scenarios.draws import Found

if TYPE_CHECKING:
    import polars as pl

OUTCOMES: Final = ("completed", "error", "timeout", "gave_up", "censored")
"""How a job can end for its client; the last three are *lost*: their end was not learnt."""

DETECTED: Final = ("completed", "error")
"""The outcomes of jobs whose end their clients learnt."""

STATES: Final = ("pending", "completed", "error", "failed")
"""What the reply to a poll meant: a state of the job, or ``failed``: nothing was learnt of it."""

_HELD_FROM_S: Final = 1e-3

Amount = Annotated[int, Field(ge=0, le=10**12)]
"""A number of things in a record; beyond, it is none that a run counted, and sums would not be exact."""

Seconds = Annotated[float, Field(ge=0, le=1e15)]
"""A length of time in a record."""

TRANSPORT_ERROR: Final = "transport_error"
"""What records call the response to a poll that got none, or one that came too late."""


class JobRow(NamedTuple):
    """What became of one job under one setting: a line of ``jobs.csv``.

    ``key`` names the job: the same ``(repeat, key)`` is the same job under every setting. ``planned_at_s``
    is when the workload wanted it submitted, ``sent_at_s`` when the submission was sent and
    ``submitted_at_s`` when its reply arrived. ``finished_at_s`` is the job's end on the server, and
    ``detected_at_s`` when its client learnt of it. ``duration_s`` is the work it needed.
    """

    setting: str
    repeat: int
    key: int
    lane: int
    planned_at_s: float
    submitted_at_s: float | None
    finished_at_s: float | None
    detected_at_s: float | None
    duration_s: float | None
    outcome: str
    polls: int
    wasted_polls: int
    detection_lag_s: float | None
    completion_latency_s: float | None
    sent_at_s: float | None


class PollRow(NamedTuple):
    """One status request: a line of ``polls.csv``.

    ``planned_at_s`` is when the poller wanted it sent, ``latency_s`` how long the reply took (None when none
    came), ``response`` the status code as text, or ``transport_error``. ``state`` is what the reply meant,
    one of ``STATES``; empty where that was not recorded.
    """

    setting: str
    repeat: int
    key: int
    attempt: int
    planned_at_s: float
    sent_at_s: float
    latency_s: float | None
    response: str
    state: str = ""


class Held(NamedTuple):
    """Requests that the limits of the user's own API let go later than they were due (seconds)."""

    requests: Amount = 0
    total_s: Seconds = 0.0
    max_s: Seconds = 0.0

    def and_of(self, seconds: float) -> Held:
        """Return this and one more request that was held for so long; a millisecond does not count."""
        if seconds < _HELD_FROM_S:
            return self
        return Held(self.requests + 1, self.total_s + seconds, max(self.max_s, seconds))

    def __or__(self, other: Held) -> Held:
        """Return both together."""
        return Held(
            self.requests + other.requests, self.total_s + other.total_s, max(self.max_s, other.max_s)
        )


_NOT_HELD: Final = Held()


@dataclass(frozen=True)
class ServerCounts:
    """The simulator's own account of one visit, to be held against the clients' account.

    ``cpu_seconds`` is processor time over all its ``processes`` (None under virtual time), ``cpu_peak`` the
    busiest process's share of a core in its busiest second (None where nobody looked), ``busy_seconds`` the
    service time that its simulated capacity spent.
    """

    submissions: Amount
    polls: Amount
    replies: Mapping[str, Amount] = field(default_factory=dict)
    cpu_seconds: Seconds | None = None
    busy_seconds: Seconds | None = None
    processes: Amount = 1
    cpu_peak: Seconds | None = None


@dataclass(frozen=True)
class Visit:
    """One stay of the load generator at one setting: submissions, then the drain of every job.

    ``duration_s`` runs from the start of the visit to the end of the drain, ``submit_window_s`` to the end
    of submissions. ``generator_cpu`` is each generator process's mean share of one core (1.0 is all of it).
    ``conductor_late_s`` is how late the loop that gathers the rows was at most.
    ``planned_jobs`` is None where the plan has no fixed number (closed loops). ``complete`` is false when
    the visit was cut short. ``failed_submissions`` counts submissions that were not accepted, by response.
    ``held_jobs`` and ``held_polls`` are what the limits of the user's own API held back; ``left_jobs`` are
    those that clients stopped following there before they ended.
    """

    setting: str
    repeat: Amount
    index: Amount
    duration_s: Seconds
    submit_window_s: Seconds
    lanes: Amount
    planned_jobs: Amount | None = None
    workers_expected: Amount = 1
    workers_lost: Amount = 0
    generator_cpu: tuple[Seconds, ...] = ()
    generator_cpu_peak: Seconds | None = None
    conductor_late_s: Seconds | None = None
    server: ServerCounts | None = None
    complete: bool = True
    failed_submissions: Mapping[str, Amount] = field(default_factory=dict)
    held_jobs: Held = _NOT_HELD
    held_polls: Held = _NOT_HELD
    left_jobs: Amount = 0


@dataclass(frozen=True)
class ScenarioInfo:
    """The scenario as it was run: its name, its question and its text.

    ``traces`` is what was found in its recorded data. ``files`` are the copies of these that the text names,
    each with the file that was read; only a run that is not yet written has them.
    """

    name: str
    text: str
    question: str = ""
    traces: tuple[Found, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the text in UTF-8, in hexadecimal."""
        return sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class RunInfo:
    """What was run, when and where.

    ``started_at`` is ISO 8601 in UTC. ``settings`` maps each setting to its description in English, in the
    scenario's order. ``objectives`` are upper bounds such as ``{"lag_p95": 2.0}``. Without a ``baseline`` the
    first setting is it. ``incomplete`` is the reason why the run stopped early, None if it did not.
    ``target`` is what was polled: our simulator, which knows the truth, or the user's ``own`` service.
    ``finish_resolution_s`` is how far off the finish times that the service names may be: 0 where it tells
    how long ago, 1 where it names a moment and only the reply's Date, in whole seconds, says when that was.
    ``waiting`` says why jobs of one visit are no independent samples (they share a queue, say); None where
    they are. ``margin`` is the smallest difference that matters, as a share of the reference.
    """

    engine: Literal["live", "virtual"]
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)]
    started_at: str
    environment: Mapping[str, Any]
    scenario: ScenarioInfo
    settings: Mapping[str, str]
    baseline: str | None = None
    objectives: Mapping[str, float] = field(default_factory=dict)
    incomplete: str | None = None
    target: Literal["simulator", "own"] = "simulator"
    finish_resolution_s: Seconds = 0.0
    waiting: str | None = None
    margin: Fraction = MARGIN


class Lateness(NamedTuple):
    """How late requests were sent, against when they were wanted (seconds)."""

    mean_s: float
    p50_s: float
    p99_s: float
    max_s: float

    @classmethod
    def of(cls, late: NDArray[np.float64]) -> Self:
        """Return how late these requests were, at least one."""
        p50, p99 = np.quantile(late, [0.5, 0.99])
        return cls(float(late.mean()), float(p50), float(p99), float(late.max()))


@dataclass(frozen=True, eq=False)
class PollAggregate:
    """All polls of one visit, reduced to what the metrics need.

    ``per_second[i]`` counts the polls sent in second ``i`` of the visit; ``peak_per_second`` is the largest
    count in any window of one second, wherever it starts. ``latency_s`` and ``latency_count`` are a
    weighted sample of reply times (both empty when unknown). ``lateness`` is None under virtual time.
    ``phases`` say how far the polls are in step, at the periods of which the visit has several.
    """

    setting: str
    repeat: int
    per_second: NDArray[np.int64]
    peak_per_second: int
    responses: Mapping[str, int]
    latency_s: NDArray[np.float64]
    latency_count: NDArray[np.int64]
    lateness: Lateness | None = None
    phases: tuple[Phase, ...] = ()

    @property
    def total(self) -> int:
        """How many polls were sent."""
        return int(self.per_second.sum())


@dataclass(frozen=True, eq=False)
class Run:
    """A run's records in memory, as ``load_run`` returns them; what ``analyse`` takes.

    ``jobs`` has the columns of ``JobRow``. Of a run on the user's own service there are three more, null
    where there was no such poll: ``pending_at_s``, when the last poll was sent that was answered ``pending``,
    and the middle of the round trip of that poll (``seen_pending_s``) and of the one that told the end
    (``seen_ended_s``). ``sample`` has the columns of ``PollRow``: at least the polls of the few jobs that the
    report shows one by one; None where they were not kept.
    """

    info: RunInfo
    visits: tuple[Visit, ...]
    jobs: pl.DataFrame
    polls: tuple[PollAggregate, ...]
    sample: pl.DataFrame | None = None


def response_name(status_code: int | None) -> str:
    """Return what records call a poll's response: the status code, or ``transport_error`` where none came."""
    return TRANSPORT_ERROR if status_code is None else str(status_code)


def sliding_peak(times_s: ArrayLike, window_s: float = 1.0) -> int:
    """Return the largest number of events in any half-open window ``[t, t + window_s)``; 0 without events."""
    times = np.sort(np.asarray(times_s, dtype=np.float64))
    if times.size == 0:
        return 0
    # A fullest window can be moved right until it starts at an event, so only those need a look.
    ends = np.searchsorted(times, times + window_s, side="left")
    return int((ends - np.arange(times.size)).max())


def aggregate_polls(
    setting: str,
    repeat: int,
    sent_at_s: ArrayLike,
    responses: Mapping[str, int],
    latency_s: ArrayLike = (),
    planned_at_s: ArrayLike | None = None,
) -> PollAggregate:
    """Reduce one visit's polls to a PollAggregate.

    ``sent_at_s`` has one time per poll, in any order; ``latency_s`` one per reply (NaN where none came); both
    may be large arrays. ``planned_at_s`` is given where lateness has a meaning. Raises ValueError when the
    responses do not add up to the polls sent.
    """
    sent = np.asarray(sent_at_s, dtype=np.float64)
    if sum(responses.values()) != sent.size:
        raise ValueError(
            f"responses of setting {setting!r} add up to {sum(responses.values())}, "
            f"but {sent.size} polls were sent; every poll has exactly one response"
        )
    latency = np.asarray(latency_s, dtype=np.float64)
    values, counts = np.unique(latency[~np.isnan(latency)], return_counts=True)
    lateness = None
    if planned_at_s is not None and sent.size:
        lateness = Lateness.of(sent - np.asarray(planned_at_s, dtype=np.float64))
    seconds = np.floor(np.maximum(sent, 0.0)).astype(np.int64)
    return PollAggregate(
        setting=setting,
        repeat=repeat,
        per_second=np.bincount(seconds).astype(np.int64, copy=False),
        peak_per_second=sliding_peak(sent),
        responses=dict(sorted(responses.items())),
        latency_s=values,
        latency_count=counts.astype(np.int64),
        lateness=lateness,
        phases=phases_of(sent),
    )
