"""How visits of a scenario scatter: the twin's own sampling distribution, for ``measure.Calibration``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from harness.measure import Calibration, VisitJobs, table
from harness.virtual._columns import OUTCOME_CODES, Part
from harness.virtual._counts import VisitCounter, VisitTooLong
from harness.virtual._run import choose_engine, simulate_visit
from scenarios import Scenario

VISITS: Final = 48
"""Visits that are simulated: t(0.975, 47) is 2.01, and their standard deviation is known to a tenth."""
FEWEST: Final = 8
"""With fewer visits (t is 2.4 and more) the deviation itself is a guess."""
_SEEDS: Final = 2**64
_MOST_POLLS: Final = {"event": 300_000, "vector": 20_000_000}
"""Of all visits of all settings: about five seconds on two cores."""
_PER_TASK: Final = 4  # visits: a task's arguments take a millisecond to travel
_LOST: Final = [OUTCOME_CODES[name] for name in ("timeout", "gave_up", "censored")]

_Figures = dict[str, dict[str, float]]  # of one visit, by setting and figure


def calibrate(
    scenario: Scenario,
    polls: int,
    only: Sequence[str] | None = None,
    executor: Executor | None = None,
) -> Calibration:
    """Return the figures of ``VISITS`` visits of the scenario with the seeds that follow its own.

    polls: about how many one visit of all the settings takes. Where these are so many that ``VISITS`` visits
    would take long, there are fewer, and none rather than fewer than ``FEWEST``: the note says so. only:
    these settings. executor: a pool of processes; the figures do not depend on it.
    """
    most = _MOST_POLLS[choose_engine(scenario).engine]
    k = min(VISITS, most // max(polls, 1))
    if k < FEWEST:
        return Calibration(0, note=f"a visit of every setting takes {polls:,} polls, too many to repeat it")
    settings = {visit.setting: scenario.settings[visit.setting] for visit in scenario.visits(only)}
    # Plain dicts, for a read-only view does not travel to another process.
    portable = replace(scenario, settings=settings, objectives=dict(scenario.objectives))
    tasks = [range(start, min(start + _PER_TASK, k + 1)) for start in range(1, k + 1, _PER_TASK)]
    run = map if executor is None else executor.map
    try:
        visits = [visit for part in run(partial(_sampled, portable), tasks) for visit in part]
    except VisitTooLong as error:
        return Calibration(0, note=f"a visit of the twin does not end: {error}")
    note = None if k == VISITS else f"{k} visits instead of {VISITS}, for each takes {polls:,} polls"
    return Calibration(k, table(visits), note)


def _sampled(scenario: Scenario, offsets: Sequence[int]) -> list[_Figures]:
    """Return the figures of a visit for each seed at one of these distances from the scenario's."""
    visits = []
    for offset in offsets:
        seeded = replace(scenario, seed=(scenario.seed + offset) % _SEEDS)
        jobs = {name: _visit(seeded, name) for name in scenario.settings}
        visits.append({name: each.figures(tuple(scenario.objectives)) for name, each in jobs.items()})
    return visits


def visit_jobs(parts: Sequence[Part]) -> VisitJobs:
    """Return the jobs of a visit that was simulated in these parts."""
    counter = VisitCounter()
    for part in parts:
        counter.add(part.polls, float(part.jobs.planned_at.max(initial=0.0)))

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.concatenate([np.empty(0), *(getattr(part.jobs, name) for part in parts)])

    lost = np.isin(column("outcome"), _LOST)
    return VisitJobs(
        polls=column("polls"),
        wasted=column("wasted"),
        lag=np.where(lost, np.nan, column("lag")),
        latency=np.where(lost, np.nan, column("detected_at") - column("planned_at")),
        lost=lost,
        peak=float(counter.peak()),
    )


def _visit(scenario: Scenario, setting: str) -> VisitJobs:
    return visit_jobs(list(simulate_visit(scenario, setting)))
