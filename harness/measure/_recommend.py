"""Naming the setting to ship, and why, in two sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from harness.measure._compare import paired
from harness.measure._figures import Judged, SettingFigures, job_values
from harness.measure._numbers import in_seconds, number, percent, quantity
from harness.measure._objectives import LOST_SHARE_ALLOWED
from harness.measure._results import Check, Recommendation
from scenarios import EXACT_TIES, OBJECTIVES, on_the_end

if TYPE_CHECKING:
    import polars as pl

# Without objectives: polls times lag is nearly the same for all fixed intervals (about half the mean duration
# plus a quarter of the interval), so differences below this say more about the interval than about merit.
_PRODUCT_MARGIN: Final = 0.10

# Two means and their product say little of a setting on fewer jobs than this.
_FEWEST_JOBS: Final = 20

_Settings = Mapping[str, SettingFigures]


def recommend(
    settings: _Settings,
    jobs: Mapping[str, pl.DataFrame],
    objectives: Mapping[str, float],
    trust: Sequence[Check],
) -> Recommendation:
    """Return the setting to ship; there is none when the run's numbers or the objectives allow no verdict."""
    if not settings:
        return Recommendation(setting=None, why="withheld: no setting was run.")
    invalid = [check for check in trust if check.status == "invalid"]
    # What a run that was cut short lacks follows from its being cut short; the checks are listed anyway.
    invalid = [check for check in invalid if check.check == "run complete"] or invalid
    if invalid:
        reasons = "; ".join(f"{check.check}: {check.detail}" for check in invalid)
        return Recommendation(setting=None, why=f"withheld: {reasons}.")
    tied = {name: share for name in settings if (share := _tied(jobs[name])) > EXACT_TIES}
    if len(tied) == len(settings):
        return Recommendation(setting=None, why=f"withheld: {_ties(tied)}.")
    fair = {name: figures for name, figures in settings.items() if name not in tied}
    found = _by_objectives(fair, jobs) if objectives else _by_efficiency(fair)
    return found.model_copy(update={"why": f"{found.why} Left out: {_ties(tied)}."}) if tied else found


def _tied(jobs: pl.DataFrame) -> float:
    return on_the_end(job_values(jobs, "detection_lag_s"))


def _ties(tied: Mapping[str, float]) -> str:
    named = ", ".join(f"{name} ({percent(share)})" for name, share in tied.items())
    return (
        f"polls fall exactly on the end of jobs, which no clock measures, under {named}; add spread to the "
        "durations"
    )


def _by_objectives(settings: _Settings, jobs: Mapping[str, pl.DataFrame]) -> Recommendation:
    good = [
        name for name, figures in settings.items() if all(each.met for each in figures.objectives.values())
    ]
    if not good:
        return _nearest(settings)
    fewest = min(good, key=lambda name: _polls(settings[name]))
    tied = [name for name in good if name == fewest or _same_polls(name, fewest, jobs)]
    best = min(tied, key=lambda name: (_lag(settings[name]), _polls(settings[name])))
    others = [name for name in good if name != best]
    polls = number(_polls(settings[best]))
    met = "; ".join(_against_bound(name, each) for name, each in settings[best].objectives.items())
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
    return Recommendation(setting=best, why=why)


def _nearest(settings: _Settings) -> Recommendation:
    def shortfall(name: str) -> float:
        return max(_excess(each) for each in settings[name].objectives.values())

    nearest = min(settings, key=shortfall)
    judged = settings[nearest].objectives
    if not any(each.met is False for each in judged.values()):
        unjudged = "; ".join(str(each.note) for each in judged.values() if each.met is None)
        return Recommendation(
            setting=None, why=f"No setting can be judged against every objective: {unjudged}."
        )
    missed = "; ".join(
        _against_bound(name, each) + (f": {each.note}" if each.note else "")
        for name, each in judged.items()
        if not each.met
    )
    return Recommendation(
        setting=None, why=f"No setting meets every objective. {nearest} comes nearest, but misses {missed}."
    )


def _excess(judged: Judged) -> float:
    if judged.met:
        return 0.0
    if judged.value is None or judged.value <= judged.bound or not judged.bound:
        return float("inf")  # Missed for another reason than its size: jobs were lost, or are too few.
    return judged.value / judged.bound


def _against_bound(name: str, judged: Judged) -> str:
    objective = OBJECTIVES[name]
    value, allowed = (quantity(each, objective.unit) for each in (judged.value, judged.bound))
    close = ", a close call" if judged.met and judged.note else ""
    close = ", by an estimate" if judged.met and judged.estimated else close
    return f"{objective.words()} {value}, allowed {allowed}{close}"


def bound(name: str, most: float) -> str:
    """Return an objective in English: "p95 lag ≤ 2.00 s"."""
    objective = OBJECTIVES[name]
    return f"{objective.words()} ≤ {quantity(most, objective.unit)}"


def _same_polls(name: str, other: str, jobs: Mapping[str, pl.DataFrame]) -> bool:
    estimate = paired(name, other, "polls_per_job", jobs[name], jobs[other]).estimate
    interval = estimate.interval() if estimate else None
    return interval is not None and interval[0] <= 0 <= interval[1]


def _by_efficiency(settings: _Settings) -> Recommendation:
    able = {
        name: _polls(figures) * _lag(figures)
        for name, figures in settings.items()
        if figures.detection_lag_s.n and figures.lost_jobs.share <= LOST_SHARE_ALLOWED
    }
    fewest_jobs = min((figures.detection_lag_s.n for figures in settings.values()), default=0)
    if able and fewest_jobs < _FEWEST_JOBS:
        return Recommendation(
            setting=None,
            why=f"{fewest_jobs} jobs are too few to choose without objectives; {_FEWEST_JOBS} are needed.",
        )
    if not able:
        share = percent(1 - LOST_SHARE_ALLOWED)
        return Recommendation(setting=None, why=f"No setting learnt the end of at least {share} of its jobs.")
    vague = max(able, key=lambda name: _vagueness(settings[name]))
    if _vagueness(settings[vague]) > _PRODUCT_MARGIN:
        found = settings[vague].detection_lag_s
        return Recommendation(
            setting=None,
            why="No objectives are set, and polls times lag cannot be compared: the service does not say "
            "when jobs finish, and jobs were looked at so alike in time after their submission that "
            f"the mean lag of {vague} is {in_seconds(found.mean)} ± {in_seconds(found.unresolved_s)}. "
            "Add a setting that polls at other times, such as one with jitter, or set an objective.",
        )
    least = min(able.values())
    equal = [name for name, product in able.items() if product <= least * (1 + _PRODUCT_MARGIN)]
    best = min(equal, key=lambda name: _polls(settings[name]))
    figures = settings[best]
    polls, lag = number(_polls(figures)), in_seconds(_lag(figures))
    why = (
        "No objectives are set, so this goes by polls per job times mean lag, which is nearly the same for "
        "all fixed intervals and lower where polls are better placed. Of the settings within "
        f"{percent(_PRODUCT_MARGIN)} of the lowest product ({number(least)}), {best} needs the fewest polls: "
        f"{polls} per job, for a mean lag of {lag}"
        + (" (an estimate)." if figures.detection_lag_s.basis == "interval" else ".")
    )
    return Recommendation(setting=best, why=why)


def _polls(figures: SettingFigures) -> float:
    mean = figures.polls_per_job.mean
    return float("inf") if mean is None else mean


def _vagueness(figures: SettingFigures) -> float:
    """Return the share of an estimated mean lag that the polls leave open to either side."""
    lag = figures.detection_lag_s
    return lag.unresolved_s / lag.mean if lag.unresolved_s and lag.mean else 0.0


def _lag(figures: SettingFigures) -> float:
    mean = figures.detection_lag_s.mean
    return float("inf") if mean is None else mean
