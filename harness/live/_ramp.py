"""Locust's users, which mark where lanes live, and how long they take to start.

A lane is a number; a user is a greenlet of Locust's and 15 kB. Apart from the schedule, for ``check`` must
tell without loading the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_MOST_USERS: Final = 100
SPAWN_RATE: Final = 100.0
"""Users started per second at most: above it Locust itself warns of trouble."""

_TURN_S: Final = 1.0  # Locust looks once a second whether the lanes of the last visit are gone


def users_for(lanes: int, processes: int) -> int:
    """Return how many users Locust is to run: one a lane, up to a hundred or one for each process."""
    return min(lanes, max(_MOST_USERS, processes))


def deal(lanes: int, users: Mapping[str, int]) -> dict[str, range]:
    """Return each process's lanes, in proportion to its users; a process without users gets none."""
    total, before, dealt = sum(users.values()), 0, {}
    for node, count in sorted(users.items()):
        if count:
            dealt[node] = range(lanes * before // total, lanes * (before + count) // total)
            before += count
    return dealt


def seconds_before_visit(lanes: int) -> float:
    """Return about how many seconds pass before each visit of a live run until its lanes have started."""
    return _TURN_S + users_for(lanes, 1) / SPAWN_RATE
