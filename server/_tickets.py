"""A job's id is its ticket, packed and signed, so that answering for a job needs no store.

An id is 88 characters that are safe in a URL, the base64 of 66 bytes: the key, three times, the outcome, the
version of the format (1), and an HMAC-SHA-256 of all that. As 66 is a multiple of 3 no bit is left over: a
job has one id. Times are on the system's monotonic clock, which on Linux, macOS and Windows is the same for
all processes and survives their restarts; after a reboot old ids say nothing useful.
"""

from __future__ import annotations

import hmac
import struct
from binascii import Error, a2b_base64, b2a_base64
from typing import Final, Literal

from server._replies import Ticket

_VERSION: Final = 1
_PACKED: Final = struct.Struct(">QdddBB")
_SIGNED: Final = _PACKED.size + 32
_OUTCOMES: Final[tuple[Literal["completed"], Literal["error"]]] = ("completed", "error")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
_FROM_URL: Final = bytes.maketrans(b"-_+/", b"+/!!")  # what no id has becomes what base64 has not


class UnknownTicket(ValueError):
    """The text is no id that this service, with this secret, has handed out."""


def seal(ticket: Ticket, secret: bytes) -> str:
    """Return the job id that holds ``ticket``, signed with ``secret``."""
    key, submitted_at, started_at, finished_at, outcome = ticket
    packed = _PACKED.pack(key, submitted_at, started_at, finished_at, _OUTCOMES.index(outcome), _VERSION)
    signed = packed + hmac.digest(secret, packed, "sha256")
    return b2a_base64(signed, newline=False).translate(_TO_URL).decode("ascii")


def unseal(text: str, secret: bytes) -> Ticket:
    """Return the ticket within a job id; raise UnknownTicket unless ``seal`` made this very text."""
    try:
        signed = a2b_base64(text.encode("ascii").translate(_FROM_URL), strict_mode=True)
    except (UnicodeEncodeError, Error):
        signed = b""
    packed = signed[: _PACKED.size]
    digest = hmac.digest(secret, packed, "sha256")
    if len(signed) != _SIGNED or not hmac.compare_digest(signed[_PACKED.size :], digest):
        raise UnknownTicket("not an id that this service has handed out")
    key, submitted_at, started_at, finished_at, outcome, version = _PACKED.unpack(packed)
    if version != _VERSION:
        raise UnknownTicket(f"an id of another version ({version}) of this service")
    return Ticket(key, submitted_at, started_at, finished_at, _OUTCOMES[outcome])
