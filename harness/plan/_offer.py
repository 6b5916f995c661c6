"""What a short search finds for a scenario, for those who look at a run's report and not at a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from harness.measure import Offer
from harness.plan._choose import choose
from harness.plan._contradictions import refuse_contradictions
from harness.plan._effort import QUICK, Effort
from harness.plan._ratio import estimate_of
from harness.plan._search import Criteria
from harness.plan._task import task_for
from harness.virtual import VisitTooLong, choose_engine
from scenarios import EXACT_TIES, Scenario, setting_yaml
from scenarios.documents import DocumentError

_WORTH_OFFERING: Final = 0.05  # of the polls: less is no reason to look further

_TOO_LONG: Final = 100.0  # mean durations: a simulation takes as long as its longest job has polls


def offer(scenario: Scenario, command: str, effort: Effort = QUICK) -> Offer:
    """Return the setting that a short search finds, if it surely saves 5 % of the polls; else why not.

    It is held against the cheapest of the scenario's settings that meets the objectives (without objectives:
    against the baseline, for the same mean lag), both on jobs of another seed, which no search has seen.
    ``command`` is what makes the whole plan.
    """
    if choose_engine(scenario).engine == "event":
        return Offer(command=command, skipped="jobs wait for each other, so that a search takes long")
    if not math.isfinite(scenario.simulation.job.duration.mean()):
        return Offer(command=command, skipped="the durations have no finite mean")
    durations = scenario.simulation.job.duration
    if float(durations.ppf(1.0 - 1.0 / effort.jobs)) > _TOO_LONG * durations.mean():
        return Offer(command=command, skipped="few jobs take most of the time, so that a search takes long")
    try:
        refuse_contradictions(scenario, effort)
        return _searched(scenario, command, effort)
    except DocumentError:
        return Offer(command=command, skipped="the objectives cannot be met, whatever the polling")
    except VisitTooLong:
        return Offer(command=command, skipped="polls go on for more than a year")


def _searched(scenario: Scenario, command: str, effort: Effort) -> Offer:
    task = task_for(scenario, effort, None, None, lambda _: None)
    objectives: Mapping[str, float] = scenario.objectives
    if not objectives:
        baseline = task.predict(scenario.settings[task.baseline])
        if baseline.on_the_end > EXACT_TIES:  # then its mean lag may be 0, and is nobody's
            return Offer(command=command, skipped="polls fall exactly on the end of jobs")
        objectives = {"lag_mean": baseline.mean_lag.mean}
    criteria = Criteria(objectives, cost=0.1 * scenario.simulation.job.duration.mean())
    chosen = choose(task, scenario.simulation.job.duration, criteria)
    winner = chosen.winner
    if winner is None or winner.name is not None or not criteria.by_polls:
        return Offer(command=command, skipped="a short search found nothing better")
    good = [each for each in chosen.existing if criteria.key(each.prediction)[0] == 0]
    other = min(good, key=lambda each: criteria.key(each.prediction), default=None)
    jobs = 2 * effort.jobs
    found = task.twin.predict(winner.policy, jobs, fresh=True)
    if not found.meets(objectives, surely=False):
        return Offer(command=command, skipped="a short search found nothing that holds on other jobs")
    saving, against = None, None
    if other is not None:
        theirs = task.twin.predict(other.policy, jobs, fresh=True)
        size = min(found.jobs, theirs.jobs)  # the same jobs, one by one
        interval = estimate_of(theirs.polls[:size] - found.polls[:size], None).interval()
        if interval is None or interval[0] < _WORTH_OFFERING * float(np.mean(theirs.polls)):
            return Offer(command=command, skipped="a short search found nothing that saves 5 % of the polls")
        saving, against = 1.0 - found.mean_polls.mean / theirs.mean_polls.mean, other.name
    return Offer(
        command=command,
        yaml=setting_yaml("recommended", winner.policy),
        polls_per_job=found.mean_polls.mean,
        mean_lag_s=found.mean_lag.mean,
        saving=saving,
        against=against,
        jobs=found.jobs,
    )
