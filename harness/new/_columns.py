"""The names of a file's columns, whatever form it has; what stands in them is read elsewhere."""

from __future__ import annotations

import csv
import gzip
import json
import zlib
from pathlib import Path
from typing import Final

from harness._refusal import UNUSABLE, Refusal

_LONGEST_LINE: Final = 1 << 20
_DELIMITERS: Final = (",", ";", "\t", "|")
_JSON: Final = (".jsonl", ".ndjson", ".json")


def columns_of(path: Path) -> list[str]:
    """Return the names of the columns of a CSV, JSON Lines or Parquet file; raise ``Refusal``."""
    plain = path.with_suffix("") if path.suffix == ".gz" else path
    try:
        if plain.suffix == ".parquet":
            import polars as pl

            return list(pl.read_parquet_schema(path))
        if not path.is_file():
            raise FileNotFoundError(2, "it is no regular file" if path.exists() else "there is no such file")
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", newline="") as stream:
            first = stream.readline(_LONGEST_LINE)
            if first.startswith(("sep=", '"sep=')):
                first = stream.readline(_LONGEST_LINE)
        names = list(json.loads(first)) if plain.suffix in _JSON else _header(first)
        if not names:
            raise ValueError
        return names
    except (OSError, EOFError, zlib.error, ValueError, csv.Error) as error:
        said = getattr(error, "strerror", None) or "its first line names no columns"
        raise Refusal(f"cannot read {path}: {said}", UNUSABLE) from None


def _header(line: str) -> list[str]:
    rows = [next(csv.reader([line], delimiter=each), []) for each in _DELIMITERS]
    return [cell.strip() for cell in max(rows, key=len) if cell.strip()]
