"""Comparing runs on disk, for a person at a prompt or a gate in a pipeline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.measure._compare import Difference, judge, paired, unpaired, worse_settings
from harness.measure._folder import RunUnusable, folder_of, load_run
from harness.measure._metrics import JOB_METRICS, job_order
from harness.measure._results import analyse
from harness.measure._rows import Run
from harness.measure._table import render_comparison

# Two runs share their jobs when these durations agree; live clocks read a duration to some milliseconds.
SAME_DURATION_S, SAME_DURATION_SHARE = 0.010, 0.01
SAME_JOBS = 0.95


@dataclass(frozen=True)
class RunComparison:
    """What :func:`compare_runs` found.

    ``rows`` are like the results' ``comparison``, with the ``run`` they belong to. ``worse`` names what
    got worse. ``note`` says in English what was compared, and how.
    """

    rows: list[dict[str, Any]]
    worse: list[str]
    note: str

    @property
    def exit_code(self) -> int:
        """0: the same or better; 1: worse."""
        return 1 if self.worse else 0

    def render(self, width: int | None = None, *, colour: bool = False) -> str:
        """The comparison as text, as :func:`render_table` does."""
        verdict = f"Worse: {', '.join(self.worse)}." if self.worse else "Nothing is worse."
        return render_comparison(self.rows, self.note, width, colour=colour) + verdict + "\n"

    def to_json(self) -> dict[str, Any]:
        """The same as JSON-ready data: ``{note, worse, comparison}``."""
        return {"note": self.note, "worse": self.worse, "comparison": self.rows}


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
    results = [analyse(run) for run in runs]
    if not allow_untrusted:
        for folder, result in zip(folders, results, strict=True):
            _must_be_trusted(folder, result)
    if len(runs) == 1:
        return _within(folders[0], results[0])
    return _across(folders, runs)


def _must_be_trusted(folder: Path, results: Mapping[str, Any]) -> None:
    for check in results["trust"]:
        if check["status"] == "invalid":
            raise RunUnusable(f"{folder}: not to be trusted: {check['check']}: {check['detail']}")


def _within(folder: Path, results: Mapping[str, Any]) -> RunComparison:
    if not results["comparison"]:
        raise RunUnusable(f"{folder}: one setting alone; there is nothing to compare it with")
    rows = [{"run": folder.name, **row} for row in results["comparison"]]
    note = f"{folder.name}: every setting against {results['baseline']}, job by job"
    return RunComparison(rows, worse_settings(rows), note)


def _across(folders: Sequence[Path], runs: Sequence[Run]) -> RunComparison:
    reference = job_order(runs[0].jobs)
    differences: list[Difference] = []
    names: list[str] = []
    notes = []
    for folder, run in zip(folders[1:], runs[1:], strict=True):
        jobs = job_order(run.jobs)
        common = [name for name in run.info.settings if name in reference and name in jobs]
        if not common:
            raise RunUnusable(f"{folder}: no setting in common with {folders[0]}")
        shared = share_jobs(runs[0], run)
        how = "job by job" if shared else "as independent samples, for they have no jobs in common"
        notes.append(f"{folder.name} against {folders[0].name}, {how}")
        for name in common:
            label = name if len(runs) == 2 else f"{name} in {folder.name}"
            for metric in JOB_METRICS:
                difference = paired if shared else unpaired
                differences.append(difference(label, name, metric, jobs[name], reference[name]))
                names.append(folder.name)
    rows = [{"run": name, **row} for name, row in zip(names, judge(differences), strict=True)]
    worse = list(dict.fromkeys(row["setting"] for row in rows if row["verdict"] == "worse"))
    return RunComparison(rows, worse, "\n".join(notes))


def share_jobs(ours: Run, theirs: Run) -> bool:
    """Whether a key means the same job in both runs: same seed, and the same scenario or durations."""
    if ours.info.seed != theirs.info.seed:
        return False
    if ours.info.scenario.sha256 == theirs.info.scenario.sha256:
        return True
    both = pd.merge(_durations(ours), _durations(theirs), on=["repeat", "key"])
    if both.empty:
        return False
    a, b = both["duration_s_x"].to_numpy(np.float64), both["duration_s_y"].to_numpy(np.float64)
    return bool(np.isclose(a, b, atol=SAME_DURATION_S, rtol=SAME_DURATION_SHARE).mean() >= SAME_JOBS)


def _durations(run: Run) -> pd.DataFrame:
    known = run.jobs[["repeat", "key", "duration_s"]].dropna()
    return known.drop_duplicates(["repeat", "key"])
