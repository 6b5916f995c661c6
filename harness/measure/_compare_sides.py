"""One setting in two runs: paired where they share their jobs, else as independent samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from harness.measure._basis import Basis, noise, of_visits
from harness.measure._compare import (
    Sides,
    compared,
    is_lag,
    matched,
    of_estimate,
    of_pairs,
    of_shares,
    quits,
    with_estimate,
)
from harness.measure._figures import QUANTILES, Interval, job_values
from harness.measure._intervals import (
    Estimate,
    Floats,
    Integers,
    estimate_mean,
    independent_difference,
    over_visits,
    share_difference,
)
from harness.measure._lags import Lags
from harness.measure._verdicts import Difference

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Side:
    """A setting in one run; ``lags`` where the run only estimates them."""

    setting: str
    jobs: pl.DataFrame
    basis: Basis
    lags: Lags | None

    @property
    def repeats(self) -> int:
        return int(self.jobs["repeat"].n_unique())

    def mean(self, metric: str) -> Estimate | None:
        """Return the mean of a metric."""
        if metric == "detection_lag_s" and self.lags is not None:
            found = self.lags.settings.get(self.setting)
            return found.mean if found else None
        return self.basis.mean(self.setting, metric, self.jobs)


@dataclass(frozen=True)
class Pair:
    """The same setting in a run and in its reference; ``label`` names it.

    ``residuals`` say by figure how far visits of both runs lie from the twin's, which is what their machines
    do, and ``shared`` whether a key means the same job in both.
    """

    label: str
    ours: Side
    theirs: Side
    residuals: Mapping[str, Sequence[float]]
    shared: bool

    def differences(self, objectives: Iterable[str]) -> list[Difference]:
        """Return the differences in every metric in which settings are compared."""
        found = []
        for metric in compared(objectives):
            if is_lag(metric) and (self.ours.lags or self.theirs.lags):
                if metric == "detection_lag_s":
                    found.append(self._unpaired(metric))
            elif metric in QUANTILES:
                found.append(self._of_quantiles(metric))
            else:
                found.append(self._paired(metric) if self.shared else self._unpaired(metric))
        return found

    @property
    def _independent(self) -> bool:
        return self.ours.basis.independent and self.theirs.basis.independent

    def _paired(self, metric: str) -> Difference:
        ours, theirs = self.ours.jobs, self.theirs.jobs
        a, b, repeats = matched(ours, theirs, metric)
        name, rows = self.ours.setting, len(ours) + len(theirs)
        found = of_pairs(self.label, name, metric, (a, b), rows, quits(ours, theirs))
        if found.difference is None:
            return found
        if metric == "lost_share" and self._independent:
            return replace(found, interval=partial(of_shares, a == 1, b == 1))
        return with_estimate(found, self._of_each(metric, a - b, repeats), self._note)

    def _of_each(self, metric: str, each: Floats, repeats: Integers) -> Estimate | None:
        """Return the mean of the differences of jobs."""
        if self._independent:
            return estimate_mean(each)
        by_repeats = over_visits(each, repeats)
        if by_repeats is None or by_repeats.standard_error is not None:
            return by_repeats
        return self._in_the_twin(metric, by_repeats.mean)

    def _in_the_twin(self, metric: str, difference: float) -> Estimate | None:
        """Return the difference on the same jobs, as it scatters in the twin and by what machines do."""
        ours, theirs = (side.basis.sample(side.setting, metric) for side in (self.ours, self.theirs))
        if ours is None or theirs is None:
            return None
        k = min(ours.size, theirs.size)  # visit i has the same jobs in both
        found = of_visits(difference, ours[:k] - theirs[:k], self.ours.repeats)
        if found is None or found.standard_error is None:
            return found
        machines = noise(self.residuals.get(metric, ())) * np.sqrt(2 / self.ours.repeats)
        return found._replace(standard_error=float(np.hypot(found.standard_error, machines)))

    def _unpaired(self, metric: str) -> Difference:
        ours, theirs = self.ours.mean(metric), self.theirs.mean(metric)
        estimate = independent_difference(ours, theirs) if ours and theirs else None
        reference = theirs.mean if theirs else None
        jobs = self.ours.jobs, self.theirs.jobs
        quitting = quits(*jobs)
        found = of_estimate(self.label, self.ours.setting, metric, estimate, reference, jobs, quitting)
        if metric == "lost_share":
            # Without any lost job on either side nothing is left to chance.
            return replace(found, interval=self._of_shares, spread=bool(reference or found.difference))
        return with_estimate(found, estimate, self._note)

    def _of_shares(self, level: float) -> Interval | None:
        spans, shares = [], []
        for side in (self.ours, self.theirs):
            lost = job_values(side.jobs, "lost_share")
            shares.append(float(lost.mean()))
            n = int(lost.sum())
            spans.append(side.basis.share(side.setting, "lost_share", n, lost.size, side.repeats, level))
        a, b = spans
        return share_difference(a, b, *shares) if a and b else None

    def _of_quantiles(self, name: str) -> Difference:
        sides = Sides(name, self.ours.jobs, self.theirs.jobs)
        found = sides.difference(self.label, self.ours.setting)
        if found.difference is None:
            return found
        if self._independent and self.ours.basis.kind == self.theirs.basis.kind == "jobs":
            return replace(found, interval=sides.interval)
        if self.shared:
            return with_estimate(found, self._in_the_twin(name, found.difference), self._note)
        a, b = (
            of_visits(0.0, side.basis.sample(side.setting, name), side.repeats)
            for side in (self.ours, self.theirs)
        )
        estimate = independent_difference(a, b)._replace(mean=found.difference) if a and b else None
        return with_estimate(found, estimate, self._note)

    @property
    def _note(self) -> str:
        kinds = {side.basis.kind: side.basis.note for side in (self.ours, self.theirs)}
        return kinds.get("none") or next(iter(kinds.values()))
