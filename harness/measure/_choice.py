"""Choosing the setting to ship, by a handful of figures of each; and how often the same would be chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, Final, NamedTuple

import numpy as np

from harness.measure._basis import Basis, of_visits
from harness.measure._figures import SettingFigures
from harness.measure._intervals import Floats
from harness.measure._objectives import LOST_SHARE_ALLOWED
from harness.measure._results import SURE, Recommendation
from harness.measure._rows import RunInfo
from scenarios import OBJECTIVES

# Without objectives: polls times lag is nearly the same for all fixed intervals (about half the mean duration
# plus a quarter of the interval), so differences below this say more about the interval than about merit.
PRODUCT_MARGIN: Final = 0.10


@dataclass(frozen=True)
class Candidate:
    """What the choice rests on. ``met``: every objective is; None without objectives."""

    polls: float
    lag_s: float
    lost: float
    met: bool | None

    @property
    def product(self) -> float:
        """Polls times lag: the less, the better placed are the polls."""
        return self.polls * self.lag_s


SamePolls = Callable[[str, str], bool]


class Choice(NamedTuple):
    """What was chosen: ``fewest`` needs the fewest polls, ``best`` is as good and sooner."""

    best: str
    fewest: str


def choose(candidates: Mapping[str, Candidate], same_polls: SamePolls) -> Choice | None:
    """Return the setting to ship; None if none is good enough.

    same_polls: whether a setting's polls cannot be told from, or hardly differ from, those of another.
    """
    if any(each.met is not None for each in candidates.values()):
        good = [name for name, each in candidates.items() if each.met]
        if not good:
            return None
        fewest = min(good, key=lambda name: candidates[name].polls)
        tied = [name for name in good if name == fewest or same_polls(name, fewest)]
        best = min(tied, key=lambda name: (candidates[name].lag_s, candidates[name].polls))
        return Choice(best, fewest)
    able = {name: each for name, each in candidates.items() if each.lost <= LOST_SHARE_ALLOWED}
    if not able:
        return None
    least = min(each.product for each in able.values())
    equal = [name for name, each in able.items() if each.product <= least * (1 + PRODUCT_MARGIN)]
    best = min(equal, key=lambda name: able[name].polls)
    return Choice(best, best)


def named_in_repeats(
    settings: Mapping[str, SettingFigures], info: RunInfo, basis: Basis, repeats: int
) -> Counter[str | None]:
    """Return how often each setting would be named in simulated repeats of this very run; empty if unknown.

    A run of R repeats is made of R visits of the twin, which follow each other in a circle.
    """
    calibration = basis.calibration
    if calibration is None or basis.kind != "twin":
        return Counter()
    objectives = info.objectives
    figures = ("polls_per_job", "detection_lag_s", "lost_share", *objectives)
    runs: dict[str, dict[str, Floats]] = {}
    for name in settings:
        samples = {figure: calibration.sample(name, figure) for figure in figures}
        if any(sample is None for sample in samples.values()):
            return Counter()
        runs[name] = {
            figure: _pooled(np.nan_to_num(sample, nan=np.inf), repeats, figure)
            for figure, sample in samples.items()
            if sample is not None
        }
    half = {
        (a, b): _half(basis.sample_of_difference(a, b, "polls_per_job"), repeats)
        for a, b in permutations(settings, 2)
    }
    judged = {
        name: {each for each in objectives if figures.objectives[each].met is not None}
        for name, figures in settings.items()
    }
    named: Counter[str | None] = Counter()
    for i in range(calibration.k):
        candidates = {
            name: Candidate(
                polls=float(run["polls_per_job"][i]),
                lag_s=float(run["detection_lag_s"][i]),
                lost=float(run["lost_share"][i]),
                met=all(
                    _holds(each, run, i, objectives[each]) and each in judged[name] for each in objectives
                )
                if objectives
                else None,
            )
            for name, run in runs.items()
        }

        def same(a: str, b: str, polls: Mapping[str, Candidate] = candidates) -> bool:
            return polls[a].polls - polls[b].polls - half[a, b] <= info.margin * polls[b].polls

        choice = choose(candidates, same)
        named[choice.best if choice else None] += 1
    return named


def _pooled(sample: Floats, repeats: int, figure: str) -> Floats:
    """Return the figure of runs of so many visits each."""
    runs = np.stack([np.roll(sample, -shift) for shift in range(min(repeats, sample.size))])
    largest = figure in OBJECTIVES and OBJECTIVES[figure].statistic in ("max", "peak")
    return np.asarray(runs.max(axis=0) if largest else runs.mean(axis=0))


def _half(sample: Floats | None, repeats: int) -> float:
    estimate = of_visits(0.0, sample, repeats)
    interval = estimate.interval() if estimate else None
    return interval[1] if interval else 0.0


def _holds(objective: str, run: Mapping[str, Floats], i: int, bound: float) -> bool:
    average = OBJECTIVES[objective].p is None
    return bool(run[objective][i] <= bound and not (average and run["lost_share"][i] > LOST_SHARE_ALLOWED))


def with_confidence(found: Recommendation, named: Counter[str | None]) -> Recommendation:
    """Say in how many simulated repeats of the run the same setting is named, and which one is its rival."""
    runs = named.total()
    if not runs:
        return found
    same = named[found.setting]
    others = [(name, n) for name, n in named.most_common() if name != found.setting]
    rival = next((name for name, _ in others if name is not None), None)
    if found.setting is None:
        if rival is None or named[rival] < runs / 2:
            return found
        why = f"{found.why} Yet {named[rival]} of {runs} simulated repeats of this run name {rival}."
        return found.model_copy(update={"why": why})
    why = f"{found.why} Named in {same} of {runs} simulated repeats of this run"
    why += "." if same == runs else f"; {_listed(others)}."
    update: dict[str, Any] = {"why": why, "confidence": same / runs}
    if same / runs < SURE:
        update["rival"] = rival
    return found.model_copy(update=update)


def _listed(others: Sequence[tuple[str | None, int]]) -> str:
    return ", ".join(f"{name or 'none'} in {n}" for name, n in others)
