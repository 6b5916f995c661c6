"""Comparing runs on disk, for a person at a prompt or a gate in a pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from harness.measure._analysis import analyse
from harness.measure._compare import Difference, judge, paired, unpaired, worse_settings
from harness.measure._figures import COMPARED, ComparisonRow, job_values
from harness.measure._folder import RunUnusable, folder_of, load_run, load_twin
from harness.measure._intervals import Estimate, estimate_mean, independent_difference
from harness.measure._lags import Lags, lags_of
from harness.measure._metrics import job_order
from harness.measure._results import Results
from harness.measure._rows import Run

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
    names what got worse. ``note`` says in English what was compared, and how.
    """

    rows: list[ComparisonRow]
    runs: list[str]
    worse: list[str]
    note: str

    @property
    def exit_code(self) -> int:
        """0: the same or better; 1: worse."""
        return 1 if self.worse else 0

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON-ready data: ``{note, worse, comparison}``."""
        rows = [
            {"run": run, **row.model_dump(mode="json")} for run, row in zip(self.runs, self.rows, strict=True)
        ]
        return {"note": self.note, "worse": self.worse, "comparison": rows}


def compare_runs(*paths: str | Path, allow_untrusted: bool = False) -> RunComparison:
    """Compare the settings of one run with its baseline, or the same settings across runs.

    Each path is a run's folder or a file in it. Of several runs the first is the reference, and anything that
    is worse there counts as worse; within one run a setting counts as worse when it is worse than the
    baseline in something and better in nothing. Jobs are paired where the runs share them (same seed, same
    durations). Raises RunUnusable for runs that cannot be read or have no setting in common, and, unless
    ``allow_untrusted``, for incomplete ones and those with an invalid trust check.
    """
    if not paths:
        raise RunUnusable("nothing to compare: give at least one run")
    folders = [folder_of(path) for path in paths]
    runs = [load_run(folder) for folder in folders]
    results = [analyse(run, twin=load_twin(folder)) for folder, run in zip(folders, runs, strict=True)]
    if not allow_untrusted:
        for folder, result in zip(folders, results, strict=True):
            _must_be_trusted(folder, result)
    if len(runs) == 1:
        return _within(folders[0], results[0])
    return _across(folders, runs)


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


def _across(folders: Sequence[Path], runs: Sequence[Run]) -> RunComparison:
    reference = job_order(runs[0].jobs)
    lags = [lags_of(run) for run in runs]
    differences: list[Difference] = []
    names: list[str] = []
    notes = []
    for folder, run, guessed in zip(folders[1:], runs[1:], lags[1:], strict=True):
        jobs = job_order(run.jobs)
        common = [name for name in run.info.settings if name in reference and name in jobs]
        if not common:
            raise RunUnusable(f"{folder}: no setting in common with {folders[0]}")
        shared = share_jobs(runs[0], run)
        how = "job by job" if shared else "as independent samples, for they have no jobs in common"
        notes.append(f"{folder.name} against {folders[0].name}, {how}")
        for name in common:
            label = name if len(runs) == 2 else f"{name} in {folder.name}"
            for metric in COMPARED:
                if metric == "detection_lag_s" and (guessed or lags[0]):
                    differences.append(
                        _of_estimates(label, name, (jobs[name], guessed), (reference[name], lags[0]))
                    )
                else:
                    difference = paired if shared else unpaired
                    differences.append(difference(label, name, metric, jobs[name], reference[name]))
                names.append(folder.name)
    rows = judge(differences)
    worse = dict.fromkeys(row.setting for row in rows if row.verdict == "worse")
    return RunComparison(rows, names, list(worse), "\n".join(notes))


_JobsAndLags = tuple["pl.DataFrame", Lags | None]


def _of_estimates(label: str, name: str, ours: _JobsAndLags, theirs: _JobsAndLags) -> Difference:
    """Return the difference of mean lags of two runs of which at least one only estimates them."""

    def mean(jobs: pl.DataFrame, lags: Lags | None) -> Estimate | None:
        if lags is not None:
            return lags.settings[name].mean if name in lags.settings else None
        values = job_values(jobs, "detection_lag_s")
        return estimate_mean(values[~np.isnan(values)])

    a, b = mean(*ours), mean(*theirs)
    return Difference(
        label,
        name,
        "detection_lag_s",
        independent_difference(a, b) if a and b else None,
        b.mean if b else None,
        pairs=0,
        unpaired=len(ours[0]) + len(theirs[0]),
    )


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
