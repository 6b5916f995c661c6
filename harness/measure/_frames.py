"""Rows as polars frames, in memory and on disk: typed columns, null where unknown.

Polars is loaded when a frame is made, not with this room: it starts threads, which do not survive the fork of
Locust's processes, and who only records rows does not need it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from functools import cache
from typing import IO, TYPE_CHECKING, Final, NamedTuple, TypeAlias, cast, get_type_hints

import numpy as np
from numpy.typing import NDArray

from harness.measure._rows import DETECTED, JobRow, PollAggregate, PollRow, aggregate_polls

if TYPE_CHECKING:
    import polars as pl

JOB_KEY: Final = ("setting", "repeat", "key")
"""The columns that name one job under one setting."""

DECIMALS: Final = 6  # Microseconds: finer than any clock involved, and it keeps the files readable.

_LONGEST_HEADER: Final = 1 << 16
_MOST_COUNT: Final = 10**9
MOST_SECONDS: Final = 1e15  # durations can have a heavy tail; beyond, a float does not know seconds
_MOST: Final = {"key": 2**53}
"""The largest number in a column of a table on disk; sums of such are exact."""
_KNOWN: Final = ("planned_at_s",)

Schema: TypeAlias = "Mapping[str, pl.DataType]"


@cache
def schema_of(row: type[NamedTuple]) -> dict[str, pl.DataType]:
    """Return a row's columns in order and their types, read off its annotations."""
    import polars as pl

    kinds: dict[object, pl.DataType] = {str: pl.Categorical(), int: pl.Int64()}
    return {name: kinds.get(hint, pl.Float64()) for name, hint in get_type_hints(row).items()}


def job_frame(rows: Iterable[JobRow] | pl.DataFrame) -> pl.DataFrame:
    """Return the rows, or a frame of them, as a frame with the columns of JobRow in their types."""
    return _frame(rows, JobRow)


def poll_frame(rows: Iterable[PollRow] | pl.DataFrame) -> pl.DataFrame:
    """Return the rows, or a frame of them, as a frame with the columns of PollRow in their types."""
    return _frame(rows, PollRow)


def _frame(rows: Iterable[JobRow] | Iterable[PollRow] | pl.DataFrame, row: type[NamedTuple]) -> pl.DataFrame:
    import polars as pl

    if isinstance(rows, pl.DataFrame):
        return typed_frame(rows, schema_of(row))
    return typed_frame(pl.DataFrame(list(rows), schema=schema_of(row), orient="row"), schema_of(row))


def typed_frame(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the frame with exactly these columns, in order and of these types, and null for NaN.

    Raises ValueError with the names of columns that are missing.
    """
    check_columns(frame.columns, schema)
    return frame.select(null_for_nan(frame[name].cast(kind)) for name, kind in schema.items())


def null_for_nan(column: pl.Series) -> pl.Series:
    """Return the column with null for NaN; most have none, and are not copied."""
    return column.fill_nan(None) if column.dtype.is_float() and column.is_nan().any() else column


def check_columns(names: Iterable[str], schema: Schema) -> None:
    """Raise ValueError with the names of columns that are missing."""
    there = set(names)
    missing = [name for name in schema if name not in there]
    if missing:
        raise ValueError(f"missing column{'s' if len(missing) > 1 else ''} {', '.join(missing)}")


def poll_aggregates(rows: Iterable[PollRow]) -> tuple[PollAggregate, ...]:
    """Return one PollAggregate per (setting, repeat), in order of first appearance."""
    return aggregates_of_frame(poll_frame(rows))


def aggregates_of_frame(polls: pl.DataFrame) -> tuple[PollAggregate, ...]:
    """Return the same of a frame with the columns of PollRow."""
    visits = polls.partition_by("setting", "repeat", as_dict=True)
    return tuple(
        aggregate_polls(
            setting,
            repeat,
            visit["sent_at_s"].to_numpy(),
            dict(visit["response"].value_counts().iter_rows()),
            visit["latency_s"].to_numpy(),
            visit["planned_at_s"].to_numpy(),
        )
        for (setting, repeat), visit in visits.items()
    )


def with_pending(jobs: pl.DataFrame, polls: pl.DataFrame) -> pl.DataFrame:
    """Return the jobs with what their polls tell of their ends; see ``Run``."""
    import polars as pl

    middle = pl.col("sent_at_s") + pl.col("latency_s").fill_null(0.0) / 2
    pending = polls.filter(polls["state"] == "pending").group_by(JOB_KEY)
    ended = polls.filter(polls["state"].is_in(DETECTED)).group_by(JOB_KEY)
    last = pending.agg(pending_at_s=pl.col("sent_at_s").max(), seen_pending_s=middle.max())
    first = ended.agg(seen_ended_s=middle.min())
    for each in (last, first):
        jobs = jobs.join(each, on=JOB_KEY, how="left", maintain_order="left")
    return jobs


class VisitTotals(NamedTuple):
    """How many rows a visit has, and how many polls its jobs count."""

    jobs: int
    polls: int


def totals_by_visit(jobs: pl.DataFrame) -> dict[tuple[str, int], VisitTotals]:
    """Return what the jobs of each (setting, repeat) add up to."""
    import polars as pl

    totals = jobs.group_by("setting", "repeat").agg(pl.len(), pl.col("polls").sum())
    return {(setting, repeat): VisitTotals(n, polls) for setting, repeat, n, polls in totals.iter_rows()}


def job_there_twice(jobs: pl.DataFrame) -> tuple[str, int, int] | None:
    """Return (setting, repeat, key) of a job that has two rows; None if there is none."""
    # By sorting, for polars' own `is_duplicated` takes 300 bytes of memory for each row.
    keys = jobs.select(JOB_KEY).sort(JOB_KEY)
    again = keys.filter(as_the_row_before(keys))
    return None if again.is_empty() else again.row(0)


def jobs_with_other_durations(jobs: pl.DataFrame, tolerance_s: float) -> int:
    """Return how many rows are of jobs whose durations differ by more than the tolerance between settings."""
    ordered = jobs.select("repeat", "key", "duration_s").sort("repeat", "key")
    starts = np.flatnonzero(~as_the_row_before(ordered.select("repeat", "key")))
    if starts.size == 0:
        return 0
    durations = ordered["duration_s"].to_numpy()
    spread = np.fmax.reduceat(durations, starts) - np.fmin.reduceat(durations, starts)
    rows = np.diff(np.append(starts, durations.size))
    return int(rows[spread > tolerance_s].sum())


def as_the_row_before(frame: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which rows equal the row before them."""
    same = np.ones(frame.height, dtype=np.bool_)
    same[:1] = False
    for column in frame.iter_columns():
        same[1:] &= (column[1:] == column[:-1]).to_numpy()
    return same


def rounded(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame as it is kept on disk: microseconds, which is finer than any clock involved."""
    from polars import selectors

    return frame.with_columns(selectors.float().round(DECIMALS))


def csv_frame(stream: IO[bytes], schema: Schema) -> pl.DataFrame:
    """Return the table in an open file of CSV, with these columns among others.

    Raises ValueError with the fault in one line.
    """
    import polars as pl

    header = stream.readline(_LONGEST_HEADER)
    if not header.strip():
        raise ValueError("empty CSV")
    # A line that does not end is no header; polars would look for its end in all of the file.
    try:
        names = next(csv.reader([header.decode("utf-8-sig")])) if header.endswith(b"\n") else []
    except csv.Error as error:
        raise ValueError(f"no header of a CSV: {error}") from error
    check_columns(names, schema)
    if len(set(names)) < len(names):
        raise ValueError("two columns have one name")
    try:
        # Told the types, polars neither guesses nor takes a setting called "NA" for a gap.
        stream.seek(0)
        return pl.read_csv(stream, schema_overrides=schema)
    except pl.exceptions.PolarsError as error:
        raise ValueError((str(error).strip().splitlines() or ["not a table"])[0]) from error


def whole_frame(frame: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the frame in exactly these columns, whose values are such as a run can have.

    Raises ValueError with the fault in one line.
    """
    import polars as pl

    try:
        frame = typed_frame(frame, schema)
    except pl.exceptions.PolarsError as error:
        raise ValueError(str(error).strip().splitlines()[0]) from error
    for name, kind in schema.items():
        column = frame[name]
        unknown = column.null_count()
        if unknown and (name in _KNOWN or not kind.is_float()):
            raise ValueError(f"column {name} has an empty cell; only some times may be unknown")
        if not kind.is_numeric() or unknown == column.len():
            continue
        least, most = cast("tuple[float, float]", (column.min(), column.max()))
        bound = MOST_SECONDS if kind.is_float() else _MOST.get(name, _MOST_COUNT)
        if max(most, -least) > bound:
            raise ValueError(f"column {name} has a number beyond {bound:.3g}, which no run has")
        if least < 0 and not kind.is_float():
            raise ValueError(f"column {name} has a number below 0")
    return frame
