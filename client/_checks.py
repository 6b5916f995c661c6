"""What a field of a setting may be: said once beside the field, checked when a setting is made.

A field's annotation carries its ``Rule`` and one line of English. Constructors check by it (``fill``), and
whoever spells settings (YAML, a command line) reads it (``parameters``). Each refusal names the field, the
value and what would be right.
"""

from __future__ import annotations

import inspect
import math
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import timedelta
from numbers import Integral, Real
from typing import Any, Final, Literal, TypeAlias, assert_never

Seconds: TypeAlias = float | timedelta
"""A duration as callers may give it; it is stored as float seconds."""


class InvalidSetting(ValueError):
    """A value that cannot be used: ours to mend.

    field: the argument at fault. index: which of its items, None for the argument as a whole. value: what was
    given. remedy: what would be right.
    """

    def __init__(self, field: str, value: object, remedy: str, index: int | None = None) -> None:
        super().__init__(field, value, remedy, index)  # the arguments as given, so that it can be pickled
        self.field = field
        self.value = value
        self.remedy = remedy
        self.index = index

    def __str__(self) -> str:
        item = "" if self.index is None else f"[{self.index}]"
        return f"{self.field}{item}={self.value!r} cannot be used: {self.remedy}"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the values of a field are.

    kind: "seconds" (float or timedelta, kept as float), "number", "whole", "word", "flag" or "object".
    at_least, at_most: inclusive bounds of a number or whole number. above: seconds must be more than 0.
    words: the choices. several: a sequence of such values, kept as a tuple. of: the class of an object.
    """

    kind: Literal["seconds", "number", "whole", "word", "flag", "object"]
    at_least: float = 0
    at_most: float = math.inf
    above: bool = False
    words: tuple[str, ...] = ()
    several: bool = False
    of: type = object

    def check(self, field: str, value: Any) -> Any:
        """Return the value as it is kept, or raise InvalidSetting."""
        if self.several:
            return tuple(self._check(field, item, index) for index, item in enumerate(value))
        return self._check(field, value)

    def _check(self, field: str, value: object, index: int | None = None) -> Any:
        match self.kind:
            case "seconds":
                return seconds(field, value, zero=not self.above, index=index)
            case "number":
                return number(field, value, at_least=self.at_least, at_most=self.at_most)
            case "whole":
                return whole(field, value, at_least=int(self.at_least))
            case "word":
                return one_of(field, value, self.words)
            case "flag":
                return instance(field, value, bool)
            case "object":
                return instance(field, value, self.of)
            case _:
                assert_never(self.kind)


POSITIVE: Final = Rule("seconds", above=True)
ZERO_OR_MORE: Final = Rule("seconds")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One field of a setting, for those who spell settings in another language.

    rule: what its values are. optional: None is one too. default: the value unless given; ``required`` says
    that there is none. words: what it means, in one line.
    """

    name: str
    rule: Rule
    optional: bool
    required: bool
    default: Any
    words: str


def parameters(kind: type[Any]) -> tuple[Parameter, ...]:
    """Return the fields of a policy's class (``Backoff``, say) in the order of its constructor."""
    if kind not in _KNOWN:
        _KNOWN[kind] = _read(kind)
    return _KNOWN[kind]


_KNOWN: Final[dict[type[Any], tuple[Parameter, ...]]] = {}  # reading takes longer than making a policy may


def _read(kind: type[Any]) -> tuple[Parameter, ...]:
    hints = typing.get_type_hints(kind, include_extras=True)
    arguments = inspect.signature(kind).parameters
    found = []
    for field in fields(kind):
        if field.name in arguments:
            rule, words = hints[field.name].__metadata__
            default = arguments[field.name].default
            found.append(
                Parameter(
                    name=field.name,
                    rule=rule,
                    optional=type(None) in typing.get_args(hints[field.name].__origin__),
                    required=default is inspect.Parameter.empty,
                    default=None if default is inspect.Parameter.empty else default,
                    words=words,
                )
            )
    return tuple(found)


def fill(frozen: Any, **values: object) -> None:
    """Check each value by its field's rule, and set it: the constructor of a frozen setting."""
    for parameter in parameters(type(frozen)):
        value = values[parameter.name]
        if not (parameter.optional and value is None):
            value = parameter.rule.check(parameter.name, value)
        put(frozen, parameter.name, value)


put: Final = object.__setattr__
"""The one way to fill a frozen instance."""


def number(field: str, value: object, *, at_least: float, at_most: float = math.inf) -> float:
    """Return a finite real number within the bounds as a float, or raise InvalidSetting."""
    if isinstance(value, Real) and not isinstance(value, bool):
        result = float(value)
        if math.isfinite(result) and at_least <= result <= at_most:
            return result
    bounds = f"of at least {at_least:g}" if at_most == math.inf else f"from {at_least:g} to {at_most:g}"
    raise InvalidSetting(field, value, f"give a number {bounds}")


def whole(field: str, value: object, *, at_least: int) -> int:
    """Return an integer within the bound, or raise InvalidSetting."""
    if isinstance(value, Integral) and not isinstance(value, bool) and (result := int(value)) >= at_least:
        return result
    raise InvalidSetting(field, value, f"give a whole number of at least {at_least}")


def seconds(field: str, value: object, *, zero: bool = False, index: int | None = None) -> float:
    """Return a duration (float seconds or timedelta) as float seconds, or raise InvalidSetting."""
    amount = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(amount, Real) and not isinstance(amount, bool):
        result = float(amount)
        if math.isfinite(result) and (result > 0 or (zero and result == 0)):
            return result
    bound = "0 or more" if zero else "more than 0"
    raise InvalidSetting(field, value, f"give {bound} seconds, as a number or a timedelta", index)


def one_of(field: str, value: object, choices: Sequence[str]) -> object:
    """Return a word that is one of the choices, or raise InvalidSetting."""
    if value not in choices:
        raise InvalidSetting(field, value, f"give one of {', '.join(map(repr, choices))}")
    return value


def instance(field: str, value: object, kind: type) -> object:
    """Return an object of this class, or raise InvalidSetting (for a dict where a policy belongs, say)."""
    if not isinstance(value, kind):
        raise InvalidSetting(field, value, f"give a {kind.__name__}")
    return value


def choices(words: Iterable[str]) -> Rule:
    """Return the rule of a field that names one of these."""
    return Rule("word", words=tuple(words))
