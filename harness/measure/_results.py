"""What ``results.json`` holds: type, JSON Schema and documentation at once."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field
from pydantic.json_schema import GenerateJsonSchema

from harness.measure._figures import ComparisonRow, Part, SettingFigures
from harness.measure._numbers import in_seconds, number, percent
from scenarios.draws import Found

Status = Literal["pass", "warn", "invalid"]

SURE: Final = 0.80
"""Below this share of simulated repeats that name the same setting there is no clear winner."""


class LimitPoint(Part):
    """A point of the limit: the least mean lag for a number of polls per job."""

    polls: float
    lag_s: float
    schedule_s: list[float] | None = None
    """A schedule that reaches it: poll times since the job was accepted; null where it was not kept."""


class Check(Part):
    """A check of the run's own numbers, with the figure that it rests on."""

    check: str
    status: Status
    detail: str


class Recommendation(Part):
    """The setting to ship, and why; null where the run's numbers or the objectives allow no verdict."""

    setting: str | None
    why: str
    confidence: Annotated[float, Field(ge=0, le=1)] | None = None
    """In which share of simulated repeats of this very run the same setting is named; null where unknown."""
    rival: str | None = None
    """The setting that is named most often beside it, where the share is below 80 %: no clear winner."""


class Intervals(Part):
    """What the intervals of the run rest on."""

    basis: Literal["twin", "jobs", "repeats", "none"]
    visits: int | None
    """How many visits of the twin were simulated; null without them."""
    note: str
    """The same in English, with the reason where there are no intervals."""


class Offer(Part):
    """What a short search by the planner adds to a run: a setting that none of the scenario's equals.

    Its figures are the twin's, on jobs that the search has not seen. All but ``command`` are null where
    nothing is offered, for the reason ``skipped``.
    """

    command: str
    """What makes the whole plan."""
    yaml: str | None = None
    """The setting as a line of YAML."""
    polls_per_job: float | None = None
    mean_lag_s: float | None = None
    saving: float | None = None
    """The share of the polls that it saves; null where no setting of the scenario meets the objectives."""
    against: str | None = None
    """The setting that it is held against, on the same jobs."""
    jobs: int | None = None
    skipped: str | None = None

    def words(self) -> str:
        """Return the offer in a sentence; nothing where there is none."""
        if self.polls_per_job is None:
            return ""
        if self.saving is not None:
            price = f", {percent(self.saving)} fewer than {self.against}"
        else:  # nothing to be held against but itself
            price = f" for a mean lag of {in_seconds(self.mean_lag_s or 0.0)}"
        polls = f"{number(self.polls_per_job)} polls per job"
        return f"A schedule found by plan needs {polls}{price}: {self.command}"


class Headroom(Part):
    """How near a live run came to what its machine can do: the visit that came nearest.

    Capacities are a straight line from one point, the busiest second to a whole core of the busiest process,
    to two digits; above 70 % of a core queues grow faster than that.
    """

    setting: str
    repeat: int
    polls_per_second: int
    """The busiest second's."""
    capacity_per_second: float
    """About what the side that is nearest to its ceiling could do."""
    share: float
    """The former over the latter; 1 is the ceiling."""
    limited_by: Literal["generator", "simulator"]
    """Which side that is."""
    generator_per_second: float | None
    """What the generator could send, with the processes that it had; null where it did too little to tell."""
    simulator_per_second: float | None
    """What the simulator could answer; null where it is not known, as of your own service."""

    def words(self) -> str:
        """Return it in a sentence."""
        return (
            f"This machine: {self.polls_per_second:,} of about {self.capacity_per_second:,.0f} polls/s, "
            f"in the busiest second; the {self.limited_by} is nearest to its ceiling."
        )


class ScenarioText(Part):
    """The scenario as it was run."""

    name: str
    question: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    text: str
    traces: tuple[Found, ...] = ()
    """What was found in its recorded data, and what was made of it."""


class Results(Part):
    """What ``results.json`` holds, made of the raw records of a run.

    Times are seconds. A figure that is unknown or that the sample cannot support is null.
    """

    schema_version: Literal[1]
    engine: Literal["live", "virtual"]
    target: Literal["simulator", "own"]
    """What was polled: our simulator, or the user's own service, of which only its replies are known."""
    seed: int
    started_at: str
    """ISO 8601, UTC."""
    complete: bool
    """Whether every visit ran to its end."""
    incomplete_reason: str | None
    environment: dict[str, Any]
    scenario: ScenarioText
    baseline: str | None
    objectives: dict[str, float]
    intervals: Intervals
    margin: float
    """The smallest difference that matters, as a share of the reference."""
    settings: dict[str, SettingFigures]
    comparison: list[ComparisonRow]
    """Every setting against the baseline."""
    limit_curve: list[LimitPoint]
    """The limit; of measured durations what schedules fitted to one half achieve on the other."""
    limit_bound: list[LimitPoint] = Field(default_factory=list)
    """Of measured durations: the limit of the very sample, which no schedule beats."""
    trust: list[Check]
    recommendation: Recommendation
    plan: Offer | None = None
    """What a short search found; null where none was made."""
    headroom: Headroom | None = None
    """How near the run came to what its machine can do; null in virtual time, and where it did too little."""

    @property
    def worst_status(self) -> Status:
        """The worst status among the checks."""
        seen = {each.status for each in self.trust}
        return "invalid" if "invalid" in seen else "warn" if "warn" in seen else "pass"

    @property
    def is_trustworthy(self) -> bool:
        """Whether the run is complete and no check of its figures found them invalid."""
        return self.complete and self.worst_status != "invalid"

    def to_json(self) -> dict[str, Any]:
        """Return the results as JSON-ready data."""
        return self.model_dump(mode="json")


class _Untitled(GenerateJsonSchema):
    """Leaves out titles that only repeat the names of keys."""

    def field_title_should_be_set(self, schema: object) -> bool:
        del schema
        return False


def results_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of ``results.json``."""
    schema = Results.model_json_schema(mode="serialization", schema_generator=_Untitled)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
