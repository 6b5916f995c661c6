"""Rows kept as columns: a poll takes 54 bytes, not 350, and travels between processes as it is kept.

Rows are appended as they come and packed by the thousand, for that costs least.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar, get_type_hints

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars as pl

R = TypeVar("R", bound=NamedTuple)

_PACK: Final = 1024  # rows that wait to be packed
_WORD: Final = "H"  # words are kept as numbers of a list: of settings, outcomes, responses


class BadColumns(ValueError):
    """What another process sent are no columns of these rows."""


@cache
def _codes(kind: type[NamedTuple]) -> dict[str, str]:
    """Return the type code of each column of a row, read off its annotations; NaN is None."""
    known: dict[object, str] = {str: _WORD, int: "q"}
    return {name: known.get(hint, "d") for name, hint in get_type_hints(kind).items()}


class Columns(Generic[R]):
    """A list of rows of one kind, to which rows are added at the end."""

    __slots__ = ("_columns", "_fresh", "_kind", "_words")

    def __init__(self, kind: type[R], rows: Iterable[R] = ()) -> None:
        self._kind = kind
        self._columns = {name: array(code) for name, code in _codes(kind).items()}
        self._words: dict[str, int] = {}
        self._fresh: list[R] = list(rows)

    def append(self, row: R) -> None:
        """Add a row."""
        self._fresh.append(row)
        if len(self._fresh) >= _PACK:
            self._pack()

    def extend(self, rows: Iterable[R]) -> None:
        """Add rows; those of other columns are copied as they are."""
        if not isinstance(rows, Columns):
            self._fresh.extend(rows)
            return
        self._pack()
        rows._pack()
        number = np.array([self._number(word) for word in rows._words], dtype=_WORD)
        for name, column in self._columns.items():
            more = rows._columns[name]
            if column.typecode == _WORD and len(more):
                column.frombytes(number[np.frombuffer(more, dtype=_WORD)].tobytes())
            else:
                column.extend(more)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()))) + len(self._fresh)

    def __iter__(self) -> Iterator[R]:
        self._pack()
        words = list(self._words)
        read: dict[str, Any] = {"q": int, "d": _known, _WORD: words.__getitem__}
        columns = (map(read[column.typecode], column) for column in self._columns.values())
        return map(self._kind._make, zip(*columns, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Iterable) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # they change

    def column(self, name: str) -> NDArray[Any]:
        """Return a copy of a column of numbers; NaN where one is unknown."""
        self._pack()
        column = self._columns[name]
        return np.array(column, dtype=column.typecode)

    def is_word(self, name: str, word: str) -> NDArray[np.bool_]:
        """Return where a column of words has this one."""
        codes: NDArray[np.uint16] = self.column(name)
        number = self._words.get(word)
        return np.zeros(codes.size, dtype=np.bool_) if number is None else codes == number

    def frame(self) -> pl.DataFrame:
        """Return the rows as a frame; NaN where a time is unknown."""
        import polars as pl

        self._pack()
        words = pl.Series(list(self._words), dtype=pl.Categorical())
        columns = {name: self.column(name) for name in self._columns}
        return pl.DataFrame(
            {name: words.gather(each) if each.dtype == _WORD else each for name, each in columns.items()}
        )

    def to_wire(self) -> dict[str, Any]:
        """Return the rows as msgpack can carry them: each column's bytes, and the words."""
        self._pack()
        return {
            "words": list(self._words),
            "columns": {name: column.tobytes() for name, column in self._columns.items()},
        }

    @classmethod
    def from_wire(cls, kind: type[R], data: object) -> Columns[R]:
        """Return the rows that ``to_wire`` gave. Raises BadColumns."""
        columns = cls(kind)
        try:
            words, sent = data["words"], data["columns"]  # type: ignore[index]  # caught
            if sent.keys() != columns._columns.keys():
                raise BadColumns(f"the columns are {', '.join(map(str, sent))}")
            for name, column in columns._columns.items():
                column.frombytes(sent[name])
            columns._words = {str(word): number for number, word in enumerate(words)}
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            raise BadColumns(str(error)) from error
        lengths = {len(column) for column in columns._columns.values()}
        coded = [max(each, default=-1) for each in columns._columns.values() if each.typecode == _WORD]
        if len(lengths) != 1 or max(coded, default=-1) >= len(columns._words):
            raise BadColumns("the columns do not fit together")
        return columns

    def _pack(self) -> None:
        if not self._fresh:
            return
        rows, self._fresh = self._fresh, []
        for column, values in zip(self._columns.values(), zip(*rows, strict=True), strict=True):
            if column.typecode == _WORD:
                column.extend(map(self._number, values))
            elif column.typecode == "d":
                column.extend(_UNKNOWN if value is None else value for value in values)  # type: ignore[misc]  # of floats
            else:
                column.extend(values)

    def _number(self, word: str) -> int:
        number = self._words.get(word)
        if number is None:
            number = self._words[word] = len(self._words)
        return number


_UNKNOWN: Final = float("nan")


def _known(value: float) -> float | None:
    return value if value == value else None
