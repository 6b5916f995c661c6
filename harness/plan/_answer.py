"""What a plan says, as data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from client import PollingPolicy
from harness.plan._findings import Finding
from harness.plan.limit import Optimum

RECOMMENDED: Final = "recommended"
"""What a setting that a plan made up is called (with a number, where the scenario has one of that name)."""

_Interval = tuple[float, float]


@dataclass(frozen=True)
class SettingPlan:
    """What the twin predicts for a setting, and how far that is from the limit.

    Means per job, seconds, and their 95 % intervals over ``jobs`` simulated jobs; ``polls_at_same_lag`` is
    the least polls that any schedule needs for this mean lag and ``ratio`` how many times that the setting
    spends; both are None for the reason ``ratio_withheld``. ``meets`` says whether every objective holds;
    None without objectives. ``dispersion`` is the variance of the polls in a second over their mean when
    jobs come at random.
    """

    description: str
    polls: float
    polls_ci95: _Interval | None
    lag_s: float
    lag_ci95_s: _Interval | None
    lag_p95_s: float | None
    lost_share: float
    polls_at_same_lag: float | None
    ratio: float | None
    meets: bool | None
    jobs: int
    ratio_ci95: _Interval | None = None
    ratio_withheld: str | None = None
    dispersion: float | None = None


@dataclass(frozen=True)
class Recommendation:
    """The setting to ship: its name, the YAML to paste under ``settings:`` and why.

    All three but ``why`` are None when no setting can be recommended. ``policy`` is what the YAML means.
    """

    setting: str | None
    yaml: str | None
    why: str
    policy: PollingPolicy | None = None


@dataclass(frozen=True)
class Variation:
    """What one setting does when the durations are not what was assumed; ``missed`` names objectives."""

    setting: str
    durations: str
    polls: float
    lag_s: float
    lag_p95_s: float | None
    lost_share: float
    ratio: float | None
    missed: tuple[str, ...]


@dataclass(frozen=True)
class Load:
    """What a setting asks of the server: status requests per second, and cores where their cost is known."""

    polls_per_job: float
    requests_per_second_mean: float
    requests_per_second_peak: float
    cores: float | None


@dataclass(frozen=True)
class Sizing:
    """The load of so many jobs a day under each setting; ``how`` states the assumptions."""

    jobs_per_day: float
    cpu_per_poll_s: float | None
    utilisation: float
    settings: Mapping[str, Load]
    how: str


@dataclass(frozen=True)
class Plan:
    """The answer: the limit, what each setting does, the one to ship, and what may go wrong with it.

    ``optimum`` is the best schedule when one poll is worth ``optimum.cost_per_poll_s`` seconds of lag, and
    ``frontier`` the best schedules of all prices. ``alternatives`` are the cheapest setting of each
    kind that meets the objectives (or comes nearest), by a search. ``findings`` are what else one should
    know, as data, and ``notes`` the same in English.
    """

    scenario: str
    cost_reason: str
    optimum: Optimum
    frontier: tuple[Optimum, ...]
    settings: Mapping[str, SettingPlan]
    alternatives: Mapping[str, SettingPlan]
    recommendation: Recommendation
    robustness: tuple[Variation, ...]
    sizing: Sizing
    objectives: Mapping[str, float]
    findings: tuple[Finding, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """The findings in English."""
        return tuple(each.words() for each in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON-ready data, as the design's section 6 lists it."""
        named = self.recommendation
        data: dict[str, Any] = {
            "scenario": self.scenario,
            "cost_reason": self.cost_reason,
            "optimum": _point(self.optimum),
            "frontier": [_point(each) for each in self.frontier],
            "settings": {name: asdict(each) for name, each in self.settings.items()},
            "alternatives": {name: asdict(each) for name, each in self.alternatives.items()},
            "recommendation": {"setting": named.setting, "yaml": named.yaml, "why": named.why},
            "robustness": [asdict(each) for each in self.robustness],
            "sizing": asdict(self.sizing),
            "objectives": dict(self.objectives),
            "notes": list(self.notes),
        }
        finite: dict[str, Any] = _finite(data)
        return finite


def _point(best: Optimum) -> dict[str, Any]:
    return asdict(best) | {"schedule_s": list(best.schedule_s)}


def _finite(value: Any) -> Any:
    """Return the same data with None for what is infinite: JSON has no such number."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
