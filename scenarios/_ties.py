"""Exact ties between a schedule and the durations: polls that fall on the very end of jobs."""

from __future__ import annotations

from typing import Final

import numpy as np

from scenarios.draws import Floats

EXACT_TIES: Final = 0.1
"""Share of the jobs that may be found at the very moment of their end before figures are an artefact."""

_MOMENT_S: Final = 1e-6  # what records resolve


def on_the_end(lags: Floats) -> float:
    """Return the share of the jobs whose lag (NaN or infinite: not found) is nothing, to a microsecond.

    No clock of the world gives that: the durations and the schedule lie on one grid.
    """
    return float((np.abs(lags) < _MOMENT_S).mean()) if lags.size else 0.0
