"""A scenario in English: what would run, what it will cost, and what may not work as meant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from scenarios._arrivals import Constant, Poisson
from scenarios._objective import OBJECTIVES
from scenarios._outlook import more_than_allowed, polls_by_length, sending_lines, target_lines
from scenarios._scenario import Scenario
from scenarios._schema import MARGIN
from scenarios._service import Job
from scenarios._ties import EXACT_TIES
from scenarios.documents import counted, printable, spell_seconds

_WORTH_SAYING: Final = 0.1  # share of a run's time from which on the start of lanes is told apart
_CLEAR: Final = 0.001  # share of the jobs from which on their loss is told
_LOSSES: Final[Mapping[str, str]] = {
    "deadline": "the deadline comes",
    "attempts": "max_attempts runs out",
    "errors": "it gives up on failed reads",
}


class VisitCost(NamedTuple):
    """What the first visit of a setting costs, by its first jobs."""

    jobs: int
    """Jobs looked at."""
    all_jobs: bool
    """Whether these are all the jobs of a visit."""
    polls_per_job: float
    """Mean number of status requests, those that failed included."""
    seconds: float
    """From the visit's start until the client of the last of these jobs is done."""
    refused: float
    """Share of the status requests that the rate limit answered with 429."""
    on_the_end: float
    """Share of these jobs that were found at the very moment of their end."""
    lost: Mapping[str, float]
    """Share of these jobs whose client left before their end, by what made it leave: a key of
    ``_LOSSES``."""
    busy: float | None = None
    """Share of the workers' time that requests take, and jobs where they share; None without a capacity."""

    @property
    def polls(self) -> float:
        """Status requests in all."""
        return self.jobs * self.polls_per_job

    @property
    def polls_per_second(self) -> float:
        """Status requests per second on average."""
        return self.polls / self.seconds if self.seconds else 0.0


def describe(
    scenario: Scenario,
    costs: Mapping[str, VisitCost | str],
    before_visit_s: float = 0.0,
    notes: Iterable[str] = (),
) -> list[str]:
    """Return the lines that ``python -m harness check`` prints.

    ``costs`` has for each setting what its visit costs, or in a few words why that cannot be told; it is not
    asked about a target's jobs, which nobody knows beforehand.
    ``before_visit_s``: seconds that a live run spends before each visit, to start its lanes. ``notes``: what
    else may not work as meant, on this machine say.
    """
    known = [cost for cost in costs.values() if isinstance(cost, VisitCost)]
    lines = [
        f"{scenario.name}: {scenario.question or 'no question given'}",
        *(f"  {line}" for line in _polled(scenario)),
        f"  workload: {_workload(scenario, known)}",
        *(
            f"  setting {name}: {policy.describe()} ({_cost_of(scenario, costs, name)})"
            for name, policy in scenario.settings.items()
        ),
        *(f"  data: {each.path}: {note}" for each in scenario.found for note in each.notes),
        f"  wanted: {_objectives(scenario)}",
        f"  cost: {_total(scenario, known, before_visit_s)}",
        *(f"  note: {note}" for note in (*_notes(scenario, costs), *notes)),
    ]
    return [printable(line) for line in lines]


def _polled(scenario: Scenario) -> Iterator[str]:
    yield from target_lines(scenario)
    if scenario.job is not None:
        yield f"jobs: {_jobs(scenario.job)}"
        yield f"service: {'; '.join(_service(scenario))}"


def _jobs(job: Job) -> str:
    slots = "" if job.slots is None else f", {job.slots} at a time"
    failing = f"; {job.error_rate:.3g} of them fail" if job.error_rate else ""
    return f"{job.duration.describe()}{failing}{slots}"


def _service(scenario: Scenario) -> Iterator[str]:
    service = scenario.service
    if service.dialect != "native":
        yield f"speaks {service.dialect if isinstance(service.dialect, str) else 'a dialect of its own'}"
    yield "replies at once" if service.delay is None else f"replies after {service.delay.describe()}"
    for fault in service.faults:
        yield f"{fault.rate:.3g} of the status requests get {fault.failure.describe()}"
    if service.rate_limit is not None:
        yield service.rate_limit.describe()
    if service.capacity is not None:
        capacity = service.capacity
        shared = " divided among all in service" if capacity.discipline == "ps" else ""
        jobs = "; jobs are work for them too" if capacity.shared else ""
        busy = capacity.service_time.describe()
        yield f"{counted(capacity.workers, 'worker')}{shared}, each request taking one for {busy}{jobs}"
    for outage in service.outages:
        span = f"{spell_seconds(outage.length)} from {spell_seconds(outage.start)} on"
        yield f"outage with {outage.failure.describe()} for {span}"
    if service.retry_after == "eta":
        yield "pending replies tell the time left"
    elif service.retry_after != "none":
        yield f"pending replies say to retry after {spell_seconds(service.retry_after)}"


def _workload(scenario: Scenario, known: list[VisitCost]) -> str:
    workload = scenario.workload
    ends = []
    if workload.duration is not None:
        ends.append(f"for {spell_seconds(workload.duration)}")
    if workload.jobs is not None:
        ends.append(f"until {counted(workload.jobs, 'job')}")
    most = max(known, key=lambda cost: cost.jobs, default=None)
    count = (
        ""
        if most is None
        else f": {'' if most.all_jobs else 'more than '}{counted(most.jobs, 'job')} a visit"
    )
    over = "" if workload.transport == "lean" else f", over {workload.transport}"
    return (
        f"{counted(workload.lanes, 'lane')}{over}, {workload.arrivals.describe()}, {' or '.join(ends)}{count}"
    )


def _cost_of(scenario: Scenario, costs: Mapping[str, VisitCost | str], name: str) -> str:
    return polls_by_length(scenario.settings[name]) if scenario.job is None else _cost(costs[name])


def _cost(cost: VisitCost | str) -> str:
    if isinstance(cost, str):
        return cost
    some = "" if cost.all_jobs else f", by its first {counted(cost.jobs, 'job')}"
    rate = f"{cost.polls_per_second:.3g} polls/s over {cost.seconds:,.0f} s"
    polls = cost.polls_per_job
    busy = "" if cost.busy is None else f", workers {cost.busy:.0%} busy"
    return f"about {polls:{'.3g' if polls < 1000 else ',.0f'}} polls per job, {rate}{busy}{some}"


def _objectives(scenario: Scenario) -> str:
    if not scenario.objectives:
        return "no objectives"
    return ", ".join(
        f"{name} at most {OBJECTIVES[name].format(bound)}" for name, bound in scenario.objectives.items()
    )


def _total(scenario: Scenario, known: list[VisitCost], before_visit_s: float) -> str:
    if scenario.job is None:
        return "; ".join(sending_lines(scenario))
    repeats, settings = scenario.workload.repeats, len(scenario.settings)
    visits = counted(repeats * settings, "visit")
    if len(known) < settings:
        return f"{visits}; too many polls to say how long"
    if not all(cost.all_jobs for cost in known):
        return f"{visits}; too many jobs to say how long"
    starting = repeats * settings * before_visit_s
    seconds = starting + repeats * sum(cost.seconds for cost in known)
    polls = repeats * sum(cost.polls for cost in known)
    lanes = f" ({starting:,.0f} s of it to start lanes)" if starting >= _WORTH_SAYING * seconds else ""
    return f"{visits}, about {seconds:,.0f} s{lanes} and {polls:,.0f} polls in all"


def _notes(scenario: Scenario, costs: Mapping[str, VisitCost | str]) -> Iterator[str]:
    """Yield what is valid and yet may not be what was meant."""
    seen: dict[object, str] = {}
    for name, policy in scenario.settings.items():
        if policy in seen:
            yield f"{name} is the same as {seen[policy]}"
        seen.setdefault(policy, name)
        if scenario.job is not None:
            yield from _losses(scenario, name, costs[name])
            yield from _ties(name, costs[name])
    limit = scenario.service.rate_limit
    for name, cost in costs.items():
        if limit is not None and isinstance(cost, VisitCost) and cost.refused >= 0.01:
            share = f"{cost.refused:.0%} of its polls are refused"
            yield f"{name} asks for more than the rate limit of {limit.per_second:g} polls/s: {share}"
    yield from _too_much_work(scenario)
    longest = max(map(_seconds, costs.values()), default=math.inf)
    for outage in scenario.service.outages:
        if outage.start >= longest:
            yield f"the outage at {spell_seconds(outage.start)} begins when every visit is over"
    if too_many := more_than_allowed(scenario):
        yield too_many
    if scenario.margin != MARGIN:
        yield f"differences of less than {scenario.margin:.3g} of the reference count as none"
    if scenario.baseline is None and len(scenario.settings) > 1:
        yield "there is no baseline, so no setting is compared with another"


def _too_much_work(scenario: Scenario) -> Iterator[str]:
    """Yield that jobs which share the workers are more work than these can do, whatever is polled."""
    capacity, arrivals = scenario.service.capacity, scenario.workload.arrivals
    if capacity is None or not capacity.shared or not isinstance(arrivals, Constant | Poisson):
        return  # polls are no work for jobs, or nobody knows how many jobs come
    load = arrivals.rate * scenario.simulation.job.duration.mean() / capacity.workers
    if load >= 1.0:
        yield (
            f"the jobs alone are {load:.0%} of what the workers can do: as long as jobs are submitted, "
            "ever more are under way; lower workload.arrivals.rate, or raise service.capacity.workers"
        )


def _ties(setting: str, cost: VisitCost | str) -> Iterator[str]:
    if isinstance(cost, VisitCost) and cost.on_the_end > EXACT_TIES:
        yield (
            f"{setting}: polls fall exactly on the end: add spread to the durations; {cost.on_the_end:.0%} "
            "of the jobs are found without any lag, which no clock measures"
        )


def _losses(scenario: Scenario, setting: str, cost: VisitCost | str) -> Iterator[str]:
    """Yield what runs out before jobs end: the deadline by the law of the durations, the rest as played."""
    deadline = scenario.settings[setting].deadline
    late = 0.0 if deadline is None else 1.0 - float(scenario.simulation.job.duration.cdf(deadline))
    shares = dict(cost.lost) if isinstance(cost, VisitCost) else {}
    some = (
        f" first {counted(cost.jobs, 'job')}"
        if isinstance(cost, VisitCost) and not cost.all_jobs
        else " jobs"
    )
    if late >= _CLEAR:
        yield f"{setting}: {_LOSSES['deadline']} before the end of {late:.1%} of the jobs"
        shares.pop("deadline", None)
    for limit, share in shares.items():
        if share >= _CLEAR:
            yield f"{setting}: {_LOSSES[limit]} before the end of {share:.1%} of its{some}"


def _seconds(cost: VisitCost | str) -> float:
    """Return how long a visit takes; where it is not known to the end, nothing lies beyond it."""
    return cost.seconds if isinstance(cost, VisitCost) and cost.all_jobs else math.inf
