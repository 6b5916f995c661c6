"""What the schedule of visits tells its driver to do; see ``_schedule``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Wait:
    """Nothing to do: look again in a moment."""


@dataclass(frozen=True)
class CheckWorkers:
    """Ask these workers for their scenario, and look again in a moment."""

    nodes: tuple[str, ...]


@dataclass(frozen=True)
class Refuse:
    """The worker runs another scenario; ``forget``: as if it had never come."""

    node: str
    reason: str
    forget: bool


@dataclass(frozen=True)
class Users:
    """Have Locust run this many users of the setting, started or stopped at ``rate`` a second."""

    count: int
    rate: float
    setting: str


@dataclass(frozen=True)
class ResetTarget:
    """Have the target start afresh ``lead_s`` seconds from now; then tell ``reset``."""

    lead_s: float


@dataclass(frozen=True)
class StartShares:
    """Tell each process which lanes of the visit are its own; time zero is ``starts_in`` seconds from now."""

    visit: int
    setting: str
    repeat: int
    lanes: Mapping[str, Sequence[int]]
    starts_in: float


@dataclass(frozen=True)
class CloseVisit:
    """Ask the target for its counts of the visit; then tell ``closed``."""


@dataclass(frozen=True)
class Abort:
    """Have these processes end the visit now; ``cut_short``: it is this stop that ends the run early."""

    nodes: tuple[str, ...]
    cut_short: bool


@dataclass(frozen=True)
class Failed:
    """Something went wrong: say so, and look again."""

    reason: str


@dataclass(frozen=True)
class Finished:
    """The run has ended, early if there is a reason; ``had_users``: whether Locust was told to start any."""

    reason: str | None
    had_users: bool


Command = (
    Wait | CheckWorkers | Refuse | Users | ResetTarget | StartShares | CloseVisit | Abort | Failed | Finished
)
"""One answer of the schedule to one event."""
