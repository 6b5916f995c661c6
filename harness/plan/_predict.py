"""What the twin predicts for one policy, and whether that meets objectives with room for the twin's noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Final, Literal, assert_never

import numpy as np

from client import PollingPolicy
from harness.measure import LOST_SHARE_ALLOWED, Estimate, estimate_mean, needed, quantile
from harness.plan._effort import DEFAULT, Effort
from harness.virtual import Part, VisitTooLong, choose_engine, simulate, simulate_visit
from scenarios import OBJECTIVES, Arrivals, Scenario, Workload, on_the_end
from scenarios.draws import Durations, Floats

_PEAK_QUANTILE: Final = 0.95
_CANDIDATE: Final = "candidate"
_EVENLY: Final = Workload.model_validate({"lanes": 1, "arrivals": {"type": "constant", "rate": 1}, "jobs": 1})
# Multiples of the golden ratio meet every phase of every clock equally often.
_AT_ALL_PHASES: Final = Workload.model_validate(
    {"lanes": 1, "arrivals": {"type": "constant", "rate": (math.sqrt(5.0) - 1.0) / 2.0}, "jobs": 1}
)
# Intervals of means are Student's (``Estimate.interval``), for their spread is estimated. Ranks of a quantile
# are binomial, with no spread to estimate, and nearly normal from ``needed(p)`` jobs on: hence 1.96.
_Z: Final = 1.96

Sampling = Literal["long", "dense", "visits"]
"""How jobs are simulated: in one long visit, in one dense visit, or in many of the scenario's own."""

_Columns = tuple[Floats, Floats, Floats]  # polls, lag, latency of each job


@dataclass(frozen=True, eq=False)
class Prediction:
    """Simulated jobs of one policy: polls, lag and latency of each (infinite where the client gave up).

    ``peaks`` is the busiest second of each visit, where visits were simulated. ``rows`` is the number of
    measured durations that the distribution rests on; they, not the jobs, then decide how sure the figures
    are.
    """

    polls: Floats
    lag: Floats
    latency: Floats
    peaks: Floats | None = None
    rows: int | None = None

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
        """Mean polls per job."""
        return self._mean(self.polls)

    @cached_property
    def mean_lag(self) -> Estimate:
        """Mean lag of the jobs that were found, in seconds; infinite if none was."""
        return self._mean(self.lag)

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
        found = values[np.isfinite(values)]
        estimate = estimate_mean(found)
        if estimate is None:
            return Estimate(math.inf, None, 0)
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
                return self._quantile(
                    self._ordered_lag if figure == "lag" else self._ordered_latency, objective.p
                )
            case other:
                assert_never(other)

    def _quantile(self, ordered: Floats, p: float) -> tuple[float, float]:
        """Return the p-quantile (1: the longest) of ordered times and the upper end of its interval."""
        if p == 1.0:
            return float(ordered[-1]), float(ordered[-1])
        size = self.jobs if self.rows is None else min(self.jobs, self.rows)
        value = quantile(ordered, p)
        if value is None or size < needed(p):
            return math.inf, math.inf
        # The order statistic that bounds the p-quantile of ``size`` values, read off the simulated ones.
        level = min(1.0, p + _Z * math.sqrt(p * (1.0 - p) / size) + 1.0 / size)
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
        return max((self.figure(name)[1] / bound for name, bound in objectives.items()), default=0.0)


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

    def predict(self, policy: PollingPolicy, jobs: int | None = None, *, fresh: bool = False) -> Prediction:
        """Simulate about ``jobs`` jobs (None: as the effort says), fewer if each takes very many polls.

        fresh: take jobs that no prediction without it has seen. Raises ``virtual.VisitTooLong`` when polls go
        on for more than a year.
        """
        jobs = self.effort.jobs if jobs is None else jobs
        alone = replace(self.scenario, settings={_CANDIDATE: policy}, baseline=None)
        if fresh:
            alone = replace(alone, seed=(alone.seed + 1) % 2**64)
        if self.sampling == "visits":
            return self._by_visits(alone, jobs)
        simulated = _long if self.sampling == "long" else _dense
        first = jobs if jobs <= self.effort.untested_jobs else self.effort.pilot_jobs
        columns = simulated(alone, first)
        affordable = int(self.effort.most_polls / max(1.0, float(np.mean(columns[0]))))
        if (more := min(jobs, affordable)) > first:
            columns = simulated(alone, more)
        return Prediction(*columns, rows=self.rows)

    def attempt(self, policy: PollingPolicy, jobs: int | None = None) -> Prediction | None:
        """Return the prediction, or None if polls go on for more than a year."""
        try:
            return self.predict(policy, jobs)
        except VisitTooLong:
            return None

    def _by_visits(self, scenario: Scenario, jobs: int) -> Prediction:
        few, most = self.effort.fewest_visits, self.effort.most_visits
        columns, peaks = _visits(scenario, few)
        size, polls = columns[0].size, float(np.sum(columns[0]))
        wanted = min(math.ceil(few * jobs / size), int(few * self.effort.most_polls / polls), most)
        if wanted > few:
            columns, peaks = _visits(scenario, wanted)
        return Prediction(*columns, peaks=peaks, rows=self.rows)


def _long(scenario: Scenario, jobs: int) -> _Columns:
    """Simulate one visit of so many jobs, evenly spaced: when each comes does not matter here."""
    workload = _AT_ALL_PHASES if _on_clock(scenario) else _EVENLY
    return _columns(simulate_visit(replace(scenario, workload=workload), _CANDIDATE, jobs=jobs))


def _dense(scenario: Scenario, jobs: int) -> _Columns:
    """Simulate one visit in which about so many jobs are submitted in the time of the scenario's own."""
    workload = scenario.workload
    own = max(1, sum(1 for _ in islice(scenario.planned(0), jobs)))
    factor = math.ceil(jobs / own)
    name = _density(workload.arrivals) or ""
    arrivals = workload.arrivals.model_copy(update={name: getattr(workload.arrivals, name) * factor})
    limit = None if workload.jobs is None else workload.jobs * factor
    denser = workload.model_copy(update={"arrivals": arrivals, "jobs": limit})
    return _columns(simulate_visit(replace(scenario, workload=denser), _CANDIDATE))


def _columns(simulated: Iterable[Part]) -> _Columns:
    parts = list(simulated)
    jobs = [part.jobs for part in parts]
    polls = np.concatenate([each.polls for each in jobs]).astype(np.float64)
    lag = np.concatenate([each.lag for each in jobs])
    latency = np.concatenate([each.detected_at - each.planned_at for each in jobs])
    return _with_lost(polls, lag, latency, sum(part.lost_submissions for part in parts))


def _visits(scenario: Scenario, repeats: int) -> tuple[_Columns, Floats]:
    """Simulate so many visits of the scenario's own workload; also return the busiest second of each."""
    workload = scenario.workload.model_copy(update={"repeats": repeats})
    run = simulate(replace(scenario, workload=workload)).run
    polls, lag, latency = (
        run.jobs[name].to_numpy().astype(np.float64)
        for name in ("polls", "detection_lag_s", "completion_latency_s")
    )
    peaks = np.array([each.peak_per_second for each in run.polls], dtype=np.float64)
    submitted = sum(visit.server.submissions for visit in run.visits if visit.server)
    return _with_lost(polls, lag, latency, submitted - len(run.jobs)), peaks


def _with_lost(polls: Floats, lag: Floats, latency: Floats, never_followed: int) -> _Columns:
    """Return the columns with jobs that were not found as infinitely late.

    ``never_followed`` jobs more have no row: the reply to their submission came too late for the client.
    """
    lag, latency = (np.append(values, np.full(never_followed, np.nan)) for values in (lag, latency))
    lost = np.isnan(lag)
    return (
        np.append(polls, np.zeros(never_followed)),
        np.where(lost, np.inf, lag),
        np.where(lost, np.inf, latency),
    )
