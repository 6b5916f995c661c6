"""From polls per job to requests per second and cores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from scipy.special import pdtrik

from harness.plan._answer import Load, SettingPlan, Sizing

_DAY_S: Final = 86_400.0
UTILISATION: Final = 0.7
"""Share of a core's time that may be planned for; a queue before a busier one grows fast (see docs)."""


def size(
    settings: Mapping[str, SettingPlan],
    mean_duration_s: float,
    jobs_per_day: float,
    cpu_per_poll_s: float | None,
) -> Sizing:
    """Return the load of ``jobs_per_day`` jobs under each setting; formulas in docs/planning.md."""
    loads = {}
    for name, each in settings.items():
        rate = jobs_per_day / _DAY_S * each.polls
        under_way = max(mean_duration_s + each.lag_s, 1e-9)
        # A client has polled so often per second under way, on average: less than it does at its busiest.
        batch = each.polls / under_way if each.dispersion is None else each.dispersion
        peak = busiest_second(rate, max(1.0, batch))
        cores = None if cpu_per_poll_s is None else peak * cpu_per_poll_s / UTILISATION
        loads[name] = Load(each.polls, rate, peak, cores)
    how = (
        f"{jobs_per_day:,.0f} jobs a day, arriving evenly over the day and independently; the peak is the "
        "second that is exceeded about once a day (Poisson; in batches where clients poll several times a "
        "second). The busiest window of one second, wherever it begins, is up to a tenth above. "
    )
    if cpu_per_poll_s is None:
        how += "For cores give the processor seconds that one poll costs, as a live run measures them."
    else:
        how += f"Cores: peak x {cpu_per_poll_s * 1e3:.3g} ms per poll / {UTILISATION:g} utilisation."
    return Sizing(jobs_per_day, cpu_per_poll_s, UTILISATION, loads, how)


def busiest_second(rate: float, batch: float) -> float:
    """Return the number of requests that a second exceeds about once a day, at this mean rate.

    The requests of many independent clients are close to a Poisson process (Palm 1943, Khintchine 1955); the
    level is its 1 - 1/86400 quantile. Where single clients poll several times a second, requests come in
    batches: ``batch`` is the variance of their number in a second over its mean.
    """
    if rate <= 0.0:
        return 0.0
    return math.ceil(float(pdtrik(1.0 - 1.0 / _DAY_S, rate / batch))) * batch
