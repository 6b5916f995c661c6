"""What the rows of a live run claim beyond what the scenario drew for them, and where they contradict it.

Nothing here is a matter of chance: a machine that is late, slow or busy leaves no residual of a finish and no
contradiction, for everything is counted from what really happened before. Only where polls wait for the
service's workers, what happened is not known to the millisecond: see ``_replay``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappush, heappushpop
from typing import TYPE_CHECKING, Final

import numpy as np

from client import PollingPolicy
from harness.measure import DETECTED, JOB_KEY, TRANSPORT_ERROR, Run, Spread, Visit, VisitResiduals
from harness.virtual._anchors import ARRAY_ANCHORS, up_to
from harness.virtual._columns import durations
from harness.virtual._law import ArrayLaw
from harness.virtual._loops import CLOCK_S, off_loop
from harness.virtual._replay import replayed
from harness.virtual._replies import NO_REPLY, ReplyArrays
from scenarios import Scenario, Simulation
from scenarios.draws import Floats, Integers, Stream, Words, draws_of, subjects
from server import Board

if TYPE_CHECKING:
    import polars as pl

_ALWAYS: Final = -np.inf
_EDGE_S: Final = 0.25  # clients and service have one time zero to within some milliseconds, as a rule


@dataclass
class _Polls:
    """Polls as ``ReplyArrays`` takes them."""

    attempts: Integers
    accepted: Floats
    delay: Words
    fault: Words


def way_back(scenario: Scenario, jobs: pl.DataFrame, polls: pl.DataFrame) -> Floats:
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
    last = _last(polls)
    last = last.select(*JOB_KEY).with_columns(overhead=_overheads(simulation, last))
    joined = jobs.select(JOB_KEY).join(last, on=JOB_KEY, how="left", maintain_order="left")
    return joined["overhead"].to_numpy().astype(np.float64)


def _last(polls: pl.DataFrame) -> pl.DataFrame:
    """Return the last poll of each job."""
    return polls.sort("attempt").unique(JOB_KEY, keep="last", maintain_order=True)


def _asked(replies: ReplyArrays, polls: pl.DataFrame) -> _Polls:
    """Return polls as they ask for replies, of jobs that can be seen at once."""
    key, attempts = (polls[name].to_numpy() for name in ("key", "attempt"))
    accepted = np.full(key.size, _ALWAYS)
    return _Polls(attempts, accepted, replies.delay_subjects(key), replies.fault_subjects(key))


def _overheads(simulation: Simulation, polls: pl.DataFrame) -> Floats:
    """Return each reply's latency less the delay that was drawn for it, NaN where none came.

    Where polls wait for the service's workers, what is left of a poll that was served is its wait, too.
    """
    replies = ReplyArrays(simulation)
    asked = _asked(replies, polls)
    codes, _ = replies.failures(asked, polls["sent_at_s"].to_numpy())
    told = (polls["response"] == "200").to_numpy()
    served = replies.late[codes] + replies.service_times(polls["key"].to_numpy(), asked.attempts)
    meant = replies.delays(asked.delay, asked.attempts) + np.where(told, served, 0.0)
    latency = polls["latency_s"].to_numpy().astype(np.float64)
    return np.where((polls["response"] == TRANSPORT_ERROR).to_numpy(), np.nan, latency - meant)


def _strange_replies(scenario: Scenario, polls: pl.DataFrame) -> dict[str, int]:
    """Return how many jobs had a reply that the service cannot have given to that poll, if any.

    Faults are drawn for (job, attempt), and outages have their times. What the limits and the states of the
    service decide, and what did not arrive in one piece, is believed.
    """
    import polars as pl

    service, replies = scenario.service, ReplyArrays(scenario.simulation)
    asked = _asked(replies, polls)
    code = polls["response"].cast(pl.String).cast(pl.Int64, strict=False).fill_null(0).to_numpy()
    told = (code > 0) & (code < 400) | np.isin(code, scenario.dialect.status.not_ready)
    sent = _times(polls, "sent_at_s")
    until = sent + np.nan_to_num(_times(polls, "latency_s"))
    possible = code == 0
    if service.rate_limit is not None:
        possible |= code == 429
    if service.visible_after or service.shares_workers:
        possible |= code == 404
    # Nothing but an outage makes the reply to a poll depend on the moment.
    for moment in (sent - _EDGE_S, sent, until, until + _EDGE_S) if service.outages else (sent,):
        given, _ = replies.failures(asked, moment)
        possible |= np.where(given == 200, told, code == given) | (given > NO_REPLY)
    for outage in service.outages:  # one may begin and end while a request is on its way
        during = (outage.start <= until) & (sent <= outage.start + outage.length)
        possible |= during & (code == outage.status)
    strange = polls.filter(~possible)["key"].n_unique()
    return {"a reply that the service does not give": strange} if strange else {}


def overhead_of_settings(scenario: Scenario, polls: pl.DataFrame | None) -> dict[str, Spread]:
    """Return what all replies of each setting took beyond their delays, where that is known."""
    if polls is None or scenario.service.capacity is not None:
        return {}
    overheads, settings = _overheads(scenario.simulation, polls), polls["setting"]
    spreads = {
        name: Spread.of(overheads[(settings == name).to_numpy()])
        for name in settings.unique(maintain_order=True)
    }
    return {name: spread for name, spread in spreads.items() if spread is not None}


def residuals_of(scenario: Scenario, run: Run, polls: pl.DataFrame | None) -> Iterator[VisitResiduals]:
    """Yield the residuals of every visit; without rows of polls there are none to speak of."""
    jobs_of = run.jobs.partition_by("setting", "repeat", as_dict=True)
    polls_of = {} if polls is None else polls.partition_by("setting", "repeat", as_dict=True)
    for visit in run.visits:
        name = visit.setting, visit.repeat
        jobs, mine = jobs_of.get(name, run.jobs[:0]), polls_of.get(name)
        known = not jobs["finished_at_s"].has_nulls()
        contradictions = {} if mine is None else _contradictions(jobs, mine)
        if mine is not None and not contradictions:
            contradictions = _off_schedule(scenario, visit.setting, jobs, mine)
            contradictions |= _strange_replies(scenario, mine)
            contradictions |= off_loop(scenario, visit, jobs, mine)
        overhead = finish = None
        if mine is not None and scenario.service.capacity is None:
            overhead = Spread.of(_overheads(scenario.simulation, mine))
            finish = Spread.of(_finish_residuals(scenario, jobs, mine))
        elif mine is not None and not contradictions:
            overhead, finish = _where_polls_wait(scenario, visit, jobs, mine)
        yield VisitResiduals(
            *name,
            overhead=overhead,
            finish=finish,
            queued=scenario.service.shares_workers or not (scenario.simulation.job.slots is None or known),
            contradictions=contradictions,
            telling_late_s=None if mine is None else _telling_late(jobs, mine),
        )


def _telling_late(jobs: pl.DataFrame, polls: pl.DataFrame) -> float | None:
    """Return how late the polls were sent, on average, that told of the ends of these jobs."""
    import polars as pl

    told = _last(polls).join(jobs.filter(pl.col("outcome").is_in(DETECTED)), on="key", how="semi")
    late = (told["sent_at_s"] - told["planned_at_s"]).mean()
    return float(late) if isinstance(late, float) else None


def _where_polls_wait(
    scenario: Scenario, visit: Visit, jobs: pl.DataFrame, polls: pl.DataFrame
) -> tuple[Spread | None, Spread | None]:
    """Return the residuals of overheads and finishes where polls wait for the service's workers.

    Its replies are held against those that it gives to the very same requests once more. That does not say
    for certain how soon a reply can have come; that none waited does.
    """
    shares, simulation = scenario.service.shares_workers, scenario.simulation
    again = None if shares and visit.failed_submissions else replayed(simulation, jobs, polls)
    finish = None if shares else Spread.of(_finish_residuals(scenario, jobs, polls))
    if again is None:
        return None, finish
    least, told = _overheads(simulation, polls), _times(polls, "sent_at_s") + _times(polls, "latency_s")
    overhead = Spread.of(np.where(np.isnan(least), np.nan, told - again.left_at))
    if overhead is not None:
        overhead = overhead._replace(least_s=float(np.nanmin(least)))
    if shares:
        finished, way = _times(jobs, "finished_at_s"), way_back(scenario, jobs, polls)
        taken = _submitted(simulation, jobs) - _times(jobs, "sent_at_s")
        finish = Spread.of(_beyond(finished, way, again.finished_at, again.finished_at + taken))
    return overhead, finish


def _finish_residuals(scenario: Scenario, jobs: pl.DataFrame, polls: pl.DataFrame) -> Floats:
    """Return how far each finish lies from where it can have been: before it (negative), behind it, or 0.

    The job was taken between its sending and the reply's, and the last reply was on its way back for as long
    as was taken for it, or a moment, or twice that.
    """
    simulation = scenario.simulation
    finished, way = _times(jobs, "finished_at_s"), way_back(scenario, jobs, polls)
    sent, submitted = _times(jobs, "sent_at_s"), _submitted(simulation, jobs)
    slots, work = simulation.job.slots, durations(simulation, jobs["key"].to_numpy())
    if slots is None:
        earliest, latest = sent + work, submitted + work
    elif np.isnan(finished).any():
        earliest, latest = _queued(simulation, jobs, sent), _queued(simulation, jobs, submitted)
    else:
        soonest, last = finished - work - way, finished - work + way
        earliest = np.maximum(sent, _freed(last, soonest, finished - way, slots)) + work
        latest = np.maximum(submitted, _freed(soonest, soonest, finished + way, slots)) + work
    return _beyond(finished, way, earliest, latest)


def _beyond(finished: Floats, way: Floats, earliest: Floats, latest: Floats) -> Floats:
    """Return how far finishes, known to within ``way``, lie before or behind where they can have been."""
    early = np.minimum(finished + way - earliest, 0.0)
    late = np.maximum(finished - way - latest, 0.0)
    return np.where(np.isnan(finished), np.nan, early + late)


def _freed(started: Floats, before: Floats, finished: Floats, slots: int) -> Floats:
    """Return when a slot became free for each job, by the finishes of those that had started before it.

    Those are the jobs that ``started`` sooner than ``before``, its own. It is the moment from which on fewer
    than ``slots`` of them were in work; infinitely long ago where there never were as many.
    """
    freed = np.full(finished.size, -np.inf)
    last: list[float] = []  # the ends of the ``slots`` that end last, the first of them in front
    order, place = np.argsort(started, kind="stable"), 0
    for job in np.argsort(before, kind="stable"):
        while place < order.size and started[order[place]] < before[job]:
            end = float(finished[order[place]])
            if len(last) < slots:
                heappush(last, end)
            else:
                heappushpop(last, end)
            place += 1
        if len(last) == slots:
            freed[job] = last[0]
    return freed


def _queued(simulation: Simulation, jobs: pl.DataFrame, taken: Floats) -> Floats:
    """Return when the service ended each job, had it taken it then, and nobody known when others ended."""
    keys = jobs["key"].to_numpy()
    due, board = np.full(taken.size, np.nan), Board(simulation)
    for place in np.argsort(taken, kind="stable"):
        if not np.isnan(taken[place]):
            due[place] = board.submit(max(0.0, float(taken[place])), int(keys[place]))[0].finished_at
    return due


def _off_schedule(
    scenario: Scenario, setting: str, jobs: pl.DataFrame, polls: pl.DataFrame
) -> dict[str, int]:
    """Return how many jobs have a poll at another time than their setting plans it, if any.

    Each job's cadence is followed from its submission's reply as far as all replies said "pending": what
    comes after a failed read rests on hints, which rows do not have.
    """
    policy, replies = scenario.settings[setting], ReplyArrays(scenario.simulation)
    limit = scenario.service.rate_limit
    hinting = replies.hints_pending or replies.hints_submissions or (limit is not None and limit.headers)
    if (hinting and policy.hints.honour) or policy.restart_on is not None:
        return {}
    rows = polls.sort("key", "attempt")
    keys, first, counts = np.unique(rows["key"].to_numpy(), return_index=True, return_counts=True)
    told = jobs.sort("key")
    started = _times(told, "submitted_at_s")[told["key"].to_numpy().searchsorted(keys)]
    planned, pending = _times(rows, "planned_at_s"), (rows["state"] == "pending").to_numpy()
    read_at = _times(rows, "sent_at_s") + _times(rows, "latency_s")
    plan = _Plan(policy, subjects(scenario.seed, Stream.JITTER, keys), started, replies.hints_submissions)
    followed, off = first, 0
    until = plan.first()
    for n in range(1, int(counts.max(initial=0)) + 1):
        wrong = np.abs(planned[followed] - until) > CLOCK_S
        off += int(wrong.sum())
        go_on = np.flatnonzero(~wrong & pending[followed] & (counts > n))
        counts, followed = counts[go_on], followed[go_on]
        if not followed.size:
            break
        until = plan.next(n, read_at[followed], go_on)
        followed = followed + 1
    return {"a poll at another time than the setting plans it": off} if off else {}


class _Plan:
    """When the polls of many jobs are due whose replies all say "pending"."""

    def __init__(self, policy: PollingPolicy, jitter: Words, started: Floats, hints: bool) -> None:
        law = ArrayLaw(policy.cadence)
        self._cadence = ARRAY_ANCHORS[policy.anchor](policy, law, started)
        self._waits = policy.first_poll == "after_delay"
        self._first_draw = max(int(self._waits), int(hints))
        self._jitter, self._started = jitter, started
        self._edge = np.inf if policy.deadline is None else policy.deadline

    def first(self) -> Floats:
        """Return when the first polls are due."""
        if not self._waits:
            return self._started
        return self._due(self._started, draws_of(self._jitter, 1))

    def next(self, sent: int, now: Floats, places: Integers) -> Floats:
        """Return when the polls after the first ``sent`` are due, of the jobs at these places alone."""
        self._cadence.keep(places)
        self._jitter, self._started = self._jitter[places], self._started[places]
        return self._due(now, draws_of(self._jitter, np.full(now.size, sent + self._first_draw)))

    def _due(self, now: Floats, u: Floats) -> Floats:
        return up_to(self._started + self._edge, self._cadence.next(now, u, None), now)


def _contradictions(jobs: pl.DataFrame, polls: pl.DataFrame) -> dict[str, int]:
    """Return how many jobs of a visit do not follow from their polls, by what is wrong."""
    import polars as pl

    read_at = pl.col("sent_at_s") + pl.col("latency_s").fill_null(0.0)
    early = pl.col("sent_at_s") < read_at.shift(1) - CLOCK_S
    told = polls.sort("key", "attempt").group_by("key").agg(
        rows=pl.len(),
        numbers=pl.col("attempt").n_unique(),
        last=pl.col("attempt").max(),
        pending=(pl.col("state") == "pending").sum(),
        stated=(pl.col("state") != "").all(),
        before=early.sum(),
        unplanned=(pl.col("sent_at_s") < pl.col("planned_at_s") - CLOCK_S).sum(),
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
        & ((pl.col("detected_at_s") - pl.col("read_at")).abs() > CLOCK_S),
        "a poll before the reply to the one before": pl.col("before") > 0,
        "a poll before it was planned": pl.col("unplanned") > 0,
        "a poll before the job was submitted": pl.col("first_at") < pl.col("submitted_at_s") - CLOCK_S,
    }
    strays = told.join(jobs, on="key", how="anti").height
    counts = both.select(
        condition.fill_null(value=False).sum().alias(words) for words, condition in wrong.items()
    )
    found = {words: int(n) for words, n in counts.row(0, named=True).items() if n}
    return found | ({"polls of a job that has no row": strays} if strays else {})
