"""What a run on the user's own API will send, in English, as far as it can be told beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from client import PollingPolicy
from scenarios._effort import effort_of
from scenarios._scenario import Scenario
from scenarios.documents import spell_seconds

_LENGTHS: Final = (5.0, 60.0, 600.0)  # jobs' durations that estimates are given for
_FOLLOWED: Final = 100_000  # polls of one job


def target_lines(scenario: Scenario) -> Iterator[str]:
    """Yield what is polled, with what, and the bounds; nothing without a target. Secrets are named only."""
    target = scenario.target
    if target is None:
        return
    yield f"target: {target.base_url}"
    submit, status = target.dialect.submit, target.dialect.status
    with_inputs = _inputs(len(target.inputs))
    yield f"asks: {submit.method} {submit.path}{with_inputs}, then {status.method} {status.path}"
    limits = target.limits
    yield (
        f"limits: at most {_counted(limits.jobs, 'job')} in all, {limits.in_flight} at once, "
        f"{limits.rate:g} requests/s of any kind"
    )
    if secrets := target.secrets():
        yield f"secrets from the environment: {', '.join(secrets)}"
    if secrets and target.base_url.startswith("http:") and not target.is_loopback:
        yield "note: http sends these secrets for all to read; is there no https address?"


def sending_lines(scenario: Scenario, only: Sequence[str] | None = None) -> Iterator[str]:
    """Yield how many jobs a run on the target submits, and how many requests that makes at most."""
    target = scenario.target
    if target is None:
        return
    visits, planned = scenario.visits(only), planned_on_target(scenario, only)
    jobs = target.limits.jobs if planned is None else planned
    about = f"at most {_counted(jobs, 'job')}" if planned is None else _counted(jobs, "job")
    yield f"{_counted(len(visits), 'visit')}, {about}"
    policies = [scenario.settings[visit.setting] for visit in visits]
    for length in _LENGTHS:
        polls = [polls_of(policy, length) for policy in policies]
        requests = jobs + round(jobs * sum(polls) / len(polls))
        least = _about(requests / target.limits.rate)
        yield f"about {requests:,} requests if a job takes {spell_seconds(length)} ({least} at least)"


def planned_on_target(scenario: Scenario, only: Sequence[str] | None = None) -> int | None:
    """Return how many jobs a run submits in all; None: as many as its lanes get through."""
    planned = [scenario.planned_jobs(visit.repeat) for visit in scenario.visits(only)]
    known = [each for each in planned if each is not None]
    return sum(known) if len(known) == len(planned) else None


def more_than_allowed(scenario: Scenario, only: Sequence[str] | None = None) -> str | None:
    """Return why a run of these settings cannot be had within ``limits.jobs``; None if it can, or may."""
    target = scenario.target
    if target is None:  # nobody counts the jobs of a simulation, which may be any number
        return None
    planned = planned_on_target(scenario, only)
    if planned is None or planned <= target.limits.jobs:
        return None
    return (
        f"{len(scenario.visits(only))} visits submit {planned} jobs, but target.limits.jobs allows "
        f"{target.limits.jobs}: raise it, or lower workload.jobs, workload.duration or workload.repeats"
    )


def polls_by_length(policy: PollingPolicy) -> str:
    """Return how many polls a job costs under a setting, by how long it takes."""
    counts = [f"{polls_of(policy, length)} of {spell_seconds(length)}" for length in _LENGTHS]
    return f"polls for a job: {', '.join(counts)}"


def polls_of(policy: PollingPolicy, length: float) -> int:
    """Return how many polls a job of so many seconds costs, as ``effort_of`` does; exact up to 100,000.

    Never more than 10**9.
    """
    return round(min(effort_of(policy, length, follow=_FOLLOWED).polls, 1e9))


def _about(seconds: float) -> str:
    """Return a duration to two digits or whole units, in the unit that suits."""
    for unit, size in (("h", 3600.0), ("min", 120.0)):
        if seconds >= size:
            number = seconds / (3600.0 if unit == "h" else 60.0)
            return f"{number:.2g} {unit}" if number < 10 else f"{number:,.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


def _inputs(count: int) -> str:
    return "" if count == 0 else f" with {_counted(count, 'input')}" + (" in turn" if count > 1 else "")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
