"""What the visits of a scenario would cost, by their first jobs: the twin, stopped before it takes long."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from client import PollingPolicy
from harness.virtual._columns import OUTCOME_CODES, JobColumns, Part
from harness.virtual._counts import VisitTooLong
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from scenarios import Scenario, VisitCost, on_the_end

_JOBS: Final = (1, 30, 1_000)  # looked at, one number after the other as long as the polls allow it
_MOST_POLLS: Final = 20_000  # of one setting: a quarter of a second
_ALL_POLLS: Final = 400_000  # of all settings together


class _TooManyPolls(Exception):
    """The visit is not followed any further."""


def visit_costs(scenario: Scenario) -> dict[str, VisitCost | str]:
    """Return what the first visit of each setting costs, or in a few words why that takes too long to tell.

    Whatever the scenario describes, this costs at most some ten thousand polls of the event engine a setting,
    and some hundred thousand in all.
    """
    most = min(_MOST_POLLS, _ALL_POLLS // len(scenario.settings))
    return {name: _cost(scenario, name, most) for name in scenario.settings}


def _cost(scenario: Scenario, setting: str, most: int) -> VisitCost | str:
    found: VisitCost | str = f"more than {most} polls for its first job"
    for jobs, more in zip(_JOBS, (*_JOBS[1:], None), strict=True):
        try:
            part = _play(scenario, setting, jobs + 1, most)
        except _TooManyPolls:
            return found
        except VisitTooLong:
            return found if isinstance(found, VisitCost) else "still polling its first job after a year"
        polls, rows = int(part.jobs.polls.sum()), part.jobs.size
        everything = part.submissions <= jobs
        found = VisitCost(
            on_the_end=on_the_end(part.jobs.lag),
            lost=_lost(part.jobs, scenario.settings[setting]),
            jobs=part.submissions if everything else jobs,
            all_jobs=everything,
            polls_per_job=polls / max(1, rows),
            seconds=part.ended_at,
            refused=part.replies.get("429", 0) / max(1, polls),
            busy=_busy(scenario, part),
        )
        if everything or more is None or polls * more > most * jobs:
            return found
    return found


def _busy(scenario: Scenario, part: Part) -> float | None:
    capacity = scenario.service.capacity
    if capacity is None or not part.ended_at:
        return None
    return min(1.0, part.busy_seconds / (capacity.workers * part.ended_at))


def _lost(jobs: JobColumns, policy: PollingPolicy) -> dict[str, float]:
    """Return the share of the jobs whose client left before their end, by what ran out."""
    gave_up = jobs.outcome == OUTCOME_CODES["gave_up"]
    most = math.inf if policy.max_attempts is None else policy.max_attempts
    which = {
        "deadline": jobs.outcome == OUTCOME_CODES["timeout"],
        "attempts": gave_up & (jobs.wasted >= most),
        "errors": gave_up & (jobs.wasted < most),
    }
    return {limit: float(those.mean()) for limit, those in which.items() if those.any()}


def _play(scenario: Scenario, setting: str, jobs: int, most: int) -> Part:
    """Play a visit of at most so many jobs and ``most`` polls.

    Raises _TooManyPolls, or VisitTooLong as the engine does.
    """
    workload = scenario.workload
    fewer = workload.model_copy(update={"jobs": min(jobs, workload.jobs or jobs)})

    def stop(_ended: int, polls: int) -> None:
        if polls > most:
            raise _TooManyPolls

    scenario = replace(scenario, workload=fewer)
    return EventVisit(scenario, setting, 0, Overhead(), on_progress=stop).run()
