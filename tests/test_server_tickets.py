"""Job ids: what a client can do to them, and what comes of it."""

from __future__ import annotations

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server import Ticket
from server._tickets import UnknownTicket, seal, unseal

SECRET = b"a secret"
TICKET = Ticket(17, 12345.25, 12346.5, 12350.75, "completed")
TIMES = st.floats(allow_nan=False, allow_infinity=False)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**64 - 1), TIMES, TIMES, TIMES, st.sampled_from(["completed", "error"]))
def test_an_id_holds_its_ticket_exactly(
    key: int, submitted: float, started: float, finished: float, outcome: str
) -> None:
    """Whatever is sealed comes back to the last bit, from an id that is short and safe in a URL."""
    ticket = Ticket(key, submitted, started, finished, outcome)  # type: ignore[arg-type] # st widens the literals
    job_id = seal(ticket, SECRET)
    assert unseal(job_id, SECRET) == ticket
    assert re.fullmatch(r"[A-Za-z0-9._-]{88}", job_id)


def test_sealing_is_deterministic() -> None:
    """A job has one id, whoever computes it."""
    assert seal(TICKET, SECRET) == seal(TICKET, SECRET)


def test_every_change_of_a_single_character_is_noticed() -> None:
    """Also where base64 has two spellings of the same bytes: no other text passes for an id."""
    job_id = seal(TICKET, SECRET)
    for place in range(len(job_id)):
        for letter in string.ascii_letters + string.digits + "-_.= ":
            if letter != job_id[place]:
                with pytest.raises(UnknownTicket):
                    unseal(job_id[:place] + letter + job_id[place + 1 :], SECRET)


@pytest.mark.parametrize("other", [b"", b"another secret"])
def test_an_id_of_another_secret_is_unknown(other: bytes) -> None:
    """Ids are good only where they were handed out."""
    with pytest.raises(UnknownTicket):
        unseal(seal(TICKET, other), SECRET)


@settings(deadline=None)  # the machine may be busy
@given(st.text())
@example("")
@example(".")
@example("\ud800")
@example("x" * 1_000_000)
@example("a.b.c")
@example("%00")
def test_garbage_is_unknown(text: str) -> None:
    """Any text at all is answered with UnknownTicket, never with another error."""
    with pytest.raises(UnknownTicket):
        unseal(text, SECRET)


@settings(deadline=None)  # the machine may be busy
@given(st.text(max_size=5), st.text(max_size=5))
def test_an_id_with_something_around_it_is_unknown(before: str, after: str) -> None:
    """White space, padding or a suffix make it another text."""
    if before or after:
        with pytest.raises(UnknownTicket):
            unseal(before + seal(TICKET, SECRET) + after, SECRET)
