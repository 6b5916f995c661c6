"""What the intervals of a run rest on: the twin's visits, its jobs, its repeats, or nothing.

Which it is follows from the scenario, never from the data: a screen for correlation keeps the runs in which a
queue happened to stay short, and those are the wrong ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from harness.measure._calibration import Calibration, VisitJobs
from harness.measure._figures import Interval, job_values
from harness.measure._intervals import (
    FEWEST_VISITS,
    LEVEL,
    Estimate,
    Floats,
    Integers,
    estimate_mean,
    over_visits,
    quantile,
    quantile_interval,
    share_interval,
)
from harness.measure._results import Intervals
from harness.measure._rows import Run
from harness.measure._twin import Twin
from scenarios.documents import counted

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["twin", "jobs", "repeats", "none"]

_FEWEST_KNOWN: Final = 0.5  # of the twin's visits must have a figure, for their scatter to be its scatter


@dataclass(frozen=True)
class Basis:
    """How the intervals of a run are made, and why so (``note``).

    ``twin``: from how visits of the twin scatter. ``jobs``: from the jobs, which are independent.
    ``repeats``: from the means of repeats. ``none``: not at all.
    """

    kind: Kind
    note: str
    calibration: Calibration | None = None
    independent: bool = True
    """Whether jobs of a visit are independent, as far as the scenario says."""

    def told(self) -> Intervals:
        """Return the same as the results tell it."""
        visits = self.calibration.k if self.calibration else None
        return Intervals(basis=self.kind, visits=visits, note=self.note)

    def mean(self, setting: str, figure: str, jobs: pl.DataFrame) -> Estimate | None:
        """Return the mean of a figure over those jobs that have it; None if none has."""
        values = job_values(jobs, figure)
        return self._mean(values, jobs["repeat"].to_numpy(), self.sample(setting, figure))

    def difference(
        self, setting: str, other: str, figure: str, each: Floats, repeats: Integers
    ) -> Estimate | None:
        """Return the mean of the differences ``each`` of jobs between two settings of the run."""
        return self._mean(each, repeats, self.sample_of_difference(setting, other, figure))

    def sample(self, setting: str, figure: str) -> Floats | None:
        """Return the figure in each visit of the twin, NaN where it has none; None without a twin."""
        return self.calibration.sample(setting, figure) if self.calibration and self.kind == "twin" else None

    def sample_of_difference(self, setting: str, other: str, figure: str) -> Floats | None:
        """Return the same of a difference between two settings, on the same jobs."""
        ours, theirs = self.sample(setting, figure), self.sample(other, figure)
        return None if ours is None or theirs is None else ours - theirs

    def quantile(
        self, setting: str, figure: str, ordered: Floats, p: float, repeats: int, level: float = LEVEL
    ) -> Interval | None:
        """Return the interval of a quantile of ascending values; None where nothing supports it."""
        if self.kind == "jobs":
            return quantile_interval(ordered, p, level)
        value = quantile(ordered, p) if p < 1 else float(ordered.max(initial=-np.inf))
        if value is None or np.isinf(value):
            return None
        estimate = of_visits(value, self.sample(setting, figure), repeats)
        return estimate.interval(level) if estimate else None

    def share(
        self, setting: str, figure: str, n: int, of: int, repeats: int, level: float = LEVEL
    ) -> Interval | None:
        """Return the interval of a share of jobs: Wilson's, for as many jobs as the visits are worth.

        Jobs that are lost together tell less than their number: of the twin's share p and its variance s²
        over visits follows how many independent jobs would scatter like that, p (1 - p) / s².
        """
        sample = self.sample(setting, figure)
        if self.independent or not of:
            return share_interval(n, of, level)
        if sample is None:
            return None
        p, variance = float(sample.mean()), float(sample.var(ddof=1)) / max(repeats, 1)
        worth = min(of, p * (1 - p) / variance) if variance > 0 else of
        return share_interval(n / of * worth, worth, level)

    def _mean(self, values: Floats, repeats: Integers, sample: Floats | None) -> Estimate | None:
        known = ~np.isnan(values)
        values, repeats = values[known], repeats[known]
        if self.kind == "jobs":
            return estimate_mean(values)
        if self.kind == "repeats":
            return over_visits(values, repeats)
        if not values.size:
            return None
        mean = float(values.mean())
        found = of_visits(mean, sample, np.unique(repeats).size)
        return found or Estimate(mean, None, 0)


def of_visits(value: float, sample: Floats | None, repeats: int) -> Estimate | None:
    """Return the estimate of a figure of ``repeats`` visits by how it scatters over the twin's visits."""
    if sample is None:
        return None
    known = sample[~np.isnan(sample)]
    if known.size < max(2, _FEWEST_KNOWN * sample.size):
        return None
    return Estimate(value, float(known.std(ddof=1)) / float(np.sqrt(max(repeats, 1))), known.size - 1)


def basis_of(run: Run, calibration: Calibration | None, refuted: str | None = None) -> Basis:
    """Return what a run's intervals rest on; ``refuted`` says why its twin must not be believed."""
    visits: dict[str, set[int]] = {}
    for visit in run.visits:
        visits.setdefault(visit.setting, set()).add(visit.repeat)
    repeats = min(map(len, visits.values()), default=1)
    waiting, own = run.info.waiting, run.info.target == "own"
    if calibration is not None and calibration.k and not refuted and not own:
        note = f"from how {counted(calibration.k, 'visit')} of the twin with other seeds scatter"
        note += f" ({calibration.note})" if calibration.note else ""
        return Basis("twin", note, calibration, independent=not waiting)
    why = refuted or ("" if own or calibration is None else calibration.note) or ""
    why = f"; the twin is left out, for {why}" if why else ""
    if repeats >= FEWEST_VISITS and (waiting or own):
        return Basis("repeats", f"from how the means of {repeats} repeats scatter{why}", independent=False)
    if waiting:
        remedy = f"use repeats: {FEWEST_VISITS} or more"
        why = f"{waiting}, so one visit is one observation; {remedy}{why}"
        return Basis("none", why, independent=False)
    unsure = " (only the service knows whether they wait for each other)" if own else ""
    return Basis("jobs", f"from how jobs scatter, which are taken for independent{unsure}{why}")


def residual_spread(
    jobs: Mapping[str, pl.DataFrame], twin: Twin | None, objectives: Iterable[str]
) -> dict[str, list[float]]:
    """Return, by figure, how far each visit lies from the twins' visit of the very same jobs.

    Their standard deviation is what the machine adds to a figure, from visit to visit.
    """
    if twin is None or twin.jobs.is_empty():
        return {}
    wanted = tuple(objectives)
    figures: dict[tuple[object, ...], list[dict[str, float]]] = {}
    for (_, *visit), rows in twin.jobs.partition_by("twin", "setting", "repeat", as_dict=True).items():
        figures.setdefault(tuple(visit), []).append(VisitJobs.of(rows).figures(wanted))
    found: dict[str, list[float]] = {}
    for setting, frame in jobs.items():
        for (repeat,), rows in frame.partition_by("repeat", as_dict=True).items():
            twins = figures.get((setting, repeat), ())
            for figure, value in VisitJobs.of(rows).figures(wanted).items() if twins else ():
                off = value - float(np.mean([each[figure] for each in twins]))
                if np.isfinite(off):
                    found.setdefault(figure, []).append(off)
    return found


def noise(off: Sequence[float]) -> float:
    """Return the standard deviation of such residuals; 0 where there are none to speak of."""
    return float(np.std(off, ddof=1)) if len(off) > 1 else 0.0
