"""Scenarios for the tests of the twin, made from Python values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from client import Backoff, PollingPolicy
from scenarios import Job, Scenario, Service, Workload

SEED = 42


def scenario(
    settings: dict[str, PollingPolicy] | PollingPolicy,
    *,
    duration: Any = "4s",
    error_rate: float = 0.0,
    slots: int | None = None,
    steps: int = 1000,
    service: dict[str, Any] | None = None,
    arrivals: dict[str, Any] | None = None,
    lanes: int = 3,
    jobs: int | None = None,
    until: float | None = None,
    repeats: int = 1,
    seed: int = SEED,
) -> Scenario:
    """A scenario; by default one job of 4 s arrives at 0, and the service answers at once."""
    policies = {"only": settings} if isinstance(settings, PollingPolicy) else settings
    arrivals = arrivals or {"type": "burst", "size": 1}
    if jobs is None and until is None:
        jobs = 1
    return Scenario(
        name="made-up",
        question="",
        seed=seed,
        job=Job.model_validate(
            {"duration": duration, "error_rate": error_rate, "slots": slots, "progress_steps": steps}
        ),
        service=Service.model_validate(service or {}),
        workload=Workload.model_validate(
            {"lanes": lanes, "arrivals": arrivals, "duration": until, "jobs": jobs, "repeats": repeats}
        ),
        settings=policies,
        objectives={},
        baseline=None,
        path=Path("made-up.yaml"),
        text="name: made-up\n",
    )


def every(seconds: float, **limits: Any) -> PollingPolicy:
    """Poll at constant intervals, without jitter."""
    return PollingPolicy(Backoff("constant", seconds), **limits)
