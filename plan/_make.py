"""Making a plan: predict, search, choose, and say how sure that is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor

from plan._plan import Plan
from scenarios import Scenario


def make_plan(
    scenario: Scenario,
    *,
    cost_per_poll_s: float | None = None,
    jobs_per_day: float = 1e6,
    cpu_per_poll_s: float | None = None,
    jobs: int = 20_000,
    executor: Executor | None = None,
    on_progress: Callable[[str], None] | None = None,
) -> Plan:
    """Name the setting to ship for the scenario's objectives, and what stands behind that.

    cost_per_poll_s: the seconds of mean lag that one poll per job is worth; by default what the baseline
    implies. jobs_per_day and cpu_per_poll_s (seconds of a core, from a live run) size the server. jobs: how
    many the twin simulates per setting. executor: a pool of processes. on_progress: told in English what is
    being done.

    Raises `server.DocumentError` when the law of duration has no finite mean or the objectives contradict
    each other or it; ValueError for an argument that is not positive.
    """
    raise NotImplementedError
