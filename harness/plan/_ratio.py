"""What jobs spent under one setting, held against the limit, and how sure that ratio is.

The limit binds jobs that are all found. A client that leaves a job after L seconds sends the polls that it
would send if the job ended at L at the latest, so the bound of durations cut there holds for it, with the lag
of what it leaves counted from the finish to the leaving (0 where it left before). The bound falls with the
cut: cut at the *earliest* leaving it holds for all jobs. Where single jobs are left early, by chance (failed
reads), that says little. So the share e of clients that leave before a later cut is estimated (Kaplan and
Meier), they are charged one poll and no lag, which nobody undercuts, and the others the bound at that cut:

    polls >= e + (1 - e) * bound(lag / (1 - e))

Both hold; the greater one is taken. Polls are freed from the luck of the durations drawn, as a control
variate (A. M. Law, Simulation Modeling and Analysis, 5th ed., section 11.4): less slope times (mean duration
of these jobs - that of the distribution).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness.measure import Estimate
from harness.plan.limit import Reference, Tangent
from scenarios.draws import Floats, Integers

FEWEST_VISITS: Final = 4
"""With fewer visits of jobs that wait for each other, each of which is one observation, no error is told."""

Interval = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Spent:
    """The jobs that clients followed under one setting: one entry each, times in seconds.

    ``lag`` runs from the finish to the client's learning of it or, of a lost job, to its leaving.
    ``duration`` and ``left`` count from the sending of the submission; ``left`` is infinite where the job was
    found.
    ``gave_up`` marks jobs that were left for want of attempts or on failed reads. ``visit`` numbers the
    visits if jobs wait for each other; None: each job is an observation of its own.
    """

    polls: Floats
    lag: Floats
    duration: Floats
    left: Floats
    gave_up: NDArray[np.bool_]
    visit: Integers | None = None

    @classmethod
    def of(
        cls,
        polls: Floats,
        found_lag: Floats,
        duration: Floats,
        left: Floats,
        gave_up: NDArray[np.bool_],
        visit: Integers | None = None,
    ) -> Spent:
        """Return jobs whose ``found_lag`` is not finite where they were lost; ``left`` is read only there."""
        found = np.isfinite(found_lag)
        lag = np.where(found, np.maximum(found_lag, 0.0), np.maximum(left - duration, 0.0))
        return cls(polls, lag, duration, np.where(found, math.inf, left), gave_up & ~found, visit)

    def only(self, which: NDArray[np.bool_]) -> Spent:
        """Return these jobs."""
        visit = None if self.visit is None else self.visit[which]
        polls, lag, duration, left = (
            each[which] for each in (self.polls, self.lag, self.duration, self.left)
        )
        return Spent(polls, lag, duration, left, self.gave_up[which], visit)

    @property
    def gave_up_share(self) -> float:
        """The share of the jobs that were given up before any deadline."""
        return float(np.mean(self.gave_up)) if self.gave_up.size else 0.0


@dataclass(frozen=True)
class Ratio:
    """Polls over the ``least`` polls at the same mean lag, with the 95 % interval where one can be had."""

    least: float
    value: float
    ci95: Interval | None


def held_against(reference: Reference, jobs: Spent) -> Ratio:
    """Return the jobs' polls over the least that the reference allows for their mean lag."""
    lag = float(np.mean(jobs.lag))
    best, law, cut = _least(reference, jobs, lag)
    durations = np.minimum(jobs.duration, cut)
    polls = controlled(jobs.polls, durations, law.mean)
    value = float(np.mean(polls)) / best.polls
    # A first-order error of the mean lag moves the limit by 1 / price polls per second.
    moved = polls + jobs.lag * (value / best.cost_per_poll_s)
    interval = estimate_of(moved / best.polls, jobs.visit).interval()
    if interval is None:
        return Ratio(best.polls, value, None)
    half = (interval[1] - interval[0]) / 2.0
    return Ratio(best.polls, value, (value - half, value + half))


def _least(reference: Reference, jobs: Spent, lag_s: float) -> tuple[Tangent, Reference, float]:
    """Return the greatest of the bounds that hold, with the durations it rests on and where they are cut."""
    lost = np.isfinite(jobs.left)
    if not lost.any():
        return reference.at_lag(lag_s), reference, math.inf
    earliest = float(jobs.left.min())
    cuts = {earliest: 0.0}
    if jobs.gave_up.any():
        last = float(jobs.left[lost & ~jobs.gave_up].min(initial=math.inf))
        if last > earliest:
            cuts[last] = _left_before(jobs, last)
    found = []
    for cut, early in cuts.items():
        law = reference if math.isinf(cut) else reference.cut(cut)
        at = Tangent(1.0, math.inf) if early >= 1.0 else law.at_lag(lag_s / (1.0 - early))
        found.append((Tangent(early + (1.0 - early) * at.polls, at.cost_per_poll_s), law, cut))
    return max(found, key=lambda each: each[0].polls)


def _left_before(jobs: Spent, cut_s: float) -> float:
    """Return the share of clients that leave before this, were no job to end before (Kaplan and Meier)."""
    ended = np.minimum(jobs.left, jobs.duration + jobs.lag)
    order = np.argsort(ended, kind="stable")
    gone = jobs.left[order] < cut_s
    return 1.0 - float(np.prod(1.0 - gone / np.arange(gone.size, 0, -1)))


def _slope(values: Floats, durations: Floats) -> float:
    """Return the least-squares slope of values over durations; 0 where durations do not vary."""
    # Sums, not dot products: those start threads that spin where other processes have the cores.
    around = durations - durations.mean()
    spread = float(np.sum(around * around))
    return float(np.sum(around * values)) / spread if spread > 0.0 else 0.0


def controlled(values: Floats, durations: Floats, mean_s: float) -> Floats:
    """Return values freed from the luck of the durations, whose true mean is ``mean_s`` seconds."""
    return values - _slope(values, durations) * (durations - mean_s)


def estimate_of(values: Floats, visit: Integers | None) -> Estimate:
    """Return the mean over jobs; its error is that of independent jobs or, with ``visit``, of visits.

    The mean of visits of different lengths is a ratio of sums (W. G. Cochran, Sampling Techniques, 3rd ed.,
    section 6.4). Fewer than four visits, or one job, tell no error.
    """
    mean = float(np.mean(values))
    if visit is None:
        if values.size < 2:
            return Estimate(mean, None, 0)
        return Estimate(mean, float(np.std(values, ddof=1)) / math.sqrt(values.size), values.size - 1)
    _, number = np.unique(visit, return_inverse=True)
    sizes = np.bincount(number)
    if sizes.size < FEWEST_VISITS:
        return Estimate(mean, None, 0)
    residual = (np.bincount(number, weights=values) - mean * sizes) / sizes.mean()
    error = math.sqrt(float(np.dot(residual, residual)) / (sizes.size - 1) / sizes.size)
    return Estimate(mean, error, sizes.size - 1)
