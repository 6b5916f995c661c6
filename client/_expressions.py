"""Where in a reply a value lies: a dotted name, or any expression of JMESPath.

Dotted names (``data.status``) need the standard library alone; the package ``jmespath`` is imported when an
expression is more than that. JMESPath is what the waiters of botocore and Smithy are written in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final, TypeAlias

from ._checks import InvalidSetting

Finder: TypeAlias = Callable[[Any], Any]

_DOTTED: Final = re.compile(r"[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*", re.ASCII)


def checked_expression(field: str, expression: object) -> None:
    """Raise InvalidSetting unless this is an expression."""
    if not isinstance(expression, str) or not expression.strip():
        raise InvalidSetting(field, expression, "give a member's name, such as data.status, or a JMESPath")
    try:
        _finder(expression)
    except ImportError:
        raise InvalidSetting(
            field, expression, "an expression that is no dotted name needs: pip install jmespath"
        ) from None
    except (ValueError, RecursionError) as error:  # jmespath's own errors are ValueErrors
        said = str(error).splitlines()[0].rstrip(":") if str(error) else "too deep"
        raise InvalidSetting(field, expression, f"write it as JMESPath has it ({said})") from None


def find(document: Any, expression: str) -> Any:
    """Return what an expression finds in a JSON value, None when it finds nothing."""
    return _finder(expression)(document)


@lru_cache(maxsize=256)
def _finder(expression: str) -> Finder:
    if _DOTTED.fullmatch(expression):
        return _dotted(expression.split(".")) if "." in expression else _member(expression)
    import jmespath.functions

    compiled = jmespath.compile(expression)
    for name in _called(compiled.parsed):
        if name not in jmespath.functions.Functions.FUNCTION_TABLE:
            raise ValueError(f"no function is called {name}")

    def search(document: Any) -> Any:
        try:
            return compiled.search(document)
        except (ValueError, TypeError, ArithmeticError, RecursionError):  # not a value that it can work on
            return None

    return search


def _called(node: Any) -> Iterator[str]:
    """Yield the functions that a parsed expression calls."""
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node["children"]:
        if isinstance(child, dict):
            yield from _called(child)


def _member(name: str) -> Finder:
    return lambda document: document.get(name) if isinstance(document, dict) else None


def _dotted(names: list[str]) -> Finder:
    def descend(document: Any) -> Any:
        for name in names:
            document = document.get(name) if isinstance(document, dict) else None
        return document

    return descend
