"""The twin: scenarios in virtual time, played by the very client and service that run live.

    result = simulate(load_scenario("scenarios/video-translation.yaml"), jobs=100_000)
    results = analyse(result.run)

Two engines give the same records: an event engine that joins ``client.Poller`` and ``server.Board``, and a
vector engine for scenarios whose jobs do not touch each other. See ``docs/the-twin.md``.
"""

from __future__ import annotations

from harness.virtual._against import twin_of, with_way_back
from harness.virtual._columns import JobColumns, Part
from harness.virtual._costs import visit_costs
from harness.virtual._counts import PollCounts, VisitCounter, VisitTooLong
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from harness.virtual._replies import reply_delays
from harness.virtual._run import (
    EngineChoice,
    Progress,
    Resized,
    SimulatedRun,
    choose_engine,
    resized,
    simulate,
    simulate_visit,
)
from harness.virtual._sample import sample_polls
from harness.virtual._sampling import calibrate

__all__ = [
    "EngineChoice",
    "EventVisit",
    "JobColumns",
    "Overhead",
    "Part",
    "PollCounts",
    "Progress",
    "Resized",
    "SimulatedRun",
    "VisitCounter",
    "VisitTooLong",
    "calibrate",
    "choose_engine",
    "reply_delays",
    "resized",
    "sample_polls",
    "simulate",
    "simulate_visit",
    "twin_of",
    "visit_costs",
    "with_way_back",
]
