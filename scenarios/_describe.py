"""A scenario in English: what would run, what it will cost, and what may not work as meant."""

from __future__ import annotations

from collections.abc import Iterator

from scenarios._estimate import Estimate, estimate
from scenarios._objective import OBJECTIVES
from scenarios._scenario import Scenario
from scenarios.documents import spell_seconds


def describe(scenario: Scenario) -> list[str]:
    """Return the lines that ``python -m harness check`` prints."""
    estimates = {name: estimate(scenario, name) for name in scenario.settings}
    return [
        f"{scenario.name}: {scenario.question or 'no question given'}",
        f"  jobs: {_jobs(scenario)}",
        f"  service: {'; '.join(_service(scenario))}",
        f"  workload: {_workload(scenario, next(iter(estimates.values())))}",
        *(
            f"  setting {name}: {policy.describe()} (about {_cost(estimates[name])})"
            for name, policy in scenario.settings.items()
        ),
        f"  wanted: {_objectives(scenario)}",
        f"  cost: {_total(scenario, estimates)}",
        *(f"  note: {note}" for note in _notes(scenario, estimates)),
    ]


def _jobs(scenario: Scenario) -> str:
    job = scenario.job
    slots = "" if job.slots is None else f", {job.slots} at a time"
    failing = f"; {job.error_rate:.3g} of them fail" if job.error_rate else ""
    return f"{job.duration.describe()}{failing}{slots}"


def _service(scenario: Scenario) -> Iterator[str]:
    service = scenario.service
    yield "replies at once" if service.delay is None else f"replies after {service.delay.describe()}"
    for fault in service.faults:
        yield f"{fault.rate:.3g} of the status requests get {fault.failure.describe()}"
    if service.rate_limit is not None:
        yield f"at most {service.rate_limit.rate:g} status requests/s (bursts of {service.rate_limit.burst})"
    if service.capacity is not None:
        workers, busy = service.capacity.workers, service.capacity.service_time.describe()
        yield f"{workers} {'worker' if workers == 1 else 'workers'}, each request taking one for {busy}"
    for outage in service.outages:
        span = f"{spell_seconds(outage.length)} from {spell_seconds(outage.start)} on"
        yield f"outage with {outage.failure.describe()} for {span}"
    if service.retry_after == "eta":
        yield "pending replies tell the time left"
    elif service.retry_after != "none":
        yield f"pending replies say to retry after {spell_seconds(service.retry_after)}"


def _workload(scenario: Scenario, first: Estimate) -> str:
    workload = scenario.workload
    ends = []
    if workload.duration is not None:
        ends.append(f"for {spell_seconds(workload.duration)}")
    if workload.jobs is not None:
        ends.append(f"until {workload.jobs} jobs")
    count = f"{first.jobs} jobs" if first.all_jobs else f"more than {first.jobs - 1} jobs"
    return f"{workload.lanes} lanes, {workload.arrivals.describe()}, {' or '.join(ends)}: {count} a visit"


def _cost(figures: Estimate) -> str:
    rate = figures.jobs * figures.polls_per_job / figures.seconds if figures.seconds else 0.0
    some = "" if figures.all_jobs else ", by its first jobs"
    return f"{figures.polls_per_job:.3g} polls per job, {rate:.3g} polls/s over {figures.seconds:.0f} s{some}"


def _objectives(scenario: Scenario) -> str:
    if not scenario.objectives:
        return "no objectives"
    return ", ".join(
        f"{name} at most {OBJECTIVES[name].format(bound)}" for name, bound in scenario.objectives.items()
    )


def _total(scenario: Scenario, estimates: dict[str, Estimate]) -> str:
    repeats = scenario.workload.repeats
    seconds = repeats * sum(figures.seconds for figures in estimates.values())
    polls = repeats * sum(figures.jobs * figures.polls_per_job for figures in estimates.values())
    number = repeats * len(estimates)
    visits = "1 visit" if number == 1 else f"{number} visits"
    if not all(figures.all_jobs for figures in estimates.values()):
        return f"{visits}; too many jobs to say how long"
    return (
        f"{visits}, about {seconds:.0f} s and {polls:,.0f} polls in all, "
        "not counting failed reads, hints and queues"
    )


def _notes(scenario: Scenario, estimates: dict[str, Estimate]) -> Iterator[str]:
    """Yield what is valid and yet may not be what was meant."""
    seen: dict[object, str] = {}
    for name, policy in scenario.settings.items():
        if policy in seen:
            yield f"{name} is the same as {seen[policy]}"
        seen.setdefault(policy, name)
        if policy.deadline is not None:
            late = 1.0 - float(scenario.job.duration.cdf(policy.deadline))
            if late >= 0.001:
                yield f"{name}: the deadline comes before the end of {late:.1%} of the jobs"
    limit = scenario.service.rate_limit
    for name, figures in estimates.items():
        rate = figures.jobs * figures.polls_per_job / figures.seconds if figures.seconds else 0.0
        if limit is not None and rate > limit.rate:
            yield f"{name} asks for about {rate:.3g} polls/s, more than the rate limit of {limit.rate:g}"
    longest = max(figures.seconds for figures in estimates.values())
    for outage in scenario.service.outages:
        if outage.start >= longest:
            yield f"the outage at {spell_seconds(outage.start)} begins when every visit is over"
    if scenario.baseline is None and len(scenario.settings) > 1:
        yield "there is no baseline, so no setting is compared with another"
