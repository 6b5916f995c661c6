"""A scenario file as YAML writes it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationInfo, WithJsonSchema, field_validator
from pydantic_core import PydanticCustomError

from scenarios._arrivals import KEYS_PER_REPEAT, Arrivals
from scenarios._objective import Objectives
from scenarios._service import Job, Seed, Service, unspeakable_failures
from scenarios._settings import Setting
from scenarios._target import Target
from scenarios.documents import Count, LocalDiagnostic, Model, PositiveSeconds, did_you_mean

_NAME: Final = r"^[A-Za-z][A-Za-z0-9._-]{0,63}$"


def _check_name(name: str) -> str:
    if not re.fullmatch(_NAME, name):
        raise ValueError(
            f"{name!r} cannot be a name: use a letter, then letters, digits, '.', '_' or '-', 64 at most"
        )
    return name


Name = Annotated[
    str,
    Field(strict=True),
    AfterValidator(_check_name),
    WithJsonSchema({"type": "string", "pattern": _NAME}),
]
"""A name that folders, Python classes and command lines can bear."""


class Workload(Model):
    """Who submits jobs, when, and for how long."""

    lanes: Count
    """Client instances that submit and poll; jobs are dealt to them in turn."""
    arrivals: Arrivals
    """When jobs are submitted."""
    duration: PositiveSeconds | None = None
    """Seconds after which no job is submitted; those under way are polled to their end."""
    jobs: Annotated[Count, Field(le=KEYS_PER_REPEAT)] | None = None
    """Jobs after which none is submitted."""
    repeats: Count = 1
    """Times that every setting is visited, each time with other jobs."""

    @classmethod
    def choices(cls, data: Mapping[str, Any]) -> Iterable[LocalDiagnostic]:
        if data.get("duration") is None and data.get("jobs") is None:
            yield (), "needs an end: give duration (seconds of submissions) or jobs (how many), or both"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        most = self.arrivals.most
        if self.jobs is not None and most is not None and self.jobs > most:
            yield ("jobs",), f"the arrivals give {most} jobs at most, not {self.jobs}"

    def is_over(self, at: float, index: int) -> bool:
        """Say whether a submission at ``at`` seconds, number ``index`` from 0, is no longer due."""
        late = self.duration is not None and at >= self.duration
        return late or (self.jobs is not None and index >= self.jobs)


class ScenarioFile(Model):
    """One experiment: what is polled, who submits jobs when, and the settings to compare."""

    name: Name
    """Names the folder of results."""
    question: Annotated[str, Field(strict=True)] = ""
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
        elif isinstance(baseline, str) and baseline not in settings:
            remedy = did_you_mean(baseline, settings, "the settings are")
            yield ("baseline",), f"{baseline!r} is not among the settings; {remedy}"

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        if self.job is not None:
            yield from unspeakable_failures(self.job, self.service)
