"""The limit: the least polls that any schedule needs, and the schedules that come closest.

Mathematics of durations alone: it knows neither settings nor runs. See ``docs/the-limit.md``.
"""

from harness.plan.limit._durations import (
    COARSE,
    Capped,
    Durations,
    Sample,
    Scaled,
    law_of,
    other_law,
    quantiles,
    sample_of,
    with_durations,
)
from harness.plan.limit._frontier import frontier, lag_at_polls, polls_at_lag
from harness.plan.limit._grid import Floats, Law, split
from harness.plan.limit._lateness import least_polls, threshold_schedules
from harness.plan.limit._reference import (
    FEWEST_ROWS,
    Yardstick,
    fitted,
    held_out_frontier,
    knows_the_end,
    limits,
)
from harness.plan.limit._schedule import Optimum, evaluate, optimum

__all__ = [
    "COARSE",
    "Capped",
    "Durations",
    "FEWEST_ROWS",
    "Floats",
    "Law",
    "Optimum",
    "Sample",
    "Scaled",
    "Yardstick",
    "evaluate",
    "fitted",
    "frontier",
    "held_out_frontier",
    "knows_the_end",
    "lag_at_polls",
    "law_of",
    "least_polls",
    "limits",
    "optimum",
    "other_law",
    "polls_at_lag",
    "quantiles",
    "sample_of",
    "split",
    "threshold_schedules",
    "with_durations",
]
