"""Hand-made records for the tests of ``measure``: small, consistent, and changed one thing at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from harness.measure import (
    DETECTED,
    JobRow,
    Limits,
    PollRow,
    Run,
    RunInfo,
    ScenarioInfo,
    ServerCounts,
    Spread,
    Twin,
    TwinRow,
    Visit,
    VisitResiduals,
    analyse,
    job_frame,
    poll_aggregates,
)

NOTHING_LEFT = Spread(100, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
SCENARIO_TEXT = "name: sample\nsettings: {}\n"


def job(
    setting: str = "a",
    key: int = 0,
    *,
    repeat: int = 0,
    polls: int = 3,
    lag: float = 0.5,
    duration: float = 2.0,
    outcome: str = "completed",
    planned: float | None = None,
) -> JobRow:
    """A job that was submitted as planned, at ``key`` tenths of a second unless told otherwise."""
    at = key / 10 if planned is None else planned
    learnt = outcome in DETECTED
    return JobRow(
        setting=setting,
        repeat=repeat,
        key=key,
        lane=key % 4,
        planned_at_s=at,
        submitted_at_s=at,
        finished_at_s=at + duration,
        detected_at_s=at + duration + lag if learnt else None,
        duration_s=duration,
        outcome=outcome,
        polls=polls,
        wasted_polls=polls - 1 if learnt else polls,
        detection_lag_s=lag if learnt else None,
        completion_latency_s=duration + lag if learnt else None,
        sent_at_s=at,
    )


def polls_of(jobs: Sequence[JobRow], *, late: float = 0.0, latency: float = 0.010) -> list[PollRow]:
    """The polls that the jobs count, half a second apart."""
    return [
        PollRow(
            each.setting,
            each.repeat,
            each.key,
            attempt,
            each.planned_at_s + attempt / 2,
            each.planned_at_s + attempt / 2 + late,
            latency,
            "200",
        )
        for each in jobs
        for attempt in range(1, each.polls + 1)
    ]


def info_of(jobs: Sequence[JobRow], **changes: Any) -> RunInfo:
    """What a run of these jobs would say of itself."""
    settings = {name: f"the setting {name}" for name in dict.fromkeys(each.setting for each in jobs)}
    info = RunInfo(
        engine="live",
        seed=42,
        started_at="2026-01-02T03:04:05+00:00",
        environment={"python": "3.12.0", "packages": {"numpy": "2.0"}, "host_cores": 2},
        scenario=ScenarioInfo("sample", SCENARIO_TEXT, "Which one?"),
        settings=settings,
    )
    return replace(info, **changes)


def visits_of(jobs: Sequence[JobRow], duration_s: float = 100.0) -> list[Visit]:
    """Visits whose server agrees with the jobs in everything."""
    visits: dict[tuple[str, int], list[JobRow]] = {}
    for each in jobs:
        visits.setdefault((each.setting, each.repeat), []).append(each)
    return [
        Visit(
            setting=setting,
            repeat=repeat,
            index=index,
            duration_s=duration_s,
            submit_window_s=duration_s / 2,
            lanes=4,
            planned_jobs=len(mine),
            generator_cpu=(0.2,),
            generator_cpu_peak=0.4,
            server=ServerCounts(len(mine), sum(row.polls for row in mine), {}, 5.0, 1.0),
        )
        for index, ((setting, repeat), mine) in enumerate(visits.items())
    ]


def run_of(
    jobs: Sequence[JobRow],
    *,
    visits: Sequence[Visit] | None = None,
    polls: Sequence[PollRow] | None = None,
    **changes: Any,
) -> Run:
    """A run of these jobs; whatever is not given agrees with them."""
    return Run(
        info=info_of(jobs, **changes),
        visits=tuple(visits_of(jobs) if visits is None else visits),
        jobs=job_frame(jobs),
        polls=poll_aggregates(polls_of(jobs) if polls is None else polls),
    )


def twin_of_rows(jobs: Sequence[JobRow]) -> Twin:
    """A twin that did just the same, and residuals of a machine that adds 4 ms to each reply."""
    rows = job_frame(jobs).with_columns(twin=pl.lit(0, dtype=pl.Int64)).select(TwinRow._fields)
    spread = Spread(n=400, mean_s=0.004, p50_s=0.004, p99_s=0.007, tail_s=0.008, least_s=0.002, max_s=0.01)
    visits = dict.fromkeys((each.setting, each.repeat) for each in jobs)
    residuals = tuple(VisitResiduals(*visit, overhead=spread, finish=NOTHING_LEFT) for visit in visits)
    return Twin(rows, residuals, {each.setting: spread for each in jobs})


def results_of(run: Run, limits: Limits | None = None, twin: Twin | None = None) -> dict[str, Any]:
    """The run's results as results.json holds them."""
    return analyse(run, limits, twin).to_json()


def statuses(results: Mapping[str, Any]) -> dict[str, str]:
    """The status of every trust check by name."""
    return {check["check"]: check["status"] for check in results["trust"]}
