"""Objectives that cannot be: against each other, against the duration of the jobs, against the limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, islice
from typing import Final, assert_never

from harness.measure import LOST_SHARE_ALLOWED, number
from harness.plan._effort import DEFAULT, Effort
from harness.plan.limit import grid_of, least_polls, polls_at_lag
from scenarios import OBJECTIVES, Objective, Scenario
from scenarios.documents import Diagnostic, DocumentError, LocalDiagnostic, describe_path, read_document
from scenarios.draws import Capped, Durations, quantiles

_SLACK: Final = 1.001  # for the rounding of numerical quantiles and means


def refuse_contradictions(scenario: Scenario, effort: Effort = DEFAULT) -> None:
    """Raise ``DocumentError`` with every contradiction, at its line in the scenario file."""
    findings = [*_duration_findings(scenario)] or [*_objective_findings(scenario, effort)]
    if not findings:
        return
    try:
        document = read_document(scenario.path)
    except DocumentError:  # the file has gone since it was read; its diagnostics then have no lines
        document = None
    diagnostics = []
    for path, message in findings:
        line = document.line_of(path) if document is not None else 1
        diagnostics.append(Diagnostic(str(scenario.path), line, describe_path(path), message))
    raise DocumentError(tuple(sorted(diagnostics)))


def _duration_findings(scenario: Scenario) -> Iterator[LocalDiagnostic]:
    durations = scenario.simulation.job.duration
    if not math.isfinite(durations.mean()):
        yield (
            ("job", "duration"),
            f"{durations.describe()} has no finite mean, so no setting has a mean lag and a mean number of "
            "polls that are both finite; choose a lighter tail, or measured durations (type: trace)",
        )


def _objective_findings(scenario: Scenario, effort: Effort) -> Iterator[LocalDiagnostic]:
    wanted = dict(scenario.objectives)
    yield from _disordered(wanted)
    if scenario.service.retry_after != "eta":
        yield from _below_the_limit(
            wanted, scenario.simulation.job.duration, not scenario.simulation.jobs_wait, effort
        )
    yield from _shorter_than_the_jobs(wanted, scenario, effort.nodes)


def _disordered(wanted: Mapping[str, float]) -> Iterator[LocalDiagnostic]:
    """Yield slips: a lower quantile is never above a higher one, so its bound should not be either."""
    for lower, higher in combinations(sorted(_objectives(wanted), key=lambda each: each.p or 0.0), 2):
        comparable = lower.p is not None or higher.p == 1.0  # a mean is not above the longest
        if lower.figure == higher.figure and lower.unit == "s" and comparable:
            mine, other = wanted[lower.name], wanted[higher.name]
            if mine > other:
                yield (
                    ("objectives", lower.name),
                    f"{lower.format(mine)} is more than {higher.name} allows "
                    f"({higher.format(other)}), and {lower.name} is never above {higher.name}; "
                    "were the two mixed up?",
                )


def _objectives(wanted: Mapping[str, float]) -> list[Objective]:
    return [OBJECTIVES[name] for name in wanted]


def _shorter_than_the_jobs(
    wanted: Mapping[str, float], scenario: Scenario, nodes: int
) -> Iterator[LocalDiagnostic]:
    """Yield bounds on latency below the durations: a job is not known to be done before it is done."""
    values = quantiles(scenario.simulation.job.duration, nodes)
    for objective in _objectives(wanted):
        if objective.figure != "latency":
            continue
        if objective.p is None:
            # Up to 1 % of the jobs may be lost, and the mean is that of the others: leave out the longest.
            kept = values[: math.ceil(values.size * (1.0 - LOST_SHARE_ALLOWED))]
            least, what = float(kept.mean()), "even without the longest 1 % the jobs take {} on average"
        elif objective.p == 1.0:
            # The longest of so many jobs is above this in 19 runs of 20.
            jobs = _jobs_of_a_visit(scenario, nodes)
            least = float(values[int(0.05 ** (1.0 / jobs) * (values.size - 1))])
            what = f"of the {jobs} jobs of a visit the longest nearly always takes more than {{}}"
        else:
            least = float(values[int(objective.p * (values.size - 1))])
            what = f"{objective.statistic} of the jobs' own duration is {{}}"
        bound = wanted[objective.name]
        if bound * _SLACK < least:
            yield (
                ("objectives", objective.name),
                f"{objective.format(bound)} is impossible, whatever the polling: "
                + what.format(objective.format(float(f"{least:.3g}"))),
            )


def _below_the_limit(
    wanted: Mapping[str, float], durations: Durations, free: bool, effort: Effort
) -> Iterator[LocalDiagnostic]:
    """Yield a bound of fewer polls than any schedule needs for the lag that is wanted."""
    allowed = wanted.get("polls_per_job")
    if allowed is None:
        return
    if allowed < 1.0:
        yield (
            ("objectives", "polls_per_job"),
            f"{allowed:g} is impossible: no end is learnt without a poll, so every job needs at least 1",
        )
        return
    if not free:
        return  # jobs that wait take longer than their durations say
    # Up to 1 % of the jobs may be lost. A client that gives up on the longest sees these durations:
    longest = _quantile(durations, 1.0 - LOST_SHARE_ALLOWED, effort.nodes)
    cut = Capped(durations, longest) if longest > 0.0 else durations
    for objective, least in _needs(wanted, cut, effort):
        if allowed * _SLACK < least:
            yield (
                ("objectives", "polls_per_job"),
                f"{allowed:g} is impossible together with {objective.name} "
                f"{objective.format(wanted[objective.name])}: "
                f"no schedule, jittered or not, reaches that with fewer than {number(least)} polls per job; "
                "allow as many, or more lag",
            )


def _needs(
    wanted: Mapping[str, float], durations: Durations, effort: Effort
) -> Iterator[tuple[Objective, float]]:
    """Yield the least polls for each objective on lag or latency that can be met at all."""
    grid = grid_of(durations, points=effort.points)
    for objective in _objectives(wanted):
        bound, p = wanted[objective.name], objective.p
        match objective.figure:
            case "lag" | "latency" as figure:
                if p is None:
                    lag = bound if figure == "lag" else bound - grid.mean
                    if lag >= 0.0:
                        yield objective, polls_at_lag(grid, lag)
                elif figure == "lag" or bound >= _quantile(durations, p, effort.nodes):
                    yield (
                        objective,
                        least_polls(
                            durations, figure, bound, p, cells=effort.late_cells, prices=effort.late_prices
                        ),
                    )
            case "polls_per_job" | "requests_per_second_peak":
                pass
            case other:
                assert_never(other)


def _quantile(durations: Durations, p: float, nodes: int) -> float:
    return float(quantiles(durations, nodes)[math.ceil(p * nodes) - 1])


def _jobs_of_a_visit(scenario: Scenario, most: int) -> int:
    """Return how many jobs there are at least; of a closed loop only its first ones are certain."""
    if not scenario.workload.arrivals.is_open:
        return scenario.workload.lanes
    return max(1, sum(1 for _ in islice(scenario.planned(0), most)))
