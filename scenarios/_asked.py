"""How many requests per second a scenario asks of whoever sends and answers them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from scenarios._arrivals import Burst, Closed, Constant, OpenArrivals, Poisson, Recorded
from scenarios._describe import VisitCost
from scenarios._scenario import Scenario


def requests_asked_for(scenario: Scenario, costs: Mapping[str, VisitCost | str]) -> dict[str, float]:
    """Return each setting's requests per second, submissions included, when its visit is well under way.

    ``costs``: what visits cost by their first jobs; settings of which that is not known are left out.
    """
    known = {name: cost for name, cost in costs.items() if isinstance(cost, VisitCost)}
    return {} if scenario.job is None else {name: _asked(scenario, cost) for name, cost in known.items()}


def _asked(scenario: Scenario, cost: VisitCost) -> float:
    """Return the mean over the first jobs, or the steady rate where that is more.

    The latter: all requests over the time in which jobs are submitted, or over that of one job where this is
    longer; in a closed loop those of one job over its time, in each lane.
    """
    workload, law = scenario.workload, scenario.simulation.job.duration
    arrivals, each = workload.arrivals, 1.0 + cost.polls_per_job
    life = law.mean() if math.isfinite(law.mean()) else float(law.ppf(0.5))
    if not isinstance(arrivals, OpenArrivals):
        think = arrivals.think.mean() if isinstance(arrivals, Closed) else 0.0
        steady = workload.lanes * each / (life + think) if 0.0 < life + think < math.inf else 0.0
        return max(steady, cost.polls_per_second)
    expected = math.inf if workload.duration is None else float(arrivals.expected(workload.duration))
    jobs = min(workload.jobs or math.inf, expected)
    longest = max(jobs / _rate(arrivals), life)
    return max(jobs * each / longest if 0.0 < longest < math.inf else 0.0, cost.polls_per_second)


def _rate(arrivals: OpenArrivals) -> float:
    """Return the jobs per second that arrive in the long run; infinite where all come at once."""
    match arrivals:
        case Constant() | Poisson():
            return arrivals.rate
        case Burst(every=float() as every):
            return arrivals.size / every
        case Recorded():
            span = float(np.ptp(arrivals.seconds))
            return len(arrivals.seconds) / span if span else math.inf
    return math.inf
