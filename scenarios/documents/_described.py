"""Descriptions of keys, read off the docstrings under them at the time that a JSON Schema is asked for."""

from __future__ import annotations

import ast
import inspect
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema


class Described:
    """Base of models and dataclasses whose JSON Schema says of each key what the docstring under it says.

    Pydantic's ``use_attribute_docstrings`` gives the same schema, but reads the source of every class as it
    is made, which every command would wait for.
    """

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        schema = handler(core)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        fields = getattr(cls, "__pydantic_fields__", {})
        for name, text in _texts(cls).items():
            value = properties.get(getattr(fields.get(name), "alias", None) or name)
            # What the key's own model says already is not said twice.
            if text and value is not None and handler.resolve_ref_schema(value).get("description") != text:
                value.setdefault("description", text)
        return schema


def _texts(cls: type) -> dict[str, str | None]:
    """Return the docstring under each attribute, in the last class that declares it; None without one."""
    bases: list[type] = [each for each in reversed(cls.__mro__) if issubclass(each, Described)]
    return {name: text for each in bases for name, text in _own_texts(each).items()}


@cache
def _own_texts(cls: type) -> dict[str, str | None]:
    found: dict[str, str | None] = dict.fromkeys(inspect.get_annotations(cls))
    try:
        (tree,) = ast.parse(dedent(inspect.getsource(cls))).body
    except OSError:  # made by create_model, whose fields are described where they are listed
        return found
    assert isinstance(tree, ast.ClassDef)  # noqa: S101 - the source of a class, which tells mypy
    for attribute, text in pairwise(tree.body):
        match attribute, text:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                found[name] = inspect.cleandoc(said)
    return found
