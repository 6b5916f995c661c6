"""How a command ends: the exit statuses, and the exception that carries one to the edge.

Helpers raise ``Refusal`` and can be called from Python; only the command line and Locust's door exit.
"""

from __future__ import annotations

from typing import Final

DONE: Final = 0
"""Done, and the figures can be trusted (``compare``: the same or better)."""
FAILED: Final = 1
"""The machine failed, or the figures cannot be trusted (``compare``: worse)."""
UNUSABLE: Final = 2
"""The input cannot be used; nothing was started."""
MISSED: Final = 3
"""The figures can be trusted, and no setting is known to meet the objectives that were required."""
INTERRUPTED: Final = 130
"""Interrupted by Ctrl-C or SIGTERM: 128 + SIGINT, as shells have it."""


class Refusal(Exception):
    """What was asked cannot be done: ``message`` says why and what would be right, for people.

    ``status`` is the exit status of a command that ends by it.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message, status)
        self.message: Final = message
        self.status: Final = status

    def __str__(self) -> str:
        return self.message
