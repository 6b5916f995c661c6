"""Experiments: scenario files in YAML and their typed, validated form.

    scenario = load_scenario("scenarios/video-translation.yaml")
    for visit in scenario.visits():
        for arrival in scenario.planned(visit.repeat):
            ...

Every key is documented in ``docs/scenarios.md``. Nothing here waits, talks or draws hidden random numbers.
"""

from __future__ import annotations

from scenarios._arrivals import ARRIVALS, Arrival, Arrivals, Block, Closed, OpenArrivals
from scenarios._asked import requests_asked_for
from scenarios._deployment import (
    Address,
    Config,
    Options,
    choose_scenario,
    deployment,
    load_config,
    one_process_only,
    reports_folder,
    resolve,
)
from scenarios._describe import VisitCost, describe
from scenarios._dialect import AnyDialect, OwnDialect, client_dialect
from scenarios._faults import (
    FAULTS,
    ConnectionReset,
    EmptyResponse,
    ErrorReply,
    Failure,
    Fault,
    MalformedChunk,
    NamedFault,
    RandomData,
    SlowDribble,
    Unanswered,
)
from scenarios._json_schema import json_schema
from scenarios._limits import RATE_LIMITS, FixedWindow, Limit, SlidingWindow, TokenBucket
from scenarios._objective import OBJECTIVES, Objective
from scenarios._outlook import more_than_allowed, sending_lines, target_lines
from scenarios._portable import Portable, portable
from scenarios._scenario import (
    NothingToSimulate,
    Scenario,
    Visit,
    closed_key,
    load_scenario,
    planned,
    think_time,
)
from scenarios._schema import MARGIN, MOST_ROWS, Transport, Workload
from scenarios._service import Capacity, Job, Outage, Service, Simulation
from scenarios._setting_line import read_setting
from scenarios._settings import original_yaml, setting_yaml
from scenarios._spoken import (
    RESERVED_PATHS,
    Place,
    address,
    has_body,
    status_places,
    submission_places,
)
from scenarios._target import Limits, Target, is_loopback
from scenarios._ties import EXACT_TIES, on_the_end

__all__ = [
    "ARRIVALS",
    "Address",
    "AnyDialect",
    "Arrival",
    "Arrivals",
    "Block",
    "Capacity",
    "Closed",
    "Config",
    "ConnectionReset",
    "EXACT_TIES",
    "EmptyResponse",
    "ErrorReply",
    "FAULTS",
    "Failure",
    "Fault",
    "FixedWindow",
    "Job",
    "Limit",
    "Limits",
    "MARGIN",
    "MOST_ROWS",
    "MalformedChunk",
    "NamedFault",
    "NothingToSimulate",
    "OBJECTIVES",
    "Objective",
    "OpenArrivals",
    "Options",
    "Outage",
    "OwnDialect",
    "Place",
    "Portable",
    "RATE_LIMITS",
    "RESERVED_PATHS",
    "RandomData",
    "Scenario",
    "Service",
    "Simulation",
    "SlidingWindow",
    "SlowDribble",
    "Target",
    "TokenBucket",
    "Transport",
    "Unanswered",
    "Visit",
    "VisitCost",
    "Workload",
    "address",
    "choose_scenario",
    "client_dialect",
    "closed_key",
    "deployment",
    "describe",
    "has_body",
    "is_loopback",
    "json_schema",
    "load_config",
    "load_scenario",
    "more_than_allowed",
    "on_the_end",
    "one_process_only",
    "original_yaml",
    "planned",
    "portable",
    "read_setting",
    "reports_folder",
    "requests_asked_for",
    "resolve",
    "sending_lines",
    "setting_yaml",
    "status_places",
    "submission_places",
    "target_lines",
    "think_time",
]
