"""What Locust's processes tell each other: whole after a trip through msgpack, refused when it is not."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from live_parts import job_row, poll_row, rows, share_done
from pydantic import ValidationError

from harness.live._columns import Columns
from harness.live._messages import (
    AbortVisit,
    BadMessage,
    CheckScenario,
    Halted,
    Message,
    Rows,
    ScenarioChecked,
    ShareDone,
    StartVisit,
    receive,
    send,
)
from harness.measure import JobRow, PollRow

CENSORED = job_row(key=2)._replace(finished_at_s=None, detected_at_s=None, outcome="censored")
EXAMPLES: list[Message] = [
    CheckScenario(scenario="short", sha256="ab" * 32),
    ScenarioChecked(accepted=False, reason="another scenario"),
    StartVisit(visit=3, setting="quick", repeat=1, host="http://127.0.0.1:1", lanes=[0, 1], starts_in=0.3),
    AbortVisit(),
    Rows(visit=3, submitted=2, jobs=[job_row(), CENSORED], polls=[poll_row()]),
    share_done(3, failed_submissions=2),
    Halted(visit=3, reason="the target does not accept these credentials"),
]


WHOLE = Columns(PollRow, [poll_row(), poll_row()]).to_wire()
BROKEN: list[Any] = [
    {},
    {**WHOLE, "columns": {}},
    {**WHOLE, "words": []},
    {**WHOLE, "columns": {**WHOLE["columns"], "key": b"\0" * 8}},
    {**WHOLE, "columns": {**WHOLE["columns"], "key": b"\0" * 15}},
    {**WHOLE, "columns": {**WHOLE["columns"], "key": [1, 2]}},
]
"""Columns that are none: missing, of other words, lengths and kinds."""


class Wire:
    """Locust's runner as messages see it: what is sent comes back to the listeners, through msgpack."""

    def __init__(self) -> None:
        self.listeners: dict[str, Any] = {}
        self.nodes: list[str | None] = []

    def register_message(self, msg_type: str, listener: Any, concurrent: bool = False) -> None:
        self.listeners[msg_type] = (listener, concurrent)

    def send_message(self, msg_type: str, data: Any = None, client_id: str | None = None) -> None:
        self.nodes.append(client_id)
        listener, _ = self.listeners[msg_type]
        received = type("Received", (), {"data": through_msgpack(data), "node_id": "worker-1"})
        listener(environment=None, msg=received)


def through_msgpack(data: Any) -> Any:
    """As Locust's protocol packs and unpacks."""
    return msgpack.loads(msgpack.dumps(data), raw=False, strict_map_key=False)


def names_of_kinds() -> set[str]:
    return {kind.name for kind in Message.__subclasses__()}


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: message.name)
def test_a_message_survives_msgpack(message: Message) -> None:
    """It is equal to what was sent, its rows are rows again, and the same holds without msgpack."""
    wire = message.to_wire()
    received = type(message).from_wire(through_msgpack(wire))
    assert received == message == type(message).from_wire(wire)
    if isinstance(received, Rows):
        assert all(type(job) is JobRow for job in received.jobs)
        assert all(type(poll) is PollRow for poll in received.polls)


def test_every_kind_has_a_name_of_its_own_and_an_example() -> None:
    """Locust tells messages apart by name alone; no kind is left out of these tests."""
    assert len(names_of_kinds()) == len(Message.__subclasses__()) == len(EXAMPLES)
    assert {message.name for message in EXAMPLES} == names_of_kinds()
    assert all(name.startswith("backoff_") for name in names_of_kinds())


def test_a_message_is_frozen() -> None:
    """What was sent cannot be changed under the receiver, who may be in the same process."""
    with pytest.raises(ValidationError, match="frozen"):
        share_done(3).visit = 4


@pytest.mark.parametrize(
    ("kind", "data", "complaint"),
    [
        (ShareDone, None, "backoff_share_done: the message: Input should be a valid dictionary"),
        (ShareDone, {}, "backoff_share_done: visit: Field required"),
        (ShareDone, {**share_done(1).to_wire(), "visit": "1"}, "backoff_share_done: visit: .*valid integer"),
        (AbortVisit, {"visit": 1}, "backoff_abort_visit: visit: Extra inputs are not permitted"),
        (Rows, {**rows(1).to_wire(), "jobs": [["quick", 0]]}, "backoff_rows: jobs: .*"),
        (Rows, {**rows(1).to_wire(), "polls": [[*poll_row()[:-1], 200]]}, "backoff_rows: polls: .*"),
        *((Rows, {**rows(1).to_wire(), "polls": broken}, "backoff_rows: polls: .*") for broken in BROKEN),
    ],
)
def test_wrong_fields_are_said_in_one_line(kind: type[Message], data: object, complaint: str) -> None:
    """A missing, an unknown and a mistyped field each: the kind, the place and what is wrong."""
    with pytest.raises(BadMessage, match=f"^{complaint}.*$") as caught:
        kind.from_wire(data)
    assert "\n" not in str(caught.value)


def test_a_listener_gets_the_message_and_who_sent_it() -> None:
    """The helpers for Locust's runner pack, unpack and name the node."""
    wire, heard = Wire(), []
    receive(wire, Rows, lambda node, message: heard.append((node, message)), pytest.fail)
    sent = rows(3, job_row(), submitted=1)
    send(wire, sent, "worker-1")
    send(wire, sent)
    assert heard == [("worker-1", sent)] * 2
    assert wire.nodes == ["worker-1", None]


def test_a_bad_message_goes_to_whom_it_concerns_and_raises_nothing() -> None:
    """Locust would print a traceback and lose the message."""
    wire, bad = Wire(), []
    receive(wire, Rows, pytest.fail, lambda node, error: bad.append((node, str(error))), concurrent=True)
    wire.send_message(Rows.name, {"visit": 1})
    assert bad == [("worker-1", "backoff_rows: submitted: Field required")]
    assert wire.listeners[Rows.name][1] is True
