"""Records of a run, the metrics made of them, and the report and comparisons made of those.

Raw records come first (:class:`JobRow`, :class:`PollRow`, :class:`Visit`, :class:`RunInfo`, kept in a
:class:`RunFolder`); all else is a pure function of them. See ``docs/reading-the-report.md``.
"""

from measure._folder import RunFolder, RunFolderError, RunUnusable, load_run
from measure._rows import (
    OUTCOMES,
    JobRow,
    Lateness,
    PollAggregate,
    PollRow,
    Run,
    RunInfo,
    ScenarioInfo,
    ServerCounts,
    Visit,
    aggregate_polls,
    job_frame,
    poll_aggregates,
    sliding_peak,
)

__all__ = [
    "JobRow",
    "Lateness",
    "OUTCOMES",
    "PollAggregate",
    "PollRow",
    "Run",
    "RunFolder",
    "RunFolderError",
    "RunInfo",
    "RunUnusable",
    "ScenarioInfo",
    "ServerCounts",
    "Visit",
    "aggregate_polls",
    "job_frame",
    "load_run",
    "poll_aggregates",
    "sliding_peak",
]
