"""Records of a run, the metrics made of them, and the report and comparisons made of those.

Raw records come first (JobRow, PollRow, Visit, RunInfo, kept in a RunFolder); all else is a pure function of
them. See ``docs/reading-the-report.md``. Importing this room loads neither polars nor scipy.
"""

from __future__ import annotations

from harness.measure._analysis import Limits, analyse, load_results, write_report
from harness.measure._calibration import Calibration, VisitJobs, read_calibration, table
from harness.measure._compare_runs import RunComparison, compare_runs
from harness.measure._figures import COMPARED, FIGURES, Figure, Limit, SettingFigures
from harness.measure._folder import (
    JOURNAL,
    RunFolder,
    RunFolderError,
    load_polls,
    load_run,
    plain_record,
    read_record,
    write_text,
)
from harness.measure._formats import COMPARISON_FORMATS
from harness.measure._frames import JOB_KEY, job_frame, poll_aggregates, poll_frame
from harness.measure._info import run_info
from harness.measure._intervals import Estimate, estimate_mean, quantile
from harness.measure._kept import RunUnusable, opened, read_bytes
from harness.measure._numbers import in_seconds, number, percent, quantity
from harness.measure._objectives import LOST_SHARE_ALLOWED
from harness.measure._observed import Observed, observe
from harness.measure._pages import render_page
from harness.measure._phases import BINS_PER_SECOND, Phase, PhaseCounter, phases_of
from harness.measure._recommend import headline
from harness.measure._report import render_report
from harness.measure._results import Check, Offer, Recommendation, Results, results_schema
from harness.measure._rows import (
    DETECTED,
    OUTCOMES,
    STATES,
    TRANSPORT_ERROR,
    Held,
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
    response_name,
    sliding_peak,
)
from harness.measure._table import render_comparison, render_table
from harness.measure._text import Page, grid
from harness.measure._timelines import SAMPLED_FROM, sample_keys
from harness.measure._trust import TRUST_CHECKS, TrustCheck, trust_so_far
from harness.measure._twin import Spread, Twin, TwinRow, VisitResiduals, no_twin_rows
from scenarios.draws import needed

__all__ = [
    "BINS_PER_SECOND",
    "COMPARED",
    "COMPARISON_FORMATS",
    "Calibration",
    "Check",
    "DETECTED",
    "Estimate",
    "FIGURES",
    "Figure",
    "Held",
    "JOB_KEY",
    "JOURNAL",
    "JobRow",
    "LOST_SHARE_ALLOWED",
    "Lateness",
    "Limit",
    "Limits",
    "OUTCOMES",
    "Observed",
    "Offer",
    "Page",
    "Phase",
    "PhaseCounter",
    "PollAggregate",
    "PollRow",
    "Recommendation",
    "Results",
    "Run",
    "RunComparison",
    "RunFolder",
    "RunFolderError",
    "RunInfo",
    "RunUnusable",
    "SAMPLED_FROM",
    "STATES",
    "ScenarioInfo",
    "ServerCounts",
    "SettingFigures",
    "Spread",
    "TRANSPORT_ERROR",
    "TRUST_CHECKS",
    "TrustCheck",
    "Twin",
    "TwinRow",
    "Visit",
    "VisitJobs",
    "VisitResiduals",
    "aggregate_polls",
    "analyse",
    "compare_runs",
    "estimate_mean",
    "grid",
    "headline",
    "in_seconds",
    "job_frame",
    "load_polls",
    "load_results",
    "load_run",
    "needed",
    "no_twin_rows",
    "number",
    "observe",
    "opened",
    "percent",
    "phases_of",
    "plain_record",
    "poll_aggregates",
    "poll_frame",
    "quantile",
    "quantity",
    "read_bytes",
    "read_calibration",
    "read_record",
    "render_comparison",
    "render_page",
    "render_report",
    "render_table",
    "response_name",
    "results_schema",
    "run_info",
    "sample_keys",
    "sliding_peak",
    "table",
    "trust_so_far",
    "write_report",
    "write_text",
]
