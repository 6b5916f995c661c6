"""Searching and choosing, as far as the durations are known well enough for either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from harness.measure import needed
from harness.plan._candidates import Kind
from harness.plan._measured import FEWEST_ROWS
from harness.plan._predict import Twin, with_durations
from harness.plan._search import Candidate, Criteria, Search
from harness.plan._task import Task
from harness.plan.limit import grid_of, split
from scenarios import OBJECTIVES, Scenario
from scenarios.draws import Durations, Stream, Trace, uniforms


@dataclass(frozen=True)
class ThinSample:
    """A trace with too few rows to fit a setting on one half and judge it on the other."""

    rows: int
    needed: int
    reason: str

    @property
    def enough_for_settings(self) -> bool:
        """Whether the rows suffice for settings that were not fitted to them."""
        return self.rows >= self.needed


def thin_sample(scenario: Scenario) -> ThinSample | None:
    """Return what is missing, if the durations are a trace with too few rows."""
    durations = scenario.simulation.job.duration
    if not isinstance(durations, Trace):
        return None
    wanted, reason = FEWEST_ROWS, "a mean"
    for name in scenario.objectives:
        p = OBJECTIVES[name].p
        if p is not None and p < 1.0 and needed(p) > wanted:
            wanted, reason = needed(p), name
    rows = len(durations.seconds)
    return ThinSample(rows, wanted, reason) if rows < 2 * wanted else None


@dataclass(frozen=True)
class Chosen:
    """What a search came to: the scenario's settings and the best of each kind, and the winner."""

    thin: ThinSample | None
    tried: int
    existing: Sequence[Candidate] = ()
    alternatives: Mapping[Kind, Candidate] = field(default_factory=dict)
    winner: Candidate | None = None

    @property
    def candidates(self) -> list[Candidate]:
        """All that the winner was chosen from."""
        return [*self.existing, *self.alternatives.values()]


def choose(task: Task, durations: Durations, criteria: Criteria) -> Chosen:
    """Return the best setting of each kind and the winner; neither, if too few durations are known."""
    scenario = task.scenario
    thin = thin_sample(scenario)
    if thin is not None and not thin.enough_for_settings:
        return Chosen(thin, len(scenario.settings))
    fit, judge = _basis(task.twin, durations, halved=thin is None)
    search = Search(judge, scenario.settings[task.baseline], criteria, task.executor)
    alternatives: dict[Kind, Candidate] = {}
    if thin is None:
        grid = grid_of(fit, points=task.effort.coarse)
        alternatives = search.by_kind(fit, grid, _round_trip(scenario), task.say)
    task.say("choosing")
    existing = [
        Candidate(policy, seen, name=name)
        for name, policy in scenario.settings.items()
        if (seen := search.predict(policy)) is not None
    ]
    winner = search.choose([*existing, *alternatives.values()])
    return Chosen(thin, search.tried, existing, alternatives, winner)


def _basis(twin: Twin, durations: Durations, *, halved: bool) -> tuple[Durations, Twin]:
    """Return what a search may look at, and what judges its results: halves of a trace, or what is known."""
    scenario = twin.scenario
    if not isinstance(scenario.simulation.job.duration, Trace):
        return durations, twin
    sample = scenario.simulation.job.duration.sample
    rows = np.arange(sample.values.size, dtype=np.int64)
    if not halved:
        return durations, replace(twin, rows=rows.size)
    halves = split(rows, uniforms(scenario.seed, Stream.SPLIT, rows))
    fit, test = (sample.take(half.astype(np.int64)) for half in halves)
    return fit, replace(twin, scenario=with_durations(scenario, test), rows=test.values.size)


def _round_trip(scenario: Scenario) -> float:
    delay = scenario.service.delay
    return 0.0 if delay is None else min(delay.mean(), delay.ppf(0.9))
