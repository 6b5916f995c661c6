"""A scenario file as YAML writes it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from scenarios._arrivals import Arrivals, Closed, OpenArrivals
from scenarios._effort import effort_of
from scenarios._objective import Objectives
from scenarios._service import Job, Seed, Service, mismatches
from scenarios._settings import Setting
from scenarios._target import Target
from scenarios.documents import (
    YEAR,
    Count,
    Fraction,
    LocalDiagnostic,
    Model,
    PositiveSeconds,
    Within,
    counted,
    did_you_mean,
    name_value,
)

MOST_ROWS: Final = 10**7
"""Most jobs, over all visits of a run: each is a row that is kept, in about 1.5 GB of memory then."""

_MOST_POLLS: Final = 10**9  # of a setting: hours of simulation, or days of real load
_MOST_VISITS: Final = 100_000
_MOST_SETTINGS: Final = 200

_NAME: Final = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"


def _check_name(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"{name_value(name)} cannot be a name: use a letter, then letters, digits, '.', '_' or '-', "
            "64 at most"
        )
    return name


Name = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": _NAME}),
]
"""A name that folders, Python classes and command lines can bear."""


MARGIN: Final = 0.02
"""The smallest difference that matters unless a scenario says otherwise: a share of the reference."""

Transport: TypeAlias = Literal["lean", "requests"]
"""What carries the requests of a live run."""


class Workload(Model):
    """Who submits jobs, when, and for how long."""

    lanes: Annotated[int, Field(strict=True, ge=1), Within(100_000, "no machine holds more clients at once")]
    """Client instances that submit and poll; jobs are dealt to them in turn."""
    arrivals: Arrivals
    """When jobs are submitted."""
    duration: PositiveSeconds | None = None
    """Seconds after which no job is submitted; those under way are polled to their end."""
    jobs: Count | None = None
    """Jobs after which none is submitted."""
    repeats: Annotated[
        int, Field(strict=True, ge=1), Within(10_000, "more repeats make nothing surer than more jobs do")
    ] = 1
    """Times that every setting is visited, each time with other jobs."""
    transport: Transport = "lean"
    """What carries the requests of a live run: an HTTP client made for load, or the package requests."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        if data.get("duration") is None and data.get("jobs") is None:
            yield (), "needs an end: give duration (seconds of submissions) or jobs (how many), or both"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        most = self.arrivals.most
        if self.jobs is not None and most is not None and self.jobs > most:
            yield ("jobs",), f"the arrivals give {counted(most, 'job')} at most, not {self.jobs}"
        if self.duration is None and self.jobs is not None and isinstance(self.arrivals, OpenArrivals):
            within = self.arrivals.expected(YEAR)
            if self.jobs > within:
                yield ("jobs",), f"would take more than a year, in which about {within:,.3g} jobs arrive"

    def expected(self, cycle: float) -> float:
        """Return how many jobs a visit is expected to have; clients take ``cycle`` seconds for one."""
        arrivals, bounds = self.arrivals, (self.jobs, self.arrivals.most)
        most = min((float(each) for each in bounds if each is not None), default=math.inf)
        if self.duration is None:
            return most
        if isinstance(arrivals, OpenArrivals):
            return min(most, arrivals.expected(self.duration))
        cycle += arrivals.think.mean() if isinstance(arrivals, Closed) else 0.0
        return min(most, self.lanes * (self.duration / cycle + 1) if cycle else math.inf)

    def is_over(self, at: float, index: int) -> bool:
        """Say whether a submission at ``at`` seconds, number ``index`` from 0, is no longer due."""
        late = self.duration is not None and at >= self.duration
        return late or (self.jobs is not None and index >= self.jobs)


class ScenarioFile(Model):
    """One experiment: what is polled, who submits jobs when, and the settings to compare."""

    name: Name
    """Names the folder of results."""
    question: Annotated[str, Field(strict=True, max_length=2000)] = ""
    """The question that the experiment answers."""
    seed: Seed = 0
    """Root of all randomness."""
    target: Target | None = None
    """The user's own API to poll; null: the simulator."""
    job: Job | None = Field(default=None, validate_default=True)
    """What happens to jobs in the simulator; required without a target."""
    service: Service = Service()
    """What happens to requests in the simulator."""
    workload: Workload
    """Who submits jobs, when, and for how long."""
    settings: dict[Name, Setting]
    """The polling configurations under comparison, by name."""
    objectives: Objectives = Objectives()
    """What is good enough; decides the recommendation."""
    baseline: str | None = None
    """The setting that the others are compared with; null: none."""
    margin: Fraction = MARGIN
    """The smallest difference that matters, as a share of the reference; less is called equivalent."""
    anchors: Any = None
    """A place for pieces that are used elsewhere by their anchors; read nowhere. So is any key in x-."""

    @field_validator("job")
    @classmethod
    def _needed(cls, job: Job | None, info: ValidationInfo) -> Job | None:
        if job is None and info.data.get("target", ...) is None:  # a target with faults is not in the data
            raise PydanticCustomError("missing", "missing")
        return job

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        if data.get("target") is not None and data.get("service") is not None and data.get("job") is None:
            yield (
                ("service",),
                "says how the simulator answers, which has no job here; remove it, or add job",
            )
        settings, baseline = data.get("settings"), data.get("baseline")
        if not isinstance(settings, Mapping):
            return
        if not settings:
            yield (
                ("settings",),
                "needs at least one setting, such as constant-1s: {curve: constant, initial: 1s}",
            )
        elif len(settings) > _MOST_SETTINGS:
            yield ("settings",), f"has {len(settings)} of them; at most {_MOST_SETTINGS} are compared at once"
        elif isinstance(baseline, str) and baseline not in settings:
            remedy = did_you_mean(baseline, settings, "the settings are")
            yield ("baseline",), f"{name_value(baseline)} is not among the settings; {remedy}"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        if self.job is not None:
            yield from mismatches(self.job, self.service)
            yield from self._excesses(self.job)

    def _excesses(self, job: Job) -> Iterable[LocalDiagnostic]:
        """Yield what the file asks too much of, by the expected values of its laws."""
        workload, policies = self.workload, {name: each.policy for name, each in self.settings.items()}
        visits = workload.repeats * len(policies)
        if visits > _MOST_VISITS:
            yield (
                ("workload",),
                f"asks for {visits:,} visits; at most {_MOST_VISITS:,} can be had: lower repeats",
            )
            return
        length = min(job.duration.mean(), YEAR)
        latency = 0.0 if self.service.delay is None else self.service.delay.mean()
        efforts = {name: effort_of(policy, length, latency) for name, policy in policies.items()}
        jobs = {name: workload.repeats * workload.expected(each.seconds) for name, each in efforts.items()}
        if (rows := sum(jobs.values())) > MOST_ROWS:
            yield (
                ("workload",),
                f"asks for {_about(rows, 'jobs')} in {visits:,} {'visit' if visits == 1 else 'visits'}; at "
                f"most {MOST_ROWS:,} can be kept: submit fewer, or for a shorter time",
            )
            return
        for name, effort in efforts.items():
            if (polls := jobs[name] * effort.polls) > _MOST_POLLS:
                yield (
                    ("settings", name),
                    f"asks for {_about(polls, 'polls')} ({jobs[name]:,.3g} jobs, {effort.polls:,.3g} polls "
                    f"each); at most {_MOST_POLLS:,} can be had: wait longer between polls, or give "
                    "a deadline",
                )


def _about(number: float, what: str) -> str:
    return f"about {number:,.3g} {what}" if math.isfinite(number) else f"{what} without end"
