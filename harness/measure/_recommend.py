"""Naming the setting to ship, and why, in two sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from harness.measure._compare import paired
from harness.measure._numbers import in_seconds, number, percent, quantity
from harness.measure._objectives import LOST_SHARE_ALLOWED
from harness.measure._trust import Check
from scenarios import OBJECTIVES

# Without objectives: polls times lag is nearly the same for all fixed intervals (about half the mean duration
# plus a quarter of the interval), so differences below this say more about the interval than about merit.
PRODUCT_MARGIN = 0.10

# Two means and their product say little of a setting on fewer jobs than this.
FEWEST_JOBS = 20

Settings = Mapping[str, Mapping[str, Any]]


def recommend(
    settings: Settings,
    jobs: Mapping[str, pd.DataFrame],
    objectives: Mapping[str, float],
    trust: Sequence[Check],
) -> dict[str, str | None]:
    """``{setting, why}``; the setting is None when the run's numbers or the objectives allow no verdict."""
    if not settings:
        return {"setting": None, "why": "withheld: no setting was run."}
    invalid = [check for check in trust if check["status"] == "invalid"]
    # What a run that was cut short lacks follows from its being cut short; the checks are listed anyway.
    invalid = [check for check in invalid if check["check"] == "run complete"] or invalid
    if invalid:
        reasons = "; ".join(f"{check['check']}: {check['detail']}" for check in invalid)
        return {"setting": None, "why": f"withheld: {reasons}."}
    if objectives:
        return _by_objectives(settings, jobs)
    return _by_efficiency(settings)


def _by_objectives(settings: Settings, jobs: Mapping[str, pd.DataFrame]) -> dict[str, str | None]:
    good = [
        name
        for name, figures in settings.items()
        if all(each["met"] for each in figures["objectives"].values())
    ]
    if not good:
        return _nearest(settings)
    fewest = min(good, key=lambda name: _polls(settings[name]))
    tied = [name for name in good if name == fewest or _same_polls(name, fewest, jobs)]
    best = min(tied, key=lambda name: (_lag(settings[name]), _polls(settings[name])))
    others = [name for name in good if name != best]
    polls = number(_polls(settings[best]))
    met = "; ".join(_held(name, each) for name, each in settings[best]["objectives"].items())
    why = f"{best} meets every objective ({met}) with {polls} polls per job"
    if best != fewest:
        lags = f"{in_seconds(_lag(settings[fewest]))} against {in_seconds(_lag(settings[best]))}"
        why += (
            f". {fewest} needs as many, as far as this sample can tell, and its mean lag is higher: {lags}."
        )
    elif others:
        runner_up = min(others, key=lambda name: _polls(settings[name]))
        needs = number(_polls(settings[runner_up]))
        why += f", the fewest. The next setting to meet them, {runner_up}, needs {needs}."
    else:
        why += ". No other setting meets them all."
    return {"setting": best, "why": why}


def _nearest(settings: Settings) -> dict[str, str | None]:
    def shortfall(name: str) -> float:
        return max(_excess(each) for each in settings[name]["objectives"].values())

    nearest = min(settings, key=shortfall)
    unjudged = [each["note"] for each in settings[nearest]["objectives"].values() if each["met"] is None]
    missed = [
        _held(name, each) + (f": {each['note']}" if each["note"] else "")
        for name, each in settings[nearest]["objectives"].items()
        if not each["met"]
    ]
    if not any(each["met"] is False for each in settings[nearest]["objectives"].values()):
        return {
            "setting": None,
            "why": f"No setting can be judged against every objective: {'; '.join(unjudged)}.",
        }
    return {
        "setting": None,
        "why": f"No setting meets every objective. {nearest} comes nearest, but misses {'; '.join(missed)}.",
    }


def _excess(judged: Mapping[str, Any]) -> float:
    if judged["met"]:
        return 0.0
    if judged["value"] is None or judged["value"] <= judged["limit"] or not judged["limit"]:
        return float("inf")  # Missed for another reason than its size: jobs were lost, or are too few.
    return float(judged["value"] / judged["limit"])


def _held(name: str, judged: Mapping[str, Any]) -> str:
    objective = OBJECTIVES[name]
    value, allowed = (quantity(judged[each], objective.unit) for each in ("value", "limit"))
    close = ", a close call" if judged["met"] and judged["note"] else ""
    return f"{objective.words()} {value}, allowed {allowed}{close}"


def bound(name: str, limit: float) -> str:
    """An objective in English: "p95 lag ≤ 2.00 s"."""
    objective = OBJECTIVES[name]
    return f"{objective.words()} ≤ {quantity(limit, objective.unit)}"


def _same_polls(name: str, other: str, jobs: Mapping[str, pd.DataFrame]) -> bool:
    estimate = paired(name, other, "polls_per_job", jobs[name], jobs[other]).estimate
    interval = estimate.interval() if estimate else None
    return interval is not None and interval[0] <= 0 <= interval[1]


def _by_efficiency(settings: Settings) -> dict[str, str | None]:
    able = {
        name: _polls(figures) * _lag(figures)
        for name, figures in settings.items()
        if figures["detection_lag_s"]["n"] and figures["lost_jobs"]["share"] <= LOST_SHARE_ALLOWED
    }
    fewest_jobs = min((figures["detection_lag_s"]["n"] for figures in settings.values()), default=0)
    if able and fewest_jobs < FEWEST_JOBS:
        return {
            "setting": None,
            "why": f"{fewest_jobs} jobs are too few to choose without objectives; {FEWEST_JOBS} are needed.",
        }
    if not able:
        share = percent(1 - LOST_SHARE_ALLOWED)
        return {"setting": None, "why": f"No setting learnt the end of at least {share} of its jobs."}
    least = min(able.values())
    equal = [name for name, product in able.items() if product <= least * (1 + PRODUCT_MARGIN)]
    best = min(equal, key=lambda name: _polls(settings[name]))
    figures = settings[best]
    polls, lag = number(_polls(figures)), in_seconds(_lag(figures))
    why = (
        "No objectives are set, so this goes by polls per job times mean lag, which is nearly the same for "
        "all fixed intervals and lower where polls are better placed. Of the settings within "
        f"{percent(PRODUCT_MARGIN)} of the lowest product ({number(least)}), {best} needs the fewest polls: "
        f"{polls} per job, for a mean lag of {lag}."
    )
    return {"setting": best, "why": why}


def _polls(figures: Mapping[str, Any]) -> float:
    mean = figures["polls_per_job"]["mean"]
    return float("inf") if mean is None else float(mean)


def _lag(figures: Mapping[str, Any]) -> float:
    mean = figures["detection_lag_s"]["mean"]
    return float("inf") if mean is None else float(mean)
