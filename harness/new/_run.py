"""``new --from RUN``: a model of the service that a run polled."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from harness._refusal import UNUSABLE, Refusal
from harness.measure import TRANSPORT_ERROR, Observed, RunUnusable, observe, percent
from harness.new._draft import Draft
from harness.new._pieces import quoted

_QUANTILES: Final = 2000
_LONGEST_NAME: Final = 64
_COPIED: Final = ("workload", "settings", "objectives", "baseline")


def from_run(folder: str | Path) -> Draft:
    """Return a model of the service that a run polled, with the run's own workload and settings.

    Raises ``Refusal`` when the run cannot be read, or shows no job's end.
    """
    try:
        seen = observe(folder, _QUANTILES)
    except RunUnusable as error:
        raise Refusal(str(error), UNUSABLE) from error
    info = seen.run.info
    original = yaml.safe_load(info.scenario.text)
    if not isinstance(original, dict):
        raise Refusal(f"{folder}: its scenario.yaml holds no scenario", UNUSABLE)
    name = f"{info.scenario.name[: _LONGEST_NAME - len('-model')]}-model"
    file = f"{name}.csv"
    faults, unsaid = _faults(seen.failures)
    parts = [
        f"name: {name}",
        f"question: {quoted(f'What does the service that {Path(folder).name} polled look like?')}",
        f"seed: {info.seed}",
        "",
        *_durations(seen, file),
        f"  error_rate: {seen.error_rate:.6g}   # share of the ended jobs that ended in error",
        "service:",
        "  # What its replies took, in the column delay_s; submissions are answered like status requests.",
        f"  delay: {{type: trace, file: {quoted(file)}, column: delay_s}}"
        if seen.latencies_s.size
        else "  delay: null",
        *faults,
        *unsaid,
        "  # Hints (Retry-After) are not in a run's records: if the service sends them, add retry_after.",
        "",
        "# As they were run.",
        yaml.safe_dump({key: original[key] for key in _COPIED if key in original}, sort_keys=False),
        *_commented(info.scenario.text, "target"),
    ]
    return Draft(name, "\n".join(parts).rstrip() + "\n", {file: _table(seen)})


def _durations(seen: Observed, file: str) -> list[str]:
    how = (
        "an estimate: the service does not say when jobs finish, only polls tell"
        if seen.estimated
        else "from the finishes that the service told"
    )
    lines = [f"# {_QUANTILES} quantiles of the time from submission to finish; {how}."]
    if seen.longer > 0:
        lines.append(f"# {percent(seen.longer)} of the jobs took longer than they were watched; cut there.")
    return [*lines, "job:", f"  duration: {{type: trace, file: {quoted(file)}, column: duration_s}}"]


def _faults(failures: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Return the faults as YAML, and comments on failures that no fault can stand for."""
    lines, unsaid = [], []
    for response, rate in failures.items():
        if response == TRANSPORT_ERROR:
            lines.append(f"    - {{fault: CONNECTION_RESET_BY_PEER, rate: {rate:.6g}}}   # no proper reply")
        elif response.isdigit() and 400 <= int(response) <= 599:
            limit = "   # was it a limit? then write rate_limit: {rate: N, burst: N} instead"
            said = limit if response == "429" else ""
            lines.append(f"    - {{status: {response}, rate: {rate:.6g}}}{said}")
        else:
            unsaid.append(f"  # {percent(rate)} of the status requests got {response}, and told nothing.")
    return (["  faults:   # shares of the status requests", *lines] if lines else []), unsaid


def _table(seen: Observed) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns: dict[str, Any] = {"duration_s": seen.durations_s}
    if seen.latencies_s.size:
        columns["delay_s"] = seen.latencies_s
    writer.writerow(columns)
    writer.writerows([f"{value:.6f}" for value in row] for row in zip(*columns.values(), strict=True))
    return text.getvalue()


def _commented(text: str, key: str) -> list[str]:
    """Return a part of a scenario file as comments, as it was written."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    for name, value in root.value if isinstance(root, yaml.MappingNode) else ():
        if name.value == key:
            last = value.end_mark.line + (value.end_mark.column > 0)
            lines = text.splitlines()[name.start_mark.line : last]
            said = "# What was polled; without these marks `run` polls it again, within its limits."
            return [said, *(f"# {each}" for each in lines)]
    return []
