"""A file of measured values as a table: CSV, JSON lines or Parquet, each with its columns and places.

Polars reads them. Whatever it refuses is read once more, row by row by the standard library, which finds the
line that is at fault, or none: then its reading serves. Polars starts threads, which do not survive a fork;
see ``_reading`` for where that matters.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from scenarios.draws._files import MOST_ROWS, Content, Unusable
from scenarios.draws._keyed import Integers

if TYPE_CHECKING:
    import polars as pl

_DELIMITERS: Final[Mapping[str, str]] = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_MOST_COLUMNS: Final = 10_000
_RECORDS_LOOKED_AT: Final = 100
_FAULTS_SHOWN: Final = 5
_DEEPEST: Final = 8


class Broken(ValueError):
    """Some rows cannot be read; ``faults`` has the first of them, each with its place, and a count."""

    def __init__(self, faults: Sequence[tuple[str, str]], more: int) -> None:
        super().__init__(faults)
        self.faults = faults
        self.more = more


class Table(Protocol):
    """A table that has been opened; its first row is row 0."""

    @property
    def names(self) -> Sequence[str]:
        """The names of its columns, in order."""
        ...

    named_in: str
    """Where the file names its columns."""

    @property
    def form(self) -> str:
        """How the file is written, in a few words."""
        ...

    def columns(self, names: Sequence[str]) -> Mapping[str, pl.Series]:
        """Return these columns: text, or what Parquet has. Raises Broken and Unusable."""
        ...

    def blank(self, rows: Integers) -> Integers:
        """Return those of the rows in which nothing stands at all."""
        ...

    def place(self, row: int) -> str:
        """Return where a row stands, such as "line 7"."""
        ...


def table_of(content: Content, names: Sequence[str]) -> Table:
    """Open a table from which columns of these ``names`` are wanted; raises Unusable."""
    if content.kind == "csv":
        return _Csv(content.data, names)
    if content.kind == "json":
        return _JsonLines(content.data)
    return _Parquet(content.data)


class _Csv:
    """Delimited text below a line that names its columns."""

    named_in = "its first line"

    def __init__(self, data: bytes, names: Sequence[str]) -> None:
        blank = len(data) - len(data.lstrip(b"\r\n"))
        above, data = data.count(b"\n", 0, blank), data[blank:]
        first = data[: data.find(b"\n") + 1 or len(data)].decode()
        told = re.fullmatch(r'"?sep=(.)"?\s*', first)  # what spreadsheets write
        start = len(first.encode()) if told else 0
        self._delimiter = told[1] if told else _delimiter(first, names)
        if not self._delimiter.isascii():
            raise Unusable("its first line tells a delimiter that is none")
        text = io.StringIO(data[start : start + (2 << 20)].decode(errors="ignore"), newline="")
        try:
            header = next(self._records(text), ([], 0))
        except csv.Error as error:
            raise Unusable(f"its first line cannot be read: {error}") from None
        if len(header[0]) > _MOST_COLUMNS:
            raise Unusable(f"it has more than {_MOST_COLUMNS:,} columns")
        self.names = [cell.strip() for cell in header[0]]
        self._before = above + bool(told) + header[1]  # lines above the first row
        for _ in range(header[1]):
            start = data.find(b"\n", start) + 1 or len(data)
        self._rows = data[start:]
        self._height = -1  # rows, as soon as they have been counted

    @property
    def form(self) -> str:
        if len(self.names) == 1:
            return "one column of text"
        return f"delimited by {_DELIMITERS.get(self._delimiter, repr(self._delimiter))}"

    def columns(self, names: Sequence[str]) -> Mapping[str, pl.Series]:
        import polars as pl

        if not self._rows.strip():
            return {name: pl.Series(dtype=pl.String) for name in names}
        places = {name: f"column_{self.names.index(name) + 1}" for name in names}
        beyond = f"column_{len(self.names) + 1}"
        if self._rows.count(b'"') % 2 == 0 and self._delimiter != '"':
            try:
                frame = pl.read_csv(
                    io.BytesIO(self._rows),
                    has_header=False,
                    schema={f"column_{number + 1}": pl.String for number in range(len(self.names) + 1)},
                    columns=[*dict.fromkeys((*places.values(), beyond))],
                    separator=self._delimiter,
                    missing_columns="insert",  # what is beyond the last, in rows with too many cells
                )
            except pl.exceptions.PolarsError:
                pass
            else:
                self._height = frame.height
                if not (frame[beyond].str.strip_chars().fill_null("") != "").any():
                    return {name: frame[place] for name, place in places.items()}
        return self._slowly(names)

    def _slowly(self, names: Sequence[str]) -> Mapping[str, pl.Series]:
        import polars as pl

        places = [self.names.index(name) for name in names]
        cells: list[list[str | None]] = [[] for _ in names]
        faults: list[tuple[str, str]] = []
        width, row = len(self.names), 0
        try:
            for record, _ in self._records(io.StringIO(self._rows.decode(), newline="")):
                if any(cell.strip() for cell in record[width:]):
                    faults.append((self.place(row), _too_many(len(record), width, self._delimiter)))
                for column, place in zip(cells, places, strict=True):
                    column.append(record[place] if place < len(record) else None)
                row += 1
        except csv.Error as error:
            said = "a quote is opened here and never closed" if "end of data" in str(error) else str(error)
            faults.append((self.place(row), said))
        if faults:
            raise Broken(faults[:_FAULTS_SHOWN], max(0, len(faults) - _FAULTS_SHOWN))
        return {name: pl.Series(values, dtype=pl.String) for name, values in zip(names, cells, strict=True)}

    def blank(self, rows: Integers) -> Integers:
        if rows.size == 0:
            return rows
        starts, nothing = self._starts, f" \r\n\t\"'{self._delimiter}".encode()
        lines = (self._rows[starts[row] : starts[row + 1]] for row in rows)
        return np.array(
            [row for row, line in zip(rows, lines, strict=True) if not line.strip(nothing)], dtype=np.int64
        )

    def place(self, row: int) -> str:
        start = self._starts[min(row, self._starts.size - 1)]
        above = self._rows.count(b"\n", 0, start)
        return f"line {self._before + 1 + above}"

    @cached_property
    def _starts(self) -> Integers:
        """Where in the bytes each row begins, and where the last one ends."""
        line_ends = np.flatnonzero(np.frombuffer(self._rows, dtype=np.uint8) == ord("\n")) + 1
        starts = np.append(0, line_ends)
        if self._height != starts.size - (starts[-1] == len(self._rows)):  # a cell holds the end of a line
            ends = [0]
            with suppress(csv.Error):  # which keeps what has been found until then
                for _, line in self._records(io.StringIO(self._rows.decode(), newline="")):
                    ends.append(line)
            starts = starts[np.minimum(ends, starts.size - 1)]
        return np.append(starts, len(self._rows))

    def _records(self, text: io.StringIO) -> Iterator[tuple[list[str], int]]:
        """Yield each record and how many lines have been read with it; raises csv.Error."""
        reader = csv.reader(text, delimiter=self._delimiter, strict=True)
        return ((record, reader.line_num) for record in reader)


def _delimiter(header: str, names: Sequence[str]) -> str:
    """Return the delimiter by which the header has these names; else the one that gives most names."""

    def cells(delimiter: str) -> list[str]:
        try:
            return [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            return []

    found = {delimiter: cells(delimiter) for delimiter in _DELIMITERS}
    return max(found, key=lambda each: (sum(name in found[each] for name in names), len(found[each])))


def _too_many(cells: int, width: int, delimiter: str) -> str:
    comma = "; write numbers with a decimal point, or put them in quotes" if delimiter == "," else ""
    return f"{cells} cells below {width} {'names' if width > 1 else 'name'}{comma}"


class _JsonLines:
    """One JSON object a line; a column is a member's name, with dots for the members of a member."""

    form = "JSON lines"
    named_in = "its first lines"

    def __init__(self, data: bytes) -> None:
        if data.lstrip().startswith(b"["):
            raise Unusable("it is a list in JSON; write one object a line: jq -c '.[]' FILE")
        self._data = data
        known: dict[str, None] = {}
        for line, _ in zip(self._lines(), range(_RECORDS_LOOKED_AT), strict=False):
            known |= dict.fromkeys(_members(_object(line)))
        self.names = list(known)
        if not known:
            raise Unusable("its first line is no JSON object; write one object a line: jq -c . FILE")

    def columns(self, names: Sequence[str]) -> Mapping[str, pl.Series]:
        import polars as pl

        if not any("." in name for name in names):
            try:
                frame = pl.read_ndjson(io.BytesIO(self._data), schema=dict.fromkeys(names, pl.String()))
            except pl.exceptions.PolarsError:
                pass
            else:
                return frame.to_dict()
        return self._slowly(names)

    def _slowly(self, names: Sequence[str]) -> Mapping[str, pl.Series]:
        import polars as pl

        cells: dict[str, list[str | None]] = {name: [] for name in names}
        faults: list[tuple[str, str]] = []
        for row, line in enumerate(self._lines()):
            record = _object(line)
            if record is None:
                faults.append((self.place(row), "is no JSON object; write one object a line"))
                if len(faults) > _FAULTS_SHOWN:
                    raise Broken(faults, 0)
                continue
            for name, column in cells.items():
                column.append(_cell(_member(record, name)))
        if faults:
            raise Broken(faults, 0)
        return {name: pl.Series(values, dtype=pl.String) for name, values in cells.items()}

    def blank(self, rows: Integers) -> Integers:
        return rows[:0]  # blank lines are no rows

    def place(self, row: int) -> str:
        line = next(islice((number for number, each in self._numbered() if each.strip()), row, None), 0)
        return f"line {line}"

    def _lines(self) -> Iterator[bytes]:
        return (line for _, line in self._numbered() if line.strip())

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        return enumerate(io.BytesIO(self._data), 1)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _members(record: Mapping[str, Any] | None, before: str = "") -> Iterator[str]:
    for name, value in (record or {}).items():
        yield before + name
        if isinstance(value, dict) and before.count(".") < _DEEPEST:
            yield from _members(value, f"{before}{name}.")


def _member(record: object, name: str) -> object:
    """Return a member by its name, or one of a member by a dotted name; None where there is none."""
    if not isinstance(record, dict):
        return None
    if name in record:
        return record[name]
    parts = name.split(".")
    inner = (
        _member(record[".".join(parts[:count])], ".".join(parts[count:]))
        for count in range(len(parts) - 1, 0, -1)
        if ".".join(parts[:count]) in record
    )
    return next((each for each in inner if each is not None), None)


def _cell(value: object) -> str | None:
    """Return a JSON value as the text that a cell of CSV would hold."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


class _Parquet:
    """Columns that know their types; there are no lines, so rows are counted from 1."""

    named_in = "it"
    form = "Parquet"

    def __init__(self, data: bytes) -> None:
        import polars as pl

        try:
            self._frame = pl.scan_parquet(io.BytesIO(data))
            self._schema = self._frame.collect_schema()
            rows = self._frame.select(pl.len()).collect().item()
        except pl.exceptions.PolarsError:
            raise Unusable("it is damaged, or no Parquet that can be read") from None
        if rows > MOST_ROWS:
            raise Unusable(f"it has more than {MOST_ROWS:,} rows; take a part of them")
        self.names = list(self._schema)

    def columns(self, names: Sequence[str]) -> Mapping[str, pl.Series]:
        import polars as pl

        for name in names:
            if self._schema[name].is_nested() or self._schema[name] in (pl.Binary, pl.Object):
                raise Unusable(f"its column {name!r} holds bytes, lists or structures, no single values")
        try:
            return self._frame.select(names).collect().to_dict()
        except pl.exceptions.PolarsError:
            raise Unusable("it is damaged, or no Parquet that can be read") from None

    def blank(self, rows: Integers) -> Integers:
        return rows[:0]

    def place(self, row: int) -> str:
        return f"row {row + 1}"
