"""The checks of a run's own numbers, each with the figure it rests on; ``TRUST_CHECKS`` is the table of them.

What they do is in ``_trust_rows`` (rows and counts), ``_trust_twin`` (the run against virtual time) and
``_trust_machine`` (real time and processors).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

from harness.measure._evidence import Evidence, Finding
from harness.measure._figures import SettingFigures
from harness.measure._results import Check
from harness.measure._rows import Run, RunInfo, ScenarioInfo, Visit
from harness.measure._trust_machine import (
    arrival_lateness,
    generator_cpu,
    poll_lateness,
    server_cpu,
    workers_lost,
)
from harness.measure._trust_rows import (
    censored_jobs,
    finish_times,
    jobs_conserved,
    missed_arrivals,
    polls_reconciled,
    rows_consistent,
    run_complete,
)
from harness.measure._trust_twin import finish_residual, poll_overhead, steady_conditions, twin_residual
from harness.measure._twin import Twin, no_twin_rows

if TYPE_CHECKING:
    import polars as pl


class TrustCheck(NamedTuple):
    """A check: what finds its status and detail, and whether it is about real time, so of live runs only.

    ``by_twin``: it holds a run against virtual time, which only our simulator has. ``unknown`` is what the
    check would need of the user's own service, which only our simulator tells; what can be checked without
    still is. ``by_visits``: it looks at the records of visits and no rows, so it can be asked during a run.
    """

    find: Callable[[Evidence], Finding]
    live_only: bool = False
    by_twin: bool = False
    unknown: str = ""
    by_visits: bool = False

    def applies(self, e: Evidence) -> bool:
        """Whether a run of this kind can be asked."""
        live = e.run.info.engine == "live"
        return not ((self.live_only and not live) or (self.by_twin and (e.own or not live)))

    def finding(self, e: Evidence) -> Finding:
        """Return status and detail; what passes with a part unknown is a warning."""
        if self.by_twin and not e.twin.residuals:
            return "warn", f"cannot be held against virtual time: {e.twin.reason}"
        status, detail = self.find(e)
        if e.own and self.unknown and status == "pass":
            return "warn", f"cannot know {self.unknown}; {detail}"
        return status, detail


TRUST_CHECKS: Final[Mapping[str, TrustCheck]] = MappingProxyType(
    {
        "run complete": TrustCheck(run_complete),
        "jobs conserved": TrustCheck(jobs_conserved, unknown="what the service counted as submitted"),
        "rows consistent": TrustCheck(rows_consistent),
        "missed arrivals": TrustCheck(missed_arrivals),
        "censored jobs": TrustCheck(censored_jobs),
        "polls counted alike": TrustCheck(polls_reconciled, unknown="how many polls the service counted"),
        "finish times": TrustCheck(finish_times),
        "finish residual": TrustCheck(finish_residual, by_twin=True),
        "poll overhead": TrustCheck(poll_overhead, by_twin=True),
        "twin residual": TrustCheck(twin_residual, by_twin=True),
        "steady conditions": TrustCheck(steady_conditions, live_only=True),
        "poll lateness": TrustCheck(poll_lateness, live_only=True),
        "arrival lateness": TrustCheck(arrival_lateness, live_only=True),
        "generator CPU": TrustCheck(generator_cpu, live_only=True, by_visits=True),
        "server CPU": TrustCheck(server_cpu, live_only=True, by_visits=True),
        "workers": TrustCheck(workers_lost, live_only=True, by_visits=True),
    }
)
"""Every check by the name that reports give it; a new one is a function and a row here."""


def trust_checks(
    run: Run, settings: Mapping[str, SettingFigures], jobs: Mapping[str, pl.DataFrame], twin: Twin
) -> list[Check]:
    """Return the finding of every check that applies to a run of its kind."""
    polls = {(each.setting, each.repeat): each for each in run.polls}
    visits = tuple((visit, polls.get((visit.setting, visit.repeat))) for visit in run.visits)
    evidence = Evidence(run, settings, jobs, visits, twin)
    return _checked(evidence, TRUST_CHECKS)


def trust_so_far(visits: Sequence[Visit], *, own: bool) -> list[Check]:
    """Return what those checks find in a live run's visits that need no rows: what is known meanwhile."""
    import polars as pl

    info = RunInfo("live", 0, "", {}, ScenarioInfo("", ""), {}, target="own" if own else "simulator")
    run = Run(info, tuple(visits), pl.DataFrame(), ())
    evidence = Evidence(run, {}, {}, tuple((visit, None) for visit in visits), Twin(no_twin_rows()))
    return _checked(evidence, {name: check for name, check in TRUST_CHECKS.items() if check.by_visits})


def _checked(evidence: Evidence, checks: Mapping[str, TrustCheck]) -> list[Check]:
    findings = {name: check.finding(evidence) for name, check in checks.items() if check.applies(evidence)}
    return [Check(check=name, status=status, detail=detail) for name, (status, detail) in findings.items()]
