"""What is known about a setting: the types of its part of ``results.json``, and the table of what is shown.

``SettingFigures`` and its parts are type, JSON Schema and documentation at once. ``FIGURES`` says of each
number what it is called, where it is in them, and where it is shown; text table, page, comparison and
verification read it. A new figure is a field there and a row here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, NonNegativeInt, WithJsonSchema

from harness.measure._intervals import Floats
from harness.measure._numbers import number
from harness.measure._rows import DETECTED, TRANSPORT_ERROR
from scenarios import OBJECTIVES
from scenarios.documents import Described

if TYPE_CHECKING:
    import polars as pl

LEVELS: Final[Mapping[str, float]] = MappingProxyType({"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99})
"""The quantiles that summaries may have."""

USUAL_RESPONSES: Final = ("200", "429", "503", TRANSPORT_ERROR)
"""Always listed, so that a zero can be read."""

ESTIMATE_MARK: Final = "~"
"""Stands before a figure that is an estimate."""

Verdict = Literal["better", "worse", "equivalent", "indistinguishable"]

VERDICTS: Final[Mapping[Verdict, str]] = MappingProxyType(
    {"better": "better", "worse": "worse", "equivalent": "=", "indistinguishable": "≈"}
)
"""How verdicts are printed."""

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a setting, and every place where it is shown.

    ``read`` takes it from the setting's part of the results; None there means unknown. ``words`` name it
    where there is room, ``table`` heads its column of the text table and ``page`` that of the report (None:
    it has none; empty: it stands in the column before). ``interval`` is its 95 % interval, half of which
    stands below it in the report and in a column of its own under the heading ``spread``; ``note`` is what
    else the report says below. ``estimated``: it is
    an estimate there, and marked as one. ``verified``: a plan's prediction is held against it. ``values`` is
    given where the figure is a mean over jobs: one number per job, NaN where the job has none. Differences of
    ``points`` are of shares, and told in percentage points.
    """

    words: str
    read: Callable[[SettingFigures], float | None]
    interval: Callable[[SettingFigures], Interval | None] = lambda _: None
    values: Callable[[pl.DataFrame], Floats] | None = None
    points: bool = False
    table: str | None = None
    spread: str | None = None
    page: str | None = None
    note: Callable[[SettingFigures], str] = lambda _: ""
    estimated: Callable[[SettingFigures], bool] = lambda _: False
    verified: bool = False

    def text(self, figures: SettingFigures) -> str:
        """Return the number for people, an estimate with a mark."""
        value = self.read(figures)
        return f"{ESTIMATE_MARK if self.estimated(figures) and value is not None else ''}{number(value)}"

    def half_width(self, figures: SettingFigures) -> float | None:
        """Return half the length of the figure's interval."""
        interval = self.interval(figures)
        return None if interval is None else (interval[1] - interval[0]) / 2


def detected(jobs: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which jobs' clients learnt of the end."""
    return jobs["outcome"].is_in(DETECTED).to_numpy()


def _numbers(jobs: pl.DataFrame, column: str) -> Floats:
    """Return a column with NaN where it is unknown."""
    return jobs[column].to_numpy().astype(np.float64, copy=False)


def _where_detected(column: str) -> Callable[[pl.DataFrame], Floats]:
    """Check that a lost job has no lag and no latency."""
    return lambda jobs: np.where(detected(jobs), _numbers(jobs, column), np.nan)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1_000


def _lag_is_estimated(figures: SettingFigures) -> bool:
    return figures.detection_lag_s.basis == "interval"


def _lag_bounds(figures: SettingFigures) -> str:
    bounds = figures.detection_lag_s.bounds_mean
    return "" if bounds is None else f"in [{number(bounds[0])}, {number(bounds[1])}]"


FIGURES: Final[Mapping[str, Figure]] = MappingProxyType(
    {
        "polls_per_job": Figure(
            words="polls per job",
            read=lambda s: s.polls_per_job.mean,
            values=lambda jobs: _numbers(jobs, "polls"),
            table="polls\n/job",
            page="polls\nper job",
            interval=lambda s: s.polls_per_job.ci95,
            verified=True,
        ),
        "wasted_polls_per_job": Figure(
            words="wasted polls per job",
            read=lambda s: s.wasted_polls_per_job,
            values=lambda jobs: _numbers(jobs, "wasted_polls"),
            table="wasted\n/job",
            page="wasted\nper job",
        ),
        "detection_lag_s": Figure(
            words="mean lag, s",
            read=lambda s: s.detection_lag_s.mean,
            values=_where_detected("detection_lag_s"),
            table="lag, s\nmean",
            spread="\n±95%",
            page="mean\nlag, s",
            interval=lambda s: s.detection_lag_s.ci95,
            estimated=_lag_is_estimated,
            note=_lag_bounds,
            verified=True,
        ),
        "detection_lag_s.p95": Figure(
            words="p95 lag, s",
            read=lambda s: s.detection_lag_s.p95,
            table="\np95",
            page="p95\nlag, s",
            estimated=_lag_is_estimated,
            verified=True,
        ),
        "completion_latency_s": Figure(
            words="mean latency, s",
            read=lambda s: s.completion_latency_s.mean,
            values=_where_detected("completion_latency_s"),
            verified=True,
        ),
        "completion_latency_s.p95": Figure(
            words="p95 latency, s",
            read=lambda s: s.completion_latency_s.p95,
            table="latency\np95, s",
            page="p95\nlatency, s",
        ),
        "status_requests.per_second_mean": Figure(
            words="requests/s, mean",
            read=lambda s: s.status_requests.per_second_mean,
            table="req/s\nmean",
            page="requests/s\nmean · peak",
            verified=True,
        ),
        "status_requests.per_second_peak": Figure(
            words="requests/s, peak",
            read=lambda s: s.status_requests.per_second_peak,
            table="\npeak",
            page="",
            verified=True,
        ),
        "overhead_s.p99": Figure(
            words="overhead of polls, p99, ms",
            read=lambda s: _ms(s.overhead_s.p99),
            page="overhead\np99, ms",
            note=lambda s: "" if s.overhead_s.p50 is None else f"p50 {number(_ms(s.overhead_s.p50))}",
        ),
        "lost_jobs": Figure(
            words="lost jobs",
            read=lambda s: s.lost_jobs.n,
            table="jobs\nlost",
            page="jobs\nlost",
            note=lambda s: f"of {number(s.jobs.submitted)}" if s.lost_jobs.n else "",
        ),
        "lost_share": Figure(
            words="lost jobs, points",
            read=lambda s: s.lost_jobs.share,
            points=True,
            values=lambda jobs: (~detected(jobs)).astype(np.float64),
        ),
    }
)
"""Every number that is shown of a setting, in the order of the columns; a new one is a row here."""

COMPARED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "detection_lag_s": "mean lag",
        "polls_per_job": "polls/job",
        "completion_latency_s": "latency",
        "lost_share": "lost jobs",
    }
)
"""The figures in which settings are compared, each with a heading; all have ``values``, less is better."""


QUANTILES: Final = tuple(name for name, each in OBJECTIVES.items() if each.p is not None and each.p < 1)
"""The objectives in which settings are compared too, if a scenario has them; lost jobs as infinitely late."""


def job_values(jobs: pl.DataFrame, metric: str) -> Floats:
    """Return one number per job for a figure that is a mean over jobs, NaN where the job has none."""
    values = FIGURES[metric].values
    if values is None:
        raise ValueError(f"{metric} is no mean over jobs")
    return values(jobs)


class Part(Described, BaseModel):
    """Base of every part of the results: frozen, and nothing but what is named."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        serialize_by_alias=True,
        validate_by_alias=True,
        validate_by_name=True,
        json_schema_serialization_defaults_required=True,
    )


class JobCounts(Part):
    """Jobs by outcome; the outcomes add up to submitted."""

    submitted: NonNegativeInt
    completed: NonNegativeInt
    error: NonNegativeInt
    timeout: NonNegativeInt
    gave_up: NonNegativeInt
    censored: NonNegativeInt


class LostJobs(Part):
    """Jobs whose end was not learnt: timeout, gave_up and censored."""

    n: NonNegativeInt
    share: Annotated[float, Field(ge=0, le=1)]


class Summary(Part):
    """Of one number per job: how many are known, and their mean.

    Quantiles that the sample does not support are null.
    """

    n: NonNegativeInt
    mean: float | None
    ci95: Interval | None
    """The two-sided 95 % interval [low, high] of the mean; null where the sample allows none."""


class Expected(Part):
    """A mean freed from the luck of the run's own jobs, by the twin as control variate."""

    mean: float
    ci95: Interval


class CountSummary(Summary):
    """A summary of numbers of status requests."""

    expected: Expected | None = None
    """What such runs give on average, by the run and its twin together; null where that is unknown."""
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    quantiles_ci95: dict[Literal["p50", "p95", "p99"], Interval]
    """Distribution-free intervals of the quantiles that the sample supports."""


class TimeSummary(Summary):
    """A summary of seconds, over the n jobs whose end was learnt."""

    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    max: float | None
    quantiles_ci95: dict[Literal["p50", "p90", "p95", "p99"], Interval]
    """Distribution-free intervals of the quantiles that the sample supports."""


class LagSummary(TimeSummary):
    """A summary of detection lags.

    ``basis`` is ``interval`` where the service does not say when jobs finish: then mean and quantiles are
    estimates, there is no maximum, and no interval of a quantile.
    """

    basis: Literal["exact", "interval"] = "exact"
    bounds_mean: Interval | None = None
    """Where the mean lies for certain: between two polls of every job; null where the lags are exact."""
    unresolved_s: float | None = None
    """How far the estimated mean may lie to either side for all that the polls tell, however many jobs."""


class StatusRequests(Part):
    """The load in time, over whole visits: the drain counts, so slow finders look lighter than they are.

    There is no interval, for the number of jobs and the length of the drain vary together with the polls.
    """

    total: NonNegativeInt
    measured_s: NonNegativeFloat
    """The time of all visits, drain included."""
    per_second_mean: float | None
    """All requests divided by that time."""
    per_second_peak: NonNegativeInt
    """The most requests in any window of one second."""


class StatusLatency(Part):
    """Seconds from sending a status request to its reply."""

    n: NonNegativeInt
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


class PollOverhead(Part):
    """Seconds that replies took beyond the delay that the scenario drew for each: the instrument's own share.

    Null where it cannot be told: in virtual time, on a service that is not ours, and where polls wait for the
    service's workers.
    """

    n: NonNegativeInt
    p50: float | None
    p99: float | None
    max: float | None


class ServerTime(Part):
    """The simulator's processor time and its simulated service time; null where unknown."""

    cpu_seconds: float | None
    busy_seconds: float | None


class Limit(Part):
    """What any schedule must spend for the setting's own mean lag.

    Of measured durations there are two answers, and the truth lies between them: ``polls_at_same_lag`` is
    what schedules achieve that were fitted to one half of the sample and tried on the other, which others may
    beat; the ``bound_`` figures are the limit of the very sample, which none beats.
    """

    polls_at_same_lag: float | None
    """The fewest polls per job."""
    ratio: float | None
    """How many times that the setting spends, freed from the luck of the durations that the run drew."""
    ratio_ci95: Interval | None = None
    """Its 95 % interval; null where the jobs allow none (they wait for each other, in under four repeats)."""
    bound_polls_at_same_lag: float | None = None
    """Of measured durations: the fewest polls of any schedule for this very sample."""
    bound_ratio: float | None = None
    bound_ratio_ci95: Interval | None = None

    def text(self) -> str:
        """Return the ratio for people; of measured durations from held-out schedules to the bound."""
        if self.bound_ratio is None or self.ratio is None:
            return number(self.ratio)
        low, high = sorted((self.ratio, self.bound_ratio))
        return f"{number(low)}–{number(high)}"

    def note(self) -> str:
        """Return half its interval, or nothing."""
        intervals = [each for each in (self.ratio_ci95, self.bound_ratio_ci95) if each is not None]
        return f"± {number(max(high - low for low, high in intervals) / 2, 2)}" if intervals else ""


class Judged(Part):
    """A setting's figure held against one objective."""

    bound: Annotated[float, Field(alias="limit")]
    value: int | float | None  # a peak is a whole number, and shown as one
    met: bool | None
    """Null when too few jobs support the figure, or the polls leave open which side of the limit it is on."""
    note: str | None
    estimated: bool = False
    """Whether the value is an estimate, and the limit is met or missed by it alone."""


class SettingFigures(Part):
    """Everything that is known about one setting."""

    description: str
    """The setting in one English line."""
    jobs: JobCounts
    lost_jobs: LostJobs
    lost_jobs_ci95: Interval | None
    """The two-sided 95 % interval of the share of lost jobs; null where the sample allows none."""
    polls_per_job: CountSummary
    """Status requests per job, over all jobs."""
    wasted_polls_per_job: float | None
    """Mean status requests answered pending per job, over all jobs."""
    wasted_polls_per_job_ci95: Interval | None
    detection_lag_s: LagSummary
    """From a job's finish to its client's learning of it."""
    completion_latency_s: TimeSummary
    """From a job's planned submission to its client's learning of the end."""
    status_requests: StatusRequests
    status_latency_s: StatusLatency
    overhead_s: PollOverhead
    responses: Annotated[
        dict[str, NonNegativeInt], Field(json_schema_extra={"required": list(USUAL_RESPONSES)})
    ]
    """Replies by status code, and transport_error."""
    server: ServerTime
    limit: Limit | None
    """Null where the law of the durations is unknown."""
    objectives: dict[str, Judged]
    """The setting held against each objective."""

    @property
    def meets_objectives(self) -> bool:
        """Whether it is known to meet every objective there is."""
        return all(judged.met for judged in self.objectives.values())


class ComparisonRow(Part):
    """A setting against the baseline in one metric, on the jobs that both know it of.

    The intervals of one comparison hold together at 95 %.
    """

    setting: str
    baseline: str
    metric: Annotated[str, WithJsonSchema({"enum": [*COMPARED, *QUANTILES]})]
    difference: float | None
    ci95: Interval | None
    relative: float | None
    """The difference as a share of the baseline's mean; null where that is zero."""
    pairs: NonNegativeInt
    unpaired: NonNegativeInt
    margin: NonNegativeFloat
    """The smallest difference that matters."""
    verdict: Verdict
    reason: str | None = None
    """Why there is no verdict, or no interval."""
