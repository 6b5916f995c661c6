"""YAML documents: text becomes frozen values, and every fault is told with its line, path and remedy."""

from scenarios.documents._reader import Document, DocumentError, Problem, parse_document, read_document
from scenarios.documents._types import (
    Count,
    Fraction,
    Mistake,
    Model,
    Number,
    OneOf,
    Positive,
    PositiveSeconds,
    Seconds,
    describe_seconds,
    name_value,
    parse_number,
    parse_seconds,
)
from scenarios.documents._validate import suggest, validate

__all__ = [
    "Count",
    "Document",
    "DocumentError",
    "Fraction",
    "Mistake",
    "Model",
    "Number",
    "OneOf",
    "Positive",
    "PositiveSeconds",
    "Problem",
    "Seconds",
    "describe_seconds",
    "name_value",
    "parse_document",
    "parse_number",
    "parse_seconds",
    "read_document",
    "suggest",
    "validate",
]
