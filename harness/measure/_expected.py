"""How many polls such runs take on average, freed from the luck of this run's jobs: a control variate.

The twin tells two things: what visits on other jobs take on average, and what this very run's jobs take
without a machine. The run's difference to the latter is what the machine, and whatever else is no part of the
model, does; it is added to the former (A. M. Law, Simulation Modeling and Analysis, 5th ed., 11.4):

    mean over K visits of the twin  +  mean over jobs of (run - twin)

Its error is that of both, s / sqrt(K) and that of the mean difference of jobs. The run's own queue, bursts
and durations cancel, so it is several times as sharp as the mean itself. Lags and latencies are left out: run
and twin agree to milliseconds for most jobs and differ by a whole interval for a few, which so few jobs do
not tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure._basis import Basis, of_visits
from harness.measure._compare import FEWEST_PAIRS, matched
from harness.measure._figures import Expected, SettingFigures
from harness.measure._intervals import Estimate, estimate_mean
from harness.measure._twin import Twin

if TYPE_CHECKING:
    import polars as pl

_POLLS: Final = "polls_per_job"
_MOST_UNPAIRED: Final = 0.01
"""Of the jobs: those that only one of the two has, or found, are a matter of luck."""


def expected_polls(setting: str, jobs: pl.DataFrame, twin: Twin, basis: Basis) -> Estimate | None:
    """Return what such runs take on average; None without a twin that is believed, or with few of its jobs.

    jobs: those of the run under this setting. The twin is its first, which has no machine.
    """
    import polars as pl

    sample = basis.sample(setting, _POLLS)
    if sample is None or twin.jobs.is_empty():
        return None
    mine = twin.jobs.filter((pl.col("twin") == 0) & (pl.col("setting") == setting))
    a, b, _ = matched(jobs, mine, _POLLS)
    unpaired = max(len(jobs), len(mine)) - a.size
    if a.size < FEWEST_PAIRS or unpaired > _MOST_UNPAIRED * a.size:
        return None
    ideal, machine = of_visits(float(np.nanmean(sample)), sample, sample.size), estimate_mean(a - b)
    if ideal is None or machine is None or ideal.standard_error is None or machine.standard_error is None:
        return None
    error = float(np.hypot(ideal.standard_error, machine.standard_error))
    return Estimate(ideal.mean + machine.mean, error, ideal.degrees)


def with_expected(
    figures: SettingFigures, setting: str, jobs: pl.DataFrame, twin: Twin, basis: Basis
) -> SettingFigures:
    """Return the figures of a setting with what is expected beside what was measured."""
    estimate = expected_polls(setting, jobs, twin, basis)
    interval = estimate.interval() if estimate else None
    if estimate is None or interval is None:
        return figures
    expected = Expected(mean=estimate.mean, ci95=interval)
    polls = figures.polls_per_job.model_copy(update={"expected": expected})
    return figures.model_copy(update={"polls_per_job": polls})
