"""What each job is submitted with: records of inputs, and the places in a submission that they fill."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

from pydantic import BeforeValidator, Field, ValidationInfo

from scenarios.documents import located

Record = Mapping[str, Any]
"""The inputs of one job: names and JSON values."""

_PLACE: Final = re.compile(
    r"\{\{(\w+)\}\}|(?<!\$)\{(\w+)\}"
)  # ${NAME} is a secret, {{name}} is {name} itself
_FAULTS_SHOWN: Final = 5


def places(value: Any) -> Iterator[str]:
    """Yield the names of the places, such as ``{url}``, in a text and in all that a mapping or list holds."""
    if isinstance(value, str):
        yield from (found[2] for found in _PLACE.finditer(value) if found[2])
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from places(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from places(inner)


def filled(value: Any, record: Record, *, in_path: bool = False) -> Any:
    """Return a JSON value with its places filled from the record, which has every name that they need.

    A text that is nothing but one place becomes the record's value as it is, a number or a list, say; within
    a longer text it becomes a part of that. in_path: the part is escaped, as in the path of an address.
    """
    if isinstance(value, str):
        whole = _PLACE.fullmatch(value)
        if whole and whole[2] and not in_path:
            return record[whole[2]]
        return _PLACE.sub(lambda found: _text(found, record, in_path), value)
    if isinstance(value, Mapping):
        return {key: filled(inner, record) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, record) for inner in value]
    return value


def _text(found: re.Match[str], record: Record, in_path: bool) -> str:
    if found[1]:
        return f"{{{found[1]}}}"
    value = record[found[2]]
    text = value if isinstance(value, str) else json.dumps(value)
    return quote(text, safe="") if in_path else text


def _read_named(value: object, info: ValidationInfo) -> object:
    """Return the records of the file that a text names; a list is left for pydantic to judge."""
    if not isinstance(value, str):
        return value
    path = located(value, info.context)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(
            f"{value!r}: name a file that ends in {' or '.join(_READERS)}, or give a list of inputs"
        )
    try:
        return read(path)
    except UnicodeDecodeError:
        raise ValueError(f"cannot read {path.name}: it is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"cannot read {path.name}: {error.strerror or error}") from None
    except csv.Error as error:
        raise ValueError(f"cannot read {path.name}: {error}") from None


def _read_csv(path: Path) -> list[Record]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=True)
        header = [cell.strip() for cell in next(reader, [])]
        if not header or "" in header or len(set(header)) < len(header):
            raise ValueError(f"{path.name}: its first line must give every column a name of its own")
        records: list[Record] = []
        faults: list[str] = []
        for row in reader:
            if row and len(row) != len(header):
                faults.append(
                    f"{path.name} line {reader.line_num}: {len(row)} cells below {len(header)} names"
                )
            elif row:
                records.append(dict(zip(header, row, strict=True)))
    return _sound(path, records, faults)


def _read_lines(path: Path) -> list[Record]:
    records: list[Record] = []
    faults: list[str] = []
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                record = None
            if isinstance(record, dict):
                records.append(record)
            else:
                faults.append(f"{path.name} line {number}: is no JSON object")
    return _sound(path, records, faults)


def _sound(path: Path, records: list[Record], faults: list[str]) -> list[Record]:
    if faults:
        more = len(faults) - _FAULTS_SHOWN
        shown = [*faults[:_FAULTS_SHOWN], *([f"{more} more lines are like these"] if more > 0 else [])]
        raise ValueError("; ".join(shown))
    if not records:
        raise ValueError(f"{path.name} holds no inputs; give at least one")
    return records


_READERS: Final = {".csv": _read_csv, ".jsonl": _read_lines}

Inputs = Annotated[
    tuple[Annotated[dict[str, Any], Field(strict=True)], ...],
    BeforeValidator(_read_named, json_schema_input_type=list[dict[str, Any]] | str),
]
"""Records, job number i gets number i modulo their count: a list, or the name of a CSV or JSON Lines file."""
