"""The status requests of a few jobs of a run in virtual time, which keeps sums alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from harness.measure import SAMPLED_FROM, PollRow, Run, sample_keys
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from harness.virtual._run import choose_engine
from scenarios import Scenario

_MOST_JOBS: Final = 5_000  # of a visit in which jobs touch each other, so that all must be played again


def sample_polls(scenario: Scenario, run: Run) -> list[PollRow]:
    """Return the polls of the jobs that ``sample_keys`` names, in their first visit under every setting.

    Both engines give the same records, so playing the visit again event by event gives the run's own polls.
    Where no job touches another, only the first are played; where all must be and are many, none.
    """
    keys = frozenset(sample_keys(run.jobs))
    most = max((visit.planned_jobs or 0 for visit in run.visits), default=0)
    if not keys:
        return []
    if choose_engine(scenario).engine == "vector":
        if most > SAMPLED_FROM:
            workload = scenario.workload.model_copy(update={"duration": None, "jobs": SAMPLED_FROM})
            scenario = replace(scenario, workload=workload)
    elif most > _MOST_JOBS:
        return []
    rows: list[PollRow] = []

    def heard(row: PollRow) -> None:
        if row.key in keys:
            rows.append(row)

    for setting in run.info.settings:
        EventVisit(scenario, setting, 0, Overhead(), on_poll=heard).run()
    return rows
