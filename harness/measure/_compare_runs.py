"""Comparing runs on disk, for a person at a prompt or a gate in a pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.measure._analysis import analyse, refuted
from harness.measure._basis import Basis, basis_of, residual_spread
from harness.measure._calibration import read_calibration
from harness.measure._compare_sides import Pair, Side
from harness.measure._figures import ComparisonRow
from harness.measure._folder import folder_of, load_run, load_twin
from harness.measure._kept import RunUnusable
from harness.measure._lags import lags_of
from harness.measure._metrics import job_order
from harness.measure._results import Results
from harness.measure._rows import Run
from harness.measure._twin import Twin
from harness.measure._unlike import unlike
from harness.measure._verdicts import Margins, judge, worse_settings
from scenarios import OBJECTIVES

if TYPE_CHECKING:
    import polars as pl

# Two runs share their jobs when these durations agree; live clocks read a duration to some milliseconds.
_SAME_DURATION_S: Final = 0.010
_SAME_DURATION_SHARE: Final = 0.01
_SAME_JOBS: Final = 0.95


@dataclass(frozen=True)
class RunComparison:
    """What ``compare_runs`` found; ``render_comparison`` gives it as text.

    ``rows`` are like the results' ``comparison``, and ``runs`` names the run that each belongs to. ``worse``
    names what got worse. ``note`` says in English what was compared, and how; ``differs`` in what the runs
    differ: keys of the scenario, versions, machine. ``missed`` are the objectives that were met in the
    reference and are missed.
    """

    rows: list[ComparisonRow]
    runs: list[str]
    worse: list[str]
    note: str
    differs: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """0: the same or better; 1: worse."""
        return 1 if self.worse else 0

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON-ready data: ``{note, differs, missed, worse, comparison}``."""
        rows = [
            {"run": run, **row.model_dump(mode="json")} for run, row in zip(self.runs, self.rows, strict=True)
        ]
        return {
            "note": self.note,
            "differs": self.differs,
            "missed": self.missed,
            "worse": self.worse,
            "comparison": rows,
        }


def compare_runs(
    *paths: str | Path, allow_untrusted: bool = False, force: bool = False, margin: float | None = None
) -> RunComparison:
    """Compare the settings of one run with its baseline, or the same settings across runs.

    Each path is a run's folder or a file in it. Of several runs the first is the reference, and anything that
    is worse there counts as worse, as does an objective that was met and is missed; within one run a setting
    counts as worse when it is worse than the baseline in something and better in nothing. Jobs are paired
    where the runs share them (same seed, same durations). ``margin`` is the smallest relative difference that
    matters, instead of the first run's own. Raises RunUnusable for runs that cannot be read or have no
    setting in common; unless ``force``, for runs of different experiments; and, unless ``allow_untrusted``,
    for incomplete ones and those with an invalid trust check.
    """
    if not paths:
        raise RunUnusable("nothing to compare: give at least one run")
    folders = [folder_of(path) for path in paths]
    runs = [load_run(folder) for folder in folders]
    if margin is not None:
        runs = [replace(run, info=replace(run.info, margin=margin)) for run in runs]
    calibrations = [read_calibration(folder) for folder in folders]
    twins = [load_twin(folder) for folder in folders]
    results = [
        analyse(run, twin=twin, calibration=kept)
        for run, twin, kept in zip(runs, twins, calibrations, strict=True)
    ]
    if not allow_untrusted:
        for folder, result in zip(folders, results, strict=True):
            _must_be_trusted(folder, result)
    if len(runs) == 1:
        return _within(folders[0], results[0])
    sides = []
    for folder, run, twin, kept, result in zip(folders, runs, twins, calibrations, results, strict=True):
        sides.append(_Measured(folder, run, twin, basis_of(run, kept, refuted(result.trust)), result))
    return _across(sides, force=force)


def _must_be_trusted(folder: Path, results: Results) -> None:
    for check in results.trust:
        if check.status == "invalid":
            raise RunUnusable(f"{folder}: not to be trusted: {check.check}: {check.detail}")


def _within(folder: Path, results: Results) -> RunComparison:
    if not results.comparison:
        raise RunUnusable(f"{folder}: one setting alone; there is nothing to compare it with")
    rows = results.comparison
    note = f"{folder.name}: every setting against {results.baseline}, job by job"
    return RunComparison(rows, [folder.name] * len(rows), worse_settings(rows), note)


@dataclass(frozen=True)
class _Measured:
    """A run that has been read and judged."""

    folder: Path
    run: Run
    twin: Twin | None
    basis: Basis
    results: Results

    @property
    def residuals(self) -> Mapping[str, list[float]]:
        return residual_spread(job_order(self.run.jobs), self.twin, self.run.info.objectives)


def _across(measured: Sequence[_Measured], *, force: bool) -> RunComparison:
    first, later = measured[0], measured[1:]
    reference = job_order(first.run.jobs)
    rows: list[ComparisonRow] = []
    names, notes, differs, missed, worse = [], [], [], [], []
    differences = []
    residuals = {figure: list(off) for figure, off in first.residuals.items()}
    for each in later:
        for figure, off in each.residuals.items():
            residuals.setdefault(figure, []).extend(off)
    for each in later:
        jobs = job_order(each.run.jobs)
        common = [name for name in each.run.info.settings if name in reference and name in jobs]
        if not common:
            raise RunUnusable(f"{each.folder}: no setting in common with {first.folder}")
        differs += _like_enough(each, first, several=len(measured) > 2, force=force)
        shared = share_jobs(first.run, each.run)
        how = "job by job" if shared else "as independent samples, for they have no jobs in common"
        notes.append(f"{each.folder.name} against {first.folder.name}, {how}")
        for name in common:
            label = name if len(measured) == 2 else f"{name} in {each.folder.name}"
            a, b = jobs[name], reference[name]
            if shared:
                a, b = _in_both(a, b), _in_both(b, a)
            ours = Side(name, a, each.basis, lags_of(each.run))
            theirs = Side(name, b, first.basis, lags_of(first.run))
            found = Pair(label, ours, theirs, residuals, shared).differences(each.run.info.objectives)
            differences += found
            names += [each.folder.name] * len(found)
            gone = _missed(each.results, first.results, name, shared=shared)
            missed += [f"{label}: {said}" for said in gone]
            worse += [label] if gone else []
    rows = judge(differences, Margins.of(first.run.info.margin, residuals))
    worse = [row.setting for row in rows if row.verdict == "worse"] + worse
    return RunComparison(rows, names, list(dict.fromkeys(worse)), "\n".join(notes), differs, missed)


def _in_both(jobs: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Return the jobs of the repeats that the others have too: only visits of the same jobs are paired."""
    return jobs.join(others.select("repeat").unique(), on="repeat", how="semi", maintain_order="left")


def _like_enough(ours: _Measured, theirs: _Measured, *, several: bool, force: bool) -> list[str]:
    """Return in what the runs differ; raises RunUnusable for different experiments, unless ``force``."""
    found = unlike(ours.run, theirs.run)
    if not force and (other := [each.words for each in found if each.experiment]):
        raise RunUnusable(
            f"{ours.folder}: another experiment than {theirs.folder}: {'; '.join(other)}. Compare them all "
            "the same with --force"
        )
    return [f"{ours.folder.name}: {each.words}" if several else each.words for each in found]


def _missed(ours: Results, theirs: Results, setting: str, *, shared: bool) -> list[str]:
    """Return the objectives that were met and are missed, as "p95 lag ≤ 2 s".

    Of the same jobs, that is no chance. Of others it may be, where it was a close call and is one.
    """
    now, then = ours.settings[setting].objectives, theirs.settings[setting].objectives
    gone = []
    for name, judged in now.items():
        before = then.get(name)
        if before is None or not before.met or judged.met is not False or before.bound != judged.bound:
            continue
        if not shared and before.note and judged.note and "close call" in judged.note:
            continue
        gone.append(f"{OBJECTIVES[name].words()} was within {OBJECTIVES[name].format(judged.bound)}")
    return gone


def share_jobs(ours: Run, theirs: Run) -> bool:
    """Say whether a key means the same job in both runs: same seed, and the same scenario or durations."""
    if ours.info.seed != theirs.info.seed or "own" in (ours.info.target, theirs.info.target):
        return False  # a key names an input to a foreign service, which does not work alike every day
    if ours.info.scenario.sha256 == theirs.info.scenario.sha256:
        return True
    both = _durations(ours).join(_durations(theirs), on=("repeat", "key"))
    if both.is_empty():
        return False
    a, b = both["duration_s"].to_numpy(), both["duration_s_right"].to_numpy()
    same = np.isclose(a, b, atol=_SAME_DURATION_S, rtol=_SAME_DURATION_SHARE)
    return bool(same.mean() >= _SAME_JOBS)


def _durations(run: Run) -> pl.DataFrame:
    known = run.jobs.select("repeat", "key", "duration_s").drop_nulls()
    return known.unique(("repeat", "key"), keep="first", maintain_order=True)
