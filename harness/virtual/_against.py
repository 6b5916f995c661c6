"""A live run held against virtual time: its twins. What its rows claim is in ``_residuals``.

``measure`` judges what is found here, and keeps it in the run's folder; it has no twin of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from harness.measure import Run, Twin, TwinRow, no_twin_rows
from harness.virtual._counts import VisitTooLong
from harness.virtual._overhead import Overhead
from harness.virtual._residuals import overhead_of_settings, residuals_of, way_back
from harness.virtual._run import choose_engine, simulate
from scenarios import Scenario

if TYPE_CHECKING:
    import polars as pl

_HEALTHY: Final = Overhead(request_s=0.001, reply_s=0.001, wake_s=0.0005)
"""What a machine with time to spare adds to a request over loopback, about."""
_MACHINES: Final = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0)
"""Each twin's machine, in healthy ones: the middle of them is one."""
_SCATTER_S: Final = 0.005
_MOST_TWINS: Final = (15, 5, 1)
_MOST_POLLS: Final = {"event": 400_000, "vector": 10_000_000}
"""In all twins together: some seconds of work."""


def twin_of(
    scenario: Scenario, run: Run, polls: pl.DataFrame | None, twins: pl.DataFrame | None = None
) -> Twin:
    """Return the twins of a live run of the scenario on the simulator, and the run's residuals.

    ``polls`` has the columns of ``PollRow``; None where rows of polls were not kept. ``twins`` are those that
    another run of the same scenario was given.
    """
    jobs, reason = no_twin_rows(), "the run is incomplete"
    if run.info.incomplete is None and all(visit.complete for visit in run.visits):
        try:
            jobs, reason = _twins(scenario, run) if twins is None else twins, ""
        except (ValueError, VisitTooLong) as error:
            reason = str(error)
    residuals = tuple(residuals_of(scenario, run, polls))
    return Twin(jobs, residuals, overhead_of_settings(scenario, polls), reason)


def with_way_back(scenario: Scenario, jobs: pl.DataFrame, polls: pl.DataFrame) -> pl.DataFrame:
    """Return a live run's jobs with lags that last until their clients had read the reply.

    A reply says how long ago the job had finished when it left. When that was by the client's clock is not
    known; of the reply's round trip, what goes beyond the service's delay is taken to be half the way there
    and half the way back (F. Cristian, Probabilistic clock synchronization, Distributed Computing 3, 1989:
    the error is at most that half). Where polls wait for the service's workers, the submission's round trip
    stands for the poll's.
    """
    import polars as pl

    lag = jobs["detection_lag_s"] + way_back(scenario, jobs, polls)
    return jobs.with_columns(
        lag.alias("detection_lag_s"), (pl.col("detected_at_s") - lag).alias("finished_at_s")
    )


# -- twins ---------------------------------------------------------------------------------------------


def _twins(scenario: Scenario, run: Run) -> pl.DataFrame:
    """Return the rows of the twins, one after the other: as many as can be made in some seconds."""
    import polars as pl

    polls, engine = sum(each.total for each in run.polls), choose_engine(scenario).engine
    count = next((n for n in _MOST_TWINS if polls * n <= _MOST_POLLS[engine]), _MOST_TWINS[-1])
    names = [name for name in TwinRow._fields if name != "twin"]
    made = []
    for number in range(count):
        machine = _MACHINES[number * 3 % len(_MACHINES)] if count > 1 else 1.0
        overhead = Overhead(
            request_s=machine * _HEALTHY.request_s,
            reply_s=machine * _HEALTHY.reply_s,
            wake_s=machine * _HEALTHY.wake_s,
            # Jobs that do not touch each other do not mind who comes first, and then arrays are quicker.
            scatter_s=_SCATTER_S if engine == "event" else 0.0,
            machine=number,
        )
        jobs = simulate(scenario, only=list(run.info.settings), overhead=overhead).run.jobs
        made.append(jobs.select(pl.lit(number, dtype=pl.Int64).alias("twin"), *names))
    return pl.concat(made)
