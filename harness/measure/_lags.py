"""Lags on a service that does not say when its jobs finished: bounds, and an estimate.

Of such a job it is known that it had not finished when its last ``pending`` poll was sent, and had when the
reply arrived that told its end. These bounds are exact. The estimate takes the time from submission to finish
to follow one law under every setting, and finds it from all jobs (``_turnbull.smoothed``): there, a job is
taken to have been looked at in the middle of a poll's round trip, and lost jobs count as longer than their
last look. A setting's mean lag is then that of R - E[finish | what is known of the job], R the moment of
learning.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from harness.measure._figures import LEVELS, LagSummary, detected
from harness.measure._intervals import Estimate, Floats, supports
from harness.measure._rows import Run
from harness.measure._turnbull import PiecewiseLaw, Times, cells_of, smoothed
from scenarios.draws import Integers, Stream, uniforms

if TYPE_CHECKING:
    import polars as pl

_RESAMPLES: Final = 100
_RESAMPLES_OF_MANY: Final = 40
_MANY: Final = 5_000  # rows
_FEWEST_JOBS: Final = 20
"""With fewer jobs a resampling says little about what other jobs would have given."""
_EXACT_S: Final = 1e-6  # the resolution of the records
_POINTS: Final = 64  # of a job's law
_MOST_POINTS: Final = 500_000


@dataclass(frozen=True, eq=False)
class Looks:
    """What is known of the finish of every job of a run, in seconds since its submission.

    ``certain`` bounds it for sure; ``likely`` is what the estimate uses. ``waited`` is when the client learnt
    of the end (NaN: it did not), and ``job`` tells jobs apart: the same number is the same key and repeat.
    """

    setting: NDArray[np.str_]
    job: Integers
    waited: Floats
    certain: Times
    likely: Times

    @classmethod
    def of(cls, jobs: pl.DataFrame, resolution_s: float) -> Looks:
        """Read them off the jobs of a run on an own service; see ``Run`` for the columns."""

        def since_sent(column: str) -> Floats:
            if column not in jobs.columns:  # a run that was not read from its folder has no polls
                return np.full(len(jobs), np.nan)
            return (jobs[column] - jobs["sent_at_s"]).to_numpy().astype(np.float64)

        learnt = detected(jobs)
        waited = np.where(learnt, since_sent("detected_at_s"), np.nan)
        upper = np.where(learnt, np.nan_to_num(waited), np.inf)
        certain = _ordered(np.nan_to_num(since_sent("pending_at_s")), upper)
        named = since_sent("finished_at_s")
        known = learnt & ~np.isnan(named)
        low = np.where(known, np.fmax(named - max(resolution_s, _EXACT_S), certain.lower), certain.lower)
        high = np.where(known, np.fmin(named + resolution_s, certain.upper), certain.upper)
        fits = known & (low < high)  # else the service's clock contradicts the polls, which are believed
        certain = _chosen(fits, Times(low, high), certain)
        until = np.where(
            learnt, np.fmin(np.nan_to_num(since_sent("seen_ended_s"), nan=np.inf), upper), np.inf
        )
        seen = _ordered(np.nan_to_num(since_sent("seen_pending_s")), until)
        numbers = np.unique(jobs.select("repeat", "key").to_numpy(), axis=0, return_inverse=True)[1]
        return cls(
            setting=jobs["setting"].cast(str).to_numpy(),
            job=numbers.ravel().astype(np.int64),
            waited=waited,
            certain=certain,
            likely=_chosen(fits, certain, seen),
        )


def _ordered(lower: Floats, upper: Floats) -> Times:
    lower = np.maximum(lower, 0.0)
    return Times(lower, np.maximum(upper, lower + _EXACT_S))


def _chosen(which: NDArray[np.bool_], ours: Times, others: Times) -> Times:
    return Times(np.where(which, ours.lower, others.lower), np.where(which, ours.upper, others.upper))


@dataclass(frozen=True, eq=False)
class SettingLags:
    """The lags of one setting: the estimate of their mean, and their law as a sample of equal weights.

    ``nearest`` and ``farthest`` are the same sample with every finish as late and as early as it may be
    without making what was seen any less likely. ``most`` are the certain upper bounds of jobs. All ascend.
    ``exact`` says that the service named every finish.
    """

    exact: bool
    mean: Estimate
    sample: Floats
    nearest: Floats
    farthest: Floats
    most: Floats

    def summary(self) -> LagSummary:
        """Return the figures of an estimate, as the results hold them. Quantiles have no intervals."""
        bounds = (0.0, float(self.most.mean()))
        interval = self.mean.interval()
        quantiles = {name: self.quantile(self.sample, p) for name, p in LEVELS.items()}
        return LagSummary(
            basis="interval",
            n=self.most.size,
            mean=self.mean.mean,
            ci95=None if interval is None else (max(interval[0], 0.0), min(interval[1], bounds[1])),
            bounds_mean=bounds,
            unresolved_s=self.mean.unresolved,
            **quantiles,
            max=None,
            quantiles_ci95={},
        )

    def quantile(self, lags: Floats, p: float, lost: int = 0) -> float | None:
        """Return the p-quantile of one of the samples, ``lost`` jobs counted as infinitely late."""
        jobs = self.most.size + lost
        if not supports(p, jobs):
            return None
        rank = p * (jobs - 1) / max(self.most.size - 1, 1)
        return float("inf") if rank > 1 else float(np.quantile(lags, rank))


class Lags:
    """The lags of a run on an own service that does not name (all of) its jobs' finishes."""

    def __init__(self, looks: Looks, seed: int) -> None:
        self._looks = looks
        self._seed = seed

    @cached_property
    def law(self) -> PiecewiseLaw:
        """The estimated law of the time from submission to finish."""
        return self._fitted[0]

    @cached_property
    def settings(self) -> Mapping[str, SettingLags]:
        """What is known of every setting that learnt of any job's end."""
        return {
            name: self._setting(name) for name in dict.fromkeys(self._looks.setting) if self._of(name).any()
        }

    @property
    def estimated(self) -> Mapping[str, SettingLags]:
        """Those whose finishes are not all named."""
        return {name: each for name, each in self.settings.items() if not each.exact}

    def of_setting(self, setting: str, jobs: int) -> Floats:
        """Return a lag for each of the setting's ``jobs``, spread as estimated; NaN for lost ones."""
        sample = self.settings[setting]
        shares = (np.arange(sample.most.size) + 0.5) / sample.most.size
        return np.append(np.quantile(sample.sample, shares), np.full(jobs - sample.most.size, np.nan))

    def difference(self, setting: str, other: str) -> Estimate | None:
        """Return the mean lag of a setting less another's, with what the polls leave open of both."""
        if setting not in self.settings or other not in self.settings:
            return None
        shares = self._shares(setting) - self._shares(other)
        means = np.array([self._mean(setting, *each) - self._mean(other, *each) for each in self._resampled])
        whole = self.settings[setting].mean.mean - self.settings[other].mean.mean
        return self._estimate(whole, means, np.abs(shares))

    def _of(self, setting: str) -> NDArray[np.bool_]:
        return np.asarray((self._looks.setting == setting) & ~np.isnan(self._looks.waited))

    @cached_property
    def _fitted(self) -> tuple[PiecewiseLaw, tuple[float, ...]]:
        return smoothed(self._looks.likely)

    @cached_property
    def _cells(self) -> Floats:
        return cells_of(self._looks.likely)

    @cached_property
    def _resampled(self) -> list[tuple[PiecewiseLaw, Floats]]:
        """The laws of resampled jobs, each with how often it counts every row; jobs are drawn whole."""
        number = int(self._looks.job.max()) + 1
        if number < _FEWEST_JOBS:
            return []
        rows = self._looks.job.size
        found = []
        for n in range(_RESAMPLES_OF_MANY if rows > _MANY else _RESAMPLES):
            u = uniforms(self._seed, Stream.RESAMPLE, np.arange(number), n)
            times = np.bincount((u * number).astype(np.int64), minlength=number)
            weights = times[self._looks.job].astype(np.float64)
            if np.isfinite(self._looks.likely.upper[weights > 0]).any():
                found.append((smoothed(self._looks.likely, weights, self._fitted[1])[0], weights))
        return found

    def _mean(self, setting: str, law: PiecewiseLaw, weights: Floats) -> float:
        looks = self._looks
        which = self._of(setting) & (weights > 0)
        if not which.any():
            return float("nan")
        finish = law.mean_within(looks.likely.lower[which], looks.likely.upper[which])
        return float(np.average(looks.waited[which] - finish, weights=weights[which]))

    def _shares(self, setting: str) -> Floats:
        """Return how the finishes of a setting's jobs are spread over the cells: the mean of their laws."""
        which, cells, likely = self._of(setting), self._cells, self._looks.likely
        low = np.searchsorted(cells, likely.lower[which])
        high = np.searchsorted(cells, likely.upper[which])
        reached = self.law.cdf(cells)
        each = 1 / (reached[high] - reached[low]) / which.sum()
        over = np.cumsum(np.bincount(low, each, cells.size) - np.bincount(high, each, cells.size))
        return np.diff(reached) * over[:-1]

    def _estimate(self, mean: float, resampled: Floats, shares: Floats) -> Estimate:
        """Return an estimate; finishes may lie anywhere in their cells, which moves it by half of each."""
        unresolved = float(shares @ np.diff(self._cells)) / 2
        known = resampled[~np.isnan(resampled)]
        if known.size < 2:
            return Estimate(mean, None, 0, unresolved)
        return Estimate(mean, float(known.std(ddof=1)), known.size - 1, unresolved)

    def _setting(self, setting: str) -> SettingLags:
        looks, which = self._looks, self._of(setting)
        mean = self._mean(setting, self.law, np.ones(looks.job.size))
        resampled = np.array([self._mean(setting, *each) for each in self._resampled])
        lower, upper, waited = looks.likely.lower[which], looks.likely.upper[which], looks.waited[which]
        points = int(np.clip(_MOST_POINTS // which.sum(), 1, _POINTS))
        low, high = self.law.cdf(lower)[:, np.newaxis], self.law.cdf(upper)[:, np.newaxis]
        u = low + (high - low) * (np.arange(points) + 0.5) / points
        finish = np.clip(self.law.ppf(u), lower[:, np.newaxis], upper[:, np.newaxis])
        cell = np.clip(np.searchsorted(self._cells, finish, side="left"), 1, self._cells.size - 1)

        def lags(finishes: Floats) -> Floats:
            return np.sort(np.maximum(waited[:, np.newaxis] - finishes, 0.0), axis=None)

        certain = looks.certain.upper[which] - looks.certain.lower[which]
        return SettingLags(
            exact=bool((certain <= 2 * _EXACT_S).all()),
            mean=self._estimate(mean, resampled, self._shares(setting)),
            sample=lags(finish),
            nearest=lags(self._cells[cell]),
            farthest=lags(self._cells[cell - 1]),
            most=np.sort(waited - looks.certain.lower[which]),
        )


def lags_of(run: Run) -> Lags | None:
    """Return the lags of a run that leaves finishes unknown; None where all are known, or none ended."""
    if run.info.target == "simulator":
        return None
    learnt = run.jobs.filter(detected(run.jobs))
    if learnt.is_empty() or (not run.info.finish_resolution_s and not learnt["finished_at_s"].has_nulls()):
        return None
    return Lags(Looks.of(run.jobs, run.info.finish_resolution_s), run.info.seed)
