"""Which rows of a table count: ``where: status == "success" and attempt < 3``.

The grammar is a part of Python's: comparisons, ``and``, ``or``, ``not``, ``in``; names are columns (those
with blanks or signs in them in backticks), values are numbers and text. It is read, never run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from scenarios.documents import name_value

if TYPE_CHECKING:
    import polars as pl

_LONGEST: Final = 1000
_QUOTED: Final = re.compile(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|`([^`]*)`""")
_REMEDY: Final = 'compare columns with values, as in status == "success" and attempt < 3'
_COMPARISONS: Final[Mapping[type[ast.cmpop], str]] = {
    ast.Eq: "eq",
    ast.NotEq: "ne",
    ast.Lt: "lt",
    ast.LtE: "le",
    ast.Gt: "gt",
    ast.GtE: "ge",
}
_WORDS: Final = {"true": True, "false": False}  # as YAML and JSON write them
_TURNED: Final = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


class Where:
    """A condition on the columns of a table; raises ValueError with a remedy where the text is none."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise ValueError(f"a condition has at most {_LONGEST} characters")
        self._named: dict[str, str] = {}
        try:
            self._tree = ast.parse(_QUOTED.sub(self._placeholder, text.strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            equals = "; a comparison is written ==" if re.search(r"(?<![=!<>])=(?!=)", text) else ""
            raise ValueError(f"{name_value(text)} is no condition{equals or f'; {_REMEDY}'}") from None
        try:
            self.names = tuple(dict.fromkeys(self._check(self._tree)))
        except RecursionError:
            raise ValueError(f"{name_value(text)} is nested too deeply") from None
        if not self.names:
            raise ValueError(f"{name_value(text)} names no column; {_REMEDY}")

    def rows(self, columns: Mapping[str, pl.Series]) -> pl.Series:
        """Return for each row whether the condition holds."""
        text = {name: _as_text(column) for name, column in columns.items()}
        return self._holds(self._tree, text)

    def _placeholder(self, found: re.Match[str]) -> str:
        if found[1]:
            return found[1]
        name = f"_column_{len(self._named)}_"
        self._named[name] = found[2]
        return name

    def _check(self, node: ast.expr) -> Iterator[str]:
        """Yield the columns that a condition names; raises ValueError for whatever is none."""
        match node:
            case ast.BoolOp(values=values):
                for each in values:
                    yield from self._check(each)
            case ast.UnaryOp(op=ast.Not(), operand=inner):
                yield from self._check(inner)
            case ast.Compare(left=left, ops=ops, comparators=others):
                for one, op, other in zip([left, *others[:-1]], ops, others, strict=True):
                    yield from self._check_pair(one, op, other)
            case _:
                raise ValueError(f"{name_value(self._source(node))} is no comparison; {_REMEDY}")

    def _check_pair(self, one: ast.expr, op: ast.cmpop, other: ast.expr) -> Iterator[str]:
        sides = [one, other]
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(other, ast.List | ast.Tuple | ast.Set) or not other.elts:
                raise ValueError(f"`in` takes a list of values, as in status in ['ok', 'done']; {_REMEDY}")
            sides = [one, *other.elts]
        elif type(op) not in _COMPARISONS:
            raise ValueError(f"compare with ==, !=, <, <=, >, >= and in; {_REMEDY}")
        found = [(side, self._column(side)) for side in sides]
        for side, name in found:
            if name is None and _value(side) is None:
                raise ValueError(f"{name_value(self._source(side))} is no column and no value; {_REMEDY}")
        if not any(name for _, name in found[:2]) or any(name for _, name in found[2:]):
            raise ValueError(f"{name_value(self._source(one))} is compared with no column; {_REMEDY}")
        yield from (name for _, name in found if name is not None)

    def _source(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for placeholder, name in self._named.items():
            text = text.replace(placeholder, f"`{name}`")
        return text

    def _column(self, node: ast.expr) -> str | None:
        """Return the name of a column, with dots for a member of a member."""
        if isinstance(node, ast.Name) and node.id not in _WORDS:
            return self._named.get(node.id, node.id)
        if isinstance(node, ast.Attribute) and (before := self._column(node.value)) is not None:
            return f"{before}.{node.attr}"
        return None

    def _holds(self, node: ast.expr, columns: Mapping[str, pl.Series]) -> pl.Series:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return _all([self._holds(each, columns) for each in values])
            case ast.BoolOp(values=values):
                return ~_all([~self._holds(each, columns) for each in values])
            case ast.UnaryOp(operand=inner):
                return ~self._holds(inner, columns)
            case ast.Compare(left=left, ops=ops, comparators=others):
                pairs = zip([left, *others[:-1]], ops, others, strict=True)
                return _all([self._compared(one, op, other, columns) for one, op, other in pairs])
            case _:
                raise AssertionError(node)

    def _compared(
        self, one: ast.expr, op: ast.cmpop, other: ast.expr, columns: Mapping[str, pl.Series]
    ) -> pl.Series:
        if isinstance(op, ast.In | ast.NotIn):
            assert isinstance(other, ast.List | ast.Tuple | ast.Set)  # noqa: S101 - checked above; for mypy
            among = ~_all([~self._compared(one, ast.Eq(), each, columns) for each in other.elts])
            return among if isinstance(op, ast.In) else ~among
        name = _COMPARISONS[type(op)]
        left, right = self._column(one), self._column(other)
        if left is not None and right is not None:
            return _both(columns[left], name, columns[right])
        if left is not None:
            return _with_value(columns[left], name, _value(other))
        assert right is not None  # noqa: S101 - checked above; for mypy
        return _with_value(columns[right], _TURNED[name], _value(one))


def _value(node: ast.expr) -> str | float | bool | None:
    """Return the number, text, True or False that is written there; None: nothing of these."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = _value(node.operand)
        return None if number is None or isinstance(number, str | bool) else -number
    if isinstance(node, ast.Name):
        return _WORDS.get(node.id)
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bool | int | float):
        return node.value
    return None


def _as_text(column: pl.Series) -> pl.Series:
    import polars as pl

    if column.dtype == pl.Duration:
        column = column.dt.total_nanoseconds() / 1e9
    return column.cast(pl.String, strict=False).str.strip_chars().fill_null("")


def _numbers(column: pl.Series) -> pl.Series:
    import polars as pl

    return column.cast(pl.Float64, strict=False).fill_nan(None)


def _with_value(column: pl.Series, comparison: str, value: str | float | bool | None) -> pl.Series:
    """Compare cells with a value: as numbers with a number; what is none, equals none."""
    if isinstance(value, bool):
        return _compare(column.str.to_lowercase(), comparison, str(value).lower())
    if isinstance(value, str):
        return _compare(column, comparison, value)
    return _compare(_numbers(column), comparison, value).fill_null(comparison == "ne")


def _both(one: pl.Series, comparison: str, other: pl.Series) -> pl.Series:
    """Compare the cells of two columns, as numbers where both are."""
    numbers = _compare(_numbers(one), comparison, _numbers(other))
    texts = _compare(one, comparison, other)
    return numbers.fill_null(False) | (numbers.is_null() & texts)


def _compare(one: pl.Series, comparison: str, other: Any) -> pl.Series:
    result: pl.Series = getattr(one, comparison)(other)
    return result


def _all(conditions: list[pl.Series]) -> pl.Series:
    result = conditions[0]
    for each in conditions[1:]:
        result = result & each
    return result
