"""What the simulated service does: how long jobs take and how requests are answered. Times are in seconds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from hashlib import sha256
from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from scenarios._dialect import AnyDialect, OwnDialect
from scenarios._faults import ErrorReply, ErrorStatus, Fault, whole_seconds
from scenarios._limits import RateLimit
from scenarios._spoken import unspeakable
from scenarios.documents import (
    Count,
    Fraction,
    LocalDiagnostic,
    Model,
    PositiveSeconds,
    Seconds,
    name_value,
    parse_seconds,
)
from scenarios.draws import Distribution, Stream, uniform

Seed = Annotated[int, Field(strict=True, ge=0, le=2**64 - 1)]
"""The root of all randomness."""


class Job(Model):
    """What the service does with a job."""

    duration: Distribution
    """Seconds of work in a job, not counting the wait for a slot."""
    error_rate: Fraction = 0.0
    """Share of the jobs that end in ``error``."""
    slots: Count | None = None
    """Jobs processed at once, the others queue first come, first served; null: no limit."""
    progress_steps: Count = 1000
    """Equal steps in which replies tell the progress of a job."""


class Capacity(Model):
    """Requests are served by a limited number of workers: the others wait in line, or all slow down."""

    workers: Count
    """Requests served at once, at full speed."""
    service_time: Distribution
    """Seconds that one request occupies a worker."""
    discipline: Literal["fifo", "ps"] = "fifo"
    """``fifo``: first come, first served. ``ps``: processor sharing, n requests get workers/n each."""
    shared: bool = False
    """Whether the jobs are work for these workers too, so that polls and jobs slow each other."""


class Outage(Model):
    """A time in which every status request fails."""

    start: Seconds
    """Seconds from the start of the visit."""
    length: PositiveSeconds
    """Seconds that it lasts."""
    status: ErrorStatus = 503
    """The status code of the replies."""
    retry_after: Seconds | None = None
    """Seconds in the replies' Retry-After header; null: no such header."""

    @property
    def failure(self) -> ErrorReply:
        """What every status request gets while it lasts."""
        return ErrorReply(status=self.status, retry_after=self.retry_after)


def _retry_after(value: object) -> object:
    if value in ("none", "eta"):
        return value
    try:
        return parse_seconds(value)
    except ValueError as error:
        detail = f"; {error}" if isinstance(value, str) else f", not {name_value(value)}"
        raise ValueError(f"must be none, eta or a duration{detail}") from error


RetryAfter = Annotated[
    Literal["none", "eta"] | Seconds,
    BeforeValidator(_retry_after, json_schema_input_type=Literal["none", "eta"] | Seconds),
]
"""The hint on ``pending`` replies: ``none``, ``eta`` (the seconds really left) or always the same seconds."""


class Service(Model):
    """How the service answers requests. Faults, rate limit and outages meet status requests only."""

    dialect: AnyDialect = "native"
    """How it speaks: the name of a well-known dialect, or a mapping of your own."""
    delay: Distribution | None = None
    """Seconds until a reply leaves; null: at once."""
    faults: tuple[Fault, ...] = ()
    """Random failures; their rates sum to at most 1."""
    rate_limit: RateLimit | None = None
    """How many status requests are let in; null: any number."""
    capacity: Capacity | None = None
    """Workers that serve requests; null: no limit."""
    outages: tuple[Outage, ...] = ()
    """Times of failure."""
    retry_after: RetryAfter = "none"
    """The Retry-After header on ``pending`` replies."""

    retry_after_submit: RetryAfter = "none"
    """The Retry-After header on replies to submissions."""
    visible_after: Seconds = 0.0
    """Seconds after its submission until a job can be seen; before, status requests are answered 404."""

    @property
    def hint(self) -> int | None:
        """The whole seconds that every ``pending`` reply carries; None: they vary, or there are none."""
        return None if isinstance(self.retry_after, str) else whole_seconds(self.retry_after)

    @property
    def submit_hint(self) -> int | None:
        """The whole seconds that every reply to a submission carries; None as for ``hint``."""
        return None if isinstance(self.retry_after_submit, str) else whole_seconds(self.retry_after_submit)

    @property
    def shares_workers(self) -> bool:
        """Whether jobs are work for the workers that serve requests."""
        return self.capacity is not None and self.capacity.shared

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        total = math.fsum(fault.rate for fault in self.faults)
        if total > 1:
            yield ("faults",), f"the rates of all faults sum to {total:g}; they may sum to at most 1"
        if isinstance(self.dialect, OwnDialect):
            for path, message in unspeakable(self.dialect):
                yield ("dialect", *path), message


# Simulations that leave these at their defaults keep the fingerprints they had before there were such keys.
_NEWER: Final = {
    "job": ("progress_steps",),
    "service": ("dialect", "retry_after_submit", "visible_after"),
}


def _is_default(model: Model, key: str) -> bool:
    return bool(getattr(model, key) == type(model).model_fields[key].default)


class Simulation(Model):
    """All that the simulated service needs to know; the same seed gives the same jobs."""

    seed: Seed = 0
    """Root of all randomness."""
    job: Job
    """What happens to jobs."""
    service: Service = Service()
    """What happens to requests."""

    def contradictions(self) -> Iterable[LocalDiagnostic]:
        yield from mismatches(self.job, self.service)

    @property
    def jobs_wait(self) -> bool:
        """Whether jobs take longer than their durations say: for slots, or for shared workers."""
        return self.job.slots is not None or self.service.shares_workers

    def shared_state(self) -> Iterable[LocalDiagnostic]:
        """Yield the keys that several processes which share nothing cannot serve, and why."""
        remedy = "leave it away, or serve it by one process"
        if self.job.slots is not None:
            yield ("job", "slots"), f"all jobs wait in one line for their slots; {remedy}"
        if self.service.rate_limit is not None:
            yield ("service", "rate_limit"), f"the limit counts the requests to all processes; {remedy}"
        if self.service.capacity is not None:
            yield ("service", "capacity"), f"all requests wait for the same workers; {remedy}"

    def duration(self, key: int) -> float:
        """Return the seconds of work in the job ``key``: the same under every setting, live or virtual."""
        return self.job.duration.ppf(uniform(self.seed, Stream.DURATION, key))

    @property
    def fingerprint(self) -> str:
        """Equal for equal simulations, in whichever process; hexadecimal digits."""
        usual = {
            part: {key for key in keys if _is_default(getattr(self, part), key)}
            for part, keys in _NEWER.items()
        }
        data = json.dumps(self.model_dump(mode="json", exclude=usual), sort_keys=True, separators=(",", ":"))
        return sha256(data.encode()).hexdigest()


def mismatches(job: Job, service: Service) -> Iterable[LocalDiagnostic]:
    """Yield what the jobs and the service cannot do together."""
    if job.slots is not None and service.shares_workers:
        remedy = "leave job.slots out, or let service.capacity.shared be false"
        yield ("job", "slots"), f"the workers that polls and jobs share are the limit; {remedy}"
    dialect = service.dialect
    if job.error_rate and isinstance(dialect, OwnDialect) and not dialect.status.error:
        remedy = "give one, or let job.error_rate be 0"
        path = ("service", "dialect", "status", "error")
        yield path, f"the simulator has no word for a job that failed; {remedy}"
