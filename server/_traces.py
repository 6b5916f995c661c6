"""Measured times from a CSV file, for distributions and for arrivals."""

from __future__ import annotations

import csv
from pathlib import Path

from server._values import parse_number, parse_seconds

_FAULTS_SHOWN = 5


def read_trace(file: Path, column: str) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Return the seconds in one column of a CSV file, in the file's order, and what is wrong with the file.

    The first line names the columns. A cell is a number of seconds or text with a unit (``250ms``); blank
    lines are skipped. The faults carry the CSV's own line numbers; where there is none, there is a value.
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
            values.append(_seconds(text))
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


def _seconds(text: str) -> float:
    try:
        number = parse_number(text)
    except ValueError:
        return parse_seconds(text)
    return parse_seconds(number)
