"""Making a plan: predict, search, choose, and say how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np

from client import PollingPolicy
from harness.plan._advice import findings, recommend
from harness.plan._answer import RECOMMENDED, Plan, Recommendation, SettingPlan
from harness.plan._choose import Chosen, choose
from harness.plan._contradictions import refuse_contradictions
from harness.plan._effort import DEFAULT, Effort
from harness.plan._predict import Prediction
from harness.plan._ratio import Ratio
from harness.plan._robustness import BEST_EXPONENTIAL, ratio_of, robustness
from harness.plan._search import Criteria
from harness.plan._sizing import size
from harness.plan._task import Task, task_for
from harness.plan.limit import LimitCurve, frontier, optimum
from harness.virtual import VisitTooLong, simulate
from scenarios import Scenario
from scenarios.documents import Diagnostic, DocumentError, describe_path, read_document
from scenarios.draws import Durations, sample_of


def make_plan(
    scenario: Scenario,
    *,
    cost_per_poll_s: float | None = None,
    jobs_per_day: float = 1e6,
    cpu_per_poll_s: float | None = None,
    jobs: int | None = None,
    effort: Effort = DEFAULT,
    executor: Executor | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Plan:
    """Name the setting to ship for the scenario's objectives, and what stands behind that.

    cost_per_poll_s: the seconds of mean lag that one poll per job is worth; by default what the baseline
    implies. jobs_per_day and cpu_per_poll_s (seconds of a core, from a live run) size the server. jobs: how
    many the twin simulates per candidate, instead of ``effort.jobs`` (fewer where that takes long, more for
    the scenario's settings). effort: what a plan may spend. executor: a pool of processes. on_progress: told
    in English what is being done.

    Raises ``DocumentError`` when the durations have no finite mean or the objectives contradict
    each other or it; ValueError for an argument that is not positive.
    """
    for name, value in {
        "cost_per_poll_s": cost_per_poll_s,
        "jobs_per_day": jobs_per_day,
        "cpu_per_poll_s": cpu_per_poll_s,
        "jobs": jobs,
    }.items():
        if value is not None and not 0.0 < value < math.inf:
            raise ValueError(f"{name}={value!r} cannot be used: give a positive number")
    refuse_contradictions(scenario, effort)
    task = task_for(scenario, effort, jobs, executor, on_progress or (lambda _: None))
    task.say("predicting the settings")
    durations = _durations(task)
    limit = LimitCurve(durations, task.effort.points)
    settings = _existing(task, limit)
    task.say("computing the limit")
    cost, reason = _cost(task, cost_per_poll_s, limit, settings[task.baseline].lag_s)
    best = optimum(limit.grid, cost)

    criteria = Criteria(scenario.objectives, cost)
    chosen = choose(task, durations, criteria)
    named = recommend(scenario, criteria, chosen, _new_name(scenario))
    task.say("varying the durations")
    varied = tuple(robustness(task.twin, _to_vary(task, named, criteria, chosen)))
    return Plan(
        scenario=scenario.name,
        cost_reason=reason,
        optimum=best,
        frontier=tuple(frontier(LimitCurve(durations, task.effort.coarse).grid)),
        settings=settings,
        alternatives=_alternatives(task, durations, criteria, chosen),
        recommendation=named,
        robustness=varied,
        sizing=size(
            settings | _new_setting(task, limit, named), limit.grid.mean, jobs_per_day, cpu_per_poll_s
        ),
        objectives=dict(scenario.objectives),
        findings=tuple(findings(scenario, criteria, chosen, varied, priced=cost_per_poll_s is not None)),
    )


def _durations(task: Task) -> Durations:
    """Return the times from submission to finish; measured in the twin where jobs wait."""
    scenario = task.scenario
    if not scenario.simulation.jobs_wait:
        return scenario.simulation.job.duration
    workload = scenario.workload.model_copy(update={"repeats": task.effort.queueing_visits})
    jobs = simulate(replace(scenario, workload=workload), only=[task.baseline]).run.jobs
    spent = (jobs["finished_at_s"] - jobs["sent_at_s"]).to_numpy()
    spent = spent[np.isfinite(spent)]
    return sample_of(np.maximum(spent, 0.0)) if spent.size else scenario.simulation.job.duration


def _existing(task: Task, limit: LimitCurve) -> dict[str, SettingPlan]:
    """Return what is predicted for the scenario's own settings."""
    settings = {}
    for name, policy in task.scenario.settings.items():
        try:
            seen = task.predict(policy)
        except VisitTooLong as error:
            raise _fault(task.scenario, ("settings", name), str(error)) from None
        settings[name] = _setting_plan(task, limit, policy, seen, dispersion=task.twin.dispersion(policy))
    if all(each.polls == 0.0 for each in settings.values()):
        why = "no submission is answered in time, so there is nothing to poll for"
        raise _fault(task.scenario, ("service",), why)
    return settings


def _fault(scenario: Scenario, path: tuple[str, ...], message: str) -> DocumentError:
    document = read_document(scenario.path)
    return DocumentError((Diagnostic(document.file, document.line_of(path), describe_path(path), message),))


def _cost(task: Task, given: float | None, limit: LimitCurve, lag_s: float) -> tuple[float, str]:
    """Return a poll's price and why: as given, or that at which the limit has the wanted mean lag."""
    if given is not None:
        return given, "as given"
    mean = limit.mean or 1.0
    wanted = task.scenario.objectives.get("lag_mean")
    price = limit.at_lag(lag_s if wanted is None else wanted).cost_per_poll_s if math.isfinite(lag_s) else 0.0
    if not 1e-4 * mean < price < 10.0 * mean:
        return float(f"{0.1 * mean:.2g}"), "a tenth of the mean duration"
    whose = f"the mean lag of {task.baseline}" if wanted is None else "the objective lag_mean"
    return float(f"{price:.2g}"), f"the price at which the best schedule has {whose}"


def _alternatives(
    task: Task, durations: Durations, criteria: Criteria, chosen: Chosen
) -> dict[str, SettingPlan]:
    """Return the best of each kind as the plan shows them, by the judgement of the search."""
    limit = LimitCurve(durations, task.effort.coarse)
    return {
        kind.name: _setting_plan(
            task, limit, each.policy, each.prediction, meets=criteria.key(each.prediction)[0] == 0
        )
        for kind, each in chosen.alternatives.items()
    }


def _new_setting(task: Task, limit: LimitCurve, named: Recommendation) -> dict[str, SettingPlan]:
    """Return what is predicted for the recommended setting, if it is a new one."""
    if named.setting is None or named.policy is None or named.setting in task.scenario.settings:
        return {}
    seen, dispersion = task.predict(named.policy), task.twin.dispersion(named.policy)
    return {named.setting: _setting_plan(task, limit, named.policy, seen, dispersion=dispersion)}


def _setting_plan(
    task: Task,
    limit: LimitCurve,
    policy: PollingPolicy,
    seen: Prediction,
    *,
    meets: bool | None = None,
    dispersion: float | None = None,
) -> SettingPlan:
    """Return a prediction beside the limit; by default it meets the objectives if it surely does."""
    objectives = task.scenario.objectives
    if meets is None:
        meets = seen.meets(objectives, surely=True)
    polls, lag = seen.mean_polls, seen.mean_lag
    held = ratio_of(limit, seen)
    return SettingPlan(
        description=policy.describe(),
        polls=polls.mean,
        polls_ci95=polls.interval(),
        lag_s=lag.mean,
        lag_ci95_s=lag.interval(),
        lag_p95_s=seen.p95_lag,
        lost_share=seen.lost,
        polls_at_same_lag=held.least if isinstance(held, Ratio) else None,
        ratio=held.value if isinstance(held, Ratio) else None,
        meets=meets if objectives else None,
        jobs=seen.jobs,
        ratio_ci95=held.ci95 if isinstance(held, Ratio) else None,
        ratio_withheld=None if isinstance(held, Ratio) else held,
        dispersion=dispersion,
    )


def _new_name(scenario: Scenario) -> str:
    name, number = RECOMMENDED, 2
    while name in scenario.settings:
        name, number = f"{RECOMMENDED}-{number}", number + 1
    return name


def _to_vary(
    task: Task, named: Recommendation, criteria: Criteria, chosen: Chosen
) -> dict[str, PollingPolicy]:
    """Return the recommendation, the baseline and the best exponential backoff."""
    policies = {}
    if named.setting is not None and named.policy is not None:
        policies[named.setting] = named.policy
    policies[task.baseline] = task.scenario.settings[task.baseline]
    growing = [each for kind, each in chosen.alternatives.items() if kind.curve == "exponential"]
    if growing:
        policies[BEST_EXPONENTIAL] = min(growing, key=lambda each: criteria.key(each.prediction)).policy
    return policies
