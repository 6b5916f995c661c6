"""Validation of a document by a model, with every fault in words of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scenarios.documents._reader import Diagnostic, Document, DocumentError, YamlPath, describe_path
from scenarios.documents._spellings import number_remedy
from scenarios.documents._words import did_you_mean, name_value, suggest

AnyModel = TypeVar("AnyModel", bound=BaseModel)

_BOUNDS: Final = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
_KINDS: Final = {
    "bool": "true or false",
    "dict": "a mapping of 'key: value' lines",
    "finite": "a finite number",
    "float": "a number",
    "int": "a whole number",
    "list": "a list",
    "mapping": "a mapping of 'key: value' lines",
    "model": "a mapping of 'key: value' lines",
    "string": "text",
    "tuple": "a list",
}
# Faults of a mapping as a whole are shown at its own key, not at its first line.
_OF_THE_WHOLE: Final = {"diagnostic", "value_error"}


def validate(document: Document, model: type[AnyModel], context: Mapping[str, Any] | None = None) -> AnyModel:
    """Return the document as an instance of ``model``, a subclass of ``Model``.

    A key at the top that begins with ``x-`` is the writer's own, as in Compose files, and is not looked at.
    ``context`` reaches the model's validators, together with ``folder``, where relative paths start.
    Raises DocumentError with all faults, in the order of the file's lines.
    """
    diagnostics = set(document.diagnostics)
    try:
        instance = model.model_validate(
            {key: value for key, value in document.data.items() if not key.startswith("x-")},
            context={"folder": Path(document.file).parent, **(context or {})},
        )
    except ValidationError as error:
        # A key with a fault of its own in the document has lost its value; what is said about that is noise.
        known = {(each.line, each.path) for each in diagnostics}
        for details in error.errors(include_url=False):
            diagnostic = _diagnostic(document, details)
            if (diagnostic.line, diagnostic.path) not in known:
                diagnostics.add(diagnostic)
    if diagnostics:
        raise DocumentError(tuple(sorted(diagnostics)))
    return instance


def _diagnostic(document: Document, error: ErrorDetails) -> Diagnostic:
    path, of_key = _locate(document.data, error)
    line = document.line_of(path, key=of_key)
    return Diagnostic(document.file, line, describe_path(path), _message(error))


def _locate(data: object, error: ErrorDetails) -> tuple[YamlPath, bool]:
    """Return the fault's path in the file, and whether its key (rather than its value) is to be shown.

    Pydantic's locations also name the branch taken in a union, which is no part of the file.
    """
    *parents, last = error["loc"] or ("",)
    path: list[str | int] = []
    for part in parents:
        data, found = _child(data, part)
        if found:
            path.append(part)
    child, found = _child(data, last)
    if last == "[key]":
        return tuple(path), True
    if found:
        path.append(last)
        if error["type"] == "unknown_type":
            return (*path, "type"), False
        whole = error["type"] in _OF_THE_WHOLE and isinstance(child, dict | list)
        return tuple(path), whole or error["type"] == "unknown_key"
    if error["type"] == "missing":
        return (*path, last), True
    return tuple(path), isinstance(child, dict | list)


def _child(data: object, part: str | int) -> tuple[object, bool]:
    if isinstance(data, dict) and part in data:
        return data[part], True
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return data[part], True
    return data, False


def _message(error: ErrorDetails) -> str:
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "diagnostic":
        return str(context["message"])
    if kind == "unknown_key":
        return f"unknown key; {did_you_mean(str(error['loc'][-1]), context['known'], 'the keys here are')}"
    if kind == "missing":
        return "this key is required and missing"
    if kind == "string_too_long":
        return f"must have at most {context['max_length']:,} characters"
    if kind == "string_too_short":
        return "must not be empty"
    if kind == "value_error":
        return str(context["error"])
    if kind == "unknown_type":
        return _not_among(value["type"], context["known"])
    if kind == "literal_error":  # pydantic tells the literals in a sentence alone, each in quotes
        return _not_among(value, re.findall(r"'([^']*)'", context["expected"]))
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"must be {words} {_exact(context[bound])}, not {name_value(value)}"
    wanted = _KINDS.get(kind.split("_")[0], "something else")
    return f"must be {wanted}, not {name_value(value)}{_remedy(wanted, value)}"


def _exact(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.15g}"


def _not_among(value: object, words: list[str]) -> str:
    guess = suggest(value, words) if isinstance(value, str) else None
    if guess is not None:
        return f"{name_value(value)} is unknown; did you mean {guess!r}?"
    return f"must be {'one of ' if len(words) > 1 else ''}{', '.join(words)}; not {name_value(value)}"


def _remedy(wanted: str, value: object) -> str:
    if wanted == "text" and not isinstance(value, dict | list):
        return "; put it in quotes"
    if wanted in ("a number", "a whole number") and isinstance(value, str):
        remedy = number_remedy(value)
        return f"; {remedy}" if remedy else ""
    return ""
