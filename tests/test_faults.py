"""The table of simulated faults: what each kind makes of a status request, wherever the table is read."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from scenarios import FAULTS, ConnectionReset, ErrorReply, Fault, Outage, Simulation, json_schema
from server import Board, NoReply, Reply
from server._no_reply import NO_REPLIES


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
    assert reply == NoReply(1.25, "CONNECTION_RESET_BY_PEER")
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


@pytest.mark.parametrize("name", FAULTS)
def test_every_named_fault_is_known_wherever_faults_are_read(name: str) -> None:
    """The YAML and its schema take the name, the board counts it apart, the host knows how to do it."""
    assert FAULTS[name].name == name
    assert Fault(fault=name, rate=0.5).failure == FAULTS[name]()
    options = json_schema()["$defs"]["Fault"]["properties"]["fault"]["anyOf"]
    assert any(name in (option.get("const"), *option.get("enum", ())) for option in options)
    assert name in NO_REPLIES
    assert len({kind.counted_as for kind in FAULTS.values()}) == len(FAULTS) == len(NO_REPLIES)


def test_an_unknown_fault_is_refused() -> None:
    """Only the names of the table can be asked for."""
    with pytest.raises(ValidationError, match="literal_error"):
        Fault(fault="CONNECTION_REST", rate=0.5)
