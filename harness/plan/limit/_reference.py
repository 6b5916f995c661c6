"""The limit as a yardstick: how many times the least polls a setting spends, for plans and for reports."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.measure import LOST_SHARE_ALLOWED, Limits, Run
from harness.plan.limit._durations import POINTS, Capped, Durations, law_of, sample_of
from harness.plan.limit._frontier import frontier, polls_at_lag
from harness.plan.limit._grid import Floats, Law, split
from harness.plan.limit._schedule import evaluate, optimum
from scenarios import Scenario
from scenarios.draws import Trace, uniforms

FEWEST_ROWS = 20
"""With fewer measured durations than this, no half of them says much about the other."""

_REACHED_BY = 5  # rows: polls that fewer reach follow accidents of the sample
_COSTS = np.geomspace(1e-3, 10.0, 25)  # per second of mean duration


@dataclass(frozen=True)
class Yardstick:
    """The least polls for a mean lag, for one law of duration."""

    durations: Durations
    points: int = POINTS

    @cached_property
    def law(self) -> Law:
        """The law as the limit takes it."""
        return law_of(self.durations, points=self.points)

    def polls_at(self, lag_s: float, lost: float = 0.0, deadline: float | None = None) -> float:
        """The least polls for this mean lag of the jobs that are found, ``lost`` of all being given up.

        A job abandoned at the deadline need not be found: the law is then cut there, and the lag of the jobs
        that are lost counts as 0, which keeps the bound a bound. Jobs given up for other reasons (attempts,
        failed reads) are in no law: see `gives_up`.
        """
        if lost > 0.0 and deadline is not None and deadline > 0.0:
            cut = law_of(Capped(self.durations, deadline), points=self.points)
            return polls_at_lag(cut, lag_s * (1.0 - lost))
        return polls_at_lag(self.law, lag_s)


def knows_the_end(scenario: Scenario, setting: str) -> bool:
    """Whether this setting is told the time left, so that no bound for schedules binds it."""
    return scenario.service.retry_after == "eta" and scenario.settings[setting].hints.honour


def gives_up(given_up_share: float) -> bool:
    """Whether so many jobs are given up before any deadline that no bound for schedules binds the setting."""
    return given_up_share > LOST_SHARE_ALLOWED


def limits(scenario: Scenario, run: Run) -> Limits:
    """The limit at each setting's own mean lag, and the limit's curve, as `write_report` takes them.

    For a law that is known, no schedule has fewer polls. For measured durations (and under ``job.slots``,
    where jobs take as long as the run says) that would flatter the limit, for the best schedule of a sample
    fits its accidents; there it is what schedules fitted to one half of the sample need on the other half.
    Settings that are told the time left (``retry_after: eta``), or that give up on jobs for want of attempts,
    get no limit. Nothing at all is said where the
    law has no finite mean, or fewer than 20 durations are known.
    """
    figures = {name: _figures(scenario, run, name) for name in scenario.settings}
    known = {name: each for name, each in figures.items() if each is not None}
    durations = scenario.job.duration
    bound: Callable[[_Figures], float]
    if scenario.job.slots is not None or isinstance(durations, Trace):
        values = (
            np.asarray(durations.seconds)
            if isinstance(durations, Trace) and scenario.job.slots is None
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
        yardstick = Yardstick(durations)
        curve = [(best.polls, best.lag_s) for best in frontier(yardstick.law)]

        def bound(each: _Figures) -> float:
            return yardstick.polls_at(each.lag_s, each.lost, each.deadline)

    settings: dict[str, Mapping[str, float]] = {}
    for name, each in known.items():
        if not knows_the_end(scenario, name) and not gives_up(each.given_up):
            least = bound(each)
            settings[name] = {"polls_at_same_lag": least, "ratio": each.polls / least}
    return Limits(settings, curve)


@dataclass(frozen=True)
class _Figures:
    polls: float
    lag_s: float
    lost: float
    given_up: float
    deadline: float | None
    sojourns: Floats


def _figures(scenario: Scenario, run: Run, setting: str) -> _Figures | None:
    """What a run says of a setting; None if it says nothing."""
    jobs = run.jobs[(run.jobs["setting"] == setting) & (run.jobs["outcome"] != "censored")]
    found = jobs[jobs["outcome"].isin(("completed", "error")) & jobs["detection_lag_s"].notna()]
    if found.empty:
        return None
    spent = (found["finished_at_s"] - found["submitted_at_s"]).to_numpy(dtype=np.float64)
    return _Figures(
        polls=float(jobs["polls"].mean()),
        lag_s=max(0.0, float(found["detection_lag_s"].mean())),
        lost=1.0 - len(found) / len(jobs),
        given_up=float((jobs["outcome"] == "gave_up").mean()),
        deadline=scenario.settings[setting].deadline,
        sojourns=np.maximum(spent[np.isfinite(spent)], 0.0),
    )


def held_out_frontier(values: Floats, seed: int) -> list[tuple[float, float]]:
    """(polls, lag) of schedules fitted to one half of a sample and tried on the other; convex, by rising lag.

    Each half is fitted and tried in turn, so every duration counts.
    """
    draws = uniforms(seed, "split", np.arange(values.size, dtype=np.int64))
    halves = [sample_of(half) for half in split(values, draws)]
    laws = [law_of(half) for half in halves]
    points = []
    for cost in _COSTS * (float(np.mean(values)) or 1.0):
        tried = [
            evaluate(laws[1 - k], fitted(laws[k], cost, reached_by=_REACHED_BY / halves[k].values.size))
            for k in range(2)
        ]
        points.append((float(np.mean([p for p, _ in tried])), float(np.mean([lag for _, lag in tried]))))
    return _lower_hull(points)


def fitted(law: Law, cost: float, *, reached_by: float) -> tuple[float, ...]:
    """The best schedule with a smooth tail: polls that fewer than ``reached_by`` reach give way to a rule.

    The rule is the last gap, which repeats: sqrt(2 * cost * time left), about the best interval for a job
    whose remaining time is memoryless (see docs/the-limit.md).
    """
    schedule = np.asarray(optimum(law, cost).schedule_s)
    before = np.append(1.0, law.survival(schedule[:-1]))
    kept = schedule[: max(1, int(np.count_nonzero(before >= reached_by)))]
    last = float(kept[-1])
    left = float(law.survival(kept[-1:])[0])
    if left > 0.0:
        later = np.append(last, law.ends[law.ends > last])
        remaining = float(np.dot(np.diff(later), law.survival(later[:-1]))) / left
    else:
        remaining = law.mean
    gap = math.sqrt(2.0 * cost * remaining) or last or cost
    return (*kept.tolist(), last + gap)


def _lower_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The convex lower left border of points (polls, lag), from many polls to few."""
    hull: list[tuple[float, float]] = []
    for polls, lag in sorted(set(points), key=lambda point: (point[1], point[0])):
        if hull and polls >= hull[-1][0]:
            continue  # later and no cheaper
        while len(hull) > 1:
            (p0, l0), (p1, l1) = hull[-2:]
            if (p1 - p0) * (lag - l0) >= (polls - p0) * (l1 - l0):  # the middle one lies above the chord
                hull.pop()
            else:
                break
        hull.append((polls, lag))
    return hull
