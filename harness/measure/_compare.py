"""Comparisons that use what the jobs have in common.

Every random draw is keyed by the job, so job 17 needs the same work under every setting: differences are
taken job by job (common random numbers; Law, section 11.2), which removes the jobs' own spread from them.
The intervals of one comparison hold *together* at 95 % (Bonferroni: each at 1 - 5 %/m for m intervals).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from harness.measure._basis import Basis, of_visits
from harness.measure._figures import (
    COMPARED,
    QUANTILES,
    ComparisonRow,
    Interval,
    job_values,
)
from harness.measure._intervals import (
    Estimate,
    Floats,
    Integers,
    paired_share_interval,
    quantile,
    quantile_interval,
)
from harness.measure._lags import Lags
from harness.measure._numbers import too_few
from harness.measure._objectives import LOST_SHARE_ALLOWED, with_lost_jobs
from harness.measure._verdicts import Difference, Margins, judge
from scenarios import OBJECTIVES

if TYPE_CHECKING:
    import polars as pl

FEWEST_PAIRS: Final = 20
"""With fewer jobs a mean says little of what other jobs would give, whatever its interval."""

_NO_SPREAD: Final = 1e-9  # of the reference: what rounding leaves of differences that are all the same

Mask = NDArray[np.bool_]


def compared(objectives: Iterable[str]) -> list[str]:
    """Return the names of what settings are compared in: the usual figures, and objectives' quantiles."""
    return [*COMPARED, *(name for name in objectives if name in QUANTILES)]


def compare_with_baseline(
    jobs: Mapping[str, pl.DataFrame],
    baseline: str | None,
    basis: Basis,
    margins: Margins,
    objectives: Iterable[str] = (),
    lags: Lags | None = None,
) -> list[ComparisonRow]:
    """Compare every other setting with the baseline, in every metric; ``lags`` by their estimates."""
    if baseline is None or baseline not in jobs:
        return []
    differences = []
    for name in jobs:
        for metric in compared(objectives):
            if name == baseline:
                continue
            if lags is not None and is_lag(metric):
                if metric == "detection_lag_s":
                    differences.append(_estimated(name, baseline, lags, basis, jobs))
            elif metric in QUANTILES:
                differences.append(_of_quantiles(name, baseline, metric, basis, jobs))
            else:
                differences.append(paired(name, baseline, metric, basis, jobs[name], jobs[baseline]))
    return judge(differences, margins)


def is_lag(metric: str) -> bool:
    """Return whether a figure is made of detection lags."""
    return metric == "detection_lag_s" or (metric in OBJECTIVES and OBJECTIVES[metric].figure == "lag")


def paired(
    setting: str, baseline: str, metric: str, basis: Basis, ours: pl.DataFrame, theirs: pl.DataFrame
) -> Difference:
    """Return the mean difference over jobs that both have a value for; both frames in (repeat, key) order."""
    a, b, repeats = matched(ours, theirs, metric)
    found = of_pairs(setting, baseline, metric, (a, b), len(ours) + len(theirs), quits(ours, theirs))
    if found.difference is None:
        return found
    estimate = basis.difference(setting, baseline, metric, a - b, repeats)
    if metric == "lost_share" and (basis.independent or (estimate and estimate.standard_error == 0)):
        return replace(found, interval=partial(of_shares, a == 1, b == 1))
    return with_estimate(found, estimate, basis.note)


def of_pairs(
    setting: str, baseline: str, metric: str, values: tuple[Floats, Floats], rows: int, quits: bool = False
) -> Difference:
    """Return the difference of the means of paired values, still without an interval, of so many rows."""
    a, b = values
    each = a - b
    mean = float(b.mean()) if b.size else None
    reason = None
    if a.size < FEWEST_PAIRS:
        reason = f"{a.size} pairs are too few; {FEWEST_PAIRS} are needed"
    return Difference(
        setting,
        baseline,
        metric,
        float(each.mean()) if a.size else None,
        mean,
        lambda _level: None,
        pairs=int(a.size),
        unpaired=rows - 2 * int(a.size),
        reason=reason,
        spread=bool(a.size) and bool(np.ptp(each) > _NO_SPREAD * max(abs(mean or 0.0), 1e-3)),
        quits=quits,
    )


def with_estimate(found: Difference, estimate: Estimate | None, note: str) -> Difference:
    """Return the difference with an estimate's interval; without any spread there is nothing to judge by."""
    error = estimate.standard_error if estimate else None
    if estimate is None or error is None:
        return replace(found, reason=found.reason or note, spread=False)
    still = error <= _NO_SPREAD * max(abs(found.reference or 0.0), 1e-3) and not estimate.unresolved
    if still:
        why = "every job differs by the same amount, so there is no spread to judge by"
        return replace(found, reason=found.reason or why, spread=False)
    return replace(found, interval=estimate.interval, spread=True)


def of_shares(ours: Mask, theirs: Mask, level: float) -> Interval | None:
    """Return the interval of the difference of the shares of the same jobs that count here and there."""
    both, none = int((ours & theirs).sum()), int((~ours & ~theirs).sum())
    return paired_share_interval(both, int((ours & ~theirs).sum()), int((~ours & theirs).sum()), none, level)


def _estimated(
    setting: str, baseline: str, lags: Lags, basis: Basis, jobs: Mapping[str, pl.DataFrame]
) -> Difference:
    """Return the difference of estimated mean lags: no job's own lag is known, so there are no pairs."""
    ours, theirs = jobs[setting], jobs[baseline]
    reference = lags.settings.get(baseline)
    estimate = lags.difference(setting, baseline) if basis.kind != "none" else None
    mean = reference.mean.mean if reference else None
    found = of_estimate(
        setting, baseline, "detection_lag_s", estimate, mean, (ours, theirs), quits(ours, theirs)
    )
    return with_estimate(found, estimate, basis.note)


def of_estimate(
    setting: str,
    baseline: str,
    metric: str,
    estimate: Estimate | None,
    reference: float | None,
    jobs: tuple[pl.DataFrame, pl.DataFrame],
    quits: bool,
) -> Difference:
    """Return a difference that was estimated without pairs, still without an interval."""
    few = min(map(len, jobs))
    return Difference(
        setting,
        baseline,
        metric,
        estimate.mean if estimate else None,
        reference,
        lambda _level: None,
        pairs=0,
        unpaired=sum(map(len, jobs)),
        reason=f"{too_few(few)}; {FEWEST_PAIRS} are needed" if few < FEWEST_PAIRS else None,
        quits=quits,
    )


def _of_quantiles(
    setting: str, baseline: str, name: str, basis: Basis, jobs: Mapping[str, pl.DataFrame]
) -> Difference:
    """Return the difference of the quantiles that an objective bounds, lost jobs as infinitely late.

    Where jobs are independent, each quantile has its own interval between order statistics, and the
    difference lies between those at half the error each: safe, and about 40 % too wide.
    """
    ours, theirs = jobs[setting], jobs[baseline]
    sides = Sides(name, ours, theirs)
    found = sides.difference(setting, baseline)
    if found.reason:
        return found
    if basis.kind == "jobs":
        return replace(found, interval=sides.interval)
    sample = basis.sample_of_difference(setting, baseline, name)
    estimate = of_visits(found.difference or 0.0, sample, ours["repeat"].n_unique())
    return with_estimate(found, estimate, basis.note)


class Sides:
    """The figure of an objective, on two sides: a quantile in which lost jobs are infinitely late."""

    def __init__(self, objective: str, ours: pl.DataFrame, theirs: pl.DataFrame) -> None:
        self._objective = OBJECTIVES[objective]
        self._p = self._objective.p or 0.5
        part = self._objective.result[0]
        self._ordered = with_lost_jobs(ours, part), with_lost_jobs(theirs, part)
        self._quits = quits(ours, theirs)

    def difference(self, setting: str, baseline: str) -> Difference:
        """Return it, still without an interval."""
        values = [quantile(each, self._p) for each in self._ordered]
        few, (a, b) = min(each.size for each in self._ordered), values
        reason = None
        if a is None or b is None:
            reason = f"{too_few(few)} for {self._objective.statistic}"
        elif few < FEWEST_PAIRS:
            reason = f"{too_few(few)}; {FEWEST_PAIRS} are needed"
        elif np.isinf(a) or np.isinf(b):
            reason = "so many jobs were lost that the figure is infinite"
        known = a is not None and b is not None and np.isfinite(a) and np.isfinite(b)
        return Difference(
            setting,
            baseline,
            self._objective.name,
            a - b if known and a is not None and b is not None else None,
            b if b is not None and np.isfinite(b) else None,
            lambda _level: None,
            pairs=0,
            unpaired=sum(each.size for each in self._ordered),
            reason=reason,
            spread=reason is None,
            quits=self._quits,
        )

    def interval(self, level: float) -> Interval | None:
        """Return the interval of the difference of quantiles of independent jobs."""
        half = (1 + level) / 2
        ours, theirs = (quantile_interval(each, self._p, half) for each in self._ordered)
        if ours is None or theirs is None or np.isinf(ours[1]) or np.isinf(theirs[1]):
            return None
        return ours[0] - theirs[1], ours[1] - theirs[0]


def quits(ours: pl.DataFrame, theirs: pl.DataFrame) -> bool:
    """Return whether so many more jobs are lost than by the reference that other figures are no gain."""
    lost = [float(job_values(each, "lost_share").mean()) if len(each) else 1.0 for each in (ours, theirs)]
    return lost[0] > lost[1] + LOST_SHARE_ALLOWED


def matched(ours: pl.DataFrame, theirs: pl.DataFrame, metric: str) -> tuple[Floats, Floats, Integers]:
    """Return the metric of jobs that both frames know it of, in the order of ``ours``, and their repeats."""
    both = _keyed(ours, metric).join(_keyed(theirs, metric), on=("repeat", "key"), maintain_order="left")
    a, b, repeats = (both[name].to_numpy() for name in ("value", "value_right", "repeat"))
    known = ~(np.isnan(a) | np.isnan(b))
    return a[known], b[known], repeats[known]


def _keyed(jobs: pl.DataFrame, metric: str) -> pl.DataFrame:
    return jobs.select("repeat", "key").with_columns(value=job_values(jobs, metric))
