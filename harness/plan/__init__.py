"""The least polls that any schedule needs, and what to make of it: limit, tuning, sizing.

    answer = make_plan(load_scenario("scenarios/video-translation.yaml"))
    print(render_plan(answer))

See ``docs/the-limit.md`` and ``docs/planning.md``.
"""

from __future__ import annotations

from harness.plan._answer import RECOMMENDED, Load, Plan, Recommendation, SettingPlan, Sizing, Variation
from harness.plan._effort import Effort
from harness.plan._make import make_plan
from harness.plan._measured import limits
from harness.plan._offer import offer
from harness.plan._render import render_plan
from harness.plan.limit import (
    DurationGrid,
    Optimum,
    evaluate,
    frontier,
    lag_at_polls,
    optimum,
    polls_at_lag,
    split,
)

__all__ = [
    "DurationGrid",
    "Effort",
    "Load",
    "Optimum",
    "Plan",
    "RECOMMENDED",
    "Recommendation",
    "SettingPlan",
    "Sizing",
    "Variation",
    "evaluate",
    "frontier",
    "lag_at_polls",
    "limits",
    "make_plan",
    "offer",
    "optimum",
    "polls_at_lag",
    "render_plan",
    "split",
]
