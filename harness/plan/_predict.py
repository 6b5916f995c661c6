"""What the twin predicts for one policy, and whether that meets objectives with room for the twin's noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, islice
from typing import Final, Literal, NamedTuple, assert_never

import numpy as np

from client import PollingPolicy
from harness.measure import LOST_SHARE_ALLOWED, OUTCOMES, Estimate, needed, quantile
from harness.plan._effort import DEFAULT, Effort
from harness.plan._ratio import FEWEST_VISITS, Spent, controlled, estimate_of
from harness.virtual import JobColumns, VisitCounter, VisitTooLong, choose_engine, simulate_visit
from scenarios import OBJECTIVES, Arrivals, Scenario, Workload, on_the_end
from scenarios.draws import Durations, Floats, Integers

_PEAK_QUANTILE: Final = 0.95
_CANDIDATE: Final = "candidate"
_EVENLY: Final = Workload.model_validate({"lanes": 1, "arrivals": {"type": "constant", "rate": 1}, "jobs": 1})
# Multiples of the golden ratio meet every phase of every clock equally often.
_GOLDEN: Final = (math.sqrt(5.0) - 1.0) / 2.0
_AT_ALL_PHASES: Final = Workload.model_validate(
    {"lanes": 1, "arrivals": {"type": "constant", "rate": _GOLDEN}, "jobs": 1}
)
# Intervals of means are Student's (``Estimate.interval``), for their spread is estimated. Ranks of a quantile
# are binomial, with no spread to estimate, and nearly normal from ``needed(p)`` jobs on: hence 1.96.
_Z: Final = 1.96

Sampling = Literal["long", "dense", "visits"]
"""How jobs are simulated: in one long visit, in one dense visit, or in many of the scenario's own."""

_SIZED_S: Final = 4e6  # of virtual time, in which there is a count for each second
_GAVE_UP: Final = OUTCOMES.index("gave_up")


@dataclass(frozen=True, eq=False)
class Prediction:
    """Simulated jobs of one policy: polls, lag and latency of each (infinite where the client gave up).

    ``peaks`` is the busiest second of each visit, where visits were simulated. ``visit`` numbers them, job by
    job, where jobs wait for each other: a visit is then one observation. ``rows`` is the number of
    measured durations that the distribution rests on; they, not the jobs, then decide how sure the figures
    are. ``followed`` are the jobs, the first ones of these, that were polled for, as the limit takes them,
    and ``extra_work`` how much longer the work of each was than the distribution's mean.
    """

    polls: Floats
    lag: Floats
    latency: Floats
    peaks: Floats | None = None
    rows: int | None = None
    visit: Integers | None = None
    followed: Spent | None = None
    extra_work: Floats | None = None

    @property
    def jobs(self) -> int:
        """How many jobs were simulated."""
        return self.polls.size

    @cached_property
    def lost(self) -> float:
        """The share of the jobs whose end was not learnt."""
        return float(np.mean(np.isinf(self.lag)))

    @cached_property
    def on_the_end(self) -> float:
        """The share of the jobs that are found at the very moment of their end."""
        return on_the_end(self.lag)

    @cached_property
    def mean_polls(self) -> Estimate:
        """Mean polls per job, freed from the luck of the durations drawn."""
        return self._mean(self._controlled(self.polls))

    @cached_property
    def mean_lag(self) -> Estimate:
        """Mean lag of the jobs that were found, in seconds, freed likewise; infinite if none was."""
        # Of jobs some of which are lost, those that were found have another mean duration.
        return self._mean(self.lag if np.isinf(self.lag).any() else self._controlled(self.lag))

    def _controlled(self, values: Floats) -> Floats:
        if self.extra_work is None or self.extra_work.size < 2:
            return values
        followed, others = np.split(values, [self.extra_work.size])
        return np.concatenate([controlled(followed, self.extra_work, 0.0), others])

    @cached_property
    def p95_lag(self) -> float | None:
        """The 95th percentile of the lag; None when it is not supported or lost jobs reach it."""
        value = quantile(self._ordered_lag, 0.95)
        return None if value is None or math.isinf(value) else value

    @cached_property
    def _ordered_lag(self) -> Floats:
        return np.sort(self.lag)

    @cached_property
    def _ordered_latency(self) -> Floats:
        return np.sort(self.latency)

    def _mean(self, values: Floats) -> Estimate:
        known = np.isfinite(values)
        found = values[known]
        if not found.size:
            return Estimate(math.inf, None, 0)
        estimate = estimate_of(found, None if self.visit is None else self.visit[known])
        if self.rows is None or estimate.standard_error is None:
            return estimate
        by_rows = float(found.std()) / math.sqrt(self.rows)
        return estimate._replace(standard_error=max(estimate.standard_error, by_rows))

    def figure(self, name: str) -> tuple[float, float]:
        """Return the predicted figure of an objective and the upper end of its 95 % interval."""
        objective = OBJECTIVES[name]
        match objective.figure:
            case "polls_per_job":
                return self._average(self.mean_polls)
            case "requests_per_second_peak":
                peaks = np.array([math.inf]) if self.peaks is None else self.peaks
                return float(np.mean(peaks)), float(np.quantile(peaks, _PEAK_QUANTILE, method="higher"))
            case "lag" | "latency" as figure:
                if objective.p is None:
                    return self._average(self.mean_lag if figure == "lag" else self._mean(self.latency))
                if figure == "lag":
                    return self._quantile(self.lag, self._ordered_lag, objective.p)
                return self._quantile(self.latency, self._ordered_latency, objective.p)
            case other:
                assert_never(other)

    def _quantile(self, values: Floats, ordered: Floats, p: float) -> tuple[float, float]:
        """Return the p-quantile (1: the longest) of times and the upper end of its interval."""
        if p == 1.0:
            return float(ordered[-1]), float(ordered[-1])
        size = self.jobs if self.rows is None else min(self.jobs, self.rows)
        value = quantile(ordered, p)
        if value is None or size < needed(p):
            return math.inf, math.inf
        # The order statistic that bounds the p-quantile of ``size`` values, read off the simulated ones.
        spread = _Z * math.sqrt(p * (1.0 - p) / size)
        if self.visit is not None:  # the share of jobs below it, as visits scatter
            low, high = estimate_of((values <= value).astype(np.float64), self.visit).interval() or (p, p)
            spread = max(spread, (high - low) / 2.0)
        level = min(1.0, p + spread + 1.0 / size)
        return value, float(ordered[math.ceil(level * self.jobs) - 1])

    def _average(self, estimate: Estimate) -> tuple[float, float]:
        if self.lost > LOST_SHARE_ALLOWED:
            return math.inf, math.inf
        interval = estimate.interval()
        return estimate.mean, interval[1] if interval else math.inf

    def meets(self, objectives: Mapping[str, float], *, surely: bool) -> bool:
        """Return whether every objective holds; ``surely``: by the upper end of its interval too."""
        return all(self.figure(name)[1 if surely else 0] <= bound for name, bound in objectives.items())

    def excess(self, objectives: Mapping[str, float]) -> float:
        """Return by which factor the objective that is missed most is missed, by its interval's upper end."""
        highest = [(self.figure(name)[1], bound) for name, bound in objectives.items()]
        return max((most / bound if bound else math.inf for most, bound in highest), default=0.0)


def sampling_for(scenario: Scenario, objectives: Sequence[str] = ()) -> Sampling:
    """Return how to simulate many jobs: in one long visit, one dense visit, or many of the scenario's own.

    Where jobs do not touch each other, more of them can be submitted in the same time and nothing changes for
    any of them (dense); where nothing happens at a certain time either, for longer just as well (long). A
    peak, a queue or a beat of the clock is a matter of the workload as it is.
    """
    if choose_engine(scenario).engine == "event" or any(
        OBJECTIVES[name].figure == "requests_per_second_peak" for name in objectives
    ):
        return "visits"
    if _on_clock(scenario):  # when a job comes decides how long its first wait is
        return "visits"
    arrivals = scenario.workload.arrivals
    if not scenario.service.outages and arrivals.most is None:
        return "long"
    return "visits" if _density(arrivals) is None else "dense"


def _on_clock(scenario: Scenario) -> bool:
    return any(policy.anchor == "clock" for policy in scenario.settings.values())


def _density(arrivals: Arrivals) -> str | None:
    """Return the name of the number in the arrivals that makes them denser; None where there is none."""
    return next((name for name in ("rate", "size") if name in type(arrivals).model_fields), None)


def with_durations(scenario: Scenario, durations: Durations) -> Scenario:
    """Return the same scenario with jobs of other durations."""
    # The twin asks durations for ppf, cdf and mean alone, so it takes ones that YAML cannot write, too.
    return replace(scenario, job=scenario.simulation.job.model_copy(update={"duration": durations}))


@dataclass(frozen=True)
class Twin:
    """A scenario to predict for: how jobs are simulated, and at what effort (``rows``: of a trace)."""

    scenario: Scenario
    sampling: Sampling
    effort: Effort = DEFAULT
    rows: int | None = None

    @cached_property
    def _jobs_meet(self) -> bool:
        return choose_engine(self.scenario).engine == "event"

    @cached_property
    def _mean_work(self) -> float:
        return self.scenario.simulation.job.duration.mean()

    def predict(
        self, policy: PollingPolicy, jobs: int | None = None, *, fresh: bool = False, visits: int = 0
    ) -> Prediction:
        """Simulate about ``jobs`` jobs (None: as the effort says), fewer if each takes very many polls.

        fresh: take jobs that no prediction without it has seen. visits: simulate so many at least, where
        visits are simulated. Raises ``virtual.VisitTooLong`` when polls go on for more than a year.
        """
        jobs = self.effort.jobs if jobs is None else jobs
        alone = self._alone(policy)
        if fresh:
            alone = replace(alone, seed=(alone.seed + 1) % 2**64)
        if self.sampling == "visits":
            return self._by_visits(alone, jobs, visits)
        resized = _long if self.sampling == "long" else _dense
        first = jobs if jobs <= self.effort.untested_jobs else self.effort.pilot_jobs
        seen = _visit(resized(alone, first))
        polls = seen.jobs.polls  # of none, where no submission is answered in time
        affordable = int(self.effort.most_polls / max(1.0, float(np.sum(polls)) / max(1, polls.size)))
        if (more := min(jobs, affordable)) > first:
            seen = _visit(resized(alone, more))
        return self._prediction(policy, [seen])

    def attempt(self, policy: PollingPolicy, jobs: int | None = None) -> Prediction | None:
        """Return the prediction, or None if polls go on for more than a year."""
        try:
            return self.predict(policy, jobs)
        except VisitTooLong:
            return None

    def dispersion(self, policy: PollingPolicy) -> float:
        """Return the variance of the polls in a second over their mean, for jobs that come at random.

        The polls in a second are then a compound Poisson number, of which that is E[k^2] / E[k], k being the
        polls of one job in one second (W. Feller, vol. 1, 3rd ed., XII.2). So jobs are simulated one after
        the other, few of which meet another, at all phases of the second.
        """
        longest = float(self.scenario.simulation.job.duration.ppf(0.999))
        apart = min(max(math.ceil(2.0 * longest), 10), 20_000) + _GOLDEN
        jobs = min(self.effort.sized_jobs, int(_SIZED_S / apart))
        arrivals = {"type": "constant", "rate": 1.0 / apart}
        workload = Workload.model_validate({"lanes": 1, "arrivals": arrivals, "jobs": jobs})
        seen = _visit(replace(without_queues(self._alone(policy)), workload=workload))
        return float(np.dot(seen.per_second, seen.per_second) / max(1, seen.per_second.sum()))

    def _alone(self, policy: PollingPolicy) -> Scenario:
        return replace(self.scenario, settings={_CANDIDATE: policy}, baseline=None)

    def _by_visits(self, scenario: Scenario, jobs: int, least: int) -> Prediction:
        """Simulate visits until there are enough jobs and visits, or as many polls as can be afforded."""
        seen: list[_Visit] = []
        polls = simulated = 0
        few = max(self.effort.fewest_visits, FEWEST_VISITS) if self._jobs_meet else self.effort.fewest_visits
        for repeat in count():
            seen.append(_visit(scenario, repeat))
            simulated += seen[-1].jobs.size
            polls += int(seen[-1].jobs.polls.sum())
            enough = simulated >= jobs and len(seen) >= max(least, few)
            if enough or len(seen) >= self.effort.most_visits:
                break
            if polls >= self.effort.most_polls and len(seen) >= few:
                break
        return self._prediction(scenario.settings[_CANDIDATE], seen)

    def _prediction(self, policy: PollingPolicy, seen: Sequence[_Visit]) -> Prediction:
        jobs = seen[0].jobs if len(seen) == 1 else JobColumns.joined([each.jobs for each in seen])
        in_visits = self.sampling == "visits"
        visit = (
            np.repeat(np.arange(len(seen)), [each.jobs.size for each in seen]) if self._jobs_meet else None
        )
        never = sum(each.never_followed for each in seen)
        polls = jobs.polls.astype(np.float64)
        found = ~np.isnan(jobs.lag)
        lag, latency = (
            np.append(np.where(found, values, np.inf), np.full(never, np.inf))
            for values in (jobs.lag, jobs.detected_at - jobs.planned_at)
        )
        whose = np.repeat(np.arange(len(seen)), [each.never_followed for each in seen])
        return Prediction(
            np.append(polls, np.zeros(never)),
            lag,
            latency,
            peaks=np.array([each.peak for each in seen], dtype=np.float64) if in_visits else None,
            rows=self.rows,
            visit=None if visit is None else np.append(visit, whose),
            followed=self._followed(policy, jobs, visit),
            extra_work=jobs.duration - self._mean_work,
        )

    def _followed(self, policy: PollingPolicy, jobs: JobColumns, visit: Integers | None) -> Spent:
        """Return the jobs as the limit takes them; where jobs wait, without those whose finish is unknown."""
        found = ~np.isnan(jobs.lag)
        lag = np.where(found, jobs.lag, np.inf)
        gave_up = jobs.outcome == _GAVE_UP
        # At the deadline a poll is sent; its reply comes later.
        left = np.where(gave_up, jobs.ended_at, jobs.submitted_at + (policy.deadline or 0.0)) - jobs.sent_at
        if not self.scenario.simulation.jobs_wait:
            duration, kept = jobs.duration, np.ones(jobs.size, dtype=np.bool_)
        else:
            duration, kept = np.maximum(jobs.detected_at - jobs.lag - jobs.sent_at, 0.0), found
        return Spent.of(jobs.polls.astype(np.float64), lag, duration, left, gave_up, visit).only(kept)


class _Visit(NamedTuple):
    """One simulated visit; ``never_followed`` jobs have no row: their submission's reply came too late."""

    jobs: JobColumns
    never_followed: int
    peak: int
    per_second: Integers


def _visit(scenario: Scenario, repeat: int = 0) -> _Visit:
    counter, jobs, never = VisitCounter(), [], 0
    for part in simulate_visit(scenario, _CANDIDATE, repeat):
        jobs.append(part.jobs)
        never += part.lost_submissions
        counter.add(part.polls, float(part.jobs.planned_at.max(initial=0.0)))
    return _Visit(JobColumns.joined(jobs), never, counter.peak(), counter.per_second())


def _long(scenario: Scenario, jobs: int) -> Scenario:
    """Return one visit of so many jobs, evenly spaced: when each comes does not matter here."""
    workload = _AT_ALL_PHASES if _on_clock(scenario) else _EVENLY
    return replace(scenario, workload=workload.model_copy(update={"jobs": jobs}))


def _dense(scenario: Scenario, jobs: int) -> Scenario:
    """Return one visit in which about so many jobs are submitted in the time of the scenario's own."""
    workload = scenario.workload
    own = max(1, sum(1 for _ in islice(scenario.planned(0), jobs)))
    factor = math.ceil(jobs / own)
    name = _density(workload.arrivals) or ""
    arrivals = workload.arrivals.model_copy(update={name: getattr(workload.arrivals, name) * factor})
    limit = None if workload.jobs is None else workload.jobs * factor
    return replace(scenario, workload=workload.model_copy(update={"arrivals": arrivals, "jobs": limit}))


def without_queues(scenario: Scenario) -> Scenario:
    """Return the scenario with nothing in it that jobs share or that happens at a certain time."""
    service = scenario.service.model_copy(update={"rate_limit": None, "capacity": None, "outages": ()})
    job = scenario.simulation.job.model_copy(update={"slots": None})
    return replace(scenario, service=service, job=job)
