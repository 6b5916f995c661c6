"""The processes that generate load, as Locust's runner knows them: this one, or a master's workers."""

from __future__ import annotations

import os
from typing import Any, Final, Protocol

_LOCAL: Final = "local"  # what Locust calls a standalone process


class Processes(Protocol):
    """Who there is to run lanes."""

    accepted: tuple[str, ...]
    """Those that need not be asked for their scenario."""
    wanted: int
    """How many a run needs to start."""

    def lanes(self) -> dict[str, int]:
        """Return the users, which mark where lanes live, that each runs now: {node: count}."""

    def forget(self, node: str) -> None:
        """Treat a process as if it had never come."""


class ThisProcess:
    """A standalone Locust: it generates its load itself."""

    accepted: tuple[str, ...] = (_LOCAL,)
    wanted: int = 1

    def __init__(self, runner: Any) -> None:
        self._runner = runner

    def lanes(self) -> dict[str, int]:
        """Return the lanes of this process."""
        return {_LOCAL: self._runner.user_count}

    def forget(self, node: str) -> None:
        """Do nothing: this process cannot be forgotten."""


class Workers:
    """The workers of a master; ``expected`` is how many Locust was told to wait for."""

    accepted: tuple[str, ...] = ()

    def __init__(self, runner: Any, expected: int | None) -> None:
        self._runner = runner
        self.wanted = max(1, expected or 1)

    def lanes(self) -> dict[str, int]:
        """Return the lanes of every worker that is heard of."""
        nodes = self._runner.clients.all
        return {node.id: node.user_count for node in nodes if node.state != "missing"}

    def forget(self, node: str) -> None:
        """Drop a worker from Locust's list, which ends a test when its last worker quits."""
        self._runner.clients.pop(node, None)


def forgive_forgotten() -> None:
    """Have ``os.waitpid`` take a child for ended that nothing is known of any more; at the process's end.

    gevent forgets a child a minute after its end, say while a report is made, and Locust, last of all, asks
    for the statuses of its workers: thousands of times, with a traceback each.
    """
    wait = os.waitpid

    def waitpid(pid: int, options: int) -> tuple[int, int]:
        try:
            return wait(pid, options)
        except ChildProcessError:
            return pid, 0

    os.waitpid = waitpid
