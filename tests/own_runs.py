"""Simulated runs with the truth taken out, as a foreign service would leave them: the truth is the judge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from harness.measure import PollRow, Run, RunFolder, Visit, load_run
from harness.virtual import simulate
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from scenarios import Scenario

UNKNOWN = ("finished_at_s", "duration_s", "detection_lag_s")


def own_run(scenario: Scenario, folder: Path, **info: Any) -> tuple[Run, dict[str, float]]:
    """Simulate, drop the truth and read the run back; return it with each setting's true mean lag."""
    run = simulate(scenario).run
    polls: list[PollRow] = []
    for visit in scenario.visits():
        EventVisit(scenario, visit.setting, visit.repeat, Overhead(), on_poll=polls.append).run()
    known = run.jobs.drop_nulls("detection_lag_s").group_by("setting").agg(pl.col("detection_lag_s").mean())
    truth = dict(known.iter_rows())
    jobs = run.jobs.with_columns(pl.lit(None, dtype=pl.Float64).alias(name) for name in UNKNOWN)
    visits: list[Visit] = [replace(each, server=None, generator_cpu=(0.1,)) for each in run.visits]
    record = replace(run.info, engine="live", target="own", **info)
    kept = RunFolder(folder)
    kept.path.mkdir(parents=True, exist_ok=True)
    kept.write(record, visits, jobs, polls)
    return load_run(folder), truth
