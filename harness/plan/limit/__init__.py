"""The limit: the least polls that any schedule needs, and the schedules that come closest.

Mathematics of durations alone: it knows neither settings nor runs. See ``docs/the-limit.md``.
"""

from __future__ import annotations

from harness.plan.limit._frontier import Tangent, frontier, lag_at_polls, polls_at_lag
from harness.plan.limit._grid import POINTS, DurationGrid, grid_of, split
from harness.plan.limit._lateness import least_polls, threshold_schedules
from harness.plan.limit._reference import HeldOutCurve, LimitCurve, Reference, fitted, held_out_frontier
from harness.plan.limit._schedule import Optimum, evaluate, optimum

__all__ = [
    "DurationGrid",
    "HeldOutCurve",
    "LimitCurve",
    "Optimum",
    "POINTS",
    "Reference",
    "Tangent",
    "evaluate",
    "fitted",
    "frontier",
    "grid_of",
    "held_out_frontier",
    "lag_at_polls",
    "least_polls",
    "optimum",
    "polls_at_lag",
    "split",
    "threshold_schedules",
]
