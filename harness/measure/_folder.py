"""A run's folder on disk: raw records are written first, and everything else is made from them.

Raw are ``scenario.yaml``, ``jobs.csv``, ``arrivals.csv`` (when each submission was sent), ``polls.csv`` (or
``polls.json``, for reduced polls) and ``run.json``;
``results.json`` and ``report.html`` can be made again at any time.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, NonNegativeInt, TypeAdapter, ValidationError
from pydantic_core import to_jsonable_python

from harness.measure._rows import (
    JOB_COLUMNS,
    JOB_KEY,
    OUTCOMES,
    POLL_COLUMNS,
    JobRow,
    Lateness,
    PollAggregate,
    PollRow,
    Run,
    RunInfo,
    Visit,
    aggregates_of_frame,
    job_frame,
    poll_frame,
    typed_frame,
)

_FORMAT: Final = 1
_DECIMALS: Final = 6  # Microseconds: finer than any clock involved, and it keeps the files readable.


_Value = TypeVar("_Value")


class RunFolderError(OSError):
    """The folder of a run cannot be made or written; the message is one line and names the path."""


class RunUnusable(ValueError):
    """A run cannot be read or compared; the message is one line and names the file and the fault."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; :meth:`create` makes a new one, :meth:`write` fills it with raw records."""

    path: Path

    @classmethod
    def create(cls, reports_root: str | Path, scenario_name: str, now: datetime) -> RunFolder:
        """Make ``<root>/<scenario>-<UTC YYYYMMDDTHHMMSSZ>``, with ``-2``, ``-3``... where that is taken.

        ``now`` must know its time zone. Raises RunFolderError when the folder cannot be made, and ValueError
        when the scenario's name cannot be part of a file name.
        """
        if not re.fullmatch(r"\w[\w.-]*", scenario_name):
            raise ValueError(
                f"scenario name {scenario_name!r} cannot name a folder: use letters, digits, '.', '_' and '-'"
            )
        if now.tzinfo is None:
            raise ValueError("now must know its time zone, for example datetime.now(UTC)")
        stem = f"{scenario_name}-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
        root = Path(reports_root)
        number = 1
        while True:
            path = root / (stem if number == 1 else f"{stem}-{number}")
            try:
                root.mkdir(parents=True, exist_ok=True)
                path.mkdir()  # Making it is the test that it was free: no two runs can share one.
            except FileExistsError:
                if not root.is_dir():
                    raise RunFolderError(f"cannot make {path}: {root} is not a folder") from None
                number += 1
            except OSError as error:
                raise RunFolderError(f"cannot make {path}: {error.strerror or error}") from error
            else:
                return cls(path)

    def write(
        self,
        info: RunInfo,
        visits: Sequence[Visit],
        jobs: Sequence[JobRow] | pd.DataFrame,
        polls: Sequence[PollRow] | Sequence[PollAggregate] | pd.DataFrame,
    ) -> None:
        """Write the raw records, each file at once or not at all; ``run.json`` comes last.

        Raises RunFolderError when a file cannot be written, ValueError when a frame lacks a column.
        """
        jobs = typed_frame(jobs, JOB_COLUMNS) if isinstance(jobs, pd.DataFrame) else job_frame(jobs)
        write_text(self.path / "scenario.yaml", info.scenario.text)
        write_text(self.path / "jobs.csv", _csv(jobs.drop(columns="sent_at_s")))
        write_text(self.path / "arrivals.csv", _csv(jobs[[*JOB_KEY, "sent_at_s"]]))
        if isinstance(polls, pd.DataFrame):
            write_text(self.path / "polls.csv", _csv(typed_frame(polls, POLL_COLUMNS)))
        elif polls and isinstance(polls[0], PollAggregate):
            reduced = [_PollsRecord.of(each) for each in cast(Sequence[PollAggregate], polls)]
            text = _polls_record().dump_json(reduced).decode()
            write_text(self.path / "polls.json", text)
        else:
            write_text(self.path / "polls.csv", _csv(poll_frame(cast(Sequence[PollRow], polls))))
        # The fallback is for mappings of other kinds than dict.
        record = to_jsonable_python(_RunRecord(_FORMAT, info, tuple(visits)), fallback=dict)
        # The text itself is scenario.yaml; a copy here could come to differ from it.
        del record["info"]["scenario"]["text"]
        write_text(self.path / "run.json", json.dumps(record, indent=1, allow_nan=False) + "\n")


def load_run(folder: str | Path) -> Run:
    """Read a run's raw records back.

    ``folder`` may also be the path of a file in it, such as its ``results.json`` or ``jobs.csv``. Raises
    RunUnusable when something is missing or damaged.
    """
    folder = folder_of(folder)
    record = _read_run(folder)
    jobs = _read_jobs(folder)
    if (folder / "polls.json").exists():
        reduced = read_json(folder / "polls.json", _polls_record(), "not a record of polls")
        polls = tuple(each.aggregate() for each in reduced)
    else:
        polls = aggregates_of_frame(_read_csv(folder / "polls.csv", POLL_COLUMNS))
    return Run(record.info, record.visits, jobs, polls)


def folder_of(path: str | Path) -> Path:
    """The run's folder, given itself or a file in it; RunUnusable when there is none."""
    path = Path(path)
    if path.is_file():
        path = path.parent
    if not path.is_dir():
        raise RunUnusable(f"{path}: no such run folder")
    if not (path / "run.json").is_file():
        raise RunUnusable(f"{path}: no run.json in it, so it is not a run's folder or the run never finished")
    return path


def write_text(path: Path, text: str) -> None:
    """Put the text at the path at once or not at all; RunFolderError when that fails."""
    temporary = ""
    try:
        # In the same folder, since a rename is only atomic within one file system.
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error


def _csv(frame: pd.DataFrame) -> str:
    text = StringIO()
    frame.round(_DECIMALS).to_csv(text, index=False, lineterminator="\n")
    return text.getvalue()


def _read_jobs(folder: Path) -> pd.DataFrame:
    """The jobs with the moment each was sent, which ``jobs.csv`` leaves to a file of its own."""
    sent = {name: JOB_COLUMNS[name] for name in (*JOB_KEY, "sent_at_s")}
    types = {name: kind for name, kind in JOB_COLUMNS.items() if name != "sent_at_s"}
    jobs = _read_csv(folder / "jobs.csv", types)
    _check_jobs(jobs, folder / "jobs.csv")
    arrivals = _read_csv(folder / "arrivals.csv", sent)
    if not arrivals[JOB_KEY].equals(jobs[JOB_KEY]):
        raise RunUnusable(f"{folder / 'arrivals.csv'}: its rows are not those of jobs.csv")
    return typed_frame(jobs.assign(sent_at_s=arrivals["sent_at_s"]), JOB_COLUMNS)


def _read_csv(path: Path, types: Mapping[str, str]) -> pd.DataFrame:
    # Only an empty field is "unknown", and only in a column of numbers: a setting may be called "NA".
    unknown = {name: [""] for name, kind in types.items() if kind == "float64"}
    try:
        frame = pd.read_csv(path, dtype=dict(types), keep_default_na=False, na_values=unknown)
        return typed_frame(frame, types)
    except OSError as error:
        raise RunUnusable(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # Pandas' parser errors are ValueErrors too.
        raise RunUnusable(f"{path}: {' '.join(str(error).split())}") from error


def _check_jobs(jobs: pd.DataFrame, path: Path) -> None:
    unknown = sorted(set(jobs["outcome"].unique()) - set(OUTCOMES))
    if unknown:
        raise RunUnusable(f"{path}: unknown outcome {unknown[0]!r}; the outcomes are {', '.join(OUTCOMES)}")
    twice = jobs.duplicated(JOB_KEY)
    if twice.any():
        first = jobs[twice].iloc[0]
        raise RunUnusable(
            f"{path}: job {first['key']} of setting {first['setting']!r}, repeat {first['repeat']}, "
            "is there twice"
        )


def _read_text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except OSError as error:
        raise RunUnusable(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise RunUnusable(f"{path}: not UTF-8 text ({error.reason})") from error


def read_json(path: Path, adapter: TypeAdapter[_Value], fault: str) -> _Value:
    """Return what a file of JSON holds; RunUnusable names the file and the fault."""
    return _valid(path, _parse(path), adapter, fault)


def _valid(path: Path, raw: object, adapter: TypeAdapter[_Value], fault: str) -> _Value:
    try:
        return adapter.validate_python(raw)
    except ValidationError as error:
        raise RunUnusable(f"{path}: {fault} ({_first(error)})") from error


def _parse(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise RunUnusable(f"{path}: not JSON ({error})") from error


def _first(error: ValidationError) -> str:
    """Return the first fault in a line: "visits.0.setting: Field required"."""
    details = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in details["loc"])
    return f"{where}: {details['msg']}" if where else details["msg"]


@dataclass(frozen=True)
class _RunRecord:
    """What ``run.json`` holds."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    format: int
    info: RunInfo
    visits: tuple[Visit, ...]


class _PollsRecord(BaseModel):
    """The polls of one visit as ``polls.json`` holds them: a PollAggregate with lists for arrays."""

    model_config = ConfigDict(extra="forbid")

    setting: str
    repeat: int
    per_second: list[NonNegativeInt]
    peak_per_second: NonNegativeInt
    responses: dict[str, NonNegativeInt]
    latency_s: list[float]
    latency_count: list[NonNegativeInt]
    lateness: Lateness | None

    @classmethod
    def of(cls, polls: PollAggregate) -> Self:
        """Return the record of these polls."""
        return cls(
            setting=polls.setting,
            repeat=polls.repeat,
            per_second=polls.per_second.tolist(),
            peak_per_second=polls.peak_per_second,
            responses=dict(polls.responses),
            latency_s=polls.latency_s.round(_DECIMALS).tolist(),
            latency_count=polls.latency_count.tolist(),
            lateness=polls.lateness,
        )

    def aggregate(self) -> PollAggregate:
        """Return the polls that were recorded."""
        return PollAggregate(
            setting=self.setting,
            repeat=self.repeat,
            per_second=np.asarray(self.per_second, dtype=np.int64),
            peak_per_second=self.peak_per_second,
            responses=self.responses,
            latency_s=np.asarray(self.latency_s, dtype=np.float64),
            latency_count=np.asarray(self.latency_count, dtype=np.int64),
            lateness=self.lateness,
        )


@cache
def _run_record() -> TypeAdapter[_RunRecord]:
    return TypeAdapter(_RunRecord)


@cache
def _polls_record() -> TypeAdapter[list[_PollsRecord]]:
    return TypeAdapter(list[_PollsRecord])


def _read_run(folder: Path) -> _RunRecord:
    path = folder / "run.json"
    raw = _parse(path)
    if isinstance(raw, dict) and raw.get("format", _FORMAT) != _FORMAT:
        raise RunUnusable(
            f"{path}: format {raw['format']} was written by another version of "
            f"this tool; this one reads format {_FORMAT}"
        )
    with suppress(KeyError, TypeError):  # What is missing is said below, with its place.
        raw["info"]["scenario"]["text"] = _read_text(folder / "scenario.yaml")
    return _valid(path, raw, _run_record(), "not a run's record")
