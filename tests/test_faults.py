"""The table of simulated faults: what each kind makes of a status request, wherever the table is read."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from scenarios import FAULTS, ConnectionReset, ErrorReply, Fault, Outage, Simulation, Unanswered, json_schema
from server import Board, NoReply, Reply
from server._no_reply import ENDINGS
from server._replies import JobView


def polled(**fault: Any) -> tuple[Reply | NoReply, dict[str, int]]:
    """The reply of a board on which every status request fails in this way, and its counts."""
    service = {"faults": [{**fault, "rate": 1.0}], "delay": "250ms"}
    board = Board(Simulation.model_validate({"job": {"duration": "4s"}, "service": service}))
    return board.poll(1.0, board.start(0.0, 0), 1), board.counters().replies


def test_an_error_reply_has_a_code_and_a_hint_in_whole_seconds() -> None:
    """The hint is rounded up, as the header carries whole seconds; without one there is no header."""
    assert polled(status=503, retry_after="1500ms") == (Reply(1.25, 503, 2, None), {"503": 1})
    assert polled(status=429) == (Reply(1.25, 429, None, None), {"429": 1})


def test_a_reset_connection_is_no_reply() -> None:
    """It has no status code, no hint and no job, and is counted by its own name."""
    reply, counted = polled(fault="CONNECTION_RESET_BY_PEER")
    assert reply == NoReply(1.25, ConnectionReset())
    assert (reply.status_code, reply.retry_after, reply.job, reply.reset) == (None, None, None, True)
    assert counted == {"reset": 1}


def test_a_fault_names_its_kind_and_keeps_the_rate_to_itself() -> None:
    """The failure is apart from how often it strikes, and an outage shares the error reply."""
    assert Fault(status=503, rate=0.1, retry_after=2.0).failure == ErrorReply(status=503, retry_after=2.0)
    assert Outage(start=1.0, length=2.0).failure == ErrorReply(status=503)
    assert Fault(fault="CONNECTION_RESET_BY_PEER", rate=0.1).failure == ConnectionReset()


def test_faults_say_in_english_what_a_request_gets() -> None:
    """A code speaks for itself."""
    assert ErrorReply(status=503).describe() == "503"
    assert ConnectionReset().describe() == "a reset connection"


OWN: dict[str, dict[str, Any]] = {"STALE_READ": {"age": 2.0}, "SLOW_DRIBBLE": {"duration": 3.0}}


@pytest.mark.parametrize("name", FAULTS)
def test_every_named_fault_is_known_wherever_faults_are_read(name: str) -> None:
    """The YAML and its schema take the name, the board counts what it does, the host knows how to do it."""
    kind, own = FAULTS[name], OWN.get(name, {})
    assert kind.name == name
    assert Fault(fault=name, rate=0.5, **own).failure == kind(**own)
    options = json_schema()["$defs"]["Fault"]["properties"]["fault"]["anyOf"]
    assert any(name in (option.get("const"), *option.get("enum", ())) for option in options)
    assert (kind in ENDINGS) == issubclass(kind, Unanswered)
    reply, counted = polled(fault=name, **own)
    assert counted == {kind.counted_as: 1}
    assert reply.status_code == kind.status_code
    assert (reply.job is not None) == kind.tells


def test_unanswered_requests_are_counted_apart() -> None:
    """Each by a name of its own."""
    unanswered = [kind for kind in FAULTS.values() if issubclass(kind, Unanswered)]
    assert len({kind.counted_as for kind in unanswered}) == len(unanswered) == len(ENDINGS)


@pytest.mark.parametrize(
    ("now", "seen"),
    [
        (1.5, JobView("pending", 0.0, None)),
        (5.0, JobView("pending", 0.812, None)),
        (5.75, JobView("completed", 1.0, 2.0)),
        (7.0, JobView("completed", 1.0, 3.25)),
    ],
)
def test_a_stale_read_tells_an_old_status_and_the_true_lag(now: float, seen: JobView) -> None:
    """Two seconds old, never older than the job; the end it tells is as long ago as it is."""
    service = {"faults": [{"fault": "STALE_READ", "age": 2, "rate": 1.0}], "delay": "250ms"}
    board = Board(Simulation.model_validate({"job": {"duration": "4s"}, "service": service}))
    reply = board.poll(now, board.start(0.0, 0), 1)
    assert (reply.at, reply.job) == (now + 0.25, seen)


def test_a_reply_that_drips_is_whole_when_its_last_byte_is_there() -> None:
    """Three seconds late, with the status of its beginning."""
    service = {"faults": [{"fault": "SLOW_DRIBBLE", "duration": 3, "rate": 1.0}]}
    board = Board(Simulation.model_validate({"job": {"duration": "4s"}, "service": service}))
    early, late = (board.poll(now, board.start(0.0, 0), 1) for now in (3.0, 4.5))
    assert (early.at, early.job) == (6.0, JobView("pending", 0.75, None))
    assert (late.at, late.job) == (7.5, JobView("completed", 1.0, 3.5))


def test_a_job_cannot_be_seen_at_once_where_that_takes_time() -> None:
    """404 until then; a limit comes first, a fault later."""
    service = {"visible_after": "500ms", "faults": [{"status": 503, "rate": 1.0}]}
    board = Board(Simulation.model_validate({"job": {"duration": "4s"}, "service": service}))
    ticket, _ = board.submit(1.0, 7)
    assert [board.poll(now, ticket, 1).status_code for now in (1.0, 1.49, 1.5)] == [404, 404, 503]


@pytest.mark.parametrize(("said", "hint"), [("none", None), ("2500ms", 3), (0, 0), ("eta", 4)])
def test_the_reply_to_a_submission_may_say_when_to_come_back(said: object, hint: int | None) -> None:
    """In whole seconds, rounded up."""
    service = {"retry_after_submit": said, "delay": "250ms"}
    board = Board(Simulation.model_validate({"job": {"duration": "4s"}, "service": service}))
    _, reply = board.submit(1.0, 7)
    assert reply.retry_after == hint


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"fault": "STALE_READ"}, "STALE_READ needs age, such as age: 2s"),
        ({"fault": "SLOW_DRIBBLE"}, "SLOW_DRIBBLE needs duration, such as duration: 2s"),
        ({"fault": "STALE_READ", "age": 2, "duration": 2}, "STALE_READ has no duration; remove it"),
        ({"status": 503, "age": 2}, "a reply with a status has no age; remove it"),
        (
            {"fault": "EMPTY_RESPONSE", "retry_after": 2},
            "EMPTY_RESPONSE has no Retry-After; remove it",
        ),
        ({}, "needs a status (400 to 599) or fault: one of CONNECTION_RESET_BY_PEER, EMPTY_RESPONSE"),
    ],
)
def test_keys_that_do_not_belong_to_a_kind_are_refused(fault: dict[str, Any], message: str) -> None:
    """And those that it needs are asked for."""
    with pytest.raises(ValidationError, match=re.escape(message)):
        Fault(**fault, rate=0.5)


def test_an_unknown_fault_is_refused() -> None:
    """Only the names of the table can be asked for."""
    with pytest.raises(ValidationError, match="literal_error"):
        Fault(fault="CONNECTION_REST", rate=0.5)
