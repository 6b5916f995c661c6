"""A dialect as YAML writes it: the name of a well-known one, or a mapping of what the API says.

The names, the checks of single values and what is meant by leaving a key away are the client's
(``client.DIALECTS``, ``client.SubmitCall``, ``client.StatusCall``); each fault is told at its key.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    Tag,
    model_serializer,
)
from pydantic_core import CoreSchema

from client import DIALECTS, Dialect, InvalidSetting, Source, StatusCall, SubmitCall, secrets_of
from scenarios.documents import LocalDiagnostic, Model, YamlPath, did_you_mean, name_value

_STATES: Final = ("pending", "completed", "error")
_SUBMIT: Final = SubmitCall()
_STATUS: Final = StatusCall()
_NO_WORDS: Final = StatusCall(pending=(), completed=(), error=())
_Text = Annotated[str, Field(strict=True)]


def _checked(build: Callable[[Any], object], *, shown: bool = True) -> AfterValidator:
    """Return the client's own check of one value: what it refuses is told with its remedy.

    shown: whether a message may repeat the value; that of a header may be a secret.
    """

    def check(value: Any) -> Any:
        try:
            build(value)
        except InvalidSetting as error:
            subject = f"{name_value(error.value)} cannot be used: " if shown else ""
            raise ValueError(f"{subject}{error.remedy}") from None
        return value

    return AfterValidator(check)


Method = Annotated[_Text, _checked(lambda value: SubmitCall(method=value))]
Path = Annotated[_Text, _checked(lambda value: SubmitCall(path=value))]
PathOfJob = Annotated[_Text, _checked(lambda value: StatusCall(path=value))]
HeaderName = Annotated[_Text, _checked(lambda value: Source(header=value))]
Expression = Annotated[_Text, _checked(lambda value: SubmitCall(id=value))]
Code = Annotated[int, Field(strict=True, ge=100, le=599)]
Headers = dict[
    HeaderName, Annotated[_Text, _checked(lambda value: SubmitCall(headers={"x": value}), shown=False)]
]
Query = dict[_Text, Annotated[_Text, _checked(lambda value: SubmitCall(query={"x": value}), shown=False)]]


@dataclass(frozen=True)
class TextOr:
    """Marks a field as a text or, where the value is a mapping, a model; ``wanted``: both in words."""

    wanted: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        text, model = get_args(source)
        union: Any = Annotated[text, Tag("text")] | Annotated[model, Tag("mapping")]
        chosen = Annotated[union, Discriminator(self._choose), BeforeValidator(self._check)]
        return handler.generate_schema(chosen)

    def _check(self, value: object) -> object:
        if not isinstance(value, str | Mapping | Model):
            raise ValueError(f"give {self.wanted}, not {name_value(value)}")
        return value

    def _choose(self, value: object) -> str:
        return "text" if isinstance(value, str) else "mapping"


def _leaves(value: object, path: YamlPath) -> Iterator[tuple[YamlPath, object]]:
    """Yield every value in a tree of mappings and lists that is neither, with its path."""
    items: Iterable[tuple[Any, object]]
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        yield path, value
        return
    for key, inner in items:
        yield from _leaves(inner, (*path, key))


def unset_secrets(
    data: Mapping[str, Any], keys: Iterable[str], context: Mapping[str, Any]
) -> Iterator[LocalDiagnostic]:
    """Yield the secrets below these keys that the context's ``environment``, if any, does not have."""
    environment: Mapping[str, str] | None = context.get("environment")
    if environment is None:
        return
    for path, value in (leaf for key in keys for leaf in _leaves(data.get(key), (key,))):
        for name in secrets_of(value):
            if name not in environment:
                yield path, f"the environment has no {name}; set it first: export {name}=..."


class _Given(Model):
    """Written out as it was read: what was left away is not the same as null."""

    @model_serializer
    def _given(self) -> dict[str, Any]:
        names = {name: field.alias or name for name, field in type(self).model_fields.items()}
        return {names[name]: getattr(self, name) for name in names if name in self.model_fields_set}


class _Place(_Given):
    header: HeaderName | None = None
    """The header that has it."""
    body: Expression | None = None
    """The member of the body that has it, or any expression of JMESPath."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        if (data.get("header") is None) == (data.get("body") is None):
            yield (), "give a header or a body, and one of the two"


class Where(_Place):
    """Where a reply says something: in a header, or in its body."""


class HintKeys(_Place):
    """Where a reply says when to come back, and in which unit."""

    unit: Literal["ms", "s", "m", "h"] = "s"
    """The unit of the number; with ``s`` a date is understood too."""


class _Call(_Given):
    headers: Headers = Field(default={})
    """Sent to the service and to no other origin; ``${NAME}`` is a secret, taken from the environment."""
    query: Query = Field(default={})
    """Parameters added to the address, like the headers."""


class SubmitKeys(_Call):
    """How a job is submitted."""

    method: Method = _SUBMIT.method
    """The request's method."""
    path: Path = _SUBMIT.path
    """The path below the base address."""
    body: dict[str, Any] = Field(default={}, alias="json")
    """The request's body; ``${NAME}`` in it is a secret."""
    key: _Text | None = _SUBMIT.key
    """The member of the body that carries a job's key; null: none."""
    key_header: HeaderName | None = _SUBMIT.key_header
    """The header that carries a job's key; null: none."""
    accepted: tuple[Code, ...] = _SUBMIT.accepted
    """The status codes of an accepted job."""
    id: Expression = _SUBMIT.id
    """The member that names the job, or any expression of JMESPath."""
    location: Where | None = Where(header="Location")
    """Where the reply says at which address to poll; null: ``status.path`` is that address."""
    status: Expression | None = _SUBMIT.status
    """The member that tells the job's state; null: as in replies to status requests."""
    problem: Expression | None = _SUBMIT.problem
    """The member that a 2xx has when the job was not accepted; null: none."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        for path, value in _leaves(data.get("json"), ("json",)):
            plain = value is None or isinstance(value, str | bool | int)
            if not plain and not (isinstance(value, float) and math.isfinite(value)):
                yield path, f"JSON has no such value: {name_value(value)}; put it in quotes"


_MemberOrWhere = Annotated[Expression | Where, TextOr("a member's name, or {header: NAME}")]


class StatusKeys(_Call):
    """How a job's status is read."""

    method: Method = _STATUS.method
    """The request's method."""
    path: PathOfJob = _STATUS.path
    """The path of a job, with ``{id}``, or ``{+id}`` for an id whose slashes are part of the path."""
    implicit: Path | None = _STATUS.implicit
    """The path of the service's one implicit job; null: ``/status``, and it may have none."""
    attempt: HeaderName | None = _STATUS.attempt
    """The header that carries the number of the request; null: none."""
    id: Expression = _STATUS.id
    """The member that names the job."""
    state: Expression = _STATUS.state
    """The member that holds the job's state, or any expression of JMESPath."""
    pending: tuple[_Text, ...] = _STATUS.pending
    """The words for a job that is not finished."""
    completed: tuple[_Text, ...] = _STATUS.completed
    """The words for a job that ended well."""
    error: tuple[_Text, ...] = _STATUS.error
    """The words for a job that ended badly."""
    not_ready: tuple[Code, ...] = _STATUS.not_ready
    """The status codes that say "pending"."""
    retryable: tuple[Code, ...] = _STATUS.retryable
    """The status codes that are worth another try, besides those that always are."""
    problem: Expression | None = _STATUS.problem
    """The member that a 2xx has when the request failed; null: none."""
    progress: Expression | None = _STATUS.progress
    """The member that holds the progress, from 0 to 1; null: none."""
    finished_ago: _MemberOrWhere | None = "finished_ago"
    """Where the seconds since the job's end are: a member, or {header: NAME}; null: nowhere."""
    finished_at: Expression | None = _STATUS.finished_at
    """The member that holds the moment of the job's end; null: none."""
    hints: tuple[HintKeys, ...] = ()
    """Where replies say when to come back, besides the usual headers."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        lists: dict[str, list[object]] = {}
        for state in _STATES:
            words = data.get(state)
            lists[state] = words if isinstance(words, list) else list(getattr(_STATUS, state))
        for state, other in combinations(_STATES, 2):
            words = [word for word in lists[state] if isinstance(word, str)]
            only: dict[str, Any] = {state: words}
            known = replace(_NO_WORDS, **only)
            for index, word in enumerate(lists[other]):
                if isinstance(word, str) and known.state_of(word) is not None:
                    path: YamlPath = (other, index) if other in data else (state,)
                    yield path, f"{word!r} is in {state} and in {other}; keep it in one of the two"


class OwnDialect(_Given):
    """How an API says it all: requests out, replies in."""

    submit: SubmitKeys = SubmitKeys()
    """How a job is submitted."""
    status: StatusKeys = StatusKeys()
    """How a job's status is read."""


def _known(name: str) -> str:
    if name not in DIALECTS:
        raise ValueError(f"{name!r} is no dialect; {did_you_mean(name, DIALECTS, 'there are')}")
    return name


DialectName = Annotated[_Text, AfterValidator(_known), Field(json_schema_extra={"enum": list(DIALECTS)})]
AnyDialect = Annotated[
    DialectName | OwnDialect, TextOr("the name of a dialect, or a mapping with submit and status")
]
"""The value of a key ``dialect``: the name of a well-known one (``str``), or an ``OwnDialect``."""


def client_dialect(dialect: str | OwnDialect) -> Dialect:
    """Return the client's dialect that a key ``dialect`` means."""
    if isinstance(dialect, str):
        return DIALECTS[dialect]
    return Dialect.of(dialect.model_dump(mode="json"))


if TYPE_CHECKING:
    ClientDialect = Dialect
else:
    ClientDialect = Annotated[AnyDialect, AfterValidator(client_dialect)]
"""The value of a key ``dialect``, as the client's."""
