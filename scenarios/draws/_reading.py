"""From a file to the numbers of its rows: what to read, what was found, and where the reading is done.

``read`` works in this process, by polars, whose threads do not survive a fork: a process that forks later
(Locust's, before ``--processes``) says ``apart``, and the reading is done by a short-lived process. So is
that of Parquet, whoever asks: a small file can unfold to any size, and a process of its own can be held to a
bound of memory.
"""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from scenarios.documents import YEAR, name_value, suggest, unit_named, unit_seconds
from scenarios.draws._cells import NS, Cells, durations, moments
from scenarios.draws._files import Unusable, content_of
from scenarios.draws._tables import Broken, Table, table_of
from scenarios.draws._where import Where

if TYPE_CHECKING:
    import polars as pl

_FAULTS_SHOWN: Final = 5
_NAMES_SHOWN: Final = 12
_REASONS: Final[Mapping[str, str]] = {
    "where": "by `where`",
    "missing": "without a value",
    "below_zero": "with one below zero",
}
"""Why rows are left out, by the keys of ``Reading.left_out``."""

_TEMPORAL: Final = {"durations": ("Duration",), "moments": ("Date", "Duration")}
"""How the names of polars' types begin that a column may have."""

_SKIP: Final = "`missing: skip` leaves such rows out"
_MEMORY: Final = 2 << 30
"""Bytes that a process of its own may take to read a file."""
_SECONDS: Final = 120
"""Seconds of processor time that it may take."""


@dataclass(frozen=True)
class Request:
    """What is wanted of a file: one column, or the moments of a start and an end."""

    file: Path
    columns: tuple[str, ...]
    """The column; or the start and the end; none: the only one there is."""
    kind: Literal["durations", "moments"]
    unit: str | None
    where: str | None
    skip: bool
    """Whether rows without a value, or with one below zero, are left out; else each is a fault."""


@dataclass(frozen=True)
class Reading:
    """What a file holds; ``faults`` say why it cannot be used, the last of them how many more there are."""

    values: tuple[NDArray[Any], ...] = field(default=(), repr=False)
    """For each column the rows that count: seconds as floats, or moments in whole nanoseconds."""
    columns: tuple[str, ...] = ()
    form: str = ""
    rows: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    """How many rows do not count, by the reason: a key of ``_REASONS``."""
    digest: str = ""
    faults: tuple[str, ...] = ()


def read(request: Request) -> Reading:
    """Return what the file holds."""
    import polars as pl

    name = request.file.name
    try:
        content = content_of(request.file)
        condition = None if request.where is None else Where(request.where)
        wanted = [*request.columns, *(condition.names if condition else ())]
        table = table_of(content, wanted)
        columns = request.columns or (_only(table),)
        for each in (*columns, *wanted):
            _check_name(table, each)
        cells = table.columns(list(dict.fromkeys((*columns, *wanted))))
        read_as = [_cells(request, each, cells[each]) for each in columns]
        passing = None if condition is None else condition.rows(cells).to_numpy()
    except Unusable as error:
        return Reading(faults=(f"cannot read {name}: {error}",))
    except LookupError as error:
        return Reading(faults=(f"{name} {error.args[0]}",))
    except pl.exceptions.PolarsError as error:  # whose text may quote more of the file than one cell
        kind = f"its cells are of a kind that is not read ({type(error).__name__})"
        return Reading(faults=(f"cannot read {name}: {kind}",))
    except Broken as error:
        said = (f"{name} {place}: {why}" for place, why in error.faults)
        return Reading(faults=_shown(said, name, error.more))
    passing = None if condition is None else condition.rows(cells).to_numpy()
    values, left_out, faults = _rows(
        request, table, {each: cells[each] for each in columns}, read_as, passing
    )
    return Reading(
        values=values,
        columns=tuple(columns),
        form=f"{table.form}{', packed by gzip' if content.packed else ''}",
        rows=read_as[0].values.size,
        left_out=left_out,
        digest=content.digest,
        faults=faults,
    )


def columns_of(file: Path) -> tuple[str, ...]:
    """Return the names of a file's columns, as far as they look like names; raises ValueError in words."""
    try:
        table = table_of(content_of(file), ())
    except Unusable as error:
        raise ValueError(f"cannot read {file.name}: {error}") from None
    return tuple(filter(_is_name, table.names))


def spell_left_out(left_out: Mapping[str, int]) -> str:
    """Return in English how many rows are left out, and why."""
    return ", ".join(f"{rows:,} {_REASONS[reason]}" for reason, rows in left_out.items())


def read_apart(request: Request) -> Reading:
    """Return what ``read`` does, from a process of its own, in bounds of memory and time."""
    command = [sys.executable, "-P", "-c", _SERVE, str(Path(__file__).resolve().parents[2])]
    asked = json.dumps(asdict(request), default=str).encode()
    done = subprocess.run(command, input=asked, capture_output=True, check=False)  # noqa: S603 - our own module, no shell
    if done.returncode > 0 and b"MemoryError" not in done.stderr and b"PanicException" not in done.stderr:
        raise RuntimeError(
            f"the reader of {request.file.name} failed:\n{done.stderr.decode(errors='replace')}"
        )
    if done.returncode:
        reason = f"it is damaged, or takes more than {_MEMORY >> 30} GiB of memory or {_SECONDS} s"
        return Reading(faults=(f"cannot read {request.file.name}: {reason}",))
    return _unpacked(done.stdout)


_SERVE: Final = """
import sys, types
for room in ("scenarios", "scenarios.draws"):  # without their doors, which load what reading does not need
    sys.modules[room] = types.ModuleType(room)
    sys.modules[room].__path__ = [sys.argv[1] + "/" + room.replace(".", "/")]
sys.path.insert(0, sys.argv[1])
from scenarios.draws._reading import serve
serve()
"""
"""What a process of its own runs."""


def serve() -> None:
    """Be the process of ``read_apart``: a request on standard input, its reading on standard output."""
    asked = json.load(sys.stdin.buffer)
    request = Request(**{**asked, "file": Path(asked["file"]), "columns": tuple(asked["columns"])})
    with contextlib.suppress(ImportError, ValueError):  # not every system has such bounds
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
        resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    sys.stdout.buffer.write(_packed(read(request)))


def _packed(reading: Reading) -> bytes:
    """Return a reading as NumPy's arrays, the first of which is the JSON of all else."""
    about = asdict(replace(reading, values=())) | {"left_out": dict(reading.left_out)}
    packed = BytesIO()
    np.savez(packed, np.frombuffer(json.dumps(about).encode(), dtype=np.uint8), *reading.values)
    return packed.getvalue()


def _unpacked(packed: bytes) -> Reading:
    with np.load(BytesIO(packed), allow_pickle=False) as arrays:
        about, *values = (arrays[name] for name in arrays.files)
    told = json.loads(about.tobytes())
    told |= {key: tuple(told[key]) for key in ("columns", "faults")}
    return Reading(**told | {"values": tuple(values)})


def _only(table: Table) -> str:
    """Return the only column's name; raises LookupError where there are several."""
    if len(table.names) == 1:
        return table.names[0]
    raise LookupError(f"has {len(table.names)} columns, so `column` must name one; {_listed(table)}")


def _check_name(table: Table, name: str) -> None:
    """Make sure that the table has one column of that name, and none that differs in case only."""
    alike = [each for each in table.names if each.lower() == name.lower()]
    if len(alike) > 1:
        names = ", ".join(name_value(each) for each in alike[:_NAMES_SHOWN])
        raise LookupError(f"has {len(alike)} columns of that name: {names}; give each a name of its own")
    if name not in table.names:
        guess = alike[0] if alike else suggest(name, filter(_is_name, table.names))
        remedy = f"did you mean {guess!r}?" if guess else _listed(table)
        raise LookupError(f"has no column {name_value(name)}; {remedy}")


def _listed(table: Table) -> str:
    """Return the names that a reader can choose from, as far as they look like names.

    The first line of a file that is no table may be anything, a secret too, and is not repeated.
    """
    shown = [repr(each) for each in table.names if _is_name(each)]
    if not shown:
        return f"nothing in {table.named_in} looks like the name of a column"
    more = len(table.names) - _NAMES_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return f"the columns named in {table.named_in}: {', '.join(shown[:_NAMES_SHOWN])}{rest}"


def _is_name(text: str) -> bool:
    return re.fullmatch(r"[^\W\d][\w .()\[\]-]{0,39}", text) is not None


def _cells(request: Request, column: str, cells: pl.Series) -> Cells:
    named = unit_named(column)
    if cells.dtype.is_temporal() and not str(cells.dtype).startswith(_TEMPORAL[request.kind]):
        raise Unusable(f"its column {column!r} holds {str(cells.dtype).split('(')[0]}, no {request.kind}")
    if request.kind == "durations":
        return durations(cells, unit_seconds(request.unit or named or "s"))
    # Of seconds by name, too, numbers can be too large to be any.
    unit = request.unit or (None if named == "s" else named)
    return moments(cells, None if unit is None else unit_seconds(unit))


def _rows(
    request: Request,
    table: Table,
    texts: Mapping[str, pl.Series],
    columns: Sequence[Cells],
    passing: NDArray[np.bool_] | None,
) -> tuple[tuple[NDArray[Any], ...], Mapping[str, int], tuple[str, ...]]:
    """Return the rows that count, how many do not and why, and what is wrong with the others."""
    size = columns[0].values.size
    missing = np.logical_or.reduce([each.missing for each in columns])
    below = np.logical_or.reduce([each.below_zero for each in columns])
    wrong = np.zeros(size, dtype=np.bool_)
    for each in columns:
        wrong[list(each.wrong)] = True
    wrong &= ~below
    usable = ~(missing | wrong | below)
    if len(columns) == 2:
        below |= usable & (columns[1].values < columns[0].values)
    wrong |= usable & _too_long(request, columns)
    there = np.ones(size, dtype=np.bool_)
    there[table.blank(np.flatnonzero(missing))] = False
    counted = there if passing is None else there & passing
    left_out = {}
    if passing is not None:
        left_out["where"] = int((there & ~passing).sum())
    if request.skip:
        left_out["missing"] = int((counted & missing).sum())
        left_out["below_zero"] = int((counted & below & ~missing).sum())
        counted = counted & ~missing & ~below
        faulty = counted & wrong
    else:
        faulty = counted & (missing | below | wrong)
    left_out = {reason: rows for reason, rows in left_out.items() if rows}
    name = request.file.name
    if faulty.any():
        said = (
            f"{name} {table.place(int(row))}: {_said(int(row), texts, columns)}"
            for row in np.flatnonzero(faulty)[:_FAULTS_SHOWN]
        )
        return (), left_out, _shown(said, name, int(faulty.sum()) - _FAULTS_SHOWN)
    if not there.any():
        return (), left_out, (f"{name} has no rows below its header; give at least one value",)
    if not counted.any():
        all_rows = f"none of its {int(there.sum())} rows" if there.sum() > 1 else "not in its only row"
        return (), left_out, (f"{name} has no value that counts, {all_rows}: {spell_left_out(left_out)}",)
    return tuple(each.values[counted] for each in columns), left_out, ()


def _too_long(request: Request, columns: Sequence[Cells]) -> NDArray[np.bool_]:
    """Return which rows tell a duration that nothing here has."""
    if len(columns) == 2:
        return np.asarray(columns[1].values / NS - columns[0].values / NS > YEAR)
    if request.kind == "durations":
        return np.asarray(columns[0].values > YEAR)
    return np.zeros(columns[0].values.size, dtype=np.bool_)


def _said(row: int, texts: Mapping[str, pl.Series], columns: Sequence[Cells]) -> str:
    """Return what is wrong in a row, quoting the cell alone."""
    several = len(columns) > 1
    for (name, text), cells in zip(texts.items(), columns, strict=True):
        at = f"{name}: " if several else ""
        if cells.missing[row]:
            return f"{at}there is no value; {_SKIP}"
        if row in cells.wrong:
            return f"{at}{cells.wrong[row]}"
        if cells.below_zero[row]:
            return f"{at}must be zero or more, not {name_value(text[row])}; {_SKIP}"
    if len(columns) == 1 or columns[1].values[row] > columns[0].values[row]:
        return "it lasts longer than 366 days, as nothing here does; give `unit` if it is not in seconds"
    return f"it ends before it starts; {_SKIP}"


def _shown(faults: Iterable[str], name: str, more: int) -> tuple[str, ...]:
    shown = list(islice(faults, _FAULTS_SHOWN))
    return (*shown, *([f"{name}: {more} more lines are like these"] if more > 0 else []))
