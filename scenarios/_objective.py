"""Objectives: upper bounds on figures, such as ``lag_p95: 2s``, and the only place that knows their names.

``OBJECTIVES`` is the table. The YAML model, the judging of measured and of predicted figures, and every
sentence about an objective read it; none takes a name apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal

from pydantic import Field, create_model

from scenarios.documents import Model, Positive, PositiveSeconds, spell_seconds

Figure = Literal["lag", "latency", "polls_per_job", "requests_per_second_peak"]

_LEVELS: Final[Mapping[str, float]] = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99, "max": 1.0}
_PHRASES: Final[Mapping[str, str]] = {
    "mean": "Mean {}",
    "p50": "Median {}",
    "p90": "{} that nine jobs in ten stay below",
    "p95": "{} that 95 jobs in a hundred stay below",
    "p99": "{} that 99 jobs in a hundred stay below",
    "max": "Longest {}",
}


@dataclass(frozen=True, slots=True)
class Objective:
    """One figure that a scenario may bound from above.

    ``name`` is its key in YAML, ``figure`` what is measured of each job (or, for the two loads, of the
    visit) and ``statistic`` what is made of it: ``mean``, ``p50`` to ``p99``, ``max``, or ``peak`` for the
    busiest second. ``unit`` is ``"s"`` for seconds, empty for plain numbers. ``result`` leads to the figure
    in a setting's part of the results, and ``meaning`` says in English what is bounded.
    """

    name: str
    figure: Figure
    statistic: str
    unit: Literal["s", ""]
    result: tuple[str, str]
    meaning: str

    @property
    def p(self) -> float | None:
        """The level of the quantile: 0.95 for ``p95``, 1 for ``max``, None for what is no quantile."""
        return _LEVELS.get(self.statistic)

    def words(self) -> str:
        """Return the figure in a few words: "p95 lag"."""
        if self.unit == "s":
            return f"{self.statistic} {self.figure}"
        return "peak polls/s" if self.statistic == "peak" else self.figure.replace("_", " ")

    def format(self, bound: float) -> str:
        """Return a bound as exactly as it was written, with its unit: "2 s"."""
        return spell_seconds(bound) if self.unit == "s" else f"{bound:g}"


def _of_time(figure: Literal["lag", "latency"], result: str, words: str) -> list[Objective]:
    return [
        Objective(
            name=f"{figure}_{statistic}",
            figure=figure,
            statistic=statistic,
            unit="s",
            result=(result, statistic),
            meaning=phrase.format(words).capitalize() + ".",
        )
        for statistic, phrase in _PHRASES.items()
    ]


OBJECTIVES: Final[Mapping[str, Objective]] = MappingProxyType(
    {
        each.name: each
        for each in (
            *_of_time("lag", "detection_lag_s", "detection lag"),
            *_of_time("latency", "completion_latency_s", "completion latency"),
            Objective(
                name="polls_per_job",
                figure="polls_per_job",
                statistic="mean",
                unit="",
                result=("polls_per_job", "mean"),
                meaning="Mean number of status requests per job.",
            ),
            Objective(
                name="requests_per_second_peak",
                figure="requests_per_second_peak",
                statistic="peak",
                unit="",
                result=("status_requests", "per_second_peak"),
                meaning="Status requests in the busiest second.",
            ),
        )
    }
)
"""Every objective by its name; a new one is a row here."""


_FIELDS: Final[dict[str, Any]] = {
    name: (
        (PositiveSeconds if objective.unit == "s" else Positive) | None,
        Field(None, description=objective.meaning),
    )
    for name, objective in OBJECTIVES.items()
}


class Objectives(create_model("_Objectives", __base__=Model, **_FIELDS)):  # type: ignore[misc] # of a table
    """What is good enough: upper bounds, each on the figure of that name."""
