"""The runs in the reports folder: newest first, by name where a RUN is asked for, and as a page."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.padding import Padding
from rich.text import Text

from harness._refusal import UNUSABLE, Refusal
from harness.measure import Page, Results, RunUnusable, headline, load_results, read_bytes
from scenarios import reports_folder
from scenarios.documents import DocumentError, counted, is_there, printable

_LATEST: Final = re.compile(r"latest(?:~(\d{1,6}))?")
"""The newest run, or that many before it."""

_RECORD: Final = "run.json"
_MOST_RECORD: Final = 64 << 20
"""More bytes than a record has."""
_STAMP: Final = re.compile(r"-(\d{8}T\d{6}Z)(?:-(\d{1,6}))?$")
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class ListedRun:
    """A folder among the reports: what is known of a run, or in ``fault`` why nothing is.

    ``name`` is what stands for it where a RUN is asked for, next to its folder; None where it is no run, or
    not in the folder that such names are of.
    """

    folder: Path
    name: str | None
    results: Results | None
    fault: str | None = None

    @property
    def started_at(self) -> datetime | None:
        """When it was started, if that is known."""
        return _moment(self.results.started_at) if self.results else None

    @property
    def when(self) -> str:
        """The same for people, to the minute."""
        at = self.started_at
        return f"{at:%Y-%m-%d %H:%M} UTC" if at else ""

    @property
    def trust(self) -> str:
        """What became of the checks, in a few words."""
        if self.results is None:
            return ""
        seen = [check.status for check in self.results.trust]
        for status, words in (("invalid", "invalid"), ("warn", "with a warning")):
            if count := seen.count(status):  # type: ignore[arg-type]
                return f"{count} of {counted(len(seen), 'check')} {words}"
        return f"{len(seen)} of {counted(len(seen), 'check')} passed"

    @property
    def verdict(self) -> str:
        """The recommendation in a few words."""
        if self.results is None:
            return ""
        return headline(self.results) if self.results.complete else "incomplete"

    def to_json(self) -> dict[str, Any]:
        """Return the same as JSON-ready data."""
        found = self.results
        return {
            "run": self.name,
            "folder": str(self.folder),
            "scenario": found and found.scenario.name,
            "started_at": found and found.started_at,
            "engine": found and found.engine,
            "target": found and found.target,
            "complete": found and found.complete,
            "setting": found and found.recommendation.setting,
            "verdict": self.verdict or None,
            "trust": found and found.worst_status,
            "checks": self.trust or None,
            "fault": self.fault,
        }


def runs_in(reports: Path, *, named: bool = True) -> list[ListedRun]:
    """Return what lies in the reports folder, newest first; what cannot be read has its fault instead.

    ``named`` says whether it is the folder whose runs are called ``latest`` and so on; others have no names.
    Raises ``Refusal`` where the folder itself cannot be read; one that is not there has no runs.
    """
    found, runs = [], 0
    for folder in _newest_first(reports):
        name, is_run = None, has_file(folder, _RECORD)
        if is_run and named:
            name, runs = "latest" + (f"~{runs}" if runs else ""), runs + 1
        found.append(_listed(folder, name, is_run))
    return found


def _listed(folder: Path, name: str | None, is_run: bool) -> ListedRun:
    try:
        return ListedRun(folder, name, load_results(folder))
    except RunUnusable as error:
        fault = str(error)
    if not is_run:
        fault = f"no {_RECORD} in it: no run, or one that is under way or never finished"
    elif not is_there(folder / "results.json"):
        fault = f"no report of it yet; make one: python -m harness report {name or shlex.quote(str(folder))}"
    return ListedRun(folder, name, None, fault)


def render_runs(runs: Sequence[ListedRun], width: int | None = None, *, colour: bool = False) -> str:
    """Return the list as text: two lines for a run, its name first; without results, why."""
    page = Page(width, colour=colour)
    indent = max(len(f"{run.name}  ") if run.name else 2 for run in runs)
    for run in runs:
        lead = f"{run.name or '':<{indent}}" if any(each.name for each in runs) else ""
        page.print(Text(f"{lead}{printable(run.folder.name)}", "bold"), soft_wrap=True)
        if run.results is None:
            said = Text(printable(run.fault or ""), "red")
        else:
            what = f"{run.results.scenario.name}, {run.results.engine}, {run.when}"
            said = Text(f"{what}: {run.verdict}; {run.trust}")
        page.print(Padding(said, (0, 0, 0, indent)))
    return page.text()


def run_called(word: str) -> Path:
    """Return the folder that is meant: ``latest``, ``latest~2`` or a path, and a path that is there wins.

    Raises ``Refusal`` where there are not so many runs.
    """
    path = Path(word)
    called = _LATEST.fullmatch(word)
    if called is None or is_there(path):
        return path
    try:
        reports = reports_folder()
    except DocumentError as error:
        raise Refusal(str(error), UNUSABLE) from error
    back = int(called[1] or 0)
    runs = [folder for folder in _newest_first(reports) if has_file(folder, _RECORD)]
    if back >= len(runs):
        raise Refusal(f"{word}: {printable(str(reports))} holds {counted(len(runs), 'run')}", UNUSABLE)
    return runs[back]


def has_file(folder: Path, name: str) -> bool:
    """Say whether a folder has such a regular file; one that may not be looked into has none."""
    try:
        return (folder / name).is_file()
    except OSError:
        return False


def are_named(reports: Path) -> bool:
    """Say whether ``latest`` and the like stand for the runs of this folder."""
    with suppress(DocumentError, OSError):
        return os.path.realpath(reports) == os.path.realpath(reports_folder())
    return False


def _newest_first(reports: Path) -> list[Path]:
    """Return the folders by their start: what the record says, else the name, else the folder's date."""
    try:
        folders = [each for each in reports.iterdir() if each.is_dir() and not each.name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise Refusal(f"cannot read {reports}: {error.strerror}", UNUSABLE) from error
    return sorted(folders, key=_age, reverse=True)


def _age(folder: Path) -> tuple[datetime, int, str]:
    stamp, at = _STAMP.search(folder.name), None
    with suppress(OSError, ValueError, LookupError, TypeError, RecursionError):
        at = _moment(json.loads(read_bytes(folder / _RECORD, _MOST_RECORD))["info"]["started_at"])
    if at is None and stamp:
        at = _moment(stamp[1])
    if at is None:
        with suppress(OSError, ValueError, OverflowError):
            at = datetime.fromtimestamp(folder.stat().st_mtime, UTC)
    return at or _LONG_AGO, int(stamp[2] or 1) if stamp else 0, folder.name


def _moment(text: str) -> datetime | None:
    """Return a moment that is written in ISO 8601, in UTC; None where it is none."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
