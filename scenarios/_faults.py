"""How a status request can fail: the table of the simulated faults.

A kind of fault is a small frozen class that says what the client hears of it; how often it strikes is said
beside it, by the ``Fault`` of a scenario. A new kind is a class here and a row of ``FAULTS`` (keys of its own
are declared in ``Fault`` too). The YAML, its JSON Schema, the board and both engines of the twin read the
table; ``server._no_reply`` holds what the host does on the connection, a row for each kind as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import ceil
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import Field

from scenarios.documents import (
    Fraction,
    LocalDiagnostic,
    Model,
    PositiveSeconds,
    Seconds,
    spell_seconds,
)

ErrorStatus = Annotated[int, Field(strict=True, ge=400, le=599)]
"""An HTTP status code that says no: 400 to 599."""


class ErrorReply(Model):
    """The reply is an error with a status code."""

    status: ErrorStatus
    retry_after: Seconds | None = None

    @property
    def status_code(self) -> int:
        """The status code of the reply."""
        return self.status

    @property
    def hint(self) -> int | None:
        """The seconds in the Retry-After header as it is sent, a whole number rounded up; None: no header."""
        return whole_seconds(self.retry_after)

    @property
    def counted_as(self) -> str:
        """How the service counts such replies."""
        return str(self.status)

    def describe(self) -> str:
        """Return what a status request gets, in English."""
        return str(self.status)


class NamedFault(Model):
    """What has no status code of its own but a name, WireMock's where it has one. Each subclass is a kind."""

    name: ClassVar[str]
    """The value of the key ``fault``."""
    words: ClassVar[str]
    """What a status request gets, in English."""
    counted_as: ClassVar[str]
    """How the service counts such requests."""
    status_code: ClassVar[int | None]
    """The status code that the client sees, None for none."""
    tells: ClassVar[bool] = False
    """Whether the job's status is told all the same."""
    hint: ClassVar[None] = None

    @property
    def late_s(self) -> float:
        """How many seconds the reply takes on top of the service's delay."""
        return 0.0

    @property
    def age_s(self) -> float:
        """How many seconds old the status is that is told."""
        return 0.0

    def describe(self) -> str:
        """Return what a status request gets, in English."""
        return self.words


class Unanswered(NamedFault):
    """There is no proper reply; for the client that is a transport error."""

    status_code = None


class ConnectionReset(Unanswered):
    """The client sees its connection reset."""

    name = "CONNECTION_RESET_BY_PEER"
    words = "a reset connection"
    counted_as = "reset"


class EmptyResponse(Unanswered):
    """The connection is closed without a word."""

    name = "EMPTY_RESPONSE"
    words = "a closed connection"
    counted_as = "empty"


class MalformedChunk(Unanswered):
    """The head of a reply, then garbage where its body should be, then the connection is closed."""

    name = "MALFORMED_RESPONSE_CHUNK"
    words = "a reply that breaks off in garbage"
    counted_as = "malformed chunk"


class RandomData(Unanswered):
    """Garbage instead of a reply, then the connection is closed."""

    name = "RANDOM_DATA_THEN_CLOSE"
    words = "garbage"
    counted_as = "random data"


class Garbled(NamedFault):
    """A reply with status 200 whose body cannot be understood; for the client that is a failed read."""

    status_code = 200
    counted_as = "200"


class MalformedJson(Garbled):
    """The body is no JSON."""

    name = "MALFORMED_JSON"
    words = "a body that is no JSON"


class TruncatedJson(Garbled):
    """The body is JSON that breaks off."""

    name = "TRUNCATED_JSON"
    words = "a body that breaks off"


class Told(NamedFault):
    """The job's status is told, but not as it should be."""

    status_code = 200
    counted_as = "200"
    tells = True


class WrongContentType(Told):
    """The reply says that it is HTML; its body is what it should be."""

    name = "WRONG_CONTENT_TYPE"
    words = "a reply that says it is HTML"


class StaleRead(Told):
    """The status is that of some time ago, as a replica or a cache would tell it."""

    name = "STALE_READ"
    words = "an old status"

    age: PositiveSeconds
    """How old the status is."""

    @property
    def age_s(self) -> float:
        """How many seconds old the status is that is told."""
        return self.age

    def describe(self) -> str:
        """Return what a status request gets, in English."""
        return f"a status {spell_seconds(self.age)} old"


class SlowDribble(Told):
    """The reply drips in, byte by byte; its status is that of its beginning."""

    name = "SLOW_DRIBBLE"
    words = "a reply that drips in"

    duration: PositiveSeconds
    """Seconds from the first byte to the last."""

    @property
    def late_s(self) -> float:
        """How many seconds the reply takes on top of the service's delay."""
        return self.duration

    @property
    def age_s(self) -> float:
        """How many seconds old the status is that is told, when all of it is there."""
        return self.duration

    def describe(self) -> str:
        """Return what a status request gets, in English."""
        return f"a reply that drips in for {spell_seconds(self.duration)}"


Failure: TypeAlias = ErrorReply | NamedFault
"""What a status request gets that a fault has struck."""

FAULTS: Final[Mapping[str, type[NamedFault]]] = {
    kind.name: kind
    for kind in (
        ConnectionReset,
        EmptyResponse,
        MalformedChunk,
        RandomData,
        MalformedJson,
        TruncatedJson,
        WrongContentType,
        StaleRead,
        SlowDribble,
    )
}
"""The kinds that have a name: the values of the key ``fault``."""

if TYPE_CHECKING:
    FaultName: TypeAlias = str
else:
    FaultName = Literal[tuple(FAULTS)]

_OWN_KEYS: Final[Mapping[str, str]] = {
    "retry_after": "Retry-After",
    "age": "age",
    "duration": "duration",
}
"""The keys that belong to some kinds only, and what they are in English."""


class Fault(Model):
    """A share of the status requests is struck: an error with a status code, or a fault that has a name."""

    status: ErrorStatus | None = None
    """The status code of the reply."""
    fault: FaultName | None = None
    """Instead of a status: what happens, by its name."""
    rate: Fraction
    """Share of the status requests that are struck in this way."""
    retry_after: Seconds | None = None
    """Seconds in the reply's Retry-After header; null: no such header."""
    age: PositiveSeconds | None = None
    """Of STALE_READ: how old the status is that is told, in seconds."""
    duration: PositiveSeconds | None = None
    """Of SLOW_DRIBBLE: seconds from the reply's first byte to its last."""

    @property
    def failure(self) -> Failure:
        """What the status requests get that are struck in this way."""
        kind = ErrorReply if self.fault is None else FAULTS[self.fault]
        return kind.model_validate({key: getattr(self, key) for key in kind.model_fields})

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        given = [key for key in ("status", "fault") if data.get(key) is not None]
        if len(given) == 2:
            yield ("fault",), "a fault has a status or a name; keep one of status and fault"
        elif not given:
            yield (), f"needs a status (400 to 599) or fault: one of {', '.join(FAULTS)}"
        else:
            yield from cls._own_keys(data)

    @classmethod
    def _own_keys(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        """Yield the keys that this kind needs and has not, or has and cannot use."""
        name = data.get("fault")
        kind: type[Model] | None = ErrorReply if name is None else FAULTS.get(str(name))
        if kind is None:
            return  # an unknown name is a fault of its own
        who = "a reply with a status" if name is None else str(name)
        for key, words in _OWN_KEYS.items():
            field = kind.model_fields.get(key)
            if field is None and data.get(key) is not None:
                yield (key,), f"{who} has no {words}; remove it"
            elif field is not None and field.is_required() and data.get(key) is None:
                yield (), f"{who} needs {key}, such as {key}: 2s"


def whole_seconds(seconds: float | None) -> int | None:
    """Return a hint as it is sent in a Retry-After header: whole seconds, rounded up; None stays None."""
    return None if seconds is None else ceil(seconds)
