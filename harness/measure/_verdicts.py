"""Verdicts on differences, with a margin.

Less is better in every figure. With d the smallest difference that matters, a difference whose interval
[low, high] lies above d is *worse*, below -d *better*; it is *equivalent* where two one-sided tests say that
it lies within ±d (TOST: the interval at twice the error does; D. J. Schuirmann, J. Pharmacokin. Biopharm. 15
(1987) 657), and *indistinguishable* otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from harness.measure._basis import noise
from harness.measure._figures import COMPARED, FIGURES, ComparisonRow, Interval, Verdict
from harness.measure._intervals import LEVEL
from harness.measure._numbers import number, percent
from scenarios import OBJECTIVES

_FLOOR_S: Final = 0.005
"""No schedule is resolved finer than a request's own round trip: less time than that cannot matter."""

_NOISES: Final = 3.0  # standard deviations of what the machine adds from visit to visit
Intervals = Callable[[float], Interval | None]


@dataclass(frozen=True)
class Difference:
    """A setting's figure less its reference's, before the verdict.

    ``interval`` gives its interval at a level. ``pairs`` is 0 for unpaired samples. ``reason`` says why there
    can be no verdict, and ``spread`` whether anything is left to chance. ``quits`` says that the setting
    loses jobs that the reference finds: what it saves by that is no gain.
    """

    setting: str
    baseline: str
    metric: str
    difference: float | None
    reference: float | None
    interval: Intervals
    pairs: int
    unpaired: int
    margin: float = 0.0
    reason: str | None = None
    spread: bool = True
    quits: bool = False


@dataclass(frozen=True)
class Margins:
    """The smallest differences that matter: a share of the reference, and what the machine adds by itself."""

    share: float
    noise: Mapping[str, float]
    """By figure: the standard deviation, over visits, of what was measured less the twin's figure."""

    @classmethod
    def of(cls, share: float, residuals: Mapping[str, Sequence[float]]) -> Margins:
        """Take the noise from how far each visit lies from the twin's."""
        return cls(share, {figure: noise(off) for figure, off in residuals.items()})

    def margin(self, metric: str, reference: float | None) -> float:
        """Return the margin of a figure: max(5 ms, share, 3 noises) for times, 0 for lost jobs."""
        if metric == "lost_share" or reference is None:
            return 0.0
        floor = _FLOOR_S if is_time(metric) else 0.0
        return max(floor, self.share * abs(reference), _NOISES * self.noise.get(metric, 0.0))


def is_time(metric: str) -> bool:
    """Return whether a figure that is compared is a time."""
    return OBJECTIVES[metric].unit == "s" if metric in OBJECTIVES else metric.endswith("_s")


def judge(differences: Iterable[Difference], margins: Margins) -> list[ComparisonRow]:
    """Return the differences with intervals that hold together, and verdicts; less is better everywhere."""
    rows = [replace(row, margin=margins.margin(row.metric, row.reference)) for row in differences]
    # A difference without any spread (say, no lost jobs on either side) leaves nothing to chance.
    judged = sum(row.spread and row.difference is not None for row in rows)
    alpha = (1 - LEVEL) / max(judged, 1)
    return [_judged(row, alpha) for row in rows]


def _judged(row: Difference, alpha: float) -> ComparisonRow:
    interval = row.interval(1 - alpha) if row.difference is not None else None
    verdict: Verdict = "indistinguishable"
    reason = row.reason
    if interval is None and reason is None:
        reason = "too few jobs for an interval that holds together with the others"
    if reason is None and interval is not None:
        verdict = _verdict(interval, row.interval(1 - 2 * alpha) or interval, row.margin)
        if verdict == "better" and row.quits and row.metric != "lost_share":
            verdict, reason = "indistinguishable", "more of its jobs were lost: what that saves is no gain"
    return ComparisonRow(
        setting=row.setting,
        baseline=row.baseline,
        metric=row.metric,
        difference=row.difference,
        ci95=interval,
        relative=row.difference / row.reference if row.difference is not None and row.reference else None,
        pairs=row.pairs,
        unpaired=row.unpaired,
        margin=row.margin,
        verdict=verdict,
        reason=reason,
    )


def _verdict(interval: Interval, one_sided: Interval, margin: float) -> Verdict:
    if interval[0] > margin:
        return "worse"
    if interval[1] < -margin:
        return "better"
    return (
        "equivalent" if -margin <= one_sided[0] and one_sided[1] <= margin and margin else "indistinguishable"
    )


def worse_settings(rows: Sequence[ComparisonRow]) -> list[str]:
    """Return the settings that lose more jobs, or are worse somewhere and better nowhere.

    Polls against waiting is a trade and no failure; jobs given up buy nothing that counts.
    """
    verdicts: dict[str, dict[str, Verdict]] = {}
    for row in rows:
        verdicts.setdefault(row.setting, {})[row.metric] = row.verdict
    return [
        name
        for name, seen in verdicts.items()
        if seen.get("lost_share") == "worse" or ("worse" in seen.values() and "better" not in seen.values())
    ]


def table_of(rows: Iterable[ComparisonRow]) -> tuple[list[str], dict[str, dict[str, ComparisonRow]]]:
    """Return the metrics of a comparison, its columns, and the rows of each setting by metric."""
    metrics: dict[str, None] = {}
    cells: dict[str, dict[str, ComparisonRow]] = {}
    for row in rows:
        metrics[row.metric] = None
        cells.setdefault(row.setting, {})[row.metric] = row
    return list(metrics), cells


def heading(metric: str) -> str:
    """Return what a column of comparisons in this metric is called."""
    return COMPARED[metric] if metric in COMPARED else OBJECTIVES[metric].words()


def change(row: ComparisonRow) -> str:
    """Return a difference in the most telling form: relative, or absolute where the reference is nothing."""
    if row.difference is None:
        return "–"
    if row.metric in FIGURES and FIGURES[row.metric].points:
        points = row.difference * 100
        return f"{points:+.3g} points" if points else "0"
    if row.relative is None:
        return f"{'+' if row.difference > 0 else ''}{number(row.difference)}"
    return percent(row.relative, sign=True)


def span(row: ComparisonRow) -> str:
    """Return a difference with its interval, as "0.31 [0.29, 0.33]", in points where it is one of shares."""
    scale = 100 if row.metric in FIGURES and FIGURES[row.metric].points else 1
    if row.difference is None:
        return ""
    difference = f"{number(row.difference * scale)}"
    if row.ci95 is None:
        return difference
    low, high = (number(each * scale) for each in row.ci95)
    return f"{difference} [{low}, {high}]"
