"""What settings do when the durations are not what was assumed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final

from client import PollingPolicy
from harness.measure import percent
from harness.plan._answer import Variation
from harness.plan._measured import gives_up
from harness.plan._predict import Prediction, Twin, with_durations
from harness.plan._ratio import Ratio, held_against
from harness.plan.limit import LimitCurve
from scenarios.draws import Durations, Exponential, Lognormal, Scaled, quantiles

AS_ASSUMED: Final = "as assumed"
"""What the durations of the scenario itself are called."""

BEST_EXPONENTIAL: Final = "best exponential"
"""What the best exponential backoff that a search found is called."""


def variations(durations: Durations) -> dict[str, Durations]:
    """Return the durations to try, by what to call them."""
    tried: dict[str, Durations] = {
        AS_ASSUMED: durations,
        "twice as long": Scaled(durations, 2.0),
        "half as long": Scaled(durations, 0.5),
    }
    if (other := other_distribution(durations)) is not None:
        tried[f"{other[0]}, same median"] = other[1]
    return tried


def robustness(twin: Twin, policies: Mapping[str, PollingPolicy]) -> Iterator[Variation]:
    """Yield each setting under each of the durations to try, where its polls do not go on for a year."""
    for name, durations in variations(twin.scenario.simulation.job.duration).items():
        varied = replace(twin, scenario=with_durations(twin.scenario, durations))
        limit = LimitCurve(durations, twin.effort.coarse)
        for setting, policy in policies.items():
            if (seen := varied.attempt(policy)) is not None:
                yield vary(setting, name, seen, limit, twin.scenario.objectives)


def vary(
    setting: str, name: str, seen: Prediction, limit: LimitCurve, objectives: Mapping[str, float]
) -> Variation:
    """Return a prediction as a row of the table."""
    held = ratio_of(limit, seen)
    return Variation(
        setting=setting,
        durations=name,
        polls=seen.mean_polls.mean,
        lag_s=seen.mean_lag.mean,
        lag_p95_s=seen.p95_lag,
        lost_share=seen.lost,
        ratio=held.value if isinstance(held, Ratio) else None,
        missed=tuple(each for each, bound in objectives.items() if seen.figure(each)[0] > bound),
    )


def ratio_of(limit: LimitCurve, seen: Prediction) -> Ratio | str:
    """Return the predicted polls held against the limit, or why that would say nothing."""
    jobs = seen.followed
    if jobs is None or not math.isfinite(seen.mean_lag.mean):
        return "no job was found"
    if gives_up(jobs.gave_up_share):
        share = percent(jobs.gave_up_share)
        return f"it gives up on {share} of the jobs (attempts or failed reads), which saves polls"
    return held_against(limit, jobs)


def other_distribution(durations: Durations) -> tuple[str, Durations] | None:
    """Return another distribution of the same median and its name: memoryless, or wider if it is that."""
    median = float(quantiles(durations, 2**14 + 1)[2**13])
    if not 0.0 < median < math.inf:
        return None
    if isinstance(durations, Exponential):
        return "wide lognormal", Lognormal(median=median, sigma=1.5)
    return "exponential", Exponential(mean=median / math.log(2.0))
