"""Measured times from a CSV file, for distributions and for arrivals."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pydantic import PrivateAttr, ValidationInfo, field_validator

from scenarios.documents import LocalDiagnostic, Model, parse_number, parse_seconds

_FAULTS_SHOWN: Final = 5


class MeasuredTimes(Model):
    """One column of a CSV file: numbers of seconds, or text with a unit, below a line that names the columns.

    A relative path starts at the folder of the YAML file. It is kept absolute, so that a copy of the model in
    another process finds the file too.
    """

    file: str
    """The CSV file."""
    column: str
    """The name of the column, as in the file's first line."""

    _seconds: tuple[float, ...] = PrivateAttr(())
    _faults: tuple[str, ...] = PrivateAttr(())

    @field_validator("file")
    @classmethod
    def _locate(cls, file: str, info: ValidationInfo) -> str:
        return str(Path((info.context or {}).get("folder", ""), file).absolute())

    def model_post_init(self, _context: object, /) -> None:
        self._seconds, self._faults = _read(Path(self.file), self.column)

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        for fault in self._faults:
            yield ("file",), fault

    @property
    def seconds(self) -> tuple[float, ...]:
        """The values, in the file's order; at least one."""
        return self._seconds


def _read(file: Path, column: str) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the column's seconds and the file's faults, which carry the CSV's own line numbers.

    Blank lines are skipped.
    """
    try:
        cells = _column(file, column)
    except UnicodeDecodeError:
        return (), (f"cannot read {file.name}: it is not UTF-8 text",)
    except OSError as error:
        return (), (f"cannot read {file.name}: {error.strerror or error}",)
    except csv.Error as error:
        return (), (f"cannot read {file.name}: {error}",)
    except LookupError as error:
        return (), (f"{file.name} {error.args[0]}",)
    values: list[float] = []
    faults: list[str] = []
    for line, text in cells:
        try:
            values.append(_parse(text))
        except ValueError as error:
            faults.append(f"{file.name} line {line}: {error}")
    if len(faults) > _FAULTS_SHOWN:
        faults[_FAULTS_SHOWN:] = [f"{file.name}: {len(faults) - _FAULTS_SHOWN} more lines are like these"]
    if not cells:
        faults.append(f"{file.name} has no rows below its header; give at least one value")
    return tuple(values), tuple(faults)


def _column(file: Path, column: str) -> list[tuple[int, str]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream)
        header = [cell.strip() for cell in next(reader, [])]
        if column not in header:
            names = ", ".join(repr(cell) for cell in header) or "none"
            raise LookupError(f"has no column {column!r}; the columns named in its first line: {names}")
        index = header.index(column)
        return [(reader.line_num, row[index].strip() if index < len(row) else "") for row in reader if row]


def _parse(text: str) -> float:
    try:
        number = parse_number(text)
    except ValueError:
        return parse_seconds(text)
    return parse_seconds(number)
