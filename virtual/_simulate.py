"""Running a scenario in virtual time: visit after visit, in this process or in a pool of them."""

from __future__ import annotations

import os
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import pandas as pd

from measure import OUTCOMES, JobRow, PollAggregate, Run, RunInfo, ScenarioInfo, ServerCounts, Visit
from scenarios import Scenario
from scenarios import Visit as PlannedVisit
from virtual._events import EventVisit
from virtual._overhead import Overhead
from virtual._plan import Block, plan_blocks
from virtual._records import Part
from virtual._tally import VisitCounter
from virtual._vector import obstacle, run_block

MOST_ROWS: Final = 10**7
"""Most jobs, over all visits, whose rows ``simulate`` keeps: about 1.5 GB of memory."""

_AHEAD: Final = 32  # tasks handed to an executor before the first result is waited for
_REPORTED_PACKAGES: Final = ("numpy", "pandas", "scipy")


class EngineChoice(NamedTuple):
    """Which engine simulates a scenario, and why, in English."""

    engine: Literal["vector", "event"]
    reason: str


class Progress(NamedTuple):
    """How far a simulation has come: ``jobs`` have ended and ``polls`` were sent in visit ``visit`` of ``visits``.

    Visits are counted from 1.
    """

    visit: int
    visits: int
    setting: str
    jobs: int
    polls: int


@dataclass(frozen=True, eq=False)
class SimulatedRun:
    """A run in virtual time: the records, as ``measure`` takes them, and the engine that made them."""

    run: Run
    choice: EngineChoice


def choose_engine(scenario: Scenario) -> EngineChoice:
    """Return the engine for this scenario: "vector" unless its jobs touch each other."""
    if (reason := obstacle(scenario)) is not None:
        return EngineChoice("event", f"event by event, for {reason}")
    return EngineChoice("vector", "whole arrays of jobs at a time, for no job of this scenario touches another")


def simulate(
    scenario: Scenario,
    *,
    only: Sequence[str] | None = None,
    jobs: int | None = None,
    engine: Literal["auto", "vector", "event"] = "auto",
    overhead: Overhead | None = None,
    executor: Executor | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> SimulatedRun:
    """Run a scenario in virtual time.

    only: these settings alone. jobs: this many jobs per visit, instead of the workload's duration and number.
    engine: "vector" or "event" instead of the one that ``choose_engine`` gives; both give the same records.
    overhead: what real machines add to each request; nothing by default.
    executor: a ``concurrent.futures`` pool of processes (or Dask's or Ray's equivalent); the records do not
    depend on it. on_progress: called now and then, in this process.

    Raises ValueError when a setting is unknown, when the vector engine is asked for a scenario that it cannot
    do, and when more than MOST_ROWS rows would be kept; VisitTooLong when a poll would come after a year of
    virtual time.
    """
    raise NotImplementedError


def simulate_visit(
    scenario: Scenario,
    setting: str,
    repeat: int = 0,
    *,
    jobs: int | None = None,
    engine: Literal["auto", "vector", "event"] = "auto",
    overhead: Overhead | None = None,
    executor: Executor | None = None,
) -> Iterator[Part]:
    """Yield the records of one visit part by part, in order: memory stays bounded, whatever the number of jobs."""
    raise NotImplementedError
