"""How long lanes take to start. Apart from the schedule, for ``check`` must tell without loading the rest."""

from __future__ import annotations

from typing import Final

SPAWN_RATE: Final = 100.0
"""Lanes started per second at most: above it Locust itself warns of trouble."""

_TURN_S: Final = 1.0  # Locust looks once a second whether the lanes of the last visit are gone


def seconds_before_visit(lanes: int) -> float:
    """Return about how many seconds pass before each visit of a live run until its lanes have started."""
    return _TURN_S + lanes / SPAWN_RATE
