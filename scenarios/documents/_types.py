"""The vocabulary of values in our YAML files: durations, numbers and the base class of every model.

Numbers are strict: text is not a number and ``true`` is not 1. Durations are seconds, or text with a unit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from scenarios.documents._described import Described
from scenarios.documents._reader import YamlPath
from scenarios.documents._spellings import RATE_PATTERN, SECONDS_PATTERN, parse_rate, parse_seconds
from scenarios.documents._within import YEAR, Within
from scenarios.documents._words import name_value

LocalDiagnostic = tuple[YamlPath, str]
"""A diagnostic of a model's data, which knows no file: where, and what is wrong there and would be right."""

_SECONDS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": SECONDS_PATTERN}],
}
_POSITIVE_SECONDS_SCHEMA: Final[dict[str, Any]] = {
    "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": SECONDS_PATTERN}],
}

_A_YEAR: Final = Within(YEAR, "nothing here lasts longer than a year", spelled="366d")

Seconds = Annotated[float, BeforeValidator(parse_seconds), WithJsonSchema(_SECONDS_SCHEMA), _A_YEAR]
"""A duration in seconds, zero or more: 4, 0.25, ``250ms``, ``5s``, ``1h30m`` or ``PT15S``."""

PositiveSeconds = Annotated[
    float, BeforeValidator(parse_seconds), Field(gt=0), WithJsonSchema(_POSITIVE_SECONDS_SCHEMA), _A_YEAR
]
"""A duration in seconds, more than zero."""


def seconds_or(*words: str) -> Any:
    """Return the type of a value that is one of the words, or a duration of more than zero seconds."""

    def read(value: object) -> object:
        if value in words:
            return value
        try:
            return parse_seconds(value)
        except ValueError as error:
            detail = f"; {error}" if isinstance(value, str) else f", not {name_value(value)}"
            raise ValueError(f"must be {', '.join(words)} or a duration{detail}") from error

    literal: Any = Literal[words]
    return Annotated[
        literal | PositiveSeconds, BeforeValidator(read, json_schema_input_type=literal | PositiveSeconds)
    ]


Rate = Annotated[
    float,
    BeforeValidator(parse_rate),
    Field(gt=0),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": RATE_PATTERN}]}
    ),
    Within(1e6, "rates here lie between one in eleven days and a million per second", low=1e-6),
]
"""A rate per second, more than zero: 5, ``5/s``, ``10/min`` or ``1000/h``."""

_A_THOUSAND_MILLIONS: Final = Within(1e9, "nothing here goes beyond a thousand millions")

Number = Annotated[float, Field(strict=True, allow_inf_nan=False), _A_THOUSAND_MILLIONS]
"""A finite number; not text, not true or false."""

Positive = Annotated[
    float,
    Field(strict=True, allow_inf_nan=False, gt=0),
    Within(1e9, "numbers here lie between a thousand-millionth and a thousand millions", low=1e-9),
]
"""A finite number above zero."""

Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=0, le=1)]
"""A share or a probability: a number from 0 to 1."""

Whole = Annotated[int, Field(strict=True, ge=0), _A_THOUSAND_MILLIONS]
"""A whole number, zero or more."""

Count = Annotated[int, Field(strict=True, ge=1), _A_THOUSAND_MILLIONS]
"""A whole number of at least one."""


class Model(Described, BaseModel):
    """Base of every model: frozen, rejects unknown keys, and reports all of its faults at once.

    Pydantic stops before the checks that span several fields when one field is at fault. The hooks below
    report such checks beside the faults of single fields, each at the path of the key to be changed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        """Yield what is wrong with which keys are given and which are not; ``data`` is still as written."""
        del data
        return ()

    @classmethod
    def surroundings(cls, data: Mapping[str, Any], context: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        """Yield what is missing outside of the file; ``context`` is that of ``validate``."""
        del data, context
        return ()

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        """Yield what is wrong between values that are each valid by themselves."""
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _collect(cls, data: object, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        diagnostics = list(cls.choices(data)) if isinstance(data, Mapping) else []
        if isinstance(data, Mapping):
            diagnostics += cls.surroundings(data, info.context or {})
        try:
            model = handler(data)
        except ValidationError as error:
            raise _joined(cls, diagnostics, error) from None
        diagnostics = diagnostics or list(model.contradictions())
        if diagnostics:
            raise _joined(cls, diagnostics)
        return model


# The errors that pydantic does not know by itself; ``validate`` words them.
_OURS: Final = {"diagnostic": "{message}", "unknown_key": "unknown key", "unknown_type": "unknown type"}


def _joined(
    cls: type[Model], diagnostics: list[LocalDiagnostic], others: ValidationError | None = None
) -> ValidationError:
    """Join the faults, and tell which keys this model knows where one is unknown."""
    lines = [
        InitErrorDetails(
            type=PydanticCustomError("diagnostic", "{message}", {"message": text}), loc=path, input=None
        )
        for path, text in diagnostics
    ]
    known = [field.alias or name for name, field in cls.model_fields.items()]
    told = {path for path, _ in diagnostics}
    for error in others.errors(include_url=False) if others else ():
        kind: str | PydanticCustomError = error["type"]
        if kind == "extra_forbidden" and error["loc"] in told:
            continue  # more is known about it than that
        context = error.get("ctx", {})
        if kind == "extra_forbidden" and len(error["loc"]) == 1:
            kind = PydanticCustomError("unknown_key", "unknown key", {"known": known})
        elif kind in _OURS:  # from a model inside of this one
            kind = PydanticCustomError(kind, _OURS[kind], context)
        lines.append(InitErrorDetails(type=kind, loc=error["loc"], input=error["input"], ctx=context))
    return ValidationError.from_exception_data(cls.__name__, lines)


@dataclass(frozen=True, init=False)
class OneOf:
    """Marks a field as one of several models, which the value's ``type`` chooses.

    ``Annotated[Base, OneOf(First, Second)]`` is what pydantic calls a discriminated union, read off a table.
    """

    models: tuple[type[Model], ...]

    def __init__(self, *models: type[Model]) -> None:
        object.__setattr__(self, "models", models)

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        del source
        union: Any = reduce(or_, self.models)
        chosen = Annotated[union, Field(discriminator="type"), BeforeValidator(self._known)]
        return handler.generate_schema(chosen)

    def _known(self, value: object) -> object:
        if isinstance(value, Mapping):
            types = [model.model_fields["type"].default for model in self.models]
            if "type" not in value:
                raise ValueError(f"needs a type: one of {', '.join(types)}")
            if value["type"] not in types:
                raise PydanticCustomError("unknown_type", "unknown type", {"known": types})
        return value
