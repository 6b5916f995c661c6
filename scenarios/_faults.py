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

from scenarios.documents import Fraction, LocalDiagnostic, Model, Seconds

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


class Unanswered(Model):
    """There is no proper reply; for the client that is a transport error. Each subclass is a way to do so."""

    name: ClassVar[str]
    """The value of the key ``fault``; WireMock's where it has one."""
    words: ClassVar[str]
    """What a status request gets, in English."""
    counted_as: ClassVar[str]
    """How the service counts such requests."""
    status_code: ClassVar[None] = None
    hint: ClassVar[None] = None

    def describe(self) -> str:
        """Return what a status request gets, in English."""
        return self.words


class ConnectionReset(Unanswered):
    """The client sees its connection reset."""

    name = "CONNECTION_RESET_BY_PEER"
    words = "a reset connection"
    counted_as = "reset"


Failure: TypeAlias = ErrorReply | Unanswered
"""What a failing status request gets."""

FAULTS: Final[Mapping[str, type[Unanswered]]] = {kind.name: kind for kind in (ConnectionReset,)}
"""The kinds that have a name: the values of the key ``fault``."""

if TYPE_CHECKING:
    FaultName: TypeAlias = str
else:
    FaultName = Literal[tuple(FAULTS)]


class Fault(Model):
    """A share of the status requests fails: with a status code, or by a reset connection."""

    status: ErrorStatus | None = None
    """The status code of the reply."""
    fault: FaultName | None = None
    """Instead of a status: no reply at all."""
    rate: Fraction
    """Share of the status requests that fail in this way."""
    retry_after: Seconds | None = None
    """Seconds in the reply's Retry-After header; null: no such header."""

    @property
    def failure(self) -> Failure:
        """What the status requests get that fail in this way."""
        kind = ErrorReply if self.fault is None else FAULTS[self.fault]
        return kind.model_validate({key: getattr(self, key) for key in kind.model_fields})

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        given = [key for key in ("status", "fault") if data.get(key) is not None]
        if len(given) == 2:
            others = " or ".join(kind.words for kind in FAULTS.values())
            yield ("fault",), f"a fault is either a reply with a status or {others}; keep one of them"
        elif not given:
            yield (), f"needs a status (400 to 599) or fault: {' or '.join(FAULTS)}"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        kind = self.failure
        if self.retry_after is not None and "retry_after" not in type(kind).model_fields:
            yield ("retry_after",), f"{kind.describe()} carries no Retry-After header; remove it"


def whole_seconds(seconds: float | None) -> int | None:
    """Return a hint as it is sent in a Retry-After header: whole seconds, rounded up; None stays None."""
    return None if seconds is None else ceil(seconds)
