"""Making a plan: predict, search, choose, and say how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from client import PollingPolicy
from harness.plan._answer import RECOMMENDED, Plan, Recommendation, SettingPlan
from harness.plan._candidates import Kind
from harness.plan._contradictions import refuse_contradictions
from harness.plan._effort import DEFAULT, Effort
from harness.plan._predict import Prediction, Sampling, predict, sampling_for, with_durations
from harness.plan._robustness import BEST_EXPONENTIAL, robustness
from harness.plan._search import Candidate, Criteria, Search
from harness.plan._sizing import size
from harness.plan._why import notes, recommend, thin_sample
from harness.plan.limit import (
    DurationGrid,
    Durations,
    LimitCurve,
    frontier,
    grid_of,
    optimum,
    sample_of,
    split,
)
from harness.virtual import VisitTooLong, choose_engine, simulate
from scenarios import Scenario
from scenarios.documents import DocumentError, Problem, read_document
from scenarios.draws import Trace, uniforms


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
    say = on_progress or (lambda _: None)
    refuse_contradictions(scenario, effort)
    return _Making(scenario, jobs, effort, executor, say).plan(cost_per_poll_s, jobs_per_day, cpu_per_poll_s)


@dataclass(frozen=True)
class _Basis:
    """What a search may look at, and what judges its results: halves of a trace, or what is known."""

    fit: Durations
    judged: Scenario
    rows: int | None = None


class _Making:
    """The steps of one plan."""

    def __init__(
        self,
        scenario: Scenario,
        jobs: int | None,
        effort: Effort,
        executor: Executor | None,
        say: Callable[[str], None],
    ) -> None:
        self._scenario = scenario
        self._sampling: Sampling = sampling_for(scenario, tuple(scenario.objectives))
        self._effort = effort.affordable(
            jobs,
            in_visits=self._sampling == "visits",
            by_events=choose_engine(scenario).engine == "event",
        )
        self._executor = executor
        self._say = say
        names = list(scenario.settings)
        self._baseline = scenario.baseline or names[0]

    def plan(self, cost: float | None, jobs_per_day: float, cpu_per_poll_s: float | None) -> Plan:
        scenario = self._scenario
        self._say("predicting the settings")
        durations = self._durations()
        limit = LimitCurve(durations, self._effort.points)
        predictions = {name: self._predict(name) for name in scenario.settings}
        describe = partial(self._setting_plan, limit)
        settings = {
            name: describe(scenario.settings[name], each, each.meets(scenario.objectives, surely=True))
            for name, each in predictions.items()
        }
        self._say("computing the limit")
        cost, reason = self._cost(cost, limit.grid, settings[self._baseline].lag_s)
        best = optimum(limit.grid, cost)

        criteria = Criteria(scenario.objectives, cost)
        thin = thin_sample(scenario)
        alternatives: dict[Kind, Candidate] = {}
        existing: list[Candidate] = []
        winner: Candidate | None = None
        tried = len(settings)
        if thin is None or thin.enough_for_settings:
            basis = self._basis(durations, search=thin is None)
            search = Search(
                basis.judged,
                scenario.settings[self._baseline],
                criteria,
                self._sampling,
                self._effort,
                basis.rows,
                self._executor,
            )
            if thin is None:
                grid = grid_of(basis.fit, points=self._effort.coarse)
                alternatives = search.by_kind(basis.fit, grid, self._round_trip(), self._say)
            self._say("choosing")
            existing = [
                Candidate(policy, seen, name=name)
                for name, policy in scenario.settings.items()
                if (seen := search.predict(policy)) is not None
            ]
            winner = search.choose([*existing, *alternatives.values()])
            tried = search.tried
        coarse = LimitCurve(durations, self._effort.coarse)
        others = {
            kind.name: self._setting_plan(
                coarse, each.policy, each.prediction, criteria.key(each.prediction)[0] == 0
            )
            for kind, each in alternatives.items()
        }
        candidates = [*existing, *alternatives.values()]
        recommendation = recommend(scenario, criteria, thin, candidates, winner, self._new_name())
        shown = dict(settings)
        if winner is not None and winner.name is None and recommendation.setting is not None:
            full = self._sharp(winner.policy)
            shown[recommendation.setting] = describe(
                winner.policy, full, full.meets(scenario.objectives, surely=True)
            )
        self._say("varying the durations")
        varied = tuple(
            robustness(
                scenario,
                self._varied(recommendation, criteria, alternatives),
                self._sampling,
                self._effort,
            )
        )
        return Plan(
            scenario=scenario.name,
            cost_reason=reason,
            optimum=best,
            frontier=tuple(frontier(limit.grid)),
            settings=settings,
            alternatives=others,
            recommendation=recommendation,
            robustness=varied,
            sizing=size(shown, limit.grid.mean, jobs_per_day, cpu_per_poll_s),
            objectives=dict(scenario.objectives),
            notes=tuple(notes(scenario, criteria, alternatives, winner, varied, thin, tried)),
        )

    def _predict(self, name: str) -> Prediction:
        try:
            return self._sharp(self._scenario.settings[name])
        except VisitTooLong as error:
            path = ("settings", name)
            document = read_document(self._scenario.path)
            problem = Problem(document.file, document.line_of(path), ".".join(path), str(error))
            raise DocumentError((problem,)) from None

    def _sharp(self, policy: PollingPolicy) -> Prediction:
        jobs = self._effort.sharpened * self._effort.jobs
        return predict(self._scenario, policy, jobs, self._sampling, effort=self._effort)

    def _durations(self) -> Durations:
        """Return the times from submission to finish; measured in the twin where jobs queue for slots."""
        scenario = self._scenario
        if scenario.job.slots is None:
            return scenario.job.duration
        workload = scenario.workload.model_copy(update={"repeats": self._effort.queueing_visits})
        jobs = simulate(replace(scenario, workload=workload), only=[self._baseline]).run.jobs
        spent = (jobs["finished_at_s"] - jobs["submitted_at_s"]).to_numpy(dtype=np.float64)
        spent = spent[np.isfinite(spent)]
        return sample_of(np.maximum(spent, 0.0)) if spent.size else scenario.job.duration

    def _basis(self, durations: Durations, *, search: bool) -> _Basis:
        scenario = self._scenario
        if not isinstance(scenario.job.duration, Trace):
            return _Basis(durations, scenario)
        values = np.asarray(scenario.job.duration.seconds)
        if not search:
            return _Basis(durations, scenario, values.size)
        draws = uniforms(scenario.seed, "split", np.arange(values.size, dtype=np.int64))
        fit, test = (sample_of(half) for half in split(values, draws))
        return _Basis(fit, with_durations(scenario, test), test.values.size)

    def _round_trip(self) -> float:
        delay = self._scenario.service.delay
        return 0.0 if delay is None else min(delay.mean(), delay.ppf(0.9))

    def _cost(self, given: float | None, grid: DurationGrid, lag_s: float) -> tuple[float, str]:
        """Return a poll's price and why: as given, or that at which the limit has the wanted mean lag."""
        if given is not None:
            return given, "as given"
        mean = grid.mean or 1.0
        wanted = self._scenario.objectives.get("lag_mean")
        target = lag_s if wanted is None else wanted
        low, high = 1e-4 * mean, 10.0 * mean
        if not optimum(grid, low).lag_s < target < optimum(grid, high).lag_s:
            return float(f"{0.1 * mean:.2g}"), "a tenth of the mean duration"
        while high / low > 1.005:
            middle = math.sqrt(low * high)
            low, high = (middle, high) if optimum(grid, middle).lag_s < target else (low, middle)
        whose = f"the mean lag of {self._baseline}" if wanted is None else "the objective lag_mean"
        return float(f"{low:.2g}"), f"the price at which the best schedule has {whose}"

    def _setting_plan(
        self, limit: LimitCurve, policy: PollingPolicy, seen: Prediction, meets: bool
    ) -> SettingPlan:
        polls, lag = seen.mean_polls, seen.mean_lag
        found = math.isfinite(lag.mean)
        least = limit.polls_at(max(0.0, lag.mean), seen.lost, policy.deadline) if found else 1.0
        return SettingPlan(
            description=policy.describe(),
            polls=polls.mean,
            polls_ci95=polls.interval(),
            lag_s=lag.mean,
            lag_ci95_s=lag.interval(),
            lag_p95_s=seen.p95_lag,
            lost_share=seen.lost,
            polls_at_same_lag=least,
            ratio=polls.mean / least,
            meets=meets if self._scenario.objectives else None,
            jobs=seen.jobs,
        )

    def _new_name(self) -> str:
        name, number = RECOMMENDED, 2
        while name in self._scenario.settings:
            name, number = f"{RECOMMENDED}-{number}", number + 1
        return name

    def _varied(
        self, named: Recommendation, criteria: Criteria, alternatives: Mapping[Kind, Candidate]
    ) -> dict[str, PollingPolicy]:
        """Return the recommendation, the baseline and the best exponential backoff."""
        policies = {}
        if named.setting is not None and named.policy is not None:
            policies[named.setting] = named.policy
        policies[self._baseline] = self._scenario.settings[self._baseline]
        growing = [each for kind, each in alternatives.items() if kind.curve == "exponential"]
        if growing:
            policies[BEST_EXPONENTIAL] = min(growing, key=lambda each: criteria.key(each.prediction)).policy
        return policies
