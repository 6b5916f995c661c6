"""A live run held against virtual time: its twins, and what its rows claim beyond what the scenario drew.

``measure`` judges what is found here, and keeps it in the run's folder; it has no twin of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure import (
    DETECTED,
    JOB_KEY,
    TRANSPORT_ERROR,
    Run,
    Spread,
    Twin,
    TwinRow,
    VisitResiduals,
    no_twin_rows,
)
from harness.virtual._columns import durations
from harness.virtual._counts import VisitTooLong
from harness.virtual._overhead import Overhead
from harness.virtual._replies import ReplyArrays
from harness.virtual._run import choose_engine, simulate
from scenarios import Scenario, Simulation
from scenarios.draws import Floats, Integers, Words
from server import Board

if TYPE_CHECKING:
    import polars as pl

_HEALTHY: Final = Overhead(request_s=0.001, reply_s=0.001, wake_s=0.0005)
"""What a machine with time to spare adds to a request over loopback, about."""
_MACHINES: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Each twin's machine, in healthy ones: the middle of them is one."""
_SCATTER_S: Final = 0.005
_MOST_TWINS: Final = (15, 5, 1)
_MOST_POLLS: Final = {"event": 400_000, "vector": 10_000_000}
"""In all twins together: some seconds of work."""
_CLOCK_S: Final = 1e-3  # rows are in microseconds; two clock readings for one moment may differ by this
_ALWAYS: Final = -np.inf


@dataclass
class _Polls:
    """Polls as ``ReplyArrays`` takes them."""

    attempts: Integers
    accepted: Floats
    delay: Words
    fault: Words


def twin_of(
    scenario: Scenario, run: Run, polls: pl.DataFrame | None, twins: pl.DataFrame | None = None
) -> Twin:
    """Return the twins of a live run of the scenario on the simulator, and the run's residuals.

    ``polls`` has the columns of ``PollRow``; None where rows of polls were not kept. ``twins`` are those that
    another run of the same scenario was given.
    """
    jobs, reason = no_twin_rows(), "the run is incomplete"
    if run.info.incomplete is None and all(visit.complete for visit in run.visits):
        try:
            jobs, reason = _twins(scenario, run) if twins is None else twins, ""
        except (ValueError, VisitTooLong) as error:
            reason = str(error)
    residuals = tuple(_residuals(scenario, run, polls))
    return Twin(jobs, residuals, _by_setting(scenario, polls), reason)


def with_way_back(scenario: Scenario, jobs: pl.DataFrame, polls: pl.DataFrame) -> pl.DataFrame:
    """Return a live run's jobs with lags that last until their clients had read the reply.

    A reply says how long ago the job had finished when it left. When that was by the client's clock is not
    known; of the reply's round trip, what goes beyond the service's delay is taken to be half the way there
    and half the way back (F. Cristian, Probabilistic clock synchronization, Distributed Computing 3, 1989:
    the error is at most that half). Where polls wait for the service's workers, the submission's round trip
    stands for the poll's.
    """
    import polars as pl

    lag = jobs["detection_lag_s"] + _way(scenario, jobs, polls)
    return jobs.with_columns(
        lag.alias("detection_lag_s"), (pl.col("detected_at_s") - lag).alias("finished_at_s")
    )


def _way(scenario: Scenario, jobs: pl.DataFrame, polls: pl.DataFrame) -> Floats:
    """Return how long the last reply to each job was on its way back, in seconds; 0 where that is unknown."""
    if scenario.service.capacity is None:
        trip = _last_overhead(scenario.simulation, jobs, polls)
    else:
        trip = _submitted(scenario.simulation, jobs) - _times(jobs, "sent_at_s")
    return np.maximum(np.nan_to_num(trip), 0.0) / 2


def _submitted(simulation: Simulation, jobs: pl.DataFrame) -> Floats:
    """Return the last moment at which each job may have been taken: the delay of the reply was to come."""
    replies = ReplyArrays(simulation)
    delays = replies.delays(replies.delay_subjects(jobs["key"].to_numpy()), 0)
    return np.maximum(_times(jobs, "submitted_at_s") - delays, _times(jobs, "sent_at_s"))


def _times(jobs: pl.DataFrame, column: str) -> Floats:
    return jobs[column].to_numpy().astype(np.float64)


def _last_overhead(simulation: Simulation, jobs: pl.DataFrame, polls: pl.DataFrame) -> Floats:
    """Return the overhead of each job's last poll, NaN where it got no reply."""
    last = polls.sort("attempt").unique(JOB_KEY, keep="last", maintain_order=True)
    last = last.select(*JOB_KEY).with_columns(overhead=_overheads(simulation, last))
    joined = jobs.select(JOB_KEY).join(last, on=JOB_KEY, how="left", maintain_order="left")
    return joined["overhead"].to_numpy().astype(np.float64)


def _overheads(simulation: Simulation, polls: pl.DataFrame) -> Floats:
    """Return each reply's latency less the delay that was drawn for it, NaN where none came."""
    key, attempts = (polls[name].to_numpy() for name in ("key", "attempt"))
    replies = ReplyArrays(simulation)
    subjects = replies.delay_subjects(key), replies.fault_subjects(key)
    asked = _Polls(attempts, np.full(key.size, _ALWAYS), *subjects)
    codes, _ = replies.failures(asked, polls["sent_at_s"].to_numpy())
    told = (polls["response"] == "200").to_numpy()
    meant = replies.delays(asked.delay, attempts) + np.where(told, replies.late[codes], 0.0)
    latency = polls["latency_s"].to_numpy().astype(np.float64)
    return np.where((polls["response"] == TRANSPORT_ERROR).to_numpy(), np.nan, latency - meant)


# -- twins ---------------------------------------------------------------------------------------------


def _twins(scenario: Scenario, run: Run) -> pl.DataFrame:
    """Return the rows of the twins, one after the other: as many as can be made in some seconds."""
    import polars as pl

    polls, engine = sum(each.total for each in run.polls), choose_engine(scenario).engine
    count = next((n for n in _MOST_TWINS if polls * n <= _MOST_POLLS[engine]), _MOST_TWINS[-1])
    names = [name for name in TwinRow._fields if name != "twin"]
    made = []
    for number in range(count):
        machine = _MACHINES[number * 3 % len(_MACHINES)] if count > 1 else 1.0
        overhead = Overhead(
            request_s=machine * _HEALTHY.request_s,
            reply_s=machine * _HEALTHY.reply_s,
            wake_s=machine * _HEALTHY.wake_s,
            # Jobs that do not touch each other do not mind who comes first, and then arrays are quicker.
            scatter_s=_SCATTER_S if engine == "event" else 0.0,
            machine=number,
        )
        jobs = simulate(scenario, only=list(run.info.settings), overhead=overhead).run.jobs
        made.append(jobs.select(pl.lit(number, dtype=pl.Int64).alias("twin"), *names))
    return pl.concat(made)


# -- residuals -----------------------------------------------------------------------------------------


def _by_setting(scenario: Scenario, polls: pl.DataFrame | None) -> dict[str, Spread]:
    if polls is None or scenario.service.capacity is not None:
        return {}
    overheads, settings = _overheads(scenario.simulation, polls), polls["setting"]
    spreads = {
        name: Spread.of(overheads[(settings == name).to_numpy()])
        for name in settings.unique(maintain_order=True)
    }
    return {name: spread for name, spread in spreads.items() if spread is not None}


def _residuals(scenario: Scenario, run: Run, polls: pl.DataFrame | None) -> Iterator[VisitResiduals]:
    jobs_of = run.jobs.partition_by("setting", "repeat", as_dict=True)
    polls_of = {} if polls is None else polls.partition_by("setting", "repeat", as_dict=True)
    simulation, shares = scenario.simulation, scenario.service.capacity is not None
    for visit in run.visits:
        name = visit.setting, visit.repeat
        jobs, mine = jobs_of.get(name, run.jobs[:0]), polls_of.get(name)
        yield VisitResiduals(
            *name,
            overhead=None if mine is None or shares else Spread.of(_overheads(simulation, mine)),
            finish=None
            if mine is None or scenario.service.shares_workers  # then its end is anybody's guess
            else Spread.of(_finish_residuals(scenario, jobs, mine)),
            queued=simulation.job.slots is not None,
            contradictions={} if mine is None else _contradictions(jobs, mine),
        )


def _finish_residuals(scenario: Scenario, jobs: pl.DataFrame, polls: pl.DataFrame) -> Floats:
    """Return how far each finish lies from where it can have been: before it (negative), behind it, or 0.

    The job was taken between its sending and the reply's, and the last reply was on its way back for as long
    as was taken for it, or a moment, or twice that.
    """
    simulation = scenario.simulation
    finished, way = _times(jobs, "finished_at_s"), _way(scenario, jobs, polls)
    early = finished + way - _due(simulation, jobs, _times(jobs, "sent_at_s"))
    late = finished - way - _due(simulation, jobs, _submitted(simulation, jobs))
    return np.where(np.isnan(finished), np.nan, np.minimum(early, 0.0) + np.maximum(late, 0.0))


def _due(simulation: Simulation, jobs: pl.DataFrame, taken: Floats) -> Floats:
    """Return when the service ended each job, had it taken it then."""
    keys = jobs["key"].to_numpy()
    if simulation.job.slots is None:
        return taken + durations(simulation, keys)
    due, board = np.full(taken.size, np.nan), Board(simulation)
    for place in np.argsort(taken, kind="stable"):
        if not np.isnan(taken[place]):
            due[place] = board.submit(max(0.0, float(taken[place])), int(keys[place]))[0].finished_at
    return due


def _contradictions(jobs: pl.DataFrame, polls: pl.DataFrame) -> dict[str, int]:
    """Return how many jobs of a visit do not follow from their polls, by what is wrong."""
    import polars as pl

    read_at = pl.col("sent_at_s") + pl.col("latency_s").fill_null(0.0)
    early = pl.col("sent_at_s") < read_at.shift(1) - _CLOCK_S
    told = polls.sort("key", "attempt").group_by("key").agg(
        rows=pl.len(),
        numbers=pl.col("attempt").n_unique(),
        last=pl.col("attempt").max(),
        pending=(pl.col("state") == "pending").sum(),
        stated=(pl.col("state") != "").all(),
        before=early.sum(),
        unplanned=(pl.col("sent_at_s") < pl.col("planned_at_s") - _CLOCK_S).sum(),
        first_at=pl.col("sent_at_s").first(),
        read_at=read_at.last(),
        state=pl.col("state").last(),
    )  # fmt: skip
    both = jobs.join(told, on="key", how="left")
    learnt = pl.col("outcome").is_in(DETECTED)
    followed = pl.col("outcome") != "censored"
    polled = pl.col("rows").fill_null(0)
    wrong = {
        "another number of polls than there are rows": polled != pl.col("polls"),
        "polls that are not numbered 1, 2, 3...": followed
        & (polled > 0)
        & ((pl.col("numbers") != polled) | (pl.col("last") != polled)),
        "another number of wasted polls than of pending replies": pl.col("stated")
        & (pl.col("pending") != pl.col("wasted_polls")),
        "an end that is not what the last reply told": learnt
        & pl.col("stated")
        & (pl.col("state") != pl.col("outcome").cast(pl.String)),
        "learnt at another time than its last reply was read": learnt
        & ((pl.col("detected_at_s") - pl.col("read_at")).abs() > _CLOCK_S),
        "a poll before the reply to the one before": pl.col("before") > 0,
        "a poll before it was planned": pl.col("unplanned") > 0,
        "a poll before the job was submitted": pl.col("first_at") < pl.col("submitted_at_s") - _CLOCK_S,
    }
    strays = told.join(jobs, on="key", how="anti").height
    counts = both.select(
        condition.fill_null(value=False).sum().alias(words) for words, condition in wrong.items()
    )
    found = {words: int(n) for words, n in counts.row(0, named=True).items() if n}
    return found | ({"polls of a job that has no row": strays} if strays else {})
