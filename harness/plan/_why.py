"""The plan in words: why this setting, and what else the reader should know."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.measure import LOST_SHARE_ALLOWED, in_seconds, needed, number, percent, quantity
from harness.plan._answer import Recommendation, Variation
from harness.plan._candidates import CONSTANT, CONSTANT_JITTERED, Kind
from harness.plan._measured import FEWEST_ROWS, knows_the_end
from harness.plan._robustness import AS_ASSUMED, BEST_EXPONENTIAL
from harness.plan._search import NEAR, Candidate, Criteria
from scenarios import OBJECTIVES, Scenario, original_yaml, setting_yaml
from scenarios.draws import Trace

_WORTH_SAYING = 0.005  # of a saving
_DEARER = 1.2  # times the polls that are planned: worth a note


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
    """What is missing, if the durations are a trace with too few rows."""
    durations = scenario.job.duration
    if not isinstance(durations, Trace):
        return None
    wanted, reason = FEWEST_ROWS, "a mean"
    for name in scenario.objectives:
        p = OBJECTIVES[name].p
        if p is not None and p < 1.0 and needed(p) > wanted:
            wanted, reason = needed(p), name
    rows = len(durations.seconds)
    return ThinSample(rows, wanted, reason) if rows < 2 * wanted else None


def recommend(
    scenario: Scenario,
    criteria: Criteria,
    thin: ThinSample | None,
    candidates: Sequence[Candidate],
    winner: Candidate | None,
    new_name: str,
) -> Recommendation:
    """The setting to ship, as YAML, and why, in two sentences."""
    if thin is not None and not thin.enough_for_settings:
        return Recommendation(None, None, _too_thin(thin))
    if winner is None:
        return Recommendation(None, None, _none_meets(criteria, candidates))
    if winner.name is not None:
        name, text = winner.name, original_yaml(winner.name, scenario.text)
    else:
        name, text = new_name, setting_yaml(new_name, winner.policy)
    why = f"{_what_it_does(name, winner, criteria)} {_against(winner, criteria, candidates, scenario)}"
    return Recommendation(name, text, why, winner.policy)


def _too_thin(thin: ThinSample) -> str:
    return (
        f"The sample is too thin to tell: the trace has {thin.rows} rows, and {thin.reason} takes at least "
        f"{thin.needed}. With {2 * thin.needed} rows a setting could be fitted to one half and judged by the "
        "other."
    )


def _none_meets(criteria: Criteria, candidates: Sequence[Candidate]) -> str:
    wanted = ", ".join(bound(name, limit) for name, limit in criteria.objectives.items())
    nearest = min(candidates, key=lambda each: criteria.key(each.prediction))
    missed = "; ".join(
        f"{name} {_amount(name, figure)} (allowed {_amount(name, limit)})"
        for name, limit in criteria.objectives.items()
        if (figure := nearest.prediction.figure(name)[1]) > limit
    )
    lost = nearest.prediction.lost
    missed = missed or f"{percent(lost)} of the jobs lost"
    return (
        f"No setting was found that surely meets {wanted}. The nearest of those tried, {_name(nearest)}, "
        f"comes to {missed}, by the upper end of its 95 % interval."
    )


def _what_it_does(name: str, winner: Candidate, criteria: Criteria) -> str:
    seen = winner.prediction
    polls, lag = number(seen.mean_polls.mean), in_seconds(seen.mean_lag.mean)
    law = winner.policy.cadence.describe()
    if not criteria.objectives:
        return (
            f"{name} ({law}) has the least of polls and lag together, at {in_seconds(criteria.cost)} of lag "
            f"per poll: {polls} polls per job for a mean lag of {lag}."
        )
    held = "; ".join(
        f"{each} {_amount(each, seen.figure(each)[0])}, allowed {_amount(each, limit)}"
        for each, limit in criteria.objectives.items()
    )
    least = "" if criteria.by_polls else f", weighing a poll as {in_seconds(criteria.cost)} of lag"
    return f"{name} ({law}) meets the objectives ({held}) with {polls} polls per job{least}."


def _against(
    winner: Candidate, criteria: Criteria, candidates: Sequence[Candidate], scenario: Scenario
) -> str:
    """The second sentence: how the recommendation compares with what is, or with what else there is."""
    baseline = scenario.baseline or next(iter(scenario.settings))
    other = next((each for each in candidates if each.name == baseline), None)
    if other is None or other.name == winner.name:
        rivals = [each for each in candidates if each is not winner and criteria.key(each.prediction)[0] == 0]
        if not rivals:
            return "Nothing else that was tried meets them."
        other = min(rivals, key=lambda each: criteria.key(each.prediction))
        gain = 1.0 - criteria.score(other.prediction) / criteria.score(winner.prediction)
        if abs(gain) < _WORTH_SAYING:
            return f"The best alternative, {_name(other)}, is no better and no worse."
        if gain > 0.0:
            return f"The best that a search found, {_name(other)}, would save only {percent(gain)} of that."
    seen = other.prediction
    verdict = ""
    if criteria.objectives:
        verdict = " and meets them too" if criteria.key(seen)[0] == 0 else " and does not surely meet them"
    return (
        f"{_name(other)} takes {number(seen.mean_polls.mean)} polls per job, for a mean lag of "
        f"{in_seconds(seen.mean_lag.mean)}{verdict}."
    )


def notes(
    scenario: Scenario,
    criteria: Criteria,
    alternatives: Mapping[Kind, Candidate],
    winner: Candidate | None,
    varied: Sequence[Variation],
    thin: ThinSample | None,
    tried: int,
) -> Iterator[str]:
    """What else the reader should know, the most telling first."""
    yield from _honesty(criteria, alternatives)
    yield from _fragility(winner, varied)
    if thin is not None and thin.enough_for_settings:
        yield (
            f"The trace has {thin.rows} rows, too few to fit a setting to one half and judge it by the other "
            f"({2 * thin.needed} for {thin.reason}), so only the scenario's own settings were considered."
        )
    if isinstance(scenario.job.duration, Trace) and thin is None:
        yield (
            "The durations are measured ones: schedules were fitted to one half of the trace and all "
            "settings judged by the other, while limits and ratios are those of the trace as a whole."
        )
    if scenario.job.slots is not None:
        yield "Jobs queue for slots, so the limit is that of the times from submission to finish in the twin."
    informed = [name for name in scenario.settings if knows_the_end(scenario, name)]
    if informed:
        yield (
            f"The service tells the time left (retry_after: eta) to {', '.join(informed)}: that is more than "
            "a schedule knows, so a ratio below 1 is what the hint is worth."
        )
    if scenario.service.outages:
        yield (
            "The outage comes at one certain time of the visit. A setting may fit that time by luck: look at "
            "what else it does, and move the outage before you trust it."
        )
    if scenario.service.faults or scenario.service.outages or scenario.service.rate_limit:
        yield (
            "Polls and lags are those of the scenario's own service: failed reads are in them, and so in the "
            "ratios, though no cadence avoids them."
        )
    yield (
        f"{tried} settings were simulated. Of those within {100 * NEAR:g} % of the best the simplest is "
        "taken, if it holds on jobs of another seed too."
    )


def _honesty(criteria: Criteria, alternatives: Mapping[Kind, Candidate]) -> Iterator[str]:
    """Whether backoff and jitter earn their keep here."""
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
            yield (
                f"Exponential backoff does not help here: its best ({backoff.name}) takes "
                f"{number(good[backoff])} polls per job, {other.name} {number(good[other])}. Growing waits "
                "earn their keep where the scale of the durations is unknown or the service is in trouble."
            )
        elif good[backoff] < good[other] * (1.0 - NEAR):
            yield (
                f"Exponential backoff earns its keep here: {number(good[backoff])} polls per job against "
                f"{number(good[other])} of the best without growth ({other.name}), for the longer a job has "
                "run, the longer it is likely to go on."
            )
    plain, jittered = good.get(CONSTANT), good.get(CONSTANT_JITTERED)
    if criteria.by_polls and plain and jittered and plain < jittered * (1.0 - NEAR):
        yield (
            f"Jitter does not help one client: a constant interval takes {number(plain)} polls per job "
            f"without it and {number(jittered)} with it. It is for clients that would all come at once."
        )
    if jittered and plain is None and CONSTANT in alternatives:
        yield (
            "Jitter earns its keep here: a constant interval meets the objectives with it and not without, "
            "for it pulls apart clients that would come at the same moment."
        )


def _fragility(winner: Candidate | None, varied: Sequence[Variation]) -> Iterator[str]:
    """What becomes of the recommendation when the durations are not as assumed."""
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
        cost = each.polls / usual.polls
        rival = theirs.get(name)
        beside = f" (best exponential: {number(rival.polls)})" if rival else ""
        missed = [objective for objective in each.missed if objective not in usual.missed]
        if cost > _DEARER or missed:
            broken = f", and misses {', '.join(missed)}" if missed else ""
            yield (
                f"If durations are {name}, {setting} takes {number(each.polls)} polls per job{beside} "
                f"instead of {number(usual.polls)}{broken}."
            )
    if any(each.lost_share > LOST_SHARE_ALLOWED for each in mine.values()):
        yield f"Under some of these durations the deadline of {setting} loses more than 1 % of the jobs."


def bound(name: str, limit: float) -> str:
    """An objective for a reader: "lag_p95 ≤ 2.50 s"."""
    return f"{name} ≤ {_amount(name, limit)}"


def _amount(name: str, value: float) -> str:
    if math.isinf(value):
        return "what the sample cannot tell"
    return quantity(value, OBJECTIVES[name].unit)


def _name(candidate: Candidate) -> str:
    return candidate.name or candidate.policy.cadence.describe()
