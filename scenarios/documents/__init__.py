"""YAML documents: text becomes frozen values, and every fault is told with its line, path and remedy."""

from __future__ import annotations

from scenarios.documents._described import Described
from scenarios.documents._files import located
from scenarios.documents._reader import (
    Diagnostic,
    Document,
    DocumentError,
    YamlPath,
    describe_path,
    is_there,
    parse_document,
    read_document,
)
from scenarios.documents._spellings import (
    parse_number,
    parse_rate,
    parse_seconds,
    unit_named,
    unit_seconds,
)
from scenarios.documents._types import (
    Count,
    Fraction,
    LocalDiagnostic,
    Model,
    Number,
    OneOf,
    Positive,
    PositiveSeconds,
    Rate,
    Seconds,
    Whole,
    seconds_or,
)
from scenarios.documents._validate import validate
from scenarios.documents._within import YEAR, Within
from scenarios.documents._words import counted, did_you_mean, name_value, printable, spell_seconds, suggest

__all__ = [
    "Count",
    "Described",
    "Diagnostic",
    "Document",
    "DocumentError",
    "Fraction",
    "LocalDiagnostic",
    "Model",
    "Number",
    "OneOf",
    "Positive",
    "PositiveSeconds",
    "Rate",
    "Seconds",
    "Whole",
    "Within",
    "YEAR",
    "YamlPath",
    "counted",
    "describe_path",
    "did_you_mean",
    "is_there",
    "located",
    "name_value",
    "parse_document",
    "parse_number",
    "parse_rate",
    "parse_seconds",
    "printable",
    "read_document",
    "seconds_or",
    "spell_seconds",
    "suggest",
    "unit_named",
    "unit_seconds",
    "validate",
]
