"""From raw records to ``results.json`` and ``report.html``: pure functions of what is in a run's folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter

from harness.measure._basis import Basis, basis_of, residual_spread
from harness.measure._calibration import Calibration, read_calibration
from harness.measure._compare import compare_with_baseline
from harness.measure._expected import with_expected
from harness.measure._figures import Limit, SettingFigures
from harness.measure._folder import folder_of, keep_twin, load_run, load_twin, write_text
from harness.measure._frames import job_frame
from harness.measure._headroom import headroom
from harness.measure._kept import is_kept, read_json
from harness.measure._lags import lags_of
from harness.measure._metrics import job_order, setting_figures
from harness.measure._recommend import recommend
from harness.measure._report import render_report
from harness.measure._results import Check, LimitPoint, Offer, Results, ScenarioText
from harness.measure._rows import Run
from harness.measure._trust import trust_checks
from harness.measure._twin import Twin
from harness.measure._verdicts import Margins

# The trust check that holds a run against the twin, job by job.
_TWIN_CHECK: Final = "twin residual"


@dataclass(frozen=True)
class Limits:
    """What any schedule must spend, where the law of the durations is known.

    ``settings`` holds the limit at each setting's own mean lag. ``curve`` is the limit itself as (polls per
    job, mean lag in seconds); of measured durations it is what held-out schedules achieve, and ``bound`` the
    limit of the very sample. ``schedules`` are the best for each point of the limit: poll times in seconds
    since the job was accepted.
    """

    settings: Mapping[str, Limit] = field(default_factory=dict)
    curve: Sequence[tuple[float, float]] = ()
    bound: Sequence[tuple[float, float]] = ()
    schedules: Sequence[Sequence[float]] = ()


def analyse(
    run: Run,
    limits: Limits | None = None,
    twin: Twin | None = None,
    calibration: Calibration | None = None,
) -> Results:
    """Return the results of a run; raises ValueError for an objective of an unknown name.

    ``twin`` is what a live run on the simulator is held against; without it, some checks cannot pass.
    ``calibration`` says how the run's figures scatter over visits of the twin, which is believed unless a
    trust check finds that run and twin differ.
    """
    info = run.info
    twin = twin or Twin.missing("it was not asked for")
    limits = limits or Limits()
    found = job_order(run.jobs)
    jobs = {name: found.get(name, job_frame([])) for name in info.settings}
    # A run of some settings only may lack the scenario's baseline.
    baseline = info.baseline if info.baseline in info.settings else next(iter(info.settings), None)
    lags = lags_of(run)

    def figures(basis: Basis) -> dict[str, SettingFigures]:
        return {
            name: setting_figures(
                name,
                description,
                jobs[name],
                [visit for visit in run.visits if visit.setting == name],
                [polls for polls in run.polls if polls.setting == name],
                info.objectives,
                basis,
                limits.settings.get(name),
                lags.estimated.get(name) if lags else None,
                twin.overhead.get(name),
            )
            for name, description in info.settings.items()
        }

    basis = basis_of(run, calibration)
    settings = figures(basis)
    trust = trust_checks(run, settings, jobs, twin)
    if basis.kind == "twin" and (why := refuted(trust)):
        basis = basis_of(run, calibration, why)
        settings = figures(basis)
    settings = {name: with_expected(each, name, jobs[name], twin, basis) for name, each in settings.items()}
    margins = Margins.of(info.margin, residual_spread(jobs, twin, info.objectives))
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
        intervals=basis.told(),
        margin=info.margin,
        settings=settings,
        comparison=compare_with_baseline(jobs, baseline, basis, margins, info.objectives, lags),
        limit_curve=_limit_points(limits.curve, () if limits.bound else limits.schedules),
        limit_bound=_limit_points(limits.bound, limits.schedules),
        trust=trust,
        recommendation=recommend(settings, jobs, info, trust, basis),
        headroom=headroom(run),
    )


def refuted(trust: Sequence[Check]) -> str | None:
    """Return why the twin must not be believed, if it must not: the run may differ from the twin."""
    found = next((each for each in trust if each.check == _TWIN_CHECK), None)
    return f"{found.check}: {found.detail}" if found and found.status != "pass" else None


def write_report(
    folder: str | Path,
    limits: Limits | None = None,
    run: Run | None = None,
    twin: Twin | None = None,
    calibration: Calibration | None = None,
    offer: Offer | None = None,
) -> Results:
    """Make ``results.json`` and ``report.html`` from the folder's raw records; return the results.

    Limits, twin, calibration and the planner's offer are kept in the folder, so a later call without them
    gives the same files.
    ``run`` is what the folder holds, for a caller who has read it already.
    Raises RunUnusable when the records cannot be read, RunFolderError when the files cannot be written.
    """
    folder = folder_of(folder)
    kept = folder / "limits.json"
    if limits is not None:
        write_text(kept, json.dumps(_limits_json().dump_python(limits, mode="json"), allow_nan=False))
    elif is_kept(kept):
        limits = read_json(kept, _limits_json(), "not a record of limits")
    if twin is not None:
        keep_twin(folder, twin)
    else:
        twin = load_twin(folder)
    kept = folder / "plan.json"
    if offer is not None:
        write_text(kept, offer.model_dump_json(indent=1) + "\n")
    elif is_kept(kept):
        offer = read_json(kept, TypeAdapter(Offer), "not an offer of the planner's")
    run = run or load_run(folder)
    if calibration is not None:
        calibration.write(folder)
    results = analyse(run, limits, twin, calibration or read_calibration(folder))
    results = results.model_copy(update={"plan": offer})
    write_text(folder / "results.json", json.dumps(results.to_json(), indent=1, allow_nan=False) + "\n")
    write_text(folder / "report.html", render_report(results, run))
    return results


def load_results(folder: str | Path) -> Results:
    """Read ``results.json`` of a run's folder back; RunUnusable when it is missing or damaged."""
    return read_json(Path(folder) / "results.json", TypeAdapter(Results), "not a run's results")


def _limit_points(
    curve: Sequence[tuple[float, float]], schedules: Sequence[Sequence[float]]
) -> list[LimitPoint]:
    """Return the points of a limit, each with its best schedule where that is known."""
    return [
        LimitPoint(polls=polls, lag_s=lag, schedule_s=None if times is None else list(times))
        for (polls, lag), times in zip_longest(curve, schedules[: len(curve)])
    ]


@cache
def _limits_json() -> TypeAdapter[Limits]:
    return TypeAdapter(Limits)
