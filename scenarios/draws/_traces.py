"""Measured times from a file, for distributions and for arrivals: what is read, and what was found in it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, PrivateAttr, ValidationInfo, field_validator

from scenarios.documents import Described, LocalDiagnostic, Model, YamlPath, located, seconds_or, unit_named
from scenarios.draws._cells import NS
from scenarios.draws._files import is_parquet
from scenarios.draws._keyed import Floats
from scenarios.draws._reading import Reading, Request, read, read_apart, spell_left_out
from scenarios.draws._resolution import describe_steps, shares_of, steps_of, steps_of_ns
from scenarios.draws._sample import Rounding, Spread
from scenarios.draws._where import Where

_QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
_TAIL: Final = 0.025  # of a two-sided interval of 95 %


@dataclass(frozen=True)
class Found(Described):
    """What was found in one file, and what is made of it: a part of ``run.json`` and ``results.json``."""

    path: str
    """Where the scenario names it, such as ``job.duration``."""
    file: str
    """The file's name; in a run's folder that of the copy."""
    sha256: str
    form: str
    """How it is written: the delimiter, JSON lines or Parquet."""
    columns: tuple[str, ...]
    """The column; or those of the start and of the end."""
    rows: int
    """Rows in the file."""
    used: int
    """Rows that count."""
    left_out: Mapping[str, int]
    """The others by reason: ``where``, ``missing``, ``below_zero``."""
    unit: str
    """The unit of plain numbers."""
    steps: Mapping[str, float]
    """The grid that values are rounded to, in seconds, and the share of the values on it; 0: exact."""
    origin_s: float | None
    """What arrivals are counted from, in seconds; null for durations."""
    supports: tuple[float, ...]
    """Quantiles that have an interval of 95 % at so many rows; of 0.5, 0.9, 0.95 and 0.99."""
    notes: tuple[str, ...] = field(default=())
    """The same in English, as far as it is worth a word."""


class Wanted(NamedTuple):
    """The columns that a model wants of its file, and what their cells are."""

    columns: tuple[str, ...]
    kind: Literal["durations", "moments"]


def needed(p: float) -> int:
    """Return the size of the smallest sample of which two values bound the p-quantile at 95 %.

    p50 needs 6, p90 36, p95 72, p99 368: p**n and (1-p)**n are to be 2.5 % at most.
    """
    return math.ceil(math.log(_TAIL) / math.log(max(p, 1.0 - p)))


def _condition(text: str) -> str:
    Where(text)
    return text


class MeasuredTimes(Model):
    """Times from a file: CSV (any usual delimiter), JSON lines or Parquet; text may be packed by gzip.

    A relative path starts at the folder of the YAML file. It is kept absolute, so that a copy of the model in
    another process finds the file too.
    """

    file: str
    """The file: CSV, JSON lines or Parquet; text may be packed by gzip."""
    column: str | None = None
    """The name of the column; null: the file's only one."""
    unit: Literal["d", "h", "m", "s", "ms", "us", "ns"] | None = None
    """The unit of plain numbers; null: the one that the column's name ends in, else seconds."""
    where: Annotated[str, AfterValidator(_condition)] | None = None
    """The rows that count, such as ``status == "success" and attempt < 3``; null: all."""
    missing: Literal["error", "skip"] = "error"
    """Whether a row without a value, or with one below zero, is a fault or is left out."""
    resolution: seconds_or("auto", "exact") = "auto"  # type: ignore[valid-type] # made from the words
    """The grid that the values were rounded to: found in them, none, or so many seconds."""
    rounding: Rounding = "nearest"
    """How they were rounded to it: to nearest, down or up."""

    _reading: Reading = PrivateAttr(Reading())
    _seconds: bytes = PrivateAttr(b"")
    _steps: bytes | None = PrivateAttr(None)
    _origin: float | None = PrivateAttr(None)

    @field_validator("file")
    @classmethod
    def _locate(cls, file: str, info: ValidationInfo) -> str:
        return str(located(file, info.context))

    def model_post_init(self, context: Any, /) -> None:
        wanted, skip = self._wanted(), self.missing == "skip"
        request = Request(Path(self.file), wanted.columns, wanted.kind, self.unit, self.where, skip)
        apart = bool((context or {}).get("apart")) or is_parquet(request.file)
        reading = (read_apart if apart else read)(request)
        # Bytes rather than arrays: models are compared by value, which arrays refuse.
        self._reading = replace(reading, values=())
        if reading.faults:
            return
        values, steps = self._made_of(reading.values)
        self._seconds = values.tobytes()
        if self.resolution == "exact":
            steps = None
        elif self.resolution != "auto":
            steps = np.full(values.size, self.resolution)
            self._told()
        self._steps = None if steps is None else steps.tobytes()

    def _wanted(self) -> Wanted:
        """Return which columns are to be read, and as what."""
        return Wanted(() if self.column is None else (self.column,), "durations")

    def _made_of(self, columns: Sequence[NDArray[Any]]) -> tuple[Floats, Floats | None]:
        """Return the values in seconds that the columns tell, and the steps of the grid found in them."""
        if columns[0].dtype.kind == "f":
            return columns[0], steps_of(columns[0])
        first = int(columns[0].min())
        self._origin = first / NS
        return (columns[0] - first) / NS, steps_of_ns(columns[0])

    def _told(self) -> None:
        """Take notice that the resolution is told, not found."""

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        for fault in self._reading.faults:
            yield ("file",), fault

    @property
    def seconds(self) -> Floats:
        """The values, in the file's order; at least one."""
        return np.frombuffer(self._seconds)

    @property
    def steps(self) -> Floats | None:
        """The step of the grid of each value's grid, in seconds; 0, or None for all: it is exact."""
        return None if self._steps is None else np.frombuffer(self._steps)

    @property
    def source(self) -> str:
        """The column or columns, in English."""
        columns = self._reading.columns
        return f"column {columns[0]!r}" if len(columns) == 1 else f"from {columns[0]!r} to {columns[1]!r}"

    @property
    def origin(self) -> float | None:
        """The first of the moments that the values are counted from, in seconds; None: they are durations."""
        return self._origin

    def found(self, path: str = "") -> Found:
        """Return what was found in the file; ``path`` is where the scenario names it."""
        reading, values, steps = self._reading, self.seconds, self.steps
        return Found(
            path=path,
            file=Path(self.file).name,
            sha256=reading.digest,
            form=reading.form,
            columns=reading.columns,
            rows=sum(reading.left_out.values()) + values.size,
            used=values.size,
            left_out=dict(reading.left_out),
            unit=self.unit or unit_named(reading.columns[0]) or "s",
            steps={} if steps is None else {f"{step:.9g}": share for step, share in shares_of(steps)},
            origin_s=self.origin,
            supports=tuple(p for p in _QUANTILES if values.size >= needed(p)),
            notes=tuple(self._notes()),
        )

    def _notes(self) -> Iterator[str]:
        """Yield in English what was found in the file, and what is made of it."""
        reading, steps, name = self._reading, self.steps, Path(self.file).name
        yield f"{name} is {reading.form}; {self._used()}, {self.source}"
        for column in reading.columns:
            if self.unit is None and (unit := unit_named(column)) not in (None, "s"):
                yield f"numbers are taken as {unit}, by the name of the column {column!r}"
        if steps is not None:
            yield f"the values are rounded to {describe_steps(steps)}; each is spread over {self._cell()}"

    def _used(self) -> str:
        used, out = self.seconds.size, self._reading.left_out
        if not out:
            return f"{used:,} {'row' if used == 1 else 'rows'}"
        rows = used + sum(out.values())
        return f"{used:,} of {rows:,} rows (left out: {spell_left_out(out)})"

    def _cell(self) -> str:
        return "the cell that this leaves open"


def _thin(rows: int) -> Iterator[str]:
    """Yield what so few measured values tell and do not; nothing where they are enough."""
    able = [f"p{100 * p:.0f}" for p in _QUANTILES if rows >= needed(p)]
    unable = [f"p{100 * p:.0f} (from {needed(p)})" for p in _QUANTILES if rows < needed(p)]
    if unable:
        few = "1 value is" if rows == 1 else f"{rows} values are"
        enough = f"enough for {_and(able)}, not for" if able else "not enough for"
        yield f"{few} few: {enough} {_and(unable, 'or')}"


def _and(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def measured(model: BaseModel, path: YamlPath = ()) -> Iterator[tuple[YamlPath, MeasuredTimes]]:
    """Yield all measured times in a model and the models inside of it, each with its YAML path."""
    if isinstance(model, MeasuredTimes):
        yield path, model
    for name in type(model).model_fields:
        value = getattr(model, name)
        several = isinstance(value, tuple)
        for index, each in enumerate(value if several else (value,)):
            if isinstance(each, BaseModel):
                yield from measured(each, (*path, name, index) if several else (*path, name))


class Spans(MeasuredTimes):
    """Measured durations: a column of them, or the moments of start and end."""

    start: str | None = None
    """The column of the moments in which each began, instead of ``column``."""
    end: str | None = None
    """The column of the moments in which each ended."""

    _spread: Spread | None = PrivateAttr(None)

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        yield from super().choices(data)
        given = {key for key in ("column", "start", "end") if data.get(key) is not None}
        if given == {"start"} or given == {"end"}:
            other = "end" if "start" in given else "start"
            yield (*given,), f"start and end go together; give {other} too, or column alone"
        elif "column" in given and len(given) > 1:
            yield ("column",), "give either column, or start and end"

    def _wanted(self) -> Wanted:
        if self.start is None or self.end is None:
            return super()._wanted()
        return Wanted((self.start, self.end), "moments")

    def _made_of(self, columns: Sequence[NDArray[Any]]) -> tuple[Floats, Floats | None]:
        if len(columns) == 1:
            return super()._made_of(columns)
        began, ended = columns
        spans = ended - began
        of_span, of_start, of_end = (steps_of_ns(each) for each in (spans, began, ended))
        steps, self._spread = _of_difference(of_span, of_start, of_end, self.rounding)
        return spans / NS, steps

    @property
    def spread(self) -> Spread:
        """Where in its cell a value lies."""
        return self._spread or self.rounding

    def _told(self) -> None:
        if self.start is not None:
            self._spread = "difference"

    def _notes(self) -> Iterator[str]:
        yield from super()._notes()
        yield from _thin(self.seconds.size)

    def _cell(self) -> str:
        return "the cells of its two moments" if self.spread == "difference" else super()._cell()


_OTHER_WAY: Final[Mapping[Rounding, Rounding]] = {"nearest": "nearest", "floor": "ceil", "ceil": "floor"}
_COARSEST: Final = 1.0
"""Seconds that one of two moments alone may be rounded to: coarser, it is a timetable, as of cron."""


def _of_difference(
    of_span: Floats | None, of_start: Floats | None, of_end: Floats | None, rounding: Rounding
) -> tuple[Floats | None, Spread]:
    """Return the steps of the differences of two rounded moments, and where in its cell each lies.

    Where both are rounded to one grid, so is their difference. Where one of them is known much better, it is
    as if that one were exact; a start that was rounded down makes its duration too long.
    """
    span, start, end = (
        np.zeros(1) if each is None else np.minimum(each, most)
        for each, most in ((of_span, np.inf), (of_start, _COARSEST), (of_end, _COARSEST))
    )
    if (np.maximum(start, end) <= span).all():
        return of_span, "difference"
    if start.mean() > end.mean():
        return np.maximum(start, span), _OTHER_WAY[rounding]
    return np.maximum(end, span), rounding
