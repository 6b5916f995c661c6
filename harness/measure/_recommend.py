"""Naming the setting to ship, and why, in two sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import partial
from typing import TYPE_CHECKING, Final

from harness.measure._basis import Basis
from harness.measure._choice import (
    PRODUCT_MARGIN,
    Candidate,
    SamePolls,
    choose,
    named_in_repeats,
    with_confidence,
)
from harness.measure._compare import paired
from harness.measure._figures import Judged, SettingFigures, job_values
from harness.measure._intervals import LEVEL
from harness.measure._numbers import in_seconds, number, percent, quantity, too_few
from harness.measure._objectives import LOST_SHARE_ALLOWED
from harness.measure._results import Check, Recommendation, Results
from harness.measure._rows import RunInfo
from scenarios import EXACT_TIES, OBJECTIVES, on_the_end

if TYPE_CHECKING:
    import polars as pl

_WORDS: Final = {"polls_per_job": ("polls per job", ""), "detection_lag_s": ("mean lag", "s")}

# Two means and their product say little of a setting on fewer jobs than this.
_FEWEST_JOBS: Final = 20

_Settings = Mapping[str, SettingFigures]


def recommend(
    settings: _Settings,
    jobs: Mapping[str, pl.DataFrame],
    info: RunInfo,
    trust: Sequence[Check],
    basis: Basis,
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
    tied = tied_settings(jobs)
    if len(tied) == len(settings):
        return Recommendation(setting=None, why=f"withheld: {_ties(tied)}.")
    fair = {name: figures for name, figures in settings.items() if name not in tied}
    same_polls = partial(_same_polls, jobs=jobs, basis=basis, margin=info.margin)
    found = _by_objectives(fair, same_polls, basis) if info.objectives else _by_efficiency(fair, basis)
    if is_no_choice(settings, info.objectives):
        return found  # there was nothing to choose, however often it is repeated
    repeats = max((frame["repeat"].n_unique() for frame in jobs.values()), default=1)
    named = named_in_repeats(fair, info, basis, repeats)
    found = with_confidence(found, named)
    return found.model_copy(update={"why": f"{found.why} Left out: {_ties(tied)}."}) if tied else found


def headline(results: Results) -> str:
    """Return the recommendation in a few words: what it is, and no more than that."""
    found = results.recommendation
    if found.setting is None:
        return "none"
    if found.rival is not None:
        return f"no clear winner between {found.setting} and {found.rival}"
    if is_no_choice(results.settings, results.objectives):
        return f"{found.setting} is the only setting"
    if not results.objectives:
        return f"{found.setting}, by polls times lag, for want of objectives"
    return f"ship {found.setting}"


def is_no_choice(settings: Sized, objectives: Sized) -> bool:
    """Whether a run has neither a second setting nor objectives, and so nothing to choose by."""
    return len(settings) == 1 and not objectives


def tied_settings(jobs: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """Return the settings that learn of too many jobs at their very ends, with the share of those jobs."""
    shares = {name: on_the_end(job_values(each, "detection_lag_s")) for name, each in jobs.items()}
    return {name: share for name, share in shares.items() if share > EXACT_TIES}


def _ties(tied: Mapping[str, float]) -> str:
    named = ", ".join(f"{name} ({percent(share)})" for name, share in tied.items())
    return (
        f"polls fall exactly on the end of jobs, which no clock measures, under {named}; add spread to the "
        "durations"
    )


def _by_objectives(settings: _Settings, same_polls: SamePolls, basis: Basis) -> Recommendation:
    candidates = {name: _candidate(figures, judged=True) for name, figures in settings.items()}
    choice = choose(candidates, same_polls)
    if choice is None:
        return _nearest(settings)
    best, fewest = choice
    others = [name for name, each in candidates.items() if each.met and name != best]
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
    why += _in_the_twin(basis, best, dict.fromkeys((*settings[best].objectives, "polls_per_job")))
    return Recommendation(setting=best, why=why)


def _candidate(figures: SettingFigures, judged: bool) -> Candidate:
    met = figures.meets_objectives if judged else None
    return Candidate(_polls(figures), _lag(figures), figures.lost_jobs.share, met)


def _in_the_twin(basis: Basis, setting: str, figures: Iterable[str]) -> str:
    """Say what the twin expects of the setting that is named, for the best of several looks too good."""
    said = []
    for figure in figures:
        calibration = basis.calibration if basis.kind == "twin" else None
        expected = calibration.mean(setting, figure) if calibration else None
        if expected is not None:
            words, unit = _WORDS.get(figure) or (OBJECTIVES[figure].words(), OBJECTIVES[figure].unit)
            said.append(f"{words} {quantity(expected, unit)}")
    return f" On average over visits of the twin: {', '.join(said)}." if said else ""


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


def _same_polls(
    name: str, other: str, *, jobs: Mapping[str, pl.DataFrame], basis: Basis, margin: float
) -> bool:
    """Return whether the polls of a setting are not surely more than another's by what matters."""
    found = paired(name, other, "polls_per_job", basis, jobs[name], jobs[other])
    interval = found.interval(LEVEL)
    return interval is not None and interval[0] <= margin * (found.reference or 0.0)


def _by_efficiency(settings: _Settings, basis: Basis) -> Recommendation:
    able = {
        name: _polls(figures) * _lag(figures)
        for name, figures in settings.items()
        if figures.detection_lag_s.n and figures.lost_jobs.share <= LOST_SHARE_ALLOWED
    }
    fewest_jobs = min((figures.detection_lag_s.n for figures in settings.values()), default=0)
    if able and fewest_jobs < _FEWEST_JOBS:
        return Recommendation(
            setting=None,
            why=f"{too_few(fewest_jobs)} to choose without objectives; {_FEWEST_JOBS} are needed.",
        )
    if not able:
        share = percent(1 - LOST_SHARE_ALLOWED)
        return Recommendation(setting=None, why=f"No setting learnt the end of at least {share} of its jobs.")
    vague = max(able, key=lambda name: _vagueness(settings[name]))
    if _vagueness(settings[vague]) > PRODUCT_MARGIN:
        found = settings[vague].detection_lag_s
        return Recommendation(
            setting=None,
            why="No objectives are set, and polls times lag cannot be compared: the service does not say "
            "when jobs finish, and jobs were looked at so alike in time after their submission that "
            f"the mean lag of {vague} is {in_seconds(found.mean)} ± {in_seconds(found.unresolved_s)}. "
            "Add a setting that polls at other times, such as one with jitter, or set an objective.",
        )
    choice = choose({name: _candidate(settings[name], judged=False) for name in able}, lambda _a, _b: False)
    best = choice.best if choice else min(able, key=lambda name: able[name])
    least = min(able.values())
    figures = settings[best]
    polls, lag = number(_polls(figures)), in_seconds(_lag(figures))
    estimated = " (an estimate)." if figures.detection_lag_s.basis == "interval" else "."
    expected = _in_the_twin(basis, best, ("polls_per_job", "detection_lag_s"))
    if len(settings) == 1:
        why = (
            "There is nothing to choose from, nor objectives to say whether it is good enough. It needs "
            f"{polls} polls per job for a mean lag of {lag}{estimated}{expected}"
        )
        return Recommendation(setting=best, why=why)
    why = (
        "No objectives are set, so what is good enough is not known, and this goes by a rule of thumb: polls "
        "per job times mean lag, which is nearly the same for all fixed intervals and lower where polls are "
        f"better placed. Of the settings within {percent(PRODUCT_MARGIN)} of the lowest product "
        f"({number(least)}), {best} needs the fewest polls: {polls} per job, "
        f"for a mean lag of {lag}{estimated}{expected}"
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
