"""Ways in which a run can be wrong: machines that fail while it runs, and rows that are changed afterwards.

Kinds, not cases: each field that a figure rests on, wrong in all settings, in one, in a share of the rows or
in a stretch of time; rows lost, doubled or exchanged; clocks that step, drift or are coarse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import polars as pl
from live_like import WELL, LiveLike, Machine, Seconds, live_like

from harness.measure import JOB_KEY
from scenarios import Scenario
from scenarios.draws import Scaled

Change = Callable[[LiveLike], LiveLike]
TIMES: Final = ("planned_at_s", "sent_at_s", "submitted_at_s", "detected_at_s", "finished_at_s")


@dataclass(frozen=True)
class Corruption:
    """What is wrong: the machine, what is really played, and rows that are changed when all is done.

    ``harmless``: no figure is off by more than the checks allow, so it need not be noticed. ``refused``: such
    rows cannot even be read from a run's folder.
    """

    machine: Machine = WELL
    played: Callable[[Scenario], Scenario] = lambda scenario: scenario
    change: Change = lambda run: run
    only_baseline: bool = False
    harmless: bool = False
    refused: bool = False

    def run(self, scenario: Scenario, seed: int) -> LiveLike:
        """Play the scenario with this wrong."""
        names = {scenario.baseline} if self.only_baseline else set(scenario.settings)
        run = live_like(self.played(scenario), seed, lambda name: self.machine if name in names else WELL)
        return self.change(replace(run, scenario=scenario))


def always(seconds: float) -> Seconds:
    return lambda _at, _rng: seconds


def between(low: float, high: float) -> Seconds:
    return lambda _at, rng: float(rng.uniform(low, high))


def sometimes(share: float, seconds: float) -> Seconds:
    return lambda _at, rng: seconds if rng.random() < share else 0.0


def during(start: float, end: float, seconds: float) -> Seconds:
    return lambda at, _rng: seconds if start <= at < end else 0.0


# -- rows changed afterwards ---------------------------------------------------------------------------


def _others(run: LiveLike) -> pl.Expr:
    return pl.col("setting") != run.scenario.baseline


def reworded(column: str, where: pl.Expr, word: str) -> pl.Expr:
    """A column of words that has another word in some rows."""
    other = pl.when(where).then(pl.lit(word)).otherwise(pl.col(column).cast(pl.String))
    return other.cast(pl.Categorical).alias(column)


def _recount(run: LiveLike) -> LiveLike:
    """Have the server count what the rows count."""
    visits = []
    for visit in run.visits:
        mine = run.jobs.filter((pl.col("setting") == visit.setting) & (pl.col("repeat") == visit.repeat))
        sent = run.polls.filter((pl.col("setting") == visit.setting) & (pl.col("repeat") == visit.repeat))
        assert visit.server is not None
        server = replace(visit.server, submissions=mine.height, polls=sent.height)
        visits.append(replace(visit, planned_jobs=mine.height, server=server))
    return replace(run, visits=visits)


def jobs(*changes: pl.Expr, where: Callable[[LiveLike], pl.Expr] = lambda _: pl.lit(True)) -> Change:
    """Change columns of the jobs, where that holds; null stays null."""

    def change(run: LiveLike) -> LiveLike:
        kept = [
            pl.when(where(run) & pl.col(name).is_not_null()).then(each).otherwise(pl.col(name)).alias(name)
            for each in changes
            for name in (each.meta.output_name(),)
        ]
        return replace(run, jobs=run.jobs.with_columns(kept))

    return change


def lags(change: pl.Expr, where: Callable[[LiveLike], pl.Expr] = lambda _: pl.lit(True)) -> Change:
    """Change what replies said of how long ago jobs had finished; what follows from it follows."""

    def changed(run: LiveLike) -> LiveLike:
        run = jobs(change.alias("detection_lag_s"), where=where)(run)
        finished = pl.col("detected_at_s") - pl.col("detection_lag_s")
        return replace(run, jobs=run.jobs.with_columns(finished_at_s=finished))

    return changed


LAG: Final = pl.col("detection_lag_s")


def clock(step: Callable[[pl.Expr], pl.Expr], polls: bool = True) -> Change:
    """Have the generator read another clock; intervals that the service measured stay."""

    def changed(run: LiveLike) -> LiveLike:
        read = ("sent_at_s", "submitted_at_s", "detected_at_s")
        frame = run.jobs.with_columns(step(pl.col(name)).alias(name) for name in read)
        frame = frame.with_columns(
            finished_at_s=pl.col("detected_at_s") - LAG,
            completion_latency_s=pl.col("detected_at_s") - pl.col("planned_at_s"),
        )
        rows = run.polls
        if polls:
            heard = step(pl.col("sent_at_s") + pl.col("latency_s"))
            rows = rows.with_columns(
                step(pl.col("sent_at_s")).alias("sent_at_s"),
                step(pl.col("planned_at_s")).alias("planned_at_s"),
                (heard - step(pl.col("sent_at_s"))).alias("latency_s"),
            )
        return replace(run, jobs=frame, polls=rows)

    return changed


def stepped(seconds: float, at: float) -> Callable[[pl.Expr], pl.Expr]:
    return lambda time: time + seconds * (time > at).cast(pl.Float64)


def coarse(grain: float) -> Callable[[pl.Expr], pl.Expr]:
    return lambda time: (time / grain).floor() * grain


def without(run: LiveLike, gone: pl.DataFrame) -> LiveLike:
    """Take these jobs out, with every trace of them."""
    kept = [
        frame.join(gone, on=JOB_KEY, how="anti", maintain_order="left") for frame in (run.jobs, run.polls)
    ]
    return _recount(replace(run, jobs=kept[0], polls=kept[1]))


def slowest_gone(run: LiveLike) -> LiveLike:
    slow = run.jobs.filter(pl.col("setting") == run.scenario.baseline).top_k(4, by="duration_s")
    return without(run, slow.select(JOB_KEY))


def some_gone(run: LiveLike) -> LiveLike:
    return replace(run, jobs=run.jobs.filter(pl.int_range(pl.len()) % 70 != 3))


def late_ones_gone(run: LiveLike) -> LiveLike:
    return without(run, run.jobs.filter(pl.col("planned_at_s") > 6.0).select(JOB_KEY))


def dropped(gone: pl.Expr) -> Change:
    """These polls leave no trace, unless one is its job's last: those after them are numbered anew."""

    def change(run: LiveLike) -> LiveLike:
        last = pl.col("attempt") == pl.col("attempt").max().over(JOB_KEY)
        rows = run.polls.filter(~gone | last).sort(*JOB_KEY, "attempt", maintain_order=True)
        rows = rows.with_columns(attempt=pl.int_range(1, pl.len() + 1).over(JOB_KEY))
        counts = rows.group_by(JOB_KEY).agg(
            polls=pl.len().cast(pl.Int64), wasted_polls=(pl.col("state") == "pending").sum().cast(pl.Int64)
        )
        told = run.jobs.drop("polls", "wasted_polls").join(
            counts, on=JOB_KEY, how="left", maintain_order="left"
        )
        return _recount(replace(run, jobs=told.select(run.jobs.columns), polls=rows))

    return change


def lane_under_other_keys(run: LiveLike) -> LiveLike:
    """All rows of a lane are there again as those of other jobs, and the server counts them, too."""
    mine = run.jobs.filter(pl.col("lane") == 3)
    frames = [
        pl.concat([frame, frame.join(mine, on=JOB_KEY, how="semi").with_columns(pl.col("key") + 50_000)])
        for frame in (run.jobs, run.polls)
    ]
    return _recount(replace(run, jobs=frames[0], polls=frames[1]))


def noisy(seconds: float) -> Change:
    """Finishes are off by so much, now to this and now to that side, and not at all on average."""
    return lags(
        pl.max_horizontal(LAG + pl.when(pl.col("key") % 2 == 0).then(seconds).otherwise(-seconds), 0.0)
    )


# -- something else is played --------------------------------------------------------------------------


def stretched(factor: float) -> Callable[[Scenario], Scenario]:
    """Clients wait longer between polls than their settings say."""

    def played(scenario: Scenario) -> Scenario:
        slow = {
            name: replace(each, cadence=replace(each.cadence, initial=factor * each.cadence.ceiling(1)))
            for name, each in scenario.settings.items()
        }
        return replace(scenario, settings=slow)

    return played


def of_job(**changes: object) -> Callable[[Scenario], Scenario]:
    """The service does something else with jobs."""
    return lambda scenario: replace(scenario, job=scenario.simulation.job.model_copy(update=changes))


def longer_jobs(scenario: Scenario) -> Scenario:
    return of_job(duration=Scaled(scenario.simulation.job.duration, 1.1))(scenario)


def other_draws(scenario: Scenario) -> Scenario:
    return replace(scenario, seed=scenario.seed + 99)


# -- rows lost, doubled, exchanged ---------------------------------------------------------------------


def jobs_twice(run: LiveLike) -> LiveLike:
    return replace(run, jobs=pl.concat([run.jobs, run.jobs[10:13]]))


def polls_twice(run: LiveLike) -> LiveLike:
    return replace(run, polls=pl.concat([run.polls, run.polls[50:60]]))


def uncounted(run: LiveLike) -> LiveLike:
    """One poll in ten of all but the baseline leaves no trace: not in rows, counts or at the server."""
    mine = run.jobs.with_columns(n=pl.max_horizontal(1, (pl.col("polls") * 0.9).round().cast(pl.Int64)))
    n = pl.when(_others(run)).then(pl.col("n")).otherwise(pl.col("polls"))
    mine = mine.with_columns(polls=n, wasted_polls=pl.min_horizontal("wasted_polls", n - 1)).drop("n")
    told = run.polls.join(mine.select(*JOB_KEY, "polls"), on=JOB_KEY, how="left", maintain_order="left")
    rows = told.filter(pl.col("attempt") <= pl.col("polls")).drop("polls")
    return _recount(replace(run, jobs=mine, polls=rows))


def first_polls_uncounted(run: LiveLike) -> LiveLike:
    """The first of at least three polls of each job leaves no trace, and the others are numbered anew."""
    many = (pl.col("polls") > 2) & _others(run)
    told = run.polls.join(run.jobs.select(*JOB_KEY, "polls"), on=JOB_KEY, how="left", maintain_order="left")
    rows = told.filter(~(many & (pl.col("attempt") == 1)))
    rows = rows.with_columns(attempt=pl.col("attempt") - many.cast(pl.Int64)).drop("polls")
    mine = run.jobs.with_columns(
        polls=pl.col("polls") - many.cast(pl.Int64), wasted_polls=pl.col("wasted_polls") - many.cast(pl.Int64)
    )
    return _recount(replace(run, jobs=mine, polls=rows))


def other_failures(run: LiveLike) -> LiveLike:
    """A tenth of the pending replies are said to have been failures."""
    every = (pl.col("state") == "pending") & (pl.col("key") % 10 == 7)
    rows = run.polls.with_columns(reworded("response", every, "503"), reworded("state", every, "failed"))
    told = run.polls.filter(every).group_by(JOB_KEY).agg(failed=pl.len().cast(pl.Int64))
    mine = run.jobs.join(told, on=JOB_KEY, how="left", maintain_order="left")
    less = (pl.col("wasted_polls") - pl.col("failed").fill_null(0)).alias("wasted_polls")
    return _recount(replace(run, jobs=mine.with_columns(less).drop("failed"), polls=rows))


def exchanged_settings(run: LiveLike) -> LiveLike:
    """The rows of two settings are filed under each other's name."""
    ours = run.scenario.baseline or ""
    other = next(name for name in run.scenario.settings if name != ours)

    def swap(frame: pl.DataFrame) -> pl.DataFrame:
        name = pl.col("setting").cast(pl.String)
        swapped = (
            pl.when(name == ours).then(pl.lit(other)).when(name == other).then(pl.lit(ours)).otherwise(name)
        )
        return frame.with_columns(swapped.cast(pl.Categorical).alias("setting"))

    return _recount(replace(run, jobs=swap(run.jobs), polls=swap(run.polls)))


def exchanged_jobs(run: LiveLike) -> LiveLike:
    """Each job's times are filed under its neighbour's key."""
    told = [name for name in run.jobs.columns if name not in (*JOB_KEY, "lane")]
    return replace(run, jobs=run.jobs.with_columns(pl.col(told).shift(1).fill_null(pl.col(told).last())))


def other_outcomes(run: LiveLike) -> LiveLike:
    every = pl.col("key") % 10 == 3
    ended = pl.col("outcome").cast(pl.String) == "completed"
    told = pl.col("state") == "completed"
    return replace(
        run,
        jobs=run.jobs.with_columns(reworded("outcome", every & ended, "error")),
        polls=run.polls.with_columns(reworded("state", every & told, "error")),
    )


def losses(run: LiveLike) -> LiveLike:
    """The ends of the latest-learnt tenth are forgotten, and their jobs called lost."""
    late = (LAG.quantile(0.9) < LAG) & LAG.is_not_null()
    gone = ("finished_at_s", "detected_at_s", "detection_lag_s", "completion_latency_s")
    frame = run.jobs.with_columns(
        *(pl.when(late).then(None).otherwise(pl.col(name)).alias(name) for name in gone),
        reworded("outcome", late, "timeout"),
    )
    return replace(run, jobs=frame)


def latencies(change: pl.Expr) -> Change:
    """Change what replies took, in the rows of the polls."""
    return lambda run: replace(run, polls=run.polls.with_columns(change.alias("latency_s")))


LATE: Final = between(0.1, 0.2)
CORRUPTIONS: Final[Mapping[str, Corruption]] = {
    # the machine, while it runs
    "1 % of polls 50 ms late": Corruption(Machine(late=sometimes(0.01, 0.05)), harmless=True),
    "5 % of polls 200 ms late": Corruption(Machine(late=sometimes(0.05, 0.2)), harmless=True),
    "all polls 20 ms late": Corruption(Machine(late=always(0.02)), harmless=True),
    "all polls 100-200 ms late": Corruption(Machine(late=LATE)),
    "late and read late by 100-200 ms": Corruption(Machine(late=LATE, back=LATE)),
    "overload": Corruption(Machine(late=between(0.03, 0.06), back=between(0.1, 0.25))),
    "replies read 150 ms late": Corruption(Machine(back=always(0.15))),
    "replies read 150 ms late in the baseline": Corruption(Machine(back=always(0.15)), only_baseline=True),
    "requests 150 ms on the way": Corruption(Machine(out=always(0.15))),
    "the service stalls for 2 s": Corruption(Machine(stall=(6.0, 2.0))),
    "the service stalls for 2 s in the baseline": Corruption(Machine(stall=(6.0, 2.0)), only_baseline=True),
    "the service stalls for 1 s": Corruption(Machine(stall=(4.0, 1.0))),
    "the generator stalls for 2 s": Corruption(
        Machine(late=lambda at, _: max(0.0, 8.0 - at) if at >= 6.0 else 0.0)
    ),
    "the generator stalls for 3 s in the baseline": Corruption(
        Machine(late=lambda at, _: max(0.0, 6.0 - at) if at >= 3.0 else 0.0), only_baseline=True
    ),
    "replies read 1 s late for 2 s": Corruption(Machine(back=during(4.0, 6.0, 1.0))),
    "2 % of the replies are lost": Corruption(Machine(back=sometimes(0.02, 400.0))),
    "the machine slows down": Corruption(Machine(back=lambda at, _: 0.01 * at)),
    # something else is played
    "clients poll 4 % slower": Corruption(played=stretched(1.04)),
    "jobs take 10 % longer": Corruption(played=longer_jobs),
    "another seed": Corruption(played=other_draws),
    # rows lost, doubled, exchanged
    "one poll in twenty-five dropped": Corruption(change=dropped(pl.int_range(pl.len()) % 25 == 7)),
    "a lane twice under other keys": Corruption(change=lane_under_other_keys),
    "1 % of job rows lost": Corruption(change=some_gone),
    "the four slowest jobs lost with every trace": Corruption(change=slowest_gone),
    "jobs of a stretch lost with every trace": Corruption(change=late_ones_gone),
    "job rows twice": Corruption(change=jobs_twice, refused=True),
    "poll rows twice": Corruption(change=polls_twice),
    "settings exchanged": Corruption(change=exchanged_settings),
    "jobs exchanged": Corruption(change=exchanged_jobs),
    # clocks
    "clock steps by 0.5 s": Corruption(change=clock(stepped(0.5, 5.0), polls=False)),
    "clock steps by -0.5 s": Corruption(change=clock(stepped(-0.5, 5.0), polls=False)),
    "every clock steps by 0.5 s": Corruption(change=clock(stepped(0.5, 5.0))),
    "every clock steps by -0.5 s": Corruption(change=clock(stepped(-0.5, 5.0))),
    "clock 5 % fast": Corruption(change=clock(lambda time: 1.05 * time)),
    "clock in steps of 100 ms": Corruption(change=clock(coarse(0.1))),
    "clock in steps of a second": Corruption(change=clock(coarse(1.0))),
    # finishes
    "finished_ago x 0.8": Corruption(change=lags(0.8 * LAG)),
    "finished_ago x 1.2": Corruption(change=lags(1.2 * LAG)),
    "finished_ago x 0.8 of all but the baseline": Corruption(change=lags(0.8 * LAG, _others)),
    "finished_ago + 100 ms": Corruption(change=lags(LAG + 0.1)),
    "finished_ago - 30 ms": Corruption(change=lags(pl.max_horizontal(LAG - 0.03, 0.0))),
    "finished_ago in whole seconds": Corruption(change=lags(LAG.floor())),
    "finished_ago in tenths": Corruption(change=lags(LAG.round(1))),
    "finished_ago + 300 ms in a tenth of the rows": Corruption(
        change=lags(LAG + 0.3, lambda _: pl.col("key") % 10 == 0)
    ),
    "finished_ago x 0.5 after 5 s": Corruption(change=lags(0.5 * LAG, lambda _: pl.col("planned_at_s") > 5)),
    "finishes off by 50 ms to either side": Corruption(change=noisy(0.05)),
    "submitted_at_s 200 ms late": Corruption(
        change=jobs((pl.col("submitted_at_s") + 0.2).alias("submitted_at_s"))
    ),
    "lags of zero": Corruption(change=lags(0.0 * LAG)),
    # other fields
    "duration_s 5 % long": Corruption(change=jobs((1.05 * pl.col("duration_s")).alias("duration_s"))),
    "duration_s of one setting 5 % long": Corruption(
        change=jobs((1.05 * pl.col("duration_s")).alias("duration_s"), where=_others)
    ),
    "sent_at_s 100 ms early": Corruption(change=jobs((pl.col("sent_at_s") - 0.1).alias("sent_at_s"))),
    "planned_at_s 200 ms off": Corruption(
        change=jobs(
            (pl.col("planned_at_s") - 0.2).alias("planned_at_s"),
            (pl.col("completion_latency_s") + 0.2).alias("completion_latency_s"),
        )
    ),
    "detected 100 ms early": Corruption(
        change=jobs(
            (pl.col("detected_at_s") - 0.1).alias("detected_at_s"),
            (LAG - 0.1).alias("detection_lag_s"),
            (pl.col("completion_latency_s") - 0.1).alias("completion_latency_s"),
        )
    ),
    "outcomes changed": Corruption(change=other_outcomes),
    "late ends called lost": Corruption(change=losses),
    "a tenth of the polls uncounted": Corruption(change=uncounted),
    "first polls uncounted": Corruption(change=first_polls_uncounted),
    "failures in other places": Corruption(change=other_failures),
    "one poll too few on each job": Corruption(change=jobs((pl.col("polls") - 1).alias("polls"))),
    "wasted polls halved": Corruption(change=jobs((pl.col("wasted_polls") // 2).alias("wasted_polls"))),
    "replies faster than the service": Corruption(change=latencies(pl.col("latency_s") * 0.5)),
    "replies 60 ms slower than they were": Corruption(change=latencies(pl.col("latency_s") + 0.06)),
}


QUEUED_WRONG: Final[Mapping[str, Corruption]] = {
    "slots are ignored": Corruption(played=of_job(slots=None)),
    "one slot more": Corruption(played=lambda run: of_job(slots=1 + (run.simulation.job.slots or 0))(run)),
}
"""What can be wrong where jobs queue for slots alone."""
