"""The simulated job service as a state machine.

Importing this package pulls in no web framework. The Flask application is in ``server.app``, and
``python -m server`` serves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from server._board import Board, Counters
    from server._replies import InService, JobView, NoReply, Reply, Ticket

__all__ = ["Board", "Counters", "InService", "JobView", "NoReply", "Reply", "Ticket"]


def __getattr__(name: str) -> object:
    """Load the board when it is first asked for: ``python -m server`` must get to its first line before."""
    if name in __all__:
        from server import _board, _replies

        return getattr(_replies if hasattr(_replies, name) else _board, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
