"""What is worth saying of a plan: why this setting, and what else the reader should know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from harness.measure import LOST_SHARE_ALLOWED
from harness.plan._answer import Recommendation, Variation
from harness.plan._candidates import CONSTANT, CONSTANT_JITTERED, Kind
from harness.plan._choose import Chosen
from harness.plan._findings import (
    BackoffDoesNotHelp,
    BackoffHelps,
    Circumstance,
    CostOverruled,
    Finding,
    Fragile,
    JitterDoesNotHelp,
    Judged,
    LeastOfBoth,
    LetsTheRestWait,
    LosesJobs,
    MeetsObjectives,
    NoBetter,
    NoneMeets,
    OtherTakes,
    SavesLittle,
    ToldTimeLeft,
    TooThin,
    TooThinToFit,
    Tried,
)
from harness.plan._measured import knows_the_end
from harness.plan._robustness import AS_ASSUMED, BEST_EXPONENTIAL
from harness.plan._search import NEAR, Candidate, Criteria
from scenarios import OBJECTIVES, Scenario, original_yaml, setting_yaml
from scenarios.draws import Trace

_WORTH_SAYING: Final = 0.005  # of a saving
_LONG: Final = 3.0  # times the bound: the jobs beyond it wait for long
_DEARER: Final = 1.2  # times the polls that are planned: worth a note


def recommend(scenario: Scenario, criteria: Criteria, chosen: Chosen, new_name: str) -> Recommendation:
    """Return the setting to ship, as YAML, and why, in two sentences."""
    thin, winner, candidates = chosen.thin, chosen.winner, chosen.candidates
    if thin is not None and not thin.enough_for_settings:
        return Recommendation(None, None, TooThin(thin.rows, thin.needed, thin.reason).words())
    if winner is None:
        return Recommendation(None, None, _nearest(criteria, candidates).words())
    if winner.name is not None:
        name, text = winner.name, original_yaml(winner.name, scenario.text)
    else:
        name, text = new_name, setting_yaml(new_name, winner.policy)
    reasons = _merit(name, winner, criteria), _comparison(winner, criteria, candidates, scenario)
    return Recommendation(name, text, " ".join(each.words() for each in reasons), winner.policy)


def _nearest(criteria: Criteria, candidates: Sequence[Candidate]) -> Finding:
    """Return which candidate comes nearest, and what it misses."""
    nearest = min(candidates, key=lambda each: criteria.key(each.prediction))
    missed = tuple(
        Judged(name, figure, allowed)
        for name, allowed in criteria.objectives.items()
        if (figure := nearest.prediction.figure(name)[1]) > allowed
    )
    return NoneMeets(criteria.objectives, _name(nearest), missed, nearest.prediction.lost)


def _merit(name: str, winner: Candidate, criteria: Criteria) -> Finding:
    """Return what the recommended setting does."""
    seen, cadence = winner.prediction, winner.policy.cadence.describe()
    polls = seen.mean_polls.mean
    if not criteria.objectives:
        return LeastOfBoth(name, cadence, criteria.cost, polls, seen.mean_lag.mean)
    held = tuple(Judged(each, seen.figure(each)[0], allowed) for each, allowed in criteria.objectives.items())
    return MeetsObjectives(name, cadence, held, polls, None if criteria.by_polls else criteria.cost)


def _comparison(
    winner: Candidate, criteria: Criteria, candidates: Sequence[Candidate], scenario: Scenario
) -> Finding:
    """Return how the recommendation compares with what is, or with what else there is."""
    baseline = scenario.baseline or next(iter(scenario.settings))
    other = next((each for each in candidates if each.name == baseline), None)
    if other is None or other.name == winner.name:
        rivals = [each for each in candidates if each is not winner and criteria.key(each.prediction)[0] == 0]
        if not rivals:
            return Circumstance.NOTHING_ELSE
        other = min(rivals, key=lambda each: criteria.key(each.prediction))
        gain = 1.0 - criteria.score(other.prediction) / criteria.score(winner.prediction)
        if abs(gain) < _WORTH_SAYING:
            return NoBetter(_name(other))
        if gain > 0.0:
            return SavesLittle(_name(other), gain)
    seen = other.prediction
    meets = criteria.key(seen)[0] == 0 if criteria.objectives else None
    return OtherTakes(_name(other), seen.mean_polls.mean, seen.mean_lag.mean, meets)


def findings(
    scenario: Scenario,
    criteria: Criteria,
    chosen: Chosen,
    varied: Sequence[Variation],
    *,
    priced: bool,
) -> Iterator[Finding]:
    """Yield what else the reader should know, the most telling first.

    priced: whether the reader gave the price of a poll.
    """
    thin = chosen.thin
    if priced and chosen.winner is not None:
        yield from _on_the_price(criteria, chosen.winner, chosen.candidates)
    if chosen.winner is not None:
        yield from _on_the_rest(criteria, chosen.winner)
    yield from _on_backoff_and_jitter(criteria, chosen.alternatives)
    yield from _on_other_durations(chosen.winner, varied)
    if thin is not None and thin.enough_for_settings:
        yield TooThinToFit(thin.rows, thin.needed, thin.reason)
    if isinstance(scenario.simulation.job.duration, Trace) and thin is None:
        yield Circumstance.FITTED_TO_ONE_HALF
    if scenario.simulation.jobs_wait:
        yield Circumstance.JOBS_QUEUE
    informed = tuple(name for name in scenario.settings if knows_the_end(scenario, name))
    if informed:
        yield ToldTimeLeft(informed)
    if scenario.service.outages:
        yield Circumstance.OUTAGE_AT_ONE_TIME
    if scenario.service.faults or scenario.service.outages or scenario.service.rate_limit:
        yield Circumstance.FAILED_READS_COUNT
    yield Tried(chosen.tried, NEAR)


def _on_the_price(
    criteria: Criteria, winner: Candidate, candidates: Sequence[Candidate]
) -> Iterator[Finding]:
    """Yield whether the objectives overrule the price of a poll."""

    def score(candidate: Candidate) -> float:
        seen = candidate.prediction
        # A setting that loses jobs has neither a fair lag nor fair polls.
        if seen.lost > LOST_SHARE_ALLOWED:
            return math.inf
        return criteria.cost * seen.mean_polls.mean + seen.mean_lag.mean

    best = min(candidates, key=score)
    other = best if score(best) < score(winner) * (1.0 - NEAR) else None
    if criteria.by_polls:
        names = tuple(criteria.bounding)
    elif other is not None:
        names = tuple(name for name, bound in criteria.objectives.items() if _misses(other, name, bound))
    else:
        names = ()
    if names:
        seen = best.prediction
        yield CostOverruled(
            criteria.cost,
            names,
            criteria.by_polls,
            None if other is None else _name(other),
            seen.mean_polls.mean,
            seen.mean_lag.mean,
        )


def _on_the_rest(criteria: Criteria, winner: Candidate) -> Iterator[Finding]:
    """Yield what becomes of the jobs that the strictest objective on a quantile of the lag leaves out."""
    wanted = [OBJECTIVES[name] for name in criteria.bounding]
    held = [each for each in wanted if each.figure == "lag"]
    strictest = max(held, key=lambda each: each.p or 0.0, default=None)
    if strictest is None or any(each.p is None for each in held):
        return
    p99 = winner.prediction.figure("lag_p99")[0]
    long = _LONG * criteria.objectives[strictest.name]
    if strictest.p is not None and strictest.p < 0.99 and long < p99 < math.inf:  # inf: not known of few rows
        yield LetsTheRestWait(strictest.name, 1.0 - strictest.p, p99)


def _misses(candidate: Candidate, objective: str, bound: float) -> bool:
    return candidate.prediction.figure(objective)[1] > bound


def _on_backoff_and_jitter(criteria: Criteria, alternatives: Mapping[Kind, Candidate]) -> Iterator[Finding]:
    """Yield whether backoff and jitter help here."""
    good = {
        kind: each.prediction.mean_polls.mean
        for kind, each in alternatives.items()
        if criteria.key(each.prediction)[0] == 0
    }
    growing = [kind for kind in good if kind.curve == "exponential"]
    steady = [kind for kind in good if kind.steady]
    if criteria.by_polls and growing and steady:
        backoff, other = min(growing, key=good.__getitem__), min(steady, key=good.__getitem__)
        if good[other] < good[backoff] * (1.0 - NEAR):
            yield BackoffDoesNotHelp(backoff.name, good[backoff], other.name, good[other])
        elif good[backoff] < good[other] * (1.0 - NEAR):
            yield BackoffHelps(good[backoff], other.name, good[other])
    plain, jittered = good.get(CONSTANT), good.get(CONSTANT_JITTERED)
    if criteria.by_polls and plain and jittered and plain < jittered * (1.0 - NEAR):
        yield JitterDoesNotHelp(plain, jittered)
    if jittered and plain is None and CONSTANT in alternatives:
        yield Circumstance.JITTER_HELPS


def _on_other_durations(winner: Candidate | None, varied: Sequence[Variation]) -> Iterator[Finding]:
    """Yield what becomes of the recommendation when the durations are not as assumed."""
    if winner is None or not varied:
        return
    setting = varied[0].setting
    mine = {each.durations: each for each in varied if each.setting == setting}
    theirs = {each.durations: each for each in varied if each.setting == BEST_EXPONENTIAL}
    usual = mine.get(AS_ASSUMED)
    if usual is None:
        return
    for name, each in mine.items():
        if name == AS_ASSUMED:
            continue
        rival = theirs.get(name)
        missed = tuple(objective for objective in each.missed if objective not in usual.missed)
        if each.polls / usual.polls > _DEARER or missed:
            backoff_polls = rival.polls if rival else None
            yield Fragile(name, setting, each.polls, backoff_polls, usual.polls, missed)
    if any(each.lost_share > LOST_SHARE_ALLOWED for each in mine.values()):
        yield LosesJobs(setting)


def _name(candidate: Candidate) -> str:
    return candidate.name or candidate.policy.cadence.describe()
