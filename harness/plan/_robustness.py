"""What settings do when the durations are not what was assumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from client import PollingPolicy
from harness.plan._answer import Variation
from harness.plan._predict import Manner, Prediction, predict
from harness.plan.limit import COARSE, Durations, Scaled, Yardstick, other_law, with_durations
from harness.virtual import VisitTooLong
from scenarios import Scenario

AS_ASSUMED = "as assumed"


def variations(durations: Durations) -> dict[str, Durations]:
    """The laws to try, by what to call them."""
    laws: dict[str, Durations] = {
        AS_ASSUMED: durations,
        "twice as long": Scaled(durations, 2.0),
        "half as long": Scaled(durations, 0.5),
    }
    if (other := other_law(durations)) is not None:
        laws[f"{other[0]}, same median"] = other[1]
    return laws


def robustness(
    scenario: Scenario, policies: Mapping[str, PollingPolicy], jobs: int, how: Manner
) -> Iterator[Variation]:
    """Each setting under each law."""
    for name, durations in variations(scenario.job.duration).items():
        varied = with_durations(scenario, durations)
        yardstick = Yardstick(durations, COARSE)
        for setting, policy in policies.items():
            try:
                seen = predict(varied, policy, jobs, how)
            except VisitTooLong:
                continue
            yield vary(setting, name, seen, yardstick, policy, scenario.objectives)


def vary(
    setting: str,
    name: str,
    seen: Prediction,
    yardstick: Yardstick,
    policy: PollingPolicy,
    objectives: Mapping[str, float],
) -> Variation:
    """A prediction as a row of the table."""
    polls, lag = seen.mean_polls.mean, seen.mean_lag.mean
    return Variation(
        setting=setting,
        durations=name,
        polls=polls,
        lag_s=lag,
        lag_p95_s=seen.p95_lag,
        lost_share=seen.lost,
        ratio=polls / yardstick.polls_at(lag, seen.lost, policy.deadline),
        missed=tuple(each for each, bound in objectives.items() if seen.figure(each)[0] > bound),
    )
