"""Searching for the cheapest setting that surely meets the objectives: screen many, refine some, confirm one.

Screening simulates few jobs, and none of them on a service with queues; refining simulates many on the
scenario's own service. All candidates meet the same jobs, so they differ by what they do and not by luck.
The winner was chosen for its figures on these jobs and must hold on others, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from client import ANCHORS, Backoff, PollingPolicy
from harness.measure import LOST_SHARE_ALLOWED
from harness.plan._candidates import KINDS, Family, Kind, families
from harness.plan._predict import Prediction, Twin, with_durations, without_queues
from harness.plan.limit import DurationGrid
from scenarios import EXACT_TIES, OBJECTIVES, Scenario
from scenarios.draws import Capped, Durations, quantiles

NEAR: Final = 0.02
"""A setting that needs this much more than the best, relatively, is as good if it is simpler."""

_PROMISING: Final = 1.1  # times the best score of its kind when screened: else a family is not refined
_HIGH: Final = 0.9  # from this quantile on a bound holds for nearly all jobs


Key = tuple[int, float, float]
"""What settings are sorted by: the class, the score within it, and the mean lag in seconds."""

_UNTRIABLE: Final[Key] = (3, 0.0, 0.0)  # its polls go on for more than a year


@dataclass(frozen=True)
class Criteria:
    """What is wanted: objectives, and what to make small among the settings that meet them.

    That is the polls per job, if some objective keeps the lag of nearly all jobs in bounds. Otherwise the
    fewest polls would come from never asking, and ``cost * polls + lag`` is what counts.
    """

    objectives: Mapping[str, float]
    cost: float
    surely: bool = True
    """Whether an objective must hold by the upper end of its interval too."""

    @property
    def bounding(self) -> list[str]:
        """The objectives that keep the lag of nearly all jobs in bounds."""
        wanted = [OBJECTIVES[name] for name in self.objectives]
        return [each.name for each in wanted if each.unit == "s" and (each.p is None or each.p >= _HIGH)]

    @property
    def by_polls(self) -> bool:
        """Whether the polls alone are made few."""
        return bool(self.bounding)

    def score(self, prediction: Prediction) -> float:
        """Return what is made small: polls per job, or seconds."""
        polls = prediction.mean_polls.mean
        return polls if self.by_polls else self.cost * polls + prediction.mean_lag.mean

    def key(self, prediction: Prediction) -> Key:
        """Return what to sort by: what surely meets all by score, then others by their excess.

        What is found at the very moment of its end owes its figures to a grid that no clock shares. Scores
        that agree in four digits are ties, which is finer than the jobs can tell; the mean lag breaks them.
        """
        lag = prediction.mean_lag.mean
        if prediction.on_the_end > EXACT_TIES:
            return 2, prediction.on_the_end, lag
        if prediction.lost > LOST_SHARE_ALLOWED:
            return 2, prediction.lost, lag
        if prediction.meets(self.objectives, surely=self.surely):
            return 0, float(f"{self.score(prediction):.4g}"), lag
        return 1, prediction.excess(self.objectives), lag


@dataclass(frozen=True, eq=False)
class Candidate:
    """A setting and what is predicted for it.

    An existing setting has its ``name``, a new one the ``kind`` of its family and the number of
    ``parameters`` that there are to understand.
    """

    policy: PollingPolicy
    prediction: Prediction
    kind: Kind | None = None
    parameters: int = 0
    name: str | None = None


@dataclass(eq=False)
class Search:
    """One search: the twin, what its candidates have in common, and what is wanted."""

    twin: Twin
    template: PollingPolicy
    criteria: Criteria
    executor: Executor | None = None
    tried: int = 0
    _seen: dict[PollingPolicy, Prediction | None] = field(default_factory=dict)

    def policy(self, backoff: Backoff) -> PollingPolicy:
        """Return the template with another cadence: limits, errors and hints are not what is compared."""
        return replace(self.template, cadence=backoff, first_poll="after_delay")

    def by_kind(
        self,
        durations: Durations,
        grid: DurationGrid,
        round_trip_s: float,
        on_progress: Callable[[str], None],
    ) -> dict[Kind, Candidate]:
        """Return the best setting of each kind."""
        every = families(durations, grid, round_trip_s, self.criteria.objectives, self.twin.effort)
        beats = ANCHORS[self.template.anchor].beats  # which delays that grow by themselves have not
        kinds = self.twin.effort.kinds
        pool = [
            each
            for each in every
            if (kinds is None or each.kind.name in kinds)
            and not (beats and each.at(each.scales[0]).grows_by_itself)
        ]
        on_progress(f"screening {sum(len(family.scales) for family in pool)} settings")
        screened = self._screen(pool)
        best: dict[Kind, Candidate] = {}
        for kind in KINDS:
            mine = sorted((each for each in screened if each[1].kind == kind), key=lambda each: each[0])
            on_progress(f"refining: {kind.name}")
            promising = [each for each in mine if each[0] <= _times(mine[0][0], _PROMISING)]
            for _, family, scale in promising[: self.twin.effort.refined_families]:
                found = self._refine(family, scale)
                if found is None:
                    continue
                if kind not in best or self._key(found) < self._key(best[kind]):
                    best[kind] = found
        return best

    def _key(self, found: Candidate) -> Key:
        return self.criteria.key(found.prediction)

    def _screen(self, pool: Sequence[Family]) -> list[tuple[Key, Family, float]]:
        """Return each family's best scale with its key.

        Along the scales keys fall to the best and rise again, and short ones take nearly all of the time. So
        every other scale is tried from the third on, and then those beside the best until it has both (the
        longer one, if it meets all); of the plainest family, which has dips where durations hardly vary, all.
        """
        twin = replace(self.twin, scenario=_without_the_longest(self.twin.scenario))
        if twin.sampling == "visits":  # whole arrays of jobs are simulated fast, queues are not
            twin = replace(twin, scenario=without_queues(twin.scenario), sampling="long")
        screen = partial(twin.attempt, jobs=min(twin.effort.screened_jobs, twin.effort.jobs))
        mapper = map if self.executor is None else self.executor.map
        # Peaks are a matter of the real workload; they are left for refining.
        criteria = replace(
            self.criteria,
            objectives={
                name: bound
                for name, bound in self.criteria.objectives.items()
                if OBJECTIVES[name].figure != "requests_per_second_peak"
            },
            surely=False,
        )
        tried: dict[Family, dict[int, Key]] = {family: {} for family in pool}
        asked = [(family, scale) for family in pool for scale in _first_scales(family)]
        while asked:
            self.tried += len(asked)
            policies = [self.policy(family.at(family.scales[scale])) for family, scale in asked]
            for (family, scale), seen in zip(asked, mapper(screen, policies), strict=True):
                tried[family][scale] = _UNTRIABLE if seen is None else criteria.key(seen)
            asked = [
                (family, scale)
                for family, keys in tried.items()
                for best in [min(keys, key=keys.__getitem__)]
                # A shorter scale takes more polls: no need to look where they are all that counts.
                for scale in (
                    (best + 1,) if criteria.by_polls and not keys[best][0] else (best - 1, best + 1)
                )
                if 0 <= scale < len(family.scales) and scale not in keys
            ]
        found = ((min(keys.values()), family, keys) for family, keys in tried.items())
        return [
            (key, family, family.scales[min(keys, key=keys.__getitem__)])
            for key, family, keys in found
            if key < _UNTRIABLE
        ]

    def _refine(self, family: Family, scale: float) -> Candidate | None:
        """Follow the scale up or down while that helps, with smaller and smaller steps."""
        best = self._try(family, scale)
        if (
            self.twin.sampling == "visits" and self.twin.effort.rescan
        ):  # peaks may leave little of what screening saw
            for each in family.scales[::2]:
                other = self._try(family, each)
                if other is not None and (best is None or self._key(other) < self._key(best)):
                    best, scale = other, each
        for step in self.twin.effort.steps:
            for factor in (step, 1.0 / step):
                while (other := self._try(family, scale * factor)) is not None:
                    if best is not None and self._key(other) >= self._key(best):
                        break
                    best, scale = other, scale * factor
        return best

    def _try(self, family: Family, scale: float) -> Candidate | None:
        policy = self.policy(family.at(scale))
        prediction = self.predict(policy)
        return None if prediction is None else Candidate(policy, prediction, family.kind, family.parameters)

    def predict(self, policy: PollingPolicy) -> Prediction | None:
        """Return what the twin says of a policy; None if its polls go on for more than a year."""
        if policy not in self._seen:
            self.tried += 1
            self._seen[policy] = self.twin.attempt(policy)
        return self._seen[policy]

    def choose(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """Return the setting to ship: the simplest within 2 % of the best, if it holds on other jobs."""
        ranked = sorted(
            (each for each in candidates if self._key(each)[0] == 0), key=lambda each: self._key(each)
        )
        while ranked:
            limit = self._key(ranked[0])[1] * (1.0 + NEAR)
            near = [each for each in ranked if self._key(each)[1] <= limit]
            best = min(near, key=lambda each: (each.name is None, each.parameters, self._key(each)))
            fresh = self.twin.predict(best.policy, fresh=True, visits=self.twin.effort.reported_visits)
            if fresh.meets(self.criteria.objectives, surely=False):
                return best
            ranked.remove(best)
        return None


def _first_scales(family: Family) -> range:
    scales = len(family.scales)
    return range(2, scales, 2) if scales > 3 and family.parameters > 1 else range(scales)


def _times(key: Key, factor: float) -> Key:
    return key[0], key[1] * factor, math.inf


def _without_the_longest(scenario: Scenario) -> Scenario:
    """Return the same with the longest jobs cut: they take most of the time and say little at this stage."""
    longest = float(quantiles(scenario.simulation.job.duration, 2_000)[-10])
    cut = (
        Capped(scenario.simulation.job.duration, longest)
        if longest > 0.0
        else scenario.simulation.job.duration
    )
    # Settings and objectives stay at home: another process needs neither, and cannot be sent them.
    return with_durations(replace(scenario, settings={}, objectives={}, baseline=None), cut)
