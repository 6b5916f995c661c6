"""What the rows of a visit or a setting add up to while they still come in: sums and histograms, no rows.

Adding a message costs some microseconds for its arrays, whoever looks, and it takes as much room for ten jobs
as for ten million.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from harness.live._messages import Rows
from harness.measure import TRANSPORT_ERROR
from harness.virtual import reply_delays
from scenarios import Scenario

Overheads = Callable[[Rows], NDArray[np.float64]]
"""Tells by how many seconds replies took longer than was drawn: of some polls of a message."""

_SAMPLE: Final = 100  # polls of a message that are held against their delays: what takes time here
_FINEST_S: Final = 1e-6
_GROWTH: Final = math.log(1.001)  # of the logarithm, from one bucket to the next
_BUCKETS: Final = 1 + math.ceil(math.log(1e9 / _FINEST_S) / _GROWTH)


def overheads_of(scenario: Scenario) -> Overheads | None:
    """Return what holds replies against the delays drawn for them; None where nobody can."""
    delays = None if scenario.target is not None else reply_delays(scenario.simulation)
    if delays is None:
        return None

    def overheads(rows: Rows) -> NDArray[np.float64]:
        polls = rows.polls
        some = np.flatnonzero(~polls.is_word("response", TRANSPORT_ERROR))
        some = some[:: 1 + some.size // _SAMPLE]
        key, attempt, latency = (polls.column(name)[some] for name in ("key", "attempt", "latency_s"))
        return latency - delays(key, attempt)

    return overheads


@dataclass(frozen=True)
class Figures:
    """What is known so far; what no job has told yet is None. Times are seconds.

    lost: jobs that ended without that their clients learnt it. polls_per_job: of jobs that have ended. lag:
    from a job's end until the reply left that told it; the p95 is right to a thousandth of itself.
    requests_per_s: status requests, on average. overhead_p99_s: what replies took beyond the delay that was
    drawn for them. late_mean_s: how much later than planned polls were sent.
    """

    submitted: int = 0
    ended: int = 0
    lost: int = 0
    polls: int = 0
    polls_per_job: float | None = None
    lag_mean_s: float | None = None
    lag_p95_s: float | None = None
    requests_per_s: float | None = None
    overhead_p99_s: float | None = None
    late_mean_s: float | None = None


class LiveFigure(NamedTuple):
    """How a figure of ``Figures`` is shown: to people by ``title``, to other programs by ``metric``.

    unit: of its value, empty for a plain number. grows: whether it is a count that only grows.
    """

    title: str
    metric: str
    words: str
    unit: str = ""
    grows: bool = False


LIVE_FIGURES: Final[Mapping[str, LiveFigure]] = MappingProxyType(
    {
        "submitted": LiveFigure("Jobs submitted", "jobs.submitted", "Jobs that the service took", grows=True),
        "ended": LiveFigure("Ended", "jobs.ended", "Jobs that are no longer polled", grows=True),
        "lost": LiveFigure("Lost", "jobs.lost", "Jobs whose end their clients did not learn", grows=True),
        "polls": LiveFigure("Polls", "polls", "Status requests", grows=True),
        "polls_per_job": LiveFigure("Polls per job", "polls.per_job", "Status requests of a job, on average"),
        "lag_mean_s": LiveFigure(
            "Mean lag",
            "detection_lag.mean",
            "From a job's end until the reply left that told it, on average",
            "s",
        ),
        "lag_p95_s": LiveFigure("p95 lag", "detection_lag.p95", "The same, of 95 % of the jobs at most", "s"),
        "requests_per_s": LiveFigure("Polls/s", "polls.per_second", "Status requests a second, on average"),
        "overhead_p99_s": LiveFigure(
            "p99 overhead",
            "overhead.p99",
            "Replies' time beyond the service's delay, of 99 % at most",
            "s",
        ),
        "late_mean_s": LiveFigure("Sent late by", "lateness.mean", "Polls' lateness, on average", "s"),
    }
)
"""Every figure that is shown while a run goes on: on pages, by ``/backoff/metrics``, over OpenTelemetry."""


class SoFar:
    """Sums over rows; ``elapsed_s``, the seconds in which they were measured, is its holder's to set."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0
        self._counts = np.zeros(5, dtype=np.int64)  # submitted, ended, learnt, polls, polls of ended jobs
        self._late_s = 0.0
        self._lags, self._overheads = Histogram(), Histogram()

    def add(self, rows: Rows, overheads: Overheads | None = None) -> None:
        """Count one message's rows."""
        jobs, polls = rows.jobs, rows.polls
        learnt = int(np.isfinite(jobs.column("detected_at_s")).sum())
        of_ended = int(jobs.column("polls").sum())
        self._counts += (rows.submitted, len(jobs), learnt, len(polls), of_ended)
        self._late_s += float(np.nansum(polls.column("sent_at_s") - polls.column("planned_at_s")))
        self._lags.add(jobs.column("detection_lag_s"))
        if overheads is not None:
            self._overheads.add(overheads(rows))

    def merged(self, other: Self) -> Self:
        """Return the sums of both."""
        both = type(self)()
        both.elapsed_s = self.elapsed_s + other.elapsed_s
        both._counts = self._counts + other._counts
        both._late_s = self._late_s + other._late_s
        both._lags = self._lags.merged(other._lags)
        both._overheads = self._overheads.merged(other._overheads)
        return both

    def figures(self) -> Figures:
        """Return what the rows tell."""
        submitted, ended, learnt, polls, of_ended = self._counts.tolist()
        return Figures(
            submitted=submitted,
            ended=ended,
            lost=ended - learnt,
            polls=polls,
            polls_per_job=of_ended / ended if ended else None,
            lag_mean_s=self._lags.mean(),
            lag_p95_s=self._lags.quantile(0.95),
            requests_per_s=polls / self.elapsed_s if self.elapsed_s else None,
            overhead_p99_s=self._overheads.quantile(0.99),
            late_mean_s=self._late_s / polls if polls else None,
        )


class Histogram:
    """A histogram of seconds whose buckets grow by a thousandth, after HdrHistogram's idea."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0
        self._buckets: NDArray[np.int64] | None = None  # none before the first value
        self._quantiles: dict[float, float] = {}  # that were asked for since the last value

    def add(self, values: NDArray[np.float64]) -> None:
        """Count these values, but for those that are not known (NaN)."""
        values = values[np.isfinite(values)]
        if not values.size:
            return
        places = np.log(np.maximum(values, _FINEST_S) / _FINEST_S) / _GROWTH
        found = np.bincount(np.minimum(places.astype(np.int64), _BUCKETS - 1), minlength=_BUCKETS)
        self._quantiles.clear()
        self._sum += float(values.sum())
        self._count += values.size
        self._buckets = found if self._buckets is None else self._buckets + found

    def merged(self, other: Histogram) -> Histogram:
        """Return the histogram of both."""
        both = Histogram()
        both._sum, both._count = self._sum + other._sum, self._count + other._count
        known = [each._buckets for each in (self, other) if each._buckets is not None]
        both._buckets = sum(known[1:], known[0]) if known else None
        return both

    def mean(self) -> float | None:
        """Return the mean of the values, exactly; None without any."""
        return self._sum / self._count if self._count else None

    def quantile(self, q: float) -> float | None:
        """Return what ``numpy.quantile`` would, with each value in the middle of its bucket."""
        if self._buckets is None or q in self._quantiles:
            return self._quantiles.get(q)
        rank = q * (self._count - 1)
        ends = np.cumsum(self._buckets)
        places = np.searchsorted(ends, [math.floor(rank), math.ceil(rank)], side="right")
        low, high = (_FINEST_S * math.exp((int(place) + 0.5) * _GROWTH) for place in places)
        self._quantiles[q] = low + (rank - math.floor(rank)) * (high - low)
        return self._quantiles[q]
