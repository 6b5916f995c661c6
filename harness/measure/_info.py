"""What was run, when and where: the part of the records that no clock measures."""

from __future__ import annotations

import os
import platform
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import Any, Literal

from harness.measure._rows import RunInfo, ScenarioInfo
from scenarios import Scenario, portable


def run_info(
    scenario: Scenario,
    settings: Collection[str],
    *,
    engine: Literal["live", "virtual"],
    started_at: datetime,
    packages: Sequence[str],
    more: Mapping[str, Any] | None = None,
    incomplete: str | None = None,
    target: Literal["simulator", "own"] = "simulator",
    finish_resolution_s: float = 0.0,
) -> RunInfo:
    """Return the record of a run of some of the scenario's ``settings``.

    ``started_at`` knows its time zone. ``packages`` are those whose versions the figures depend on, ``more``
    is what else is to be told of the environment, and ``incomplete`` the reason why the run ended early.
    ``target`` and ``finish_resolution_s`` are as in ``RunInfo``.
    """
    kept = portable(scenario)
    return RunInfo(
        engine=engine,
        seed=scenario.seed,
        started_at=started_at.isoformat(timespec="seconds"),
        environment={
            "python": platform.python_version(),
            "packages": {name: _version(name) for name in packages},
            "host_cores": os.cpu_count(),
            "platform": platform.platform(),
            **(more or {}),
        },
        scenario=ScenarioInfo(scenario.name, kept.text, scenario.question, kept.found, kept.files),
        settings={name: policy.describe() for name, policy in scenario.settings.items() if name in settings},
        baseline=scenario.baseline,
        objectives=dict(scenario.objectives),
        incomplete=incomplete,
        target=target,
        finish_resolution_s=finish_resolution_s,
        waiting=_waiting(scenario),
        margin=scenario.margin,
    )


_version = cache(
    version
)  # it reads a file of the package's; a report has fifteen twins, each with its record


def _waiting(scenario: Scenario) -> str | None:
    """Return why the jobs of a visit are no independent samples; None if they are.

    They share a queue or a stretch of bad time, whether the scenario's own service is polled or its target.
    """
    service = scenario.service
    if not scenario.workload.arrivals.is_open:
        return "a job is submitted when the one before it has ended"
    if scenario.job is not None and scenario.job.slots is not None:
        return "jobs wait for slots"
    if service.rate_limit is not None:
        return "polls share a rate limit"
    if service.capacity is not None:
        return "polls wait for the service's workers"
    return "outages meet many jobs at once" if service.outages else None
