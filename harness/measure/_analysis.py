"""From raw records to ``results.json`` and ``report.html``: pure functions of what is in a run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from harness.measure._compare import compare_with_baseline
from harness.measure._figures import Limit
from harness.measure._folder import folder_of, keep_twin, load_run, load_twin, read_json, write_text
from harness.measure._frames import job_frame
from harness.measure._lags import lags_of
from harness.measure._metrics import job_order, setting_figures
from harness.measure._recommend import recommend
from harness.measure._report import render_report
from harness.measure._results import LimitPoint, Results, ScenarioText
from harness.measure._rows import Run
from harness.measure._trust import trust_checks
from harness.measure._twin import Twin


@dataclass(frozen=True)
class Limits:
    """What any schedule must spend, where the law of the durations is known.

    ``settings`` holds the limit at each setting's own mean lag. ``curve`` is the limit itself as (polls per
    job, mean lag in seconds); of measured durations it is what held-out schedules achieve, and ``bound`` the
    limit of the very sample.
    """

    settings: Mapping[str, Limit] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()
    bound: Sequence[tuple[float, float]] = ()


def analyse(run: Run, limits: Limits | None = None, twin: Twin | None = None) -> Results:
    """Return the results of a run; raises ValueError for an objective of an unknown name.

    ``twin`` is what a live run on the simulator is held against; without it, some checks cannot pass.
    """
    info = run.info
    twin = twin or Twin.missing("it was not asked for")
    limits = limits or Limits()
    found = job_order(run.jobs)
    jobs = {name: found.get(name, job_frame([])) for name in info.settings}
    # A run of some settings only may lack the scenario's baseline.
    baseline = info.baseline if info.baseline in info.settings else next(iter(info.settings), None)
    lags = lags_of(run)
    estimated = lags.estimated if lags else {}
    settings = {
        name: setting_figures(
            description,
            jobs[name],
            [visit for visit in run.visits if visit.setting == name],
            [polls for polls in run.polls if polls.setting == name],
            info.objectives,
            limits.settings.get(name),
            estimated.get(name),
            twin.overhead.get(name),
        )
        for name, description in info.settings.items()
    }
    trust = trust_checks(run, settings, jobs, twin)
    return Results(
        schema_version=1,
        engine=info.engine,
        target=info.target,
        seed=info.seed,
        started_at=info.started_at,
        complete=info.incomplete is None and all(visit.complete for visit in run.visits),
        incomplete_reason=info.incomplete,
        environment=dict(info.environment),
        scenario=ScenarioText(
            name=info.scenario.name,
            question=info.scenario.question,
            sha256=info.scenario.sha256,
            text=info.scenario.text,
            traces=info.scenario.traces,
        ),
        baseline=baseline,
        objectives=dict(info.objectives),
        settings=settings,
        comparison=compare_with_baseline(jobs, baseline, lags),
        limit_curve=[LimitPoint(polls=polls, lag_s=lag) for polls, lag in limits.curve],
        limit_bound=[LimitPoint(polls=polls, lag_s=lag) for polls, lag in limits.bound],
        trust=trust,
        recommendation=recommend(settings, jobs, info.objectives, trust),
    )


def write_report(
    folder: str | Path, limits: Limits | None = None, run: Run | None = None, twin: Twin | None = None
) -> Results:
    """Make ``results.json`` and ``report.html`` from the folder's raw records; return the results.

    The limits and the twin are kept in the folder, so a later call without them gives the same files.
    ``run`` is what the folder holds, for a caller who has read it already.
    Raises RunUnusable when the records cannot be read, RunFolderError when the files cannot be written.
    """
    folder = folder_of(folder)
    kept = folder / "limits.json"
    if limits is not None:
        write_text(kept, json.dumps(_limits_json().dump_python(limits, mode="json"), allow_nan=False))
    elif kept.exists():
        limits = read_json(kept, _limits_json(), "not a record of limits")
    if twin is not None:
        keep_twin(folder, twin)
    else:
        twin = load_twin(folder)
    run = run or load_run(folder)
    results = analyse(run, limits, twin)
    write_text(folder / "results.json", json.dumps(results.to_json(), indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", render_report(results, run))
    return results


@cache
def _limits_json() -> TypeAdapter[Limits]:
    return TypeAdapter(Limits)
