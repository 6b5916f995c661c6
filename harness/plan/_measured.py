"""The limit beside what a run measured, as reports show it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure import DETECTED, LOST_SHARE_ALLOWED, Limit, Limits, Run
from harness.plan._effort import DEFAULT, Effort
from harness.plan._ratio import Spent, held_against
from harness.plan.limit import HeldOutCurve, LimitCurve, Reference, frontier
from harness.virtual import choose_engine, simulate_visit
from scenarios import Scenario
from scenarios.draws import Durations, Floats, Stream, Trace, sample_of, uniforms

if TYPE_CHECKING:
    import polars as pl

FEWEST_ROWS: Final = 20
"""With fewer measured durations than this, no half of them says much about the other."""

_Curve = tuple[list[tuple[float, float]], list[tuple[float, ...]]]


def knows_the_end(scenario: Scenario, setting: str) -> bool:
    """Return whether this setting is told of the time left, so that no bound for schedules binds it."""
    policy = scenario.settings[setting]
    return policy.restart_on is not None or (scenario.service.retry_after == "eta" and policy.hints.honour)


def gives_up(given_up_share: float) -> bool:
    """Return whether so many jobs are given up before any deadline that a ratio says nothing."""
    return given_up_share > LOST_SHARE_ALLOWED


def limits(scenario: Scenario, run: Run, effort: Effort = DEFAULT) -> Limits:
    """Return the limit at each setting's own mean lag, and the limit's curve, as ``write_report`` takes them.

    For a distribution that is known, no schedule has fewer polls. For measured durations (and under
    ``job.slots``, where jobs take as long as the run says) there are two answers, and the truth lies between
    them: the bound of the very sample, which no schedule beats and whose best schedule fits the sample's
    accidents, and what schedules fitted to one half of the sample achieve on the other half. Settings that
    are told the time left (``retry_after: eta``), or that give up on more than 1 % of the jobs for want of
    attempts, get no limit. Nothing at all is said where the durations have no finite mean, where fewer than
    20 are known, or where polls slow the jobs, so that every schedule has durations of its own.
    """
    if scenario.service.shares_workers:
        return Limits()
    jobs = {name: _spent(scenario, run, name) for name in scenario.settings}
    binding = {
        name: each
        for name, each in jobs.items()
        if each is not None and not knows_the_end(scenario, name) and not gives_up(each.gave_up_share)
    }
    durations = scenario.simulation.job.duration
    if scenario.simulation.job.slots is None and not isinstance(durations, Trace):
        if not math.isfinite(durations.mean()):
            return Limits()
        law = LimitCurve(durations, effort.points)
        curve, schedules = _curve(law)
        return Limits({name: _limit(law, each) for name, each in binding.items()}, curve, (), schedules)
    values = _measured(scenario, [each for each in jobs.values() if each is not None])
    if values.size < FEWEST_ROWS:
        return Limits()
    sample: Durations = durations if scenario.simulation.job.slots is None else sample_of(values)
    within, held_out = LimitCurve(sample, effort.points), HeldOutCurve(values, scenario.seed)
    bound, schedules = _curve(within)
    held = {name: _limit(held_out, each, within) for name, each in binding.items()}
    return Limits(held, held_out.points, bound, schedules)


def _limit(reference: Reference, jobs: Spent, bound: Reference | None = None) -> Limit:
    held = held_against(reference, jobs)
    below = None if bound is None else held_against(bound, jobs)
    return Limit(
        polls_at_same_lag=held.least,
        ratio=held.value,
        ratio_ci95=held.ci95,
        bound_polls_at_same_lag=None if below is None else below.least,
        bound_ratio=None if below is None else below.value,
        bound_ratio_ci95=None if below is None else below.ci95,
    )


def _curve(limit: LimitCurve) -> _Curve:
    """Return the limit as polls and lag, and a schedule that reaches each point."""
    best = frontier(limit.grid)
    return [(each.polls, each.lag_s) for each in best], [each.schedule_s for each in best]


def _measured(scenario: Scenario, jobs: list[Spent]) -> Floats:
    """Return the measured durations: the trace's, each somewhere in its cell, or under slots the run's."""
    durations = scenario.simulation.job.duration
    if isinstance(durations, Trace) and scenario.simulation.job.slots is None:
        rows = np.arange(durations.seconds.size, dtype=np.int64)
        return durations.sample.scattered(uniforms(scenario.seed, Stream.CELL, rows))
    return np.concatenate([np.empty(0), *(each.duration[np.isinf(each.left)] for each in jobs)])


def _spent(scenario: Scenario, run: Run, setting: str) -> Spent | None:
    """Return the jobs that a run followed under a setting; None if it says nothing of them.

    Under slots a job takes as long as from its submission to its finish, which is unknown of a lost one; few
    are lost where a limit is given, and they are left out.
    """
    jobs = run.jobs.filter((run.jobs["setting"] == setting) & (run.jobs["outcome"] != "censored"))
    found = (jobs["outcome"].is_in(DETECTED) & jobs["detection_lag_s"].is_not_null()).to_numpy()
    if not found.any():
        return None
    sent = _column(jobs, "sent_at_s")
    duration = _column(jobs, "duration_s")
    if scenario.simulation.job.slots is not None:
        duration = np.maximum(_column(jobs, "finished_at_s") - sent, 0.0)
    gave_up = (jobs["outcome"] == "gave_up").to_numpy()
    left = _column(jobs, "submitted_at_s") - sent + (scenario.settings[setting].deadline or 0.0)
    if gave_up.any() and not gives_up(float(np.mean(gave_up))):
        left = np.where(gave_up, _left(scenario, setting, jobs) - sent, left)
    alone = choose_engine(scenario).engine == "vector"
    visit = None if alone else jobs["repeat"].to_numpy().astype(np.int64)
    lag = np.where(found, _column(jobs, "detection_lag_s"), np.inf)
    known = np.isfinite(duration) & (found | np.isfinite(left))
    return Spent.of(_column(jobs, "polls"), lag, duration, left, gave_up, visit).only(known)


def _column(jobs: pl.DataFrame, name: str) -> Floats:
    return jobs[name].to_numpy().astype(np.float64)


def _left(scenario: Scenario, setting: str, jobs: pl.DataFrame) -> Floats:
    """Return when each job's client was done with it, which rows tell of found jobs only, as the twin has it.

    A job's keyed draws decide, so the twin's visits of as many jobs tell it; not a number where they lack it.
    """
    key = jobs["key"].to_numpy()
    ended = np.full(key.size, np.nan)
    for repeat, rows in ((repeat, jobs["repeat"] == repeat) for repeat in jobs["repeat"].unique().sort()):
        mine = np.flatnonzero(rows.to_numpy())
        for part in simulate_visit(scenario, setting, repeat, jobs=int(mine.size)):
            _, here, there = np.intersect1d(key[mine], part.jobs.key, return_indices=True)
            ended[mine[here]] = part.jobs.ended_at[there]
    return ended
