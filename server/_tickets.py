"""A job's id is its ticket, packed and signed, so that answering for a job needs no store.

An id is 88 characters that are safe in a URL: 33 bytes (the key, three times and the outcome) and an
HMAC-SHA-256, both in base64. Times are on the system's monotonic clock, which on Linux, macOS and Windows is
the same for all processes and survives their restarts; after a reboot old ids say nothing useful.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from functools import lru_cache
from typing import Final, Literal

from itsdangerous import Signer
from itsdangerous.encoding import base64_decode, base64_encode

from server._replies import Ticket

_PACKED: Final = struct.Struct(">QdddB")
_OUTCOMES: Final[tuple[Literal["completed"], Literal["error"]]] = ("completed", "error")


class UnknownTicket(ValueError):
    """The text is no id that this service, with this secret, has handed out."""


def seal(ticket: Ticket, secret: bytes) -> str:
    """Return the job id that holds ``ticket``, signed with ``secret``."""
    packed = _PACKED.pack(*ticket[:4], _OUTCOMES.index(ticket.outcome))
    return _signer(secret).sign(base64_encode(packed)).decode("ascii")


def unseal(text: str, secret: bytes) -> Ticket:
    """Return the ticket within a job id; raise UnknownTicket unless ``seal`` made this very text.

    The signature is compared as text: base64 has several spellings of the same bytes, and a job has one id.
    """
    payload = text.encode("utf-8", "replace").partition(b".")[0]
    if not hmac.compare_digest(_signer(secret).sign(payload), text.encode("utf-8", "replace")):
        raise UnknownTicket("not an id that this service has handed out")
    key, submitted_at, started_at, finished_at, outcome = _PACKED.unpack(base64_decode(payload))
    return Ticket(key, submitted_at, started_at, finished_at, _OUTCOMES[outcome])


@lru_cache(maxsize=8)
def _signer(secret: bytes) -> Signer:
    return Signer(secret, salt=b"job-id", digest_method=hashlib.sha256)
