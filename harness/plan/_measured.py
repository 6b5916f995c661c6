"""The limit beside what a run measured, as reports show it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from harness.measure import DETECTED, LOST_SHARE_ALLOWED, Limit, Limits, Run
from harness.plan._effort import DEFAULT, Effort
from harness.plan.limit import LimitCurve, frontier, held_out_frontier
from scenarios import Scenario
from scenarios.draws import Floats, Stream, Trace, uniforms

FEWEST_ROWS: Final = 20
"""With fewer measured durations than this, no half of them says much about the other."""


def knows_the_end(scenario: Scenario, setting: str) -> bool:
    """Return whether this setting is told of the time left, so that no bound for schedules binds it."""
    policy = scenario.settings[setting]
    return policy.restart_on is not None or (scenario.service.retry_after == "eta" and policy.hints.honour)


def gives_up(given_up_share: float) -> bool:
    """Return whether so many jobs are given up before any deadline that no bound binds the setting."""
    return given_up_share > LOST_SHARE_ALLOWED


def limits(scenario: Scenario, run: Run, effort: Effort = DEFAULT) -> Limits:
    """Return the limit at each setting's own mean lag, and the limit's curve, as ``write_report`` takes them.

    For a distribution that is known, no schedule has fewer polls. For measured durations (and under
    ``job.slots``, where jobs take as long as the run says) that would flatter the limit, for the best
    schedule of a sample fits its accidents; there it is what schedules fitted to one half of the sample need
    on the other half. Settings that are told the time left (``retry_after: eta``), or that give up on jobs
    for want of attempts, get no limit. Nothing at all is said where the durations have no finite mean, or
    fewer than 20 are known.
    """
    figures = {name: _figures(scenario, run, name) for name in scenario.settings}
    known = {name: each for name, each in figures.items() if each is not None}
    durations = scenario.simulation.job.duration
    bound: Callable[[_Figures], float]
    if scenario.simulation.job.slots is not None or isinstance(durations, Trace):
        values = (
            durations.sample.scattered(_places(scenario.seed, durations))
            if isinstance(durations, Trace) and scenario.simulation.job.slots is None
            else np.concatenate([np.empty(0), *(each.sojourns for each in known.values())])
        )
        if values.size < FEWEST_ROWS:
            return Limits()
        curve = held_out_frontier(values, scenario.seed)
        lags, polls = np.array([lag for _, lag in curve]), np.array([polls for polls, _ in curve])

        def bound(each: _Figures) -> float:
            return float(np.interp(each.lag_s, lags, polls))
    else:
        if not math.isfinite(durations.mean()):
            return Limits()
        limit = LimitCurve(durations, effort.points)
        curve = [(best.polls, best.lag_s) for best in frontier(limit.grid)]

        def bound(each: _Figures) -> float:
            return limit.polls_at(each.lag_s, each.lost, each.deadline)

    settings: dict[str, Limit] = {}
    for name, each in known.items():
        if not knows_the_end(scenario, name) and not gives_up(each.given_up):
            least = bound(each)
            settings[name] = Limit(polls_at_same_lag=least, ratio=each.polls / least)
    return Limits(settings, curve)


def _places(seed: int, durations: Trace) -> Floats:
    """Return where each measured duration lies in the cell that its resolution leaves open."""
    return uniforms(seed, Stream.CELL, np.arange(durations.seconds.size, dtype=np.int64))


@dataclass(frozen=True)
class _Figures:
    polls: float
    lag_s: float
    lost: float
    given_up: float
    deadline: float | None
    sojourns: Floats


def _figures(scenario: Scenario, run: Run, setting: str) -> _Figures | None:
    """Return what a run says of a setting; None if it says nothing."""
    jobs = run.jobs.select(
        "setting", "outcome", "polls", "detection_lag_s", "submitted_at_s", "finished_at_s"
    )
    jobs = jobs.filter((jobs["setting"] == setting) & (jobs["outcome"] != "censored"))
    found = jobs.filter(jobs["outcome"].is_in(DETECTED) & jobs["detection_lag_s"].is_not_null())
    if found.is_empty():
        return None
    spent = (found["finished_at_s"] - found["submitted_at_s"]).to_numpy()
    return _Figures(
        polls=float(jobs["polls"].to_numpy().mean()),
        lag_s=max(0.0, float(found["detection_lag_s"].to_numpy().mean())),
        lost=1.0 - len(found) / len(jobs),
        given_up=float((jobs["outcome"] == "gave_up").to_numpy().mean()),
        deadline=scenario.settings[setting].deadline,
        sojourns=np.maximum(spent[np.isfinite(spent)], 0.0),
    )
