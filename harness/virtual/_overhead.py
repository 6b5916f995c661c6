"""What real machines add to every request, given to the twin so that it can be held against a live run."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Overhead:
    """Seconds that a live run loses on the way, beside the simulated delays; all zero by default.

    request_s: from sending a request until the service has it.
    reply_s: from the reply's leaving until the client has read it.
    wake_s: from the moment for which a request was planned until it is sent.
    scatter_s: submissions are later by up to this, drawn for each job and this number of ``machine``. Where
    jobs wait for each other a hair decides who comes first, and each machine tells another story.

    Raises ValueError for a negative or unbounded number.
    """

    request_s: float = 0.0
    reply_s: float = 0.0
    wake_s: float = 0.0
    scatter_s: float = 0.0
    machine: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "machine" and not 0.0 <= value < math.inf:
                raise ValueError(f"{field.name}={value!r} cannot be used: give 0 or more seconds")
