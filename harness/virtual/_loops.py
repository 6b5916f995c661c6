"""Closed loops, in which rows say themselves which jobs there must be: a lane's next one follows the last."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from harness.measure import Visit
from scenarios import Closed, Scenario
from scenarios.draws import Stream, uniforms

if TYPE_CHECKING:
    import polars as pl

CLOCK_S: Final = 1e-3  # rows are in microseconds; two clock readings for one moment may differ by this


def off_loop(scenario: Scenario, visit: Visit, jobs: pl.DataFrame, polls: pl.DataFrame) -> dict[str, int]:
    """Return how many jobs of a closed loop began at another time than it plans, and how many are missing.

    A lane's job is planned for when its client has learnt of the end of the one before, or given it up, and
    has thought. A submission that was not accepted leaves no row, and is not missing.
    """
    import polars as pl

    arrivals, workload = scenario.workload.arrivals, scenario.workload
    if not isinstance(arrivals, Closed) or not visit.complete or jobs.is_empty():
        return {}
    read_at = (pl.col("sent_at_s") + pl.col("latency_s").fill_null(0.0)).max()
    told = jobs.join(polls.group_by("key").agg(read_at=read_at), on="key", how="left").sort("lane", "key")
    keys, lanes = told["key"].to_numpy(), told["lane"].to_numpy()
    planned = told["planned_at_s"].to_numpy()
    left = told.select(pl.coalesce("detected_at_s", "read_at")).to_series().to_numpy().astype(np.float64)
    free_at = left + arrivals.think.ppf(uniforms(scenario.seed, Stream.THINK, keys))

    index = keys - scenario.closed_key(visit.repeat, 0, 0)
    begins = np.append(True, lanes[1:] != lanes[:-1])
    before = np.where(begins, lanes - workload.lanes, np.roll(index, 1))
    due = np.where(begins, 0.0, np.roll(free_at, 1))
    follows = index == before + workload.lanes
    off = int((follows & ~(np.abs(planned - due) <= CLOCK_S)).sum())

    ends = np.append(begins[1:], True) & (told["outcome"] != "censored").to_numpy()
    last = zip(free_at[ends].tolist(), (index[ends] + workload.lanes).tolist(), strict=True)
    missing = int(((index - before) // workload.lanes - 1).sum())
    missing += sum(not workload.is_over(at + CLOCK_S, next_one) for at, next_one in last)
    missing += sum(not workload.is_over(0.0, lane) for lane in set(range(workload.lanes)).difference(lanes))
    missing -= sum(visit.failed_submissions.values())
    found = {
        "a job that began at another time than its lane was free": off,
        "a job that its lane must have begun, and no row": missing,
    }
    return {words: n for words, n in found.items() if n > 0}
