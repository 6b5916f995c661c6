"""The least polls that any schedule needs, and what to make of it: limit, tuning, sizing."""

from plan._frontier import frontier, lag_at_polls, polls_at_lag
from plan._law import Law, split
from plan._limit import Optimum, evaluate, optimum

__all__ = [
    "Law",
    "Optimum",
    "evaluate",
    "frontier",
    "lag_at_polls",
    "optimum",
    "polls_at_lag",
    "split",
]
