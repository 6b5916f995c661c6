"""What the processes of a run tell each other over Locust's connection: one frozen class per message.

==================  ===================  ====================================================
message             who to whom          what
==================  ===================  ====================================================
``CheckScenario``   master to worker     which scenario the run is of
``ScenarioChecked`` worker to master     whether the worker runs the same
``StartVisit``      conductor to lanes   a process's part in the visit to come
``AbortVisit``      conductor to lanes   end every job now and hand over what there is
``Rows``            lanes to conductor   what was measured since the last ``Rows``
``ShareDone``       lanes to conductor   every job of the process's part has ended
``Halted``          lanes to conductor   it is of no use to go on
==================  ===================  ====================================================

A standalone Locust sends them to itself, as they are; between processes they travel as msgpack, which knows
dicts, lists, strings, numbers, booleans and None. So every message goes through its wire form, and is checked
where it arrives: what another process sends is input like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from harness.live._budget import Share
from harness.live._columns import Columns, R
from harness.measure import Held, JobRow, PollRow


class BadMessage(ValueError):
    """A message does not have the fields of its kind; the text says which, in one line."""


class Message(BaseModel):
    """One kind of message, frozen; ``name`` is what Locust knows it by."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    name: ClassVar[str]

    def to_wire(self) -> dict[str, Any]:
        """Return the message as a dict that msgpack can carry."""
        return dict(self)

    @classmethod
    def from_wire(cls, data: object) -> Self:
        """Return the message that ``to_wire`` gave, after a trip through msgpack or none.

        Raises ``BadMessage`` when its fields are not those of this kind.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            where = ".".join(map(str, first["loc"])) or "the message"
            raise BadMessage(f"{cls.name}: {where}: {first['msg']}") from error


class CheckScenario(Message):
    """The master asks a worker whether it runs the scenario of this name and SHA-256."""

    name: ClassVar[str] = "backoff_check"
    scenario: str
    sha256: str


class ScenarioChecked(Message):
    """A worker has compared its scenario with the master's; ``reason`` says why it was not accepted."""

    name: ClassVar[str] = "backoff_checked"
    accepted: bool
    reason: str


class StartVisit(Message):
    """One process's part in one visit.

    visit: a number that no other visit of this Locust has. host: the address of what is polled. lanes: which
    of the visit's lanes are this process's. starts_in: seconds until the visit's time zero. run: what tells
    the run from others. limits: what the process may send to the user's own API; None: anything, it
    being the simulator.
    """

    name: ClassVar[str] = "backoff_start_visit"
    visit: int
    setting: str
    repeat: int
    host: str
    lanes: list[int]
    starts_in: float
    run: str = ""
    limits: Share | None = None


class AbortVisit(Message):
    """Every job under way ends now, as censored."""

    name: ClassVar[str] = "backoff_abort_visit"


def _columns(kind: type[R], given: object) -> Columns[R]:
    """Return rows as columns: as they come over the wire, one by one, or as they are."""
    if isinstance(given, Columns):
        return given
    if isinstance(given, list) and all(isinstance(each, kind) for each in given):
        return Columns(kind, given)
    return Columns.from_wire(kind, given)


class Rows(Message):
    """What a process has measured of a visit since its last message.

    submitted: how many jobs it submitted. jobs, polls: a row for each that has ended.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)
    name: ClassVar[str] = "backoff_rows"
    visit: int
    submitted: int
    jobs: Annotated[Columns[JobRow], BeforeValidator(partial(_columns, JobRow))]
    polls: Annotated[Columns[PollRow], BeforeValidator(partial(_columns, PollRow))]

    def to_wire(self) -> dict[str, Any]:
        """Return the message as a dict that msgpack can carry."""
        return {**dict(self), "jobs": self.jobs.to_wire(), "polls": self.polls.to_wire()}


class ShareDone(Message):
    """Every job of a process's part has ended, and its rows were sent.

    ended_at_s: when, in seconds of the visit. failed_submissions: those that the service did not take, by
    response; failure: the last of them, in words. cpu_mean, cpu_peak: the process's use of one core, over
    the visit and in its busiest second.
    submissions, left: of a share of limits, the submissions made, and the jobs that may still be under way.
    spent: whether more would have been made if the share had been larger. cut_short: whether jobs were ended
    before their time.
    held_jobs, held_polls: what the limits held back.
    """

    name: ClassVar[str] = "backoff_share_done"
    visit: int
    ended_at_s: float
    failed_submissions: dict[str, int]
    failure: str = ""
    cpu_mean: float
    cpu_peak: float
    submissions: int = 0
    left: int = 0
    spent: bool = False
    cut_short: bool = False
    held_jobs: Held = Held()
    held_polls: Held = Held()


class Halted(Message):
    """A process has ended its part of a visit, for going on would measure nothing; ``reason``: why."""

    name: ClassVar[str] = "backoff_halted"
    visit: int
    reason: str


class Runner(Protocol):
    """What of Locust's runner messages need."""

    def send_message(self, msg_type: str, data: Any = None, client_id: str | None = None) -> None:
        """Send to one node, or to whoever is at the other end."""

    def register_message(
        self, msg_type: str, listener: Callable[..., None], concurrent: bool = False
    ) -> None:
        """Call the listener with every message of the type."""


M = TypeVar("M", bound=Message)


def send(runner: Runner, message: Message, node: str | None = None) -> None:
    """Send a message to a node; without one, to the master (on a worker) or to this very process."""
    runner.send_message(message.name, message.to_wire(), node)


def receive(
    runner: Runner,
    kind: type[M],
    handle: Callable[[str, M], object],
    bad: Callable[[str, BadMessage], object],
    *,
    concurrent: bool = False,
) -> None:
    """Have ``handle(node, message)`` called with every message of the kind, or ``bad(node, error)``.

    concurrent: in a greenlet of its own, for a handler that waits or ends the process.
    """

    def listen(msg: Any, **_: Any) -> None:
        try:
            message = kind.from_wire(msg.data)
        except BadMessage as error:
            bad(msg.node_id, error)
        else:
            handle(msg.node_id, message)

    runner.register_message(kind.name, listen, concurrent)
