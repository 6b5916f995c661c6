"""Settings as YAML writes them, both ways: read into the client's policies, and written from them.

The keys, their bounds, choices and defaults are the client's own, read off its classes (``keys_of``): a new
curve, jitter or field of a policy needs no edit here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import GenericAlias
from typing import Annotated, Any, Final, Literal, TypeVar, assert_never

import yaml
from pydantic import AfterValidator, Field, PrivateAttr, create_model
from pydantic.fields import FieldInfo

from client import (
    CURVES,
    PRESETS,
    Backoff,
    ErrorPolicy,
    HintPolicy,
    InvalidSetting,
    Parameter,
    PollingPolicy,
    curve_parameters,
    parameters,
)
from scenarios._delays import (
    Delays,
    delay_faults,
    looks_like_delays,
    spell_delay,
    spell_delays,
    written_out,
)
from scenarios.documents import (
    Count,
    Fraction,
    LocalDiagnostic,
    Model,
    Number,
    PositiveSeconds,
    Seconds,
    Whole,
    did_you_mean,
    name_value,
)

_Built = TypeVar("_Built")
_AnyModel = TypeVar("_AnyModel", bound=Model)


def _keys(policy: type[Any], *without: str) -> tuple[str, ...]:
    return tuple(each.name for each in parameters(policy) if each.name not in without)


_OF_LAWS: Final = _keys(Backoff, "until")
_OF_ERRORS: Final = _keys(ErrorPolicy, "backoff")
_OF_HINTS: Final = _keys(HintPolicy)
_OF_LIMITS: Final = _keys(PollingPolicy, "cadence", "errors", "hints")
_NEEDED: Final[Mapping[str, str]] = {
    "initial": "the curve needs its first delay, such as initial: 1s",
    "delays": "the schedule needs its delays: [1s, 2s, 4s]",
}


def keys_of(policy: type[Any], names: tuple[str, ...]) -> Callable[[type[_AnyModel]], type[_AnyModel]]:
    """Return a decorator that gives a model these parameters of a class of the client as its keys."""

    def add(model: type[_AnyModel]) -> type[_AnyModel]:
        wanted = [each for each in parameters(policy) if each.name in names]
        fields: dict[str, Any] = {each.name: (_type(each), _field(each)) for each in wanted}
        made: type[_AnyModel] = create_model(
            model.__name__, __base__=model, __module__=model.__module__, __doc__=model.__doc__, **fields
        )
        return made

    return add


def _type(parameter: Parameter) -> Any:
    if parameter.name == "delays":
        return Delays
    one = _one(parameter)
    kind: Any = GenericAlias(tuple, (one, ...)) if parameter.rule.several else one
    return kind | None if parameter.optional or parameter.required else kind


def _one(parameter: Parameter) -> Any:
    rule = parameter.rule
    match rule.kind:
        case "seconds":
            return PositiveSeconds if rule.above else Seconds
        case "number":
            if (rule.at_least, rule.at_most) == (0, 1):
                return Fraction
            return Annotated[Number, Field(ge=rule.at_least)]
        case "whole":
            return Count if rule.at_least == 1 else Annotated[Whole, Field(ge=int(rule.at_least))]
        case "word":
            return Literal[rule.words]
        case "flag":
            return Annotated[bool, Field(strict=True)]
        case "object":
            raise TypeError(f"{parameter.name}: an object is no single key")
        case _:
            assert_never(rule.kind)


def _field(parameter: Parameter) -> FieldInfo:
    info: FieldInfo = Field(default=parameter.default, description=parameter.words)
    return info


@keys_of(Backoff, _OF_LAWS)
class Cadence(Model):
    """The keys of a backoff law; formulas and defaults are the client's."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        curve = data.get("curve")
        if isinstance(curve, str) and curve in CURVES:
            own = curve_parameters(curve)
            for key, required in own.items():
                if required and (data.get(key) is None):
                    yield (key,), _NEEDED.get(key, f"the {curve} curve needs this key")
            for key in data:
                owners = [name for name in CURVES if key in curve_parameters(name)]
                if len(owners) == 1 and curve not in owners:
                    yield (key,), f"has no effect on this curve, only on {owners[0]}; remove it"
            if isinstance(data.get("delays"), str):
                for key in looks_like_delays([key for key, value in data.items() if value is None]):
                    yield (key,), "is one of the delays, cut off by its comma; put all delays in brackets"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        for index, fault in delay_faults(self.given(("delays",)).get("delays", ())):
            yield ("delays", index), fault

    def given(self, names: Iterable[str]) -> dict[str, Any]:
        """Return what was written (unset is not null), for the client's constructors."""
        return {name: getattr(self, name) for name in names if name in self.model_fields_set}

    def backoff(self, base: Backoff | None) -> Backoff:
        """Return the law; without a curve it is ``base`` with what was written changed.

        Raises ValueError, from the client, for a combination that cannot be.
        """
        given = self.given(_OF_LAWS)
        if "delays" in given:
            given |= written_out(given["delays"])
        if base is None or given.get("curve") is not None:
            return Backoff(**given)
        given.pop("curve", None)
        return replace(base, **given)


@keys_of(ErrorPolicy, _OF_ERRORS)
class OnError(Cadence):
    """How failed status reads are retried: a backoff law of its own and a budget."""

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        yield from super().contradictions()
        for index, item in enumerate(self.given(("delays",)).get("delays", ())):
            if item.until is not None:
                remedy = "retries are counted, not timed; write how often, such as 24*5s"
                yield ("delays", index), f"{name_value(item.written)} cannot be used: {remedy}"

    def policy(self, base: ErrorPolicy) -> ErrorPolicy:
        """Return ``base`` with what was written changed. Raises ValueError like ``backoff``."""
        return replace(base, backoff=self.backoff(base.backoff), **self.given(_OF_ERRORS))


@keys_of(HintPolicy, _OF_HINTS)
class Hints(Model):
    """What a server's Retry-After is worth."""

    def policy(self, base: HintPolicy) -> HintPolicy:
        """Return ``base`` with what was written changed; writing anything of a hint honours hints."""
        given = {name: getattr(self, name) for name in self.model_fields_set}
        return replace(base, **({"honour": True} | given if given else given))


def _known_preset(name: str) -> str:
    if name not in PRESETS:
        remedy = did_you_mean(name, sorted(PRESETS), "there are")
        raise ValueError(f"{name!r} is no preset; {remedy}")
    return name


Preset = Annotated[
    str, AfterValidator(_known_preset), Field(json_schema_extra={"enum": sorted(PRESETS)}, strict=True)
]


@keys_of(PollingPolicy, _OF_LIMITS)
class Setting(Cadence):
    """One named polling configuration: a curve or a preset, limits, and what to do about errors and hints."""

    preset: Preset | None = None
    """Start from a well-known client's configuration; other keys override it."""
    on_error: OnError = OnError()
    """Retries of failed status reads."""
    hints: Hints = Hints()
    """What Retry-After may do."""

    _policy: PollingPolicy | None = PrivateAttr(None)

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        yield from super().choices(data)
        curve, preset = data.get("curve"), data.get("preset")
        if curve is not None and preset is not None:
            yield ("curve",), "a preset has a curve of its own; keep either preset or curve"
        elif curve is None and preset is None:
            yield (), "needs a curve, such as curve: exponential, or a preset"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        diagnostics = list(super().contradictions())
        if diagnostics:
            return diagnostics
        base = PRESETS[self.preset] if self.preset is not None else None
        cadence = _attempt(lambda: self.backoff(base.cadence if base else None), (), diagnostics)
        errors_base = base.errors if base else ErrorPolicy()
        errors = _attempt(lambda: self.on_error.policy(errors_base), ("on_error",), diagnostics)
        hints = _attempt(
            lambda: self.hints.policy(base.hints if base else HintPolicy()), ("hints",), diagnostics
        )
        if cadence is not None and errors is not None and hints is not None:
            limits = self.given(_OF_LIMITS)
            base = base or PollingPolicy(cadence)
            self._policy = _attempt(
                lambda: replace(base, cadence=cadence, errors=errors, hints=hints, **limits), (), diagnostics
            )
        return diagnostics

    @property
    def policy(self) -> PollingPolicy:
        """The client's policy that this setting means."""
        assert self._policy is not None  # noqa: S101 - a setting that has none is refused
        return self._policy


def _attempt(
    build: Callable[[], _Built], place: tuple[str, ...], diagnostics: list[LocalDiagnostic]
) -> _Built | None:
    """Return what ``build`` returns; note the client's refusal at the key that it names."""
    try:
        return build()
    except InvalidSetting as error:
        index = () if error.index is None else (error.index,)
        refused = f"{error.value!r} cannot be used: {error.remedy}"
        diagnostics.append(((*place, error.field, *index), refused))
        return None


def setting_yaml(name: str, policy: PollingPolicy) -> str:
    """Return one entry for ``settings:`` in a scenario file; reading it gives an equal policy.

    What is left at the client's default is not written.
    """
    usual = PollingPolicy(policy.cadence)
    data = _backoff(policy.cadence) | _changed(policy, usual, _OF_LIMITS)
    errors = {} if policy.errors.backoff == usual.errors.backoff else _backoff(policy.errors.backoff)
    if errors := errors | _changed(policy.errors, usual.errors, _OF_ERRORS):
        data["on_error"] = errors
    if hints := _changed(policy.hints, usual.hints, _OF_HINTS):
        data["hints"] = hints
    return _flow(name, data)


def original_yaml(name: str, scenario_text: str) -> str:
    """Return an existing setting as its scenario file has it, on one line."""
    return _flow(name, yaml.safe_load(scenario_text)["settings"][name])


def _flow(name: str, data: Mapping[str, Any]) -> str:
    """Return ``name: {key: value, ...}`` on one line."""
    text = yaml.safe_dump(dict(data), default_flow_style=True, sort_keys=False, width=10**6).strip()
    return f"{name}: {text}"


def _backoff(law: Backoff) -> dict[str, Any]:
    """Return the keys of a law: its curve, what the curve requires, and what is not usual."""
    needed = [key for key, required in curve_parameters(law.curve).items() if required]
    usual = Backoff(law.curve, **{key: getattr(law, key) for key in needed})
    data = {"curve": law.curve} | {key: _spell(law, key) for key in needed}
    return data | _changed(law, usual, _OF_LAWS)


def _changed(value: object, usual: object, names: Iterable[str]) -> dict[str, Any]:
    """Return the fields that differ from the usual ones."""
    return {name: _spell(value, name) for name in names if getattr(value, name) != getattr(usual, name)}


def _spell(owner: Any, name: str) -> Any:
    (rule,) = (each.rule for each in parameters(type(owner)) if each.name == name)
    value = getattr(owner, name)
    if name == "delays":
        return spell_delays(value, owner.until)
    return value if rule.kind != "seconds" or value is None else spell_delay(value)
