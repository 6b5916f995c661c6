"""``results.json``: everything that is known about a run, made of its raw records alone."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from harness.measure._compare import compare_with_baseline
from harness.measure._folder import RunUnusable, folder_of, load_run, write_text
from harness.measure._metrics import job_order, setting_metrics
from harness.measure._objectives import judge_objectives
from harness.measure._recommend import recommend
from harness.measure._report import render_report
from harness.measure._rows import Run, job_frame
from harness.measure._trust import trust_checks

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Limits:
    """What any schedule must spend, where the law of the durations is known.

    ``settings`` maps a setting to ``{"polls_at_same_lag": ..., "ratio": ...}``: the fewest polls per job that
    any schedule needs for the setting's own mean lag, and how many times that the setting spends. ``curve``
    is the limit itself as (polls per job, mean lag in seconds).
    """

    settings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()


def analyse(run: Run, limits: Limits | None = None) -> dict[str, Any]:
    """The results of a run as JSON-ready data, as ``results.schema.json`` describes them."""
    info = run.info
    found = job_order(run.jobs)
    jobs = {name: found.get(name, job_frame([])) for name in info.settings}
    # A run of some settings only may lack the scenario's baseline.
    baseline = info.baseline if info.baseline in info.settings else next(iter(info.settings), None)
    settings = {}
    for name, description in info.settings.items():
        visits = [visit for visit in run.visits if visit.setting == name]
        polls = [each for each in run.polls if each.setting == name]
        figures = setting_metrics(description, jobs[name], visits, polls)
        figures["objectives"] = judge_objectives(info.objectives, jobs[name], figures)
        if limits and name in limits.settings:
            figures["limit"] = dict(limits.settings[name])
        settings[name] = figures
    trust = trust_checks(run, settings, jobs)
    return {
        "schema_version": SCHEMA_VERSION,
        "engine": info.engine,
        "seed": info.seed,
        "started_at": info.started_at,
        "complete": info.incomplete is None and all(visit.complete for visit in run.visits),
        "incomplete_reason": info.incomplete,
        "environment": dict(info.environment),
        "scenario": {
            "name": info.scenario.name,
            "question": info.scenario.question,
            "sha256": info.scenario.sha256,
            "text": info.scenario.text,
        },
        "baseline": baseline,
        "objectives": dict(info.objectives),
        "settings": settings,
        "comparison": compare_with_baseline(jobs, baseline),
        "limit_curve": [{"polls": polls, "lag_s": lag} for polls, lag in limits.curve] if limits else [],
        "trust": trust,
        "recommendation": recommend(settings, jobs, info.objectives, trust),
    }


def write_report(folder: str | Path, limits: Limits | None = None) -> dict[str, Any]:
    """Make ``results.json`` and ``report.html`` from the folder's raw records; return the results.

    The limits are kept in the folder as ``limits.json``, so a later call without them gives the same files.
    Raises RunUnusable when the records cannot be read, RunFolderError when the files cannot be written.
    """
    folder = folder_of(folder)
    kept = folder / "limits.json"
    if limits is not None:
        raw = {"settings": {name: dict(each) for name, each in limits.settings.items()}}
        write_text(kept, json.dumps(raw | {"curve": list(limits.curve)}, allow_nan=False))
    elif kept.exists():
        limits = _load_limits(kept)
    run = load_run(folder)
    results = analyse(run, limits)
    write_text(folder / "results.json", json.dumps(results, indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", render_report(results, run))
    return results


def results_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``results.json``."""
    text = files("harness.measure").joinpath("results.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def _load_limits(path: Path) -> Limits:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        return Limits(raw["settings"], [(polls, lag) for polls, lag in raw["curve"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunUnusable(f"{path}: not a record of limits ({error!r})") from error
