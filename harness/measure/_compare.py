"""Comparisons that use what the jobs have in common.

Every random draw is keyed by the job, so job 17 needs the same work under every setting: differences are
taken job by job (common random numbers; Law, section 11.2), which removes the jobs' own spread from them.
The intervals of one comparison hold *together* at 95 % (Bonferroni: each at 1 - 5 %/m for m intervals), so
a verdict is simply whether the interval excludes zero, and identical settings are rarely told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness.measure._figures import COMPARED, FIGURES, ComparisonRow, Verdict, job_values
from harness.measure._intervals import LEVEL, Estimate, Floats, estimate_difference, estimate_mean
from harness.measure._lags import Lags
from harness.measure._numbers import number, percent

if TYPE_CHECKING:
    import polars as pl


class Difference(NamedTuple):
    """A setting's mean less its reference's, before the verdict. ``pairs`` is 0 for unpaired samples."""

    setting: str
    baseline: str
    metric: str
    estimate: Estimate | None
    reference: float | None
    pairs: int
    unpaired: int


def compare_with_baseline(
    jobs: Mapping[str, pl.DataFrame], baseline: str | None, lags: Lags | None = None
) -> list[ComparisonRow]:
    """Compare every other setting with the baseline, in every metric; ``lags`` by their estimates."""
    if baseline is None or baseline not in jobs:
        return []
    return judge(
        estimated(name, baseline, lags, frame, jobs[baseline])
        if lags is not None and metric == "detection_lag_s"
        else paired(name, baseline, metric, frame, jobs[baseline])
        for name, frame in jobs.items()
        if name != baseline
        for metric in COMPARED
    )


def paired(setting: str, baseline: str, metric: str, ours: pl.DataFrame, theirs: pl.DataFrame) -> Difference:
    """Return the mean difference over jobs that both have a value for; both frames in (repeat, key) order."""
    a, b = matched(ours, theirs, metric)
    return Difference(
        setting,
        baseline,
        metric,
        estimate_mean(a - b),
        float(b.mean()) if b.size else None,
        pairs=int(a.size),
        unpaired=len(ours) + len(theirs) - 2 * int(a.size),
    )


def estimated(
    setting: str, baseline: str, lags: Lags, ours: pl.DataFrame, theirs: pl.DataFrame
) -> Difference:
    """Return the difference of estimated mean lags: no job's own lag is known, so there are no pairs."""
    reference = lags.settings.get(baseline)
    return Difference(
        setting,
        baseline,
        "detection_lag_s",
        lags.difference(setting, baseline),
        reference.mean.mean if reference else None,
        pairs=0,
        unpaired=len(ours) + len(theirs),
    )


def matched(ours: pl.DataFrame, theirs: pl.DataFrame, metric: str) -> tuple[Floats, Floats]:
    """Return the metric of the jobs that both frames know it of, in the order of ``ours``."""
    both = _keyed(ours, metric).join(_keyed(theirs, metric), on=("repeat", "key"), maintain_order="left")
    a, b = both["value"].to_numpy(), both["value_right"].to_numpy()
    known = ~(np.isnan(a) | np.isnan(b))
    return a[known], b[known]


def _keyed(jobs: pl.DataFrame, metric: str) -> pl.DataFrame:
    return jobs.select("repeat", "key").with_columns(value=job_values(jobs, metric))


def unpaired(
    setting: str, baseline: str, metric: str, ours: pl.DataFrame, theirs: pl.DataFrame
) -> Difference:
    """Return the difference of the means of two runs that have no jobs in common (Welch)."""
    a, b = job_values(ours, metric), job_values(theirs, metric)
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    mean = float(b.mean()) if b.size else None
    return Difference(setting, baseline, metric, estimate_difference(a, b), mean, 0, int(a.size + b.size))


def judge(differences: Iterable[Difference]) -> list[ComparisonRow]:
    """Return the differences with intervals that hold together, and verdicts; less is better everywhere."""
    rows = list(differences)
    # A difference without any spread (say, no lost jobs on either side) leaves nothing to chance.
    judged = sum(bool(row.estimate and row.estimate.standard_error) for row in rows)
    level = 1 - (1 - LEVEL) / max(judged, 1)
    return [_judged(row, level) for row in rows]


def _judged(row: Difference, level: float) -> ComparisonRow:
    difference = row.estimate.mean if row.estimate else None
    interval = row.estimate.interval(level) if row.estimate else None
    verdict: Verdict = "indistinguishable"
    if interval is not None and interval[1] < 0:
        verdict = "better"
    elif interval is not None and interval[0] > 0:
        verdict = "worse"
    return ComparisonRow(
        setting=row.setting,
        baseline=row.baseline,
        metric=row.metric,
        difference=difference,
        ci95=interval,
        relative=difference / row.reference if difference is not None and row.reference else None,
        pairs=row.pairs,
        unpaired=row.unpaired,
        verdict=verdict,
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


def change(row: ComparisonRow) -> str:
    """Return a difference in the most telling form: relative, or absolute where the reference is nothing."""
    if row.difference is None:
        return "–"
    if FIGURES[row.metric].points:
        points = row.difference * 100
        return f"{points:+.3g} points" if points else "0"
    if row.relative is None:
        return f"{'+' if row.difference > 0 else ''}{number(row.difference)}"
    return percent(row.relative, sign=True)
