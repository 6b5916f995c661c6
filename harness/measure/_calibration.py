"""How the figures of a visit scatter: those of visits of the twin, each on other jobs.

Where jobs wait for each other, one visit is one observation, however many jobs it has, and no formula over
its jobs tells how far another visit would lie from it. The twin is an exact model of the run's plan, so it is
asked: ``k`` visits of the very scenario, length and settings with other seeds. With s the standard deviation
of a figure over these, the figure of a run of R repeats has the interval

    figure ± t(0.975, k - 1) * s / sqrt(R)

and a difference to another setting the same with the s of the visits' differences, for all settings meet the
same jobs in visit i. What is estimated is what a run of so many jobs from an empty service gives on average
(a terminating simulation: A. M. Law, Simulation Modeling and Analysis, 5th ed., 9.4).

The measuring room only reads this; ``harness.virtual.calibrate`` makes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter

from harness.measure._figures import LEVELS, CountSummary, TimeSummary, detected, job_values
from harness.measure._folder import write_text
from harness.measure._frames import MOST_SECONDS
from harness.measure._intervals import Floats
from harness.measure._kept import is_kept, read_json
from scenarios import OBJECTIVES

if TYPE_CHECKING:
    import polars as pl

Values = Sequence[float | None]

_FILE: Final = "calibration.json"
_DIGITS: Final = 7  # of what is kept: a visit's figure is not known better
_QUANTILES: Final[Mapping[str, list[str]]] = {
    figure: [level for level in LEVELS if level in kind.model_fields]
    for figure, kind in (
        ("polls_per_job", CountSummary),
        ("detection_lag_s", TimeSummary),
        ("completion_latency_s", TimeSummary),
    )
}


@dataclass(frozen=True)
class Calibration:
    """Figures of ``k`` visits of the twin: by setting and figure, a value for each visit (None: it has none).

    Visit i of every setting has the same jobs. ``note`` says why there are fewer visits than
    usual, or none.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    k: int
    settings: Mapping[str, Mapping[str, Values]] = field(default_factory=dict)
    note: str | None = None

    def __post_init__(self) -> None:
        """Raise ValueError where a figure has another number of visits than it says, or no figure's size."""
        if any(len(values) != self.k for figures in self.settings.values() for values in figures.values()):
            raise ValueError(f"not {self.k} values for each figure")
        every = (each for figures in self.settings.values() for values in figures.values() for each in values)
        if any(each is not None and abs(each) > MOST_SECONDS for each in every):
            raise ValueError(f"a number beyond {MOST_SECONDS:.3g}, which no run has")

    def sample(self, setting: str, figure: str) -> Floats | None:
        """Return the figure in each visit, NaN where it has none; None for what was not simulated."""
        values = self.settings.get(setting, {}).get(figure)
        return None if values is None else np.array([np.nan if each is None else each for each in values])

    def mean(self, setting: str, figure: str) -> float | None:
        """Return what the figure is on average over the visits."""
        sample = self.sample(setting, figure)
        return None if sample is None or np.isnan(sample).all() else float(np.nanmean(sample))

    def write(self, folder: Path) -> None:
        """Keep it in a run's folder; raises RunFolderError."""
        write_text(folder / _FILE, _json().dump_json(self).decode() + "\n")


def read_calibration(folder: Path) -> Calibration | None:
    """Return what a run's folder keeps; None if nothing. Raises RunUnusable for a damaged file."""
    path = folder / _FILE
    return read_json(path, _json(), "not a calibration") if is_kept(path) else None


@dataclass(frozen=True)
class VisitJobs:
    """The jobs of one visit, an entry for each: seconds are NaN where the end was not learnt."""

    polls: Floats
    wasted: Floats
    lag: Floats
    latency: Floats
    lost: NDArray[np.bool_]
    peak: float = np.nan
    """Status requests in the busiest second."""

    @classmethod
    def of(cls, jobs: pl.DataFrame, peak: float = np.nan) -> VisitJobs:
        """Read them off rows."""
        polls, wasted, lag, latency = (
            job_values(jobs, name)
            for name in ("polls_per_job", "wasted_polls_per_job", "detection_lag_s", "completion_latency_s")
        )
        return cls(polls, wasted, lag, latency, ~detected(jobs), peak)

    def figures(self, objectives: Sequence[str]) -> dict[str, float]:
        """Return means, shares and quantiles as ``FIGURES`` names them, and those of objectives by theirs.

        Against an objective a lost job counts as infinitely late; elsewhere it has no lag and no latency.
        """
        columns = {
            "polls_per_job": self.polls,
            "wasted_polls_per_job": self.wasted,
            "detection_lag_s": self.lag,
            "completion_latency_s": self.latency,
            "lost_share": self.lost.astype(np.float64),
        }
        found: dict[str, float] = {}
        for name, values in columns.items():
            known = values[~np.isnan(values)]
            found[name] = float(known.mean()) if known.size else np.nan
            for level in _QUANTILES.get(name, ()):
                found[f"{name}.{level}"] = float(np.quantile(known, LEVELS[level])) if known.size else np.nan
        for name in objectives:
            objective = OBJECTIVES[name]
            if objective.p is None:
                part, _ = objective.result
                found[name] = self.peak if objective.statistic == "peak" else found[part]
            else:
                found[name] = self._worst(columns[objective.result[0]], objective.p)
        return found

    def _worst(self, seconds: Floats, p: float) -> float:
        """Return the p-quantile with lost jobs as infinitely late."""
        late = np.where(self.lost, np.inf, seconds)
        late = late[~np.isnan(late)]
        if not late.size:
            return float("inf")
        # The higher of two neighbours, for between a number and infinity there is nothing.
        return float(np.quantile(late, p, method="higher" if np.isinf(late).any() else "linear"))


def table(visits: Sequence[Mapping[str, Mapping[str, float]]]) -> dict[str, dict[str, list[float | None]]]:
    """Return the figures of visits, by setting and figure each, as ``Calibration`` keeps them."""
    return {
        setting: {figure: [_kept(each[setting][figure]) for each in visits] for figure in figures}
        for setting, figures in (visits[0].items() if visits else ())
    }


def _kept(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


@cache
def _json() -> TypeAdapter[Calibration]:
    return TypeAdapter(Calibration)
