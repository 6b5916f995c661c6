"""A run's folder on disk: raw records are written first, and everything else is made from them.

Raw are ``scenario.yaml`` with its trace files in ``traces``, ``jobs.csv`` (and ``jobs.parquet`` of many
jobs), ``arrivals.csv`` (when each submission was sent), ``polls.csv`` (or ``polls.json``, for reduced polls)
and ``run.json``. ``limits.json``, ``twin.json`` and ``twin.parquet`` are what the harness knows beside them;
``results.json`` and ``report.html`` can be made again at any time. While a live run is under way, and after
one that was cut short, there is its journal (``rows.journal``), of which the rest can be made.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, Self, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, TypeAdapter, model_validator
from pydantic_core import to_jsonable_python

from harness.measure._frames import (
    DECIMALS,
    JOB_KEY,
    aggregates_of_frame,
    job_frame,
    job_there_twice,
    poll_frame,
    rounded,
    schema_of,
    typed_frame,
    with_pending,
)
from harness.measure._kept import RunUnusable, is_kept, parsed, read_json, read_table, read_text, shown, valid
from harness.measure._phases import Phase
from harness.measure._rows import (
    OUTCOMES,
    STATES,
    TRANSPORT_ERROR,
    Amount,
    JobRow,
    Lateness,
    PollAggregate,
    PollRow,
    Run,
    RunInfo,
    ScenarioInfo,
    Seconds,
    Visit,
)
from harness.measure._timelines import sample_keys
from harness.measure._twin import Spread, Twin, TwinRow, VisitResiduals
from scenarios import OBJECTIVES
from scenarios.documents import is_there, name_value

if TYPE_CHECKING:
    import polars as pl

logger = logging.getLogger("backoff")

JOURNAL: Final = "rows.journal"
"""What a live run keeps its rows in until its folder is whole."""

_FORMAT: Final = 1
_PARQUET_FROM: Final = 100_000
"""Jobs from which they are kept as Parquet too, which is read many times faster."""


_RESPONSE: Final = rf"^(?:[1-9]\d\d|{TRANSPORT_ERROR})$"
_RESPONSES: Final = ("status codes", TRANSPORT_ERROR)

_CLOCKS_S: Final = 60.0
"""How far a poll's time may lie outside of its visit: no two clocks of a run differ by more."""
_MOST_SECONDS: Final = 10_000_000
"""Of all visits of a live run together: 115 days."""


class RunFolderError(OSError):
    """The folder of a run cannot be made or written; the message is one line and names the path."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; ``create`` makes a new one, ``write`` fills it with raw records."""

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
        jobs: Sequence[JobRow] | pl.DataFrame,
        polls: Sequence[PollRow] | Sequence[PollAggregate] | pl.DataFrame,
    ) -> None:
        """Write the raw records, each file at once or not at all; ``run.json`` comes last.

        Raises RunFolderError when a file cannot be written, ValueError when a frame lacks a column.
        """
        frame = job_frame(jobs) if isinstance(jobs, Sequence) else typed_frame(jobs, schema_of(JobRow))
        frame = rounded(frame)
        self.keep_scenario(info.scenario)
        self._write_table("jobs.csv", frame.drop("sent_at_s"))
        if frame.height >= _PARQUET_FROM:
            self._write_table("jobs.parquet", frame)
        self._write_table("arrivals.csv", frame.select(*JOB_KEY, "sent_at_s"))
        if not isinstance(polls, Sequence):
            self._write_table("polls.csv", rounded(typed_frame(polls, schema_of(PollRow))))
        elif polls and isinstance(polls[0], PollAggregate):
            reduced = [_PollsRecord.of(each) for each in cast(Sequence[PollAggregate], polls)]
            write_text(self.path / "polls.json", _polls_record().dump_json(reduced).decode())
        else:
            self._write_table("polls.csv", rounded(poll_frame(cast(Sequence[PollRow], polls))))
        record = plain_record(info, visits)
        write_text(self.path / "run.json", json.dumps(record, indent=1, allow_nan=False) + "\n")

    def keep_scenario(self, scenario: ScenarioInfo) -> None:
        """Write the scenario, with its traces; RunFolderError when a file cannot be written."""
        self._copy_traces(scenario)
        write_text(self.path / "scenario.yaml", scenario.text)

    def keep_sample(self, polls: Sequence[PollRow]) -> None:
        """Write the polls of a few jobs of a run that keeps sums alone; RunFolderError when that fails."""
        self._write_table("sample.csv", rounded(poll_frame(polls)))

    def _copy_traces(self, scenario: ScenarioInfo) -> None:
        """Keep the recorded data that was read; what has changed since then is not that, and is not kept."""
        digests = {each.file: each.sha256 for each in scenario.traces}
        for name, source in scenario.files.items():
            if (self.path / name).exists():  # kept when the run began
                continue
            with suppress(OSError):
                data = source.read_bytes()
                if sha256(data).hexdigest() == digests[name]:
                    (self.path / name).parent.mkdir(exist_ok=True)
                    with _whole(self.path / name) as file:
                        file.write(data)
                    continue
            logger.warning(
                "%s has changed since it was read, or is gone: the run has no copy of it", source.name
            )

    def _write_table(self, name: str, frame: pl.DataFrame) -> None:
        with _whole(self.path / name) as file:
            if name.endswith(".parquet"):
                frame.write_parquet(file)
            else:
                frame.write_csv(file)


def plain_record(info: RunInfo, visits: Sequence[Visit]) -> dict[str, Any]:
    """Return what ``run.json`` holds of a run, in the types of JSON."""
    # The fallback is for mappings of other kinds than dict.
    record: dict[str, Any] = to_jsonable_python(_RunRecord(_FORMAT, info, tuple(visits)), fallback=dict)
    # The text itself is scenario.yaml; a copy here could come to differ from it.
    del record["info"]["scenario"]["text"], record["info"]["scenario"]["files"]
    return record


def read_record(path: Path, raw: object) -> tuple[RunInfo, tuple[Visit, ...]]:
    """Return what ``plain_record`` gave; ``path`` is the file that holds it, beside its ``scenario.yaml``.

    Raises RunUnusable.
    """
    record = _run_record_of(path, shown(raw))
    return record.info, record.visits


def load_run(folder: str | Path) -> Run:
    """Read a run's raw records back.

    ``folder`` may also be the path of a file in it, such as its ``results.json`` or ``jobs.csv``. Raises
    RunUnusable when something is missing or damaged.
    """
    folder = folder_of(folder)
    record = _read_run(folder)
    jobs = _read_jobs(folder)
    _check_settings(jobs, record, folder / "jobs.csv")
    if is_kept(folder / "polls.json"):
        reduced = read_json(folder / "polls.json", _polls_record(), "not a record of polls")
        polls = tuple(each.aggregate() for each in reduced)
        kept = (folder / "sample.csv").exists()
        sample = read_table(folder / "sample.csv", schema_of(PollRow)) if kept else None
    else:
        own = record.info.target == "own"
        # What replies meant is read where nothing else tells when jobs ended; older records lack it.
        schema = {name: kind for name, kind in schema_of(PollRow).items() if own or name != "state"}
        rows = read_table(folder / "polls.csv", schema)
        _check_polls(rows, record, folder / "polls.csv")
        jobs = with_pending(jobs, rows) if own else jobs
        polls = aggregates_of_frame(rows)
        sample = rows.filter(rows["key"].is_in(sample_keys(jobs)))
    return Run(record.info, record.visits, jobs, polls, sample)


def load_polls(folder: str | Path) -> pl.DataFrame | None:
    """Read a run's rows of polls back, with the columns of PollRow; None where only sums were kept.

    Raises RunUnusable when they are missing or damaged.
    """
    folder = folder_of(folder)
    if is_kept(folder / "polls.json"):
        return None
    return read_table(folder / "polls.csv", schema_of(PollRow))


def keep_twin(folder: Path, twin: Twin) -> None:
    """Put what a run is held against into its folder; RunFolderError when that fails."""
    record = _TwinRecord(twin.reason, dict(twin.overhead), twin.residuals)
    write_text(folder / "twin.json", _twin_record().dump_json(record, indent=1).decode() + "\n")
    with _whole(folder / "twin.parquet") as file:
        twin.jobs.write_parquet(file)


def load_twin(folder: Path) -> Twin | None:
    """Read it back; None where there is none. Raises RunUnusable when it is damaged."""
    if not is_kept(folder / "twin.json"):
        return None
    record = read_json(folder / "twin.json", _twin_record(), "not a record of a twin")
    jobs = read_table(folder / "twin.parquet", schema_of(TwinRow))
    return Twin(jobs, record.residuals, record.overhead, record.reason)


def folder_of(path: str | Path) -> Path:
    """Return the run's folder, given itself or a file in it; RunUnusable when there is none."""
    path = Path(path)
    if is_there(path) and path.is_file():
        path = path.parent
    if not is_there(path) or not path.is_dir():
        raise RunUnusable(f"{path}: no such run folder")
    if not (path / "run.json").is_file() and (path / JOURNAL).is_file():
        raise RunUnusable(
            f"{path}: its run has not ended, or was cut short; then its rows become a report by: "
            f"python -m harness report {shlex.quote(str(path))}"
        )
    if not (path / "run.json").is_file():
        raise RunUnusable(f"{path}: no run.json in it, so it is not a run's folder or the run never finished")
    return path


def write_text(path: Path, text: str) -> None:
    """Put the text at the path at once or not at all; RunFolderError when that fails."""
    with _whole(path) as file:
        file.write(text.encode())


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    """Give an open file that comes to be at ``path`` when it is whole; RunFolderError when that fails.

    Open, since polars takes the name of a file only where it is UTF-8.
    """
    temporary = None
    try:
        # In the same folder, since a rename is only atomic within one file system.
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        with open(handle, "wb") as file:  # noqa: PTH123 - a handle, not a path
            yield file
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise RunFolderError(f"cannot write {path}: {error.strerror or error}") from error


def _read_jobs(folder: Path) -> pl.DataFrame:
    """Return the jobs with the moment each was sent, which ``jobs.csv`` leaves to a file of its own."""
    schema = schema_of(JobRow)
    if is_kept(folder / "jobs.parquet"):
        jobs = read_table(folder / "jobs.parquet", schema)
        _check_jobs(jobs, folder / "jobs.parquet")
        return jobs
    jobs = read_table(folder / "jobs.csv", {name: schema[name] for name in schema if name != "sent_at_s"})
    _check_jobs(jobs, folder / "jobs.csv")
    arrivals = read_table(folder / "arrivals.csv", {name: schema[name] for name in (*JOB_KEY, "sent_at_s")})
    if not arrivals.select(JOB_KEY).equals(jobs.select(JOB_KEY)):
        raise RunUnusable(f"{folder / 'arrivals.csv'}: its rows are not those of jobs.csv")
    return jobs.with_columns(arrivals["sent_at_s"])


def _check_settings(rows: pl.DataFrame, record: _RunRecord, path: Path) -> None:
    """Raise RunUnusable where rows are of settings that the run did not have: they are another run's."""
    foreign = sorted(set(rows["setting"].unique()) - set(record.info.settings))
    if foreign:
        raise RunUnusable(f"{path}: rows of setting {name_value(foreign[0])}, which is none of run.json's")


def _check_polls(polls: pl.DataFrame, record: _RunRecord, path: Path) -> None:
    """Raise RunUnusable for polls that are none of this run, or not in the time of their visit.

    Polls are counted by the second, so that one time could ask for any memory.
    """
    import polars as pl

    _check_settings(polls, record, path)
    responses = polls["response"].unique().cast(pl.String)
    _check_words(path, "response", responses.filter(~responses.str.contains(_RESPONSE)), _RESPONSES)
    if "state" in polls.columns:
        _check_words(path, "state", set(polls["state"].unique()) - {"", *STATES}, STATES)
    longest: dict[tuple[str, int], float] = {}
    for visit in record.visits:
        which = visit.setting, visit.repeat
        longest[which] = max(visit.duration_s, longest.get(which, 0.0))
    sent, seconds = pl.col("sent_at_s"), 0.0
    spans = polls.group_by("setting", "repeat", maintain_order=True).agg(
        sent.null_count().alias("unknown"), sent.min().alias("first"), sent.max().alias("last")
    )
    for setting, repeat, unknown, first, last in spans.iter_rows():
        visit_s = longest.get((setting, repeat), -1.0)
        if unknown or not -_CLOCKS_S <= first <= last <= visit_s + _CLOCKS_S:
            where = f"setting {name_value(setting)}, repeat {repeat}"
            raise RunUnusable(f"{path}: polls of {where}, that were not sent in a visit of run.json")
        seconds += max(0.0, last)
    if seconds > _MOST_SECONDS:
        raise RunUnusable(f"{path}: polls over {seconds:.3g} s, and no live run takes so long")


def _check_words(path: Path, kind: str, strange: Collection[str] | pl.Series, known: Sequence[str]) -> None:
    if len(strange):
        word = name_value(min(strange))
        raise RunUnusable(f"{path}: unknown {kind} {word}; the {kind}s are {', '.join(known)}")


def _check_jobs(jobs: pl.DataFrame, path: Path) -> None:
    _check_words(path, "outcome", set(jobs["outcome"].unique()) - set(OUTCOMES), OUTCOMES)
    if twice := job_there_twice(jobs):
        setting, repeat, key = twice
        raise RunUnusable(
            f"{path}: job {key} of setting {name_value(setting)}, repeat {repeat}, is there twice"
        )


@dataclass(frozen=True)
class _RunRecord:
    """What ``run.json`` holds."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    format: int
    info: RunInfo
    visits: tuple[Visit, ...]


@dataclass(frozen=True)
class _TwinRecord:
    """What ``twin.json`` holds; the twins' jobs are in ``twin.parquet``."""

    __pydantic_config__ = ConfigDict(extra="forbid", allow_inf_nan=False)

    reason: str
    overhead: dict[str, Spread]
    residuals: tuple[VisitResiduals, ...]


class _PollsRecord(BaseModel):
    """The polls of one visit as ``polls.json`` holds them: a PollAggregate with lists for arrays."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    setting: str
    repeat: Amount
    per_second: list[Amount]
    peak_per_second: Amount
    responses: dict[str, Amount]
    latency_s: list[Seconds]
    latency_count: list[Amount]
    lateness: Lateness | None
    phases: tuple[Phase, ...] = ()  # older records have none

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(self.latency_s) != len(self.latency_count):
            raise ValueError("as many latencies as counts of them are needed")
        return self

    @classmethod
    def of(cls, polls: PollAggregate) -> Self:
        """Return the record of these polls."""
        return cls(
            setting=polls.setting,
            repeat=polls.repeat,
            per_second=polls.per_second.tolist(),
            peak_per_second=polls.peak_per_second,
            responses=dict(polls.responses),
            latency_s=polls.latency_s.round(DECIMALS).tolist(),
            latency_count=polls.latency_count.tolist(),
            lateness=polls.lateness,
            phases=polls.phases,
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
            phases=self.phases,
        )


@cache
def _run_record() -> TypeAdapter[_RunRecord]:
    return TypeAdapter(_RunRecord)


@cache
def _twin_record() -> TypeAdapter[_TwinRecord]:
    return TypeAdapter(_TwinRecord)


@cache
def _polls_record() -> TypeAdapter[list[_PollsRecord]]:
    return TypeAdapter(list[_PollsRecord])


def _read_run(folder: Path) -> _RunRecord:
    path = folder / "run.json"
    return _run_record_of(path, parsed(path))


def _run_record_of(path: Path, raw: Any) -> _RunRecord:
    if isinstance(raw, dict) and raw.get("format", _FORMAT) != _FORMAT:
        raise RunUnusable(
            f"{path}: format {name_value(raw['format'])} was written by another version of "
            f"this tool; this one reads format {_FORMAT}"
        )
    with suppress(KeyError, TypeError):  # What is missing is said below, with its place.
        raw["info"]["scenario"]["text"] = read_text(path.parent / "scenario.yaml")
    record = valid(path, raw, _run_record(), "not a run's record")
    info = record.info
    for what, named, known in (
        ("an objective", info.objectives, OBJECTIVES),
        ("a visit of a setting", [each.setting for each in record.visits], info.settings),
    ):
        if strange := next((each for each in named if each not in known), None):
            raise RunUnusable(f"{path}: {what} that is not known: {name_value(strange)}")
    return record
