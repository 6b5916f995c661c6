"""Measured times from a CSV file, for distributions and for arrivals."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import BaseModel, PrivateAttr, ValidationInfo, field_validator

from scenarios.documents import (
    LocalDiagnostic,
    Model,
    YamlPath,
    describe_path,
    parse_number,
    parse_seconds,
    seconds_or,
    unit_named,
    unit_seconds,
)
from scenarios.draws._keyed import Floats
from scenarios.draws._resolution import describe_steps, steps_of
from scenarios.draws._sample import Rounding

_FAULTS_SHOWN: Final = 5
_NO_VALUE: Final = frozenset(("", "-", "--", "na", "n/a", "nan", "none", "null", "nil", "?"))
_DELIMITERS: Final = (",", ";", "\t", "|")
_LONGEST_LINE: Final = 1 << 20


class MeasuredTimes(Model):
    """One column of a CSV file: numbers of seconds, or text with a unit, below a line that names the columns.

    A relative path starts at the folder of the YAML file. It is kept absolute, so that a copy of the model in
    another process finds the file too.
    """

    file: str
    """The CSV file."""
    column: str
    """The name of the column, as in the file's first line."""
    unit: Literal["d", "h", "m", "s", "ms", "us", "ns"] | None = None
    """The unit of plain numbers; null: the one that the column's name ends in, else seconds."""
    missing: Literal["error", "skip"] = "error"
    """Whether a row without a value, or with one below zero, is a fault or is left out."""
    resolution: seconds_or("auto", "exact") = "auto"  # type: ignore[valid-type] # made from the words
    """The grid that the values were rounded to: found in them, none, or so many seconds."""
    rounding: Rounding = "nearest"
    """How they were rounded to it: to nearest, down or up."""

    _seconds: bytes = PrivateAttr(b"")
    _steps: bytes | None = PrivateAttr(None)
    _faults: tuple[str, ...] = PrivateAttr(())
    _left_out: int = PrivateAttr(0)

    @field_validator("file")
    @classmethod
    def _locate(cls, file: str, info: ValidationInfo) -> str:
        return str(Path((info.context or {}).get("folder", ""), file).absolute())

    def model_post_init(self, _context: object, /) -> None:
        read, self._faults, self._left_out = _read(
            Path(self.file), self.column, self._parse, skip=self.missing == "skip"
        )
        values = self._counted(np.array(read, dtype=np.float64))
        # Bytes rather than arrays: models are compared by value, which arrays refuse.
        self._seconds = values.tobytes()
        steps = None
        if self.resolution == "auto":
            steps = steps_of(values)
        elif self.resolution != "exact":
            steps = np.full(values.size, self.resolution)
        self._steps = None if steps is None else steps.tobytes()

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        for fault in self._faults:
            yield ("file",), fault

    @property
    def seconds(self) -> Floats:
        """The values, in the file's order; at least one."""
        return np.frombuffer(self._seconds)

    @property
    def steps(self) -> Floats | None:
        """The step of the grid of each value's grid, in seconds; 0, or None for all: it is exact."""
        return None if self._steps is None else np.frombuffer(self._steps)

    def found(self) -> Iterator[str]:
        """Yield in English what was found in the file, and what is made of it."""
        steps, name = self.steps, Path(self.file).name
        if self.unit is None and (unit := unit_named(self.column)) not in (None, "s"):
            yield f"numbers of {name} are taken as {unit}, by the name of the column {self.column!r}"
        if self._left_out:
            yield f"{self._left_out} rows of {name} are left out, for they have no value or one below zero"
        if steps is not None:
            yield (
                f"the values of {name} are rounded to {describe_steps(steps)}; each is spread over the cell "
                "that this leaves open"
            )

    def _parse(self, text: str) -> float:
        """Return the seconds that a cell holds; raises ValueError, which says what would be right."""
        try:
            number = parse_number(text)
        except ValueError:
            return parse_seconds(text)
        return parse_seconds(number * unit_seconds(self.unit or unit_named(self.column) or "s"))

    def _counted(self, values: Floats) -> Floats:
        """Return the values as they count; a moment counts from the first."""
        return values


def measured(model: BaseModel, path: YamlPath = ()) -> Iterator[tuple[str, MeasuredTimes]]:
    """Yield all measured times in a model and the models inside of it, each with its YAML path."""
    if isinstance(model, MeasuredTimes):
        yield describe_path(path), model
    for name in type(model).model_fields:
        value = getattr(model, name)
        several = isinstance(value, tuple)
        for index, each in enumerate(value if several else (value,)):
            if isinstance(each, BaseModel):
                yield from measured(each, (*path, name, index) if several else (*path, name))


def _read(
    file: Path, column: str, parse: Callable[[str], float], *, skip: bool
) -> tuple[tuple[float, ...], tuple[str, ...], int]:
    """Return the column's seconds, the file's faults by the CSV's own lines, and how many rows are left out.

    Blank lines are skipped; ``skip``: rows without a value, or with one below zero, are left out.
    """
    if file.exists() and not file.is_file():
        return (), (f"cannot read {file.name}: it is no regular file",), 0
    try:
        cells = _column(file, column)
    except UnicodeDecodeError:
        return (), (f"cannot read {file.name}: it is not UTF-8 text",), 0
    except OSError as error:
        return (), (f"cannot read {file.name}: {error.strerror or error}",), 0
    except (EOFError, zlib.error):
        return (), (f"cannot read {file.name}: what is packed in it is damaged or cut off",), 0
    except csv.Error as error:
        return (), (f"cannot read {file.name}: {error}",), 0
    except LookupError as error:
        return (), (f"{file.name} {error.args[0]}",), 0
    values: list[float] = []
    faults: list[str] = []
    left_out = 0
    for line, text in cells:
        if skip and (text.lower() in _NO_VALUE or re.match(r"-\d", text)):
            left_out += 1
            continue
        try:
            values.append(parse(text))
        except ValueError as error:
            faults.append(f"{file.name} line {line}: {error}")
    if len(faults) > _FAULTS_SHOWN:
        faults[_FAULTS_SHOWN:] = [f"{file.name}: {len(faults) - _FAULTS_SHOWN} more lines are like these"]
    if not cells:
        faults.append(f"{file.name} has no rows below its header; give at least one value")
    elif left_out == len(cells):
        faults.append(f"{file.name} has no value in any of its {left_out} rows; give at least one")
    return tuple(values), tuple(faults), left_out


def _column(file: Path, column: str) -> list[tuple[int, str]]:
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", encoding="utf-8-sig", newline="") as stream:
        first = stream.readline(_LONGEST_LINE)
        if (told := re.fullmatch(r'"?sep=(.)"?\s*', first)) is not None:  # what spreadsheets write
            reader = csv.reader(stream, delimiter=told[1])
        else:
            reader = csv.reader(chain([first], stream), delimiter=_delimiter(first, column))
        header = [cell.strip() for cell in next(reader, [])]
        alike = [cell for cell in header if cell.lower() == column.lower()]
        if len(alike) > 1:
            names = ", ".join(repr(cell) for cell in alike)
            raise LookupError(f"has {len(alike)} columns of that name: {names}; give each a name of its own")
        if column not in header:
            names = ", ".join(repr(cell) for cell in header) or "none"
            guess = f"; did you mean {alike[0]!r}?" if alike else ""
            raise LookupError(
                f"has no column {column!r}; the columns named in its first line: {names}{guess}"
            )
        index = header.index(column)
        return [(reader.line_num, row[index].strip() if index < len(row) else "") for row in reader if row]


def _delimiter(header: str, column: str) -> str:
    """Return the delimiter by which the header names the column; a comma where none does."""

    def named(delimiter: str) -> bool:
        return column in [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]

    return next(filter(named, _DELIMITERS), ",")
