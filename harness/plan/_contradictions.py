"""Objectives that cannot be: against each other, against the duration of the jobs, against the limit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import combinations, islice
from typing import Final

from harness.measure import LOST_SHARE_ALLOWED, number
from harness.plan.limit import Capped, Durations, grid_of, least_polls, polls_at_lag, quantiles
from scenarios import Scenario, planned
from scenarios.documents import DocumentError, Problem, describe_seconds, read_document

_ORDER: Final = ("p50", "p90", "p95", "p99", "max")
_SHARES: Final[Mapping[str, float]] = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
_NODES: Final = 2**17
_SLACK: Final = 1.001  # for the rounding of numerical quantiles and means

Finding = tuple[tuple[str, ...], str]


def refuse_contradictions(scenario: Scenario) -> None:
    """Raise `DocumentError` with every contradiction, at its line in the scenario file."""
    findings = [*_duration_findings(scenario)] or [*_objective_findings(scenario)]
    if not findings:
        return
    try:
        document = read_document(scenario.path)
    except DocumentError:  # the file has gone since it was read; its problems then have no lines
        document = None
    problems = []
    for path, message in findings:
        line = document.line_of(path) if document is not None else 1
        problems.append(Problem(str(scenario.path), line, ".".join(path), message))
    raise DocumentError(tuple(sorted(problems)))


def _duration_findings(scenario: Scenario) -> Iterator[Finding]:
    durations = scenario.job.duration
    if not math.isfinite(durations.mean()):
        yield (
            ("job", "duration"),
            f"{durations.describe()} has no finite mean, so no setting has a mean lag and a mean number of "
            "polls that are both finite; choose a lighter tail, or measured durations (type: trace)",
        )


def _objective_findings(scenario: Scenario) -> Iterator[Finding]:
    wanted = dict(scenario.objectives)
    yield from _disordered(wanted)
    if scenario.service.retry_after != "eta":
        yield from _below_the_limit(wanted, scenario.job.duration, scenario.job.slots is None)
    yield from _shorter_than_the_jobs(wanted, scenario)


def _disordered(wanted: Mapping[str, float]) -> Iterator[Finding]:
    """A lower quantile is never above a higher one, so its bound should not be either."""
    for kind in ("lag", "latency"):
        names = [f"{kind}_{each}" for each in _ORDER if f"{kind}_{each}" in wanted]
        pairs = list(combinations(names, 2))
        if f"{kind}_mean" in wanted and f"{kind}_max" in wanted:
            pairs.append((f"{kind}_mean", f"{kind}_max"))
        for lower, higher in pairs:
            if wanted[lower] > wanted[higher]:
                yield (
                    ("objectives", lower),
                    f"{describe_seconds(wanted[lower])} is more than {higher} allows "
                    f"({describe_seconds(wanted[higher])}), and {lower} is never above {higher}; "
                    "were the two mixed up?",
                )


def _shorter_than_the_jobs(wanted: Mapping[str, float], scenario: Scenario) -> Iterator[Finding]:
    """A job is not known to be done before it is done."""
    values = quantiles(scenario.job.duration, _NODES)
    for name, bound in wanted.items():
        kind, _, statistic = name.partition("_")
        if kind != "latency":
            continue
        if statistic == "mean":
            # Up to 1 % of the jobs may be lost, and the mean is that of the others: leave out the longest.
            kept = values[: math.ceil(values.size * (1.0 - LOST_SHARE_ALLOWED))]
            least, what = float(kept.mean()), "even without the longest 1 % the jobs take {} on average"
        elif statistic == "max":
            # The longest of so many jobs is above this in 19 runs of 20.
            jobs = _jobs_of_a_visit(scenario)
            least = float(values[int(0.05 ** (1.0 / jobs) * (values.size - 1))])
            what = f"of the {jobs} jobs of a visit the longest nearly always takes more than {{}}"
        else:
            least = float(values[int(_SHARES[statistic] * (values.size - 1))])
            what = f"{statistic} of the jobs' own duration is {{}}"
        if bound * _SLACK < least:
            yield (
                ("objectives", name),
                f"{describe_seconds(bound)} is impossible, whatever the polling: "
                + what.format(describe_seconds(float(f"{least:.3g}"))),
            )


def _below_the_limit(wanted: Mapping[str, float], durations: Durations, free: bool) -> Iterator[Finding]:
    """Fewer polls than any schedule needs for the lag that is wanted."""
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
        return  # jobs that queue for slots take longer than their durations say
    # Up to 1 % of the jobs may be lost. A client that gives up on the longest sees these durations:
    longest = float(quantiles(durations, _NODES)[math.ceil(_NODES * (1.0 - LOST_SHARE_ALLOWED)) - 1])
    cut = Capped(durations, longest) if longest > 0.0 else durations
    for name, least in _needs(wanted, cut):
        if allowed * _SLACK < least:
            yield (
                ("objectives", "polls_per_job"),
                f"{allowed:g} is impossible together with {name} {describe_seconds(wanted[name])}: "
                f"no schedule, jittered or not, reaches that with fewer than {number(least)} polls per job; "
                "allow as many, or more lag",
            )


def _needs(wanted: Mapping[str, float], durations: Durations) -> Iterator[tuple[str, float]]:
    """The least polls for each objective on lag or latency."""
    grid = grid_of(durations)
    for name, bound in wanted.items():
        kind, _, statistic = name.partition("_")
        if name == "lag_mean":
            yield name, polls_at_lag(grid, bound)
        elif name == "latency_mean" and bound >= grid.mean:
            yield name, polls_at_lag(grid, bound - grid.mean)
        elif kind in ("lag", "latency"):
            share = _SHARES.get(statistic, 0.0)
            reachable = kind == "lag" or bound >= float(
                quantiles(durations, _NODES)[math.ceil(share * _NODES) - 1]
            )
            if share > 0.0 and reachable:
                yield name, least_polls(durations, "lag" if kind == "lag" else "latency", bound, share)


def _jobs_of_a_visit(scenario: Scenario) -> int:
    """How many jobs there are at least; of a closed loop only its first ones are certain."""
    if not scenario.workload.arrivals.is_open:
        return scenario.workload.lanes
    return max(1, sum(1 for _ in islice(planned(scenario, 0), _NODES)))
