"""A run's folder on disk: raw records are written first, and everything else is made from them.

Raw are ``scenario.yaml``, ``jobs.csv``, ``arrivals.csv`` (when each submission was sent), ``polls.csv`` (or
``polls.json``, for reduced polls) and ``run.json``;
``results.json`` and ``report.html`` can be made again at any time.
"""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

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
    ScenarioInfo,
    ServerCounts,
    Visit,
    aggregates_of_frame,
    job_frame,
    poll_frame,
    typed_frame,
)

RAW_FORMAT = 1
DECIMALS = 6  # Microseconds: finer than any clock involved, and it keeps the files readable.


class RunFolderError(OSError):
    """The folder of a run cannot be made or written; the message is one line and names the path."""


class RunUnusable(ValueError):
    """A run cannot be read or compared; the message is one line and names the file and the fault."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; :meth:`create` makes a new one, :meth:`write` fills it with raw records."""

    path: Path

    @classmethod
    def create(cls, reports_root: str | Path, scenario_name: str, now: datetime) -> "RunFolder":
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
            aggregates = [_aggregate_to_json(each) for each in cast(Sequence[PollAggregate], polls)]
            write_text(self.path / "polls.json", json.dumps(aggregates, allow_nan=False))
        else:
            write_text(self.path / "polls.csv", _csv(poll_frame(cast(Sequence[PollRow], polls))))
        raw = {"format": RAW_FORMAT, "info": _info_to_json(info), "visits": [_plain(each) for each in visits]}
        write_text(self.path / "run.json", json.dumps(raw, indent=1, allow_nan=False) + "\n")


def load_run(folder: str | Path) -> Run:
    """Read a run's raw records back.

    ``folder`` may also be the path of a file in it, such as its ``results.json`` or ``jobs.csv``. Raises
    RunUnusable when something is missing or damaged.
    """
    folder = folder_of(folder)
    raw = _read_json(folder / "run.json")
    try:
        if raw["format"] != RAW_FORMAT:
            raise RunUnusable(
                f"{folder / 'run.json'}: format {raw['format']} was written by another version of "
                f"this tool; this one reads format {RAW_FORMAT}"
            )
        visits = tuple(_visit_from_json(each) for each in raw["visits"])
        info = _info_from_json(raw["info"], _read_text(folder / "scenario.yaml"))
    except (KeyError, TypeError, AttributeError) as error:
        raise RunUnusable(f"{folder / 'run.json'}: not a run's record ({error!r})") from error
    jobs = _read_jobs(folder)
    if (folder / "polls.json").exists():
        try:
            polls = tuple(_aggregate_from_json(each) for each in _read_json(folder / "polls.json"))
        except (KeyError, TypeError, ValueError) as error:
            raise RunUnusable(f"{folder / 'polls.json'}: not a record of polls ({error!r})") from error
    else:
        polls = aggregates_of_frame(_read_csv(folder / "polls.csv", POLL_COLUMNS))
    return Run(info, visits, jobs, polls)


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
    frame.round(DECIMALS).to_csv(text, index=False, lineterminator="\n")
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


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise RunUnusable(f"{path}: not JSON ({error})") from error


def _plain(value: Any) -> Any:
    """Dataclasses and mappings of any kind as plain dicts, sequences as lists."""
    if is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def _info_to_json(info: RunInfo) -> dict[str, Any]:
    raw: dict[str, Any] = _plain(info)
    # The text itself is scenario.yaml; a copy here could come to differ from it.
    raw["scenario"] = {"name": info.scenario.name, "question": info.scenario.question}
    return raw


def _info_from_json(raw: Mapping[str, Any], text: str) -> RunInfo:
    return RunInfo(**{**raw, "scenario": ScenarioInfo(text=text, **raw["scenario"])})


def _visit_from_json(raw: Mapping[str, Any]) -> Visit:
    server = raw["server"]
    return Visit(
        **{
            **raw,
            "generator_cpu": tuple(raw["generator_cpu"]),
            "server": None if server is None else ServerCounts(**server),
        }
    )


def _aggregate_to_json(aggregate: PollAggregate) -> dict[str, Any]:
    return {
        "setting": aggregate.setting,
        "repeat": aggregate.repeat,
        "per_second": aggregate.per_second.tolist(),
        "peak_per_second": aggregate.peak_per_second,
        "responses": dict(aggregate.responses),
        "latency_s": aggregate.latency_s.round(DECIMALS).tolist(),
        "latency_count": aggregate.latency_count.tolist(),
        "lateness": aggregate.lateness,
    }


def _aggregate_from_json(raw: Mapping[str, Any]) -> PollAggregate:
    return PollAggregate(
        **{
            **raw,
            "per_second": np.asarray(raw["per_second"], dtype=np.int64),
            "latency_s": np.asarray(raw["latency_s"], dtype=np.float64),
            "latency_count": np.asarray(raw["latency_count"], dtype=np.int64),
            "lateness": None if raw["lateness"] is None else Lateness(*raw["lateness"]),
        }
    )
