"""Cells as numbers: durations in seconds, and moments in whole nanoseconds, a column at a time.

What spells a plain number is read as an array; any other text once for each distinct spelling.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from scenarios.documents import name_value, parse_number, parse_seconds

if TYPE_CHECKING:
    import polars as pl

NS: Final = 10**9
"""Nanoseconds of a second."""

_NO_VALUE: Final = frozenset(("", "-", "--", "na", "n/a", "nan", "none", "null", "nil", "nat", "?"))
_EPOCH_FRACTIONS: Final = ((10**11, 10**3), (10**14, 10**6), (10**17, 10**9))
"""Numbers from which on a time can only be milliseconds, microseconds or nanoseconds since 1970."""

_DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")
_MOST_S: Final = 9e9  # what nanoseconds in 64 bits can count: to the year 2255


class _Missing(ValueError):
    """A cell holds no value."""


class _BelowZero(ValueError):
    """A cell holds a value that cannot be."""


@dataclass(frozen=True)
class Cells:
    """A column of numbers, and which cells hold none; ``wrong`` says why, by row."""

    values: NDArray[Any]
    missing: NDArray[np.bool_]
    below_zero: NDArray[np.bool_]
    wrong: Mapping[int, str]


def durations(cells: pl.Series, unit_s: float) -> Cells:
    """Return durations in seconds; plain numbers count ``unit_s`` seconds each."""
    import polars as pl

    if cells.dtype == pl.Duration:
        values = cells.cast(pl.Duration("ns")).to_physical().cast(pl.Float64) / NS
        return _numbers(cells, values, _no_text)

    def spelled(text: str) -> float:
        try:
            number = parse_number(text)
        except ValueError:
            return parse_seconds(text)
        return parse_seconds(number * unit_s)

    if cells.dtype.is_numeric():
        return _numbers(cells, cells.cast(pl.Float64, strict=False) * unit_s, _no_text)
    cells = cells.cast(pl.String, strict=False).str.strip_chars()
    return _numbers(cells, cells.cast(pl.Float64, strict=False) * unit_s, spelled)


def moments(cells: pl.Series, unit_s: float | None) -> Cells:
    """Return moments in nanoseconds, since 1970 or since whatever else plain numbers count from.

    ``unit_s``: seconds of one in plain numbers; None: seconds, or a fraction of them where the number can
    be nothing else than a time since 1970.
    """
    import polars as pl

    def spelled(text: str) -> int:
        if _DATED.match(text):
            return _moment(text)
        try:
            number = parse_number(text)
        except ValueError:
            seconds = parse_seconds(text)
        else:
            seconds = number * _scale(number, unit_s)
        if abs(seconds) > _MOST_S:
            raise ValueError(f"{name_value(text)} is too far away for a moment")
        return round(seconds * NS)

    if cells.dtype.is_temporal():
        kind = pl.Duration("ns") if cells.dtype == pl.Duration else pl.Datetime("ns")
        if isinstance(cells.dtype, pl.Datetime) and cells.dtype.time_zone:
            cells = cells.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return _numbers(cells, cells.cast(kind, strict=False).to_physical(), _no_text, signed=True)
    if cells.dtype.is_numeric():
        exact = cells.cast(pl.Decimal(38, 9), strict=False)
        return _numbers(cells, _scaled(exact, unit_s), _no_text)
    cells = cells.cast(pl.String, strict=False).str.strip_chars()
    plain = _scaled(cells.cast(pl.Decimal(38, 9), strict=False), unit_s)
    dated = cells.str.contains(r"^\d{4}-\d\d-\d\d[T ]\d")
    if not dated.any():
        return _numbers(cells, plain, spelled)
    stamps = cells.filter(dated).str.replace(" ", "T", literal=True)
    read = stamps.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="ns", strict=False)
    if (zoned := read.is_null()).any():
        zones = stamps.filter(zoned).str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%#z", time_unit="ns", strict=False)
        read = read.scatter(zoned.arg_true(), zones.dt.replace_time_zone(None))
    plain = plain.scatter(dated.arg_true(), read.to_physical())
    return _numbers(cells, plain, spelled, signed_at=dated)


def _scaled(numbers: pl.Series, unit_s: float | None) -> pl.Series:
    """Return exact decimal numbers of 9 places as nanoseconds; null where there are too many."""
    import polars as pl

    raw, wide = pl.col("v"), pl.Int128()

    def over(factor: int) -> pl.Expr:
        return (raw + pl.lit(factor // 2, dtype=wide)) // pl.lit(factor, dtype=wide)

    scaled: Any = raw
    if unit_s is None:
        for least, per_second in _EPOCH_FRACTIONS:
            far = raw >= pl.lit(least * NS, dtype=wide)
            scaled = pl.when(far).then(over(per_second)).otherwise(scaled)
    elif unit_s >= 1.0:
        scaled = raw * pl.lit(round(unit_s), dtype=wide)
    else:
        scaled = over(round(1 / unit_s))
    whole = scaled.cast(pl.Int64, strict=False).alias("v")
    return numbers.to_physical().to_frame("v").select(whole)["v"]


def _numbers(
    cells: pl.Series,
    read: pl.Series,
    spelled: Callable[[str], float],
    *,
    signed: bool = False,
    signed_at: pl.Series | None = None,
) -> Cells:
    """Return what was ``read`` as numbers, and the other cells as they are ``spelled``.

    ``signed``: numbers below zero are moments before 1970, in the rows ``signed_at`` or in all.
    """
    import polars as pl

    unread = read.is_null()
    if read.dtype.is_float():
        unread |= ~read.is_finite().fill_null(False)
    values = read.fill_null(0).to_numpy(writable=True)
    missing = np.zeros(values.size, dtype=np.bool_)
    below = np.zeros(values.size, dtype=np.bool_) if signed else values < 0
    if signed_at is not None:
        below &= ~signed_at.fill_null(False).to_numpy()
    wrong: dict[int, str] = {}
    rows = unread.arg_true().to_numpy().astype(np.int64)
    rest = cells.gather(rows) if rows.size else cells.clear()
    texts = rest.cast(pl.String, strict=False).fill_null("").to_list()
    known: dict[str, float | ValueError] = {}
    for row, text in zip(rows.tolist(), texts, strict=True):
        if text not in known:
            known[text] = _spelled(text, spelled)
        value = known[text]
        if isinstance(value, _Missing):
            missing[row] = True
        elif isinstance(value, _BelowZero):
            below[row] = True
            wrong[row] = str(value)
        elif isinstance(value, ValueError):
            wrong[row] = str(value)
        else:
            values[row] = value
    return Cells(values, missing, below, wrong)


def _spelled(text: str, spelled: Callable[[str], float]) -> float | ValueError:
    if text.lower() in _NO_VALUE:
        return _Missing()
    try:
        return spelled(text)
    except ValueError as error:
        return _BelowZero(str(error)) if re.match(r"-\d", text) else error


def _no_text(text: str) -> float:
    raise ValueError(f"{name_value(text)} is no time")


def _scale(number: float, unit_s: float | None) -> float:
    if unit_s is not None:
        return unit_s
    return next((1 / per_second for least, per_second in reversed(_EPOCH_FRACTIONS) if number >= least), 1.0)


def _moment(text: str) -> int:
    """Return a moment that is written as a date; raises ValueError, which says what would be right."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{name_value(text)} is no moment; write it as 2023-11-16 18:17:03") from None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * NS + since.microseconds * 1000
