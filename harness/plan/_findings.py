"""What a plan finds out, as typed facts, each with the sentences that say it.

Who decides what is true (``_advice``) writes no English, and nothing is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from harness.measure import in_seconds, number, percent, quantity
from scenarios import OBJECTIVES


class Finding(Protocol):
    """One thing that a plan has found out; its fields are the numbers, times in seconds."""

    def words(self) -> str:
        """Return the finding in English."""


class Circumstance(Enum):
    """Findings without a number, each with its sentence."""

    NOTHING_ELSE = "Nothing else that was tried meets them."
    JITTER_HELPS = (
        "Jitter earns its keep here: a constant interval meets the objectives with it and not without, "
        "for it pulls apart clients that would come at the same moment."
    )
    FITTED_TO_ONE_HALF = (
        "The durations are measured ones: schedules were fitted to one half of the trace and all "
        "settings judged by the other, while limits and ratios are those of the trace as a whole."
    )
    JOBS_QUEUE = (
        "Jobs wait for slots, or for workers that they share with polls, so the limit is that of the times "
        "from submission to finish in the twin."
    )
    OUTAGE_AT_ONE_TIME = (
        "The outage comes at one certain time of the visit. A setting may fit that time by luck: look at "
        "what else it does, and move the outage before you trust it."
    )
    FAILED_READS_COUNT = (
        "Polls and lags are those of the scenario's own service: failed reads are in them, and so in the "
        "ratios, though no cadence avoids them."
    )

    def words(self) -> str:
        """Return the finding in English."""
        return self.value


@dataclass(frozen=True)
class Judged:
    """An objective, the figure that is held against it, and what it allows."""

    objective: str
    figure: float
    allowed: float


# Why this setting


@dataclass(frozen=True)
class TooThin:
    """The trace has too few rows to judge any setting; ``reason`` is what takes ``needed`` of them."""

    rows: int
    needed: int
    reason: str

    def words(self) -> str:
        return (
            f"The sample is too thin to tell: the trace has {self.rows} rows, and {self.reason} takes at "
            f"least {self.needed}. With {2 * self.needed} rows a setting could be fitted to one half and "
            "judged by the other."
        )


@dataclass(frozen=True)
class NoneMeets:
    """No setting surely meets the objectives; the nearest misses some by its upper end, or loses jobs."""

    objectives: Mapping[str, float]
    nearest: str
    missed: tuple[Judged, ...]
    lost_share: float

    def words(self) -> str:
        wanted = ", ".join(f"{name} ≤ {_amount(name, allowed)}" for name, allowed in self.objectives.items())
        missed = "; ".join(
            f"{each.objective} {_amount(each.objective, each.figure)} "
            f"(allowed {_amount(each.objective, each.allowed)})"
            for each in self.missed
        )
        return (
            f"No setting was found that surely meets {wanted}. The nearest of those tried, {self.nearest}, "
            f"comes to {missed or f'{percent(self.lost_share)} of the jobs lost'}, by the upper end of its "
            "95 % interval."
        )


@dataclass(frozen=True)
class LeastOfBoth:
    """Without objectives: the setting has the least of price times polls plus lag."""

    setting: str
    cadence: str
    cost_per_poll_s: float
    polls: float
    lag_s: float

    def words(self) -> str:
        return (
            f"{self.setting} ({self.cadence}) has the least of polls and lag together, at "
            f"{in_seconds(self.cost_per_poll_s)} of lag per poll: {number(self.polls)} polls per job for a "
            f"mean lag of {in_seconds(self.lag_s)}."
        )


@dataclass(frozen=True)
class MeetsObjectives:
    """The setting meets every objective; ``cost_per_poll_s`` is None where the polls alone were made few."""

    setting: str
    cadence: str
    held: tuple[Judged, ...]
    polls: float
    cost_per_poll_s: float | None

    def words(self) -> str:
        held = "; ".join(
            f"{each.objective} {_amount(each.objective, each.figure)}, "
            f"allowed {_amount(each.objective, each.allowed)}"
            for each in self.held
        )
        cost = self.cost_per_poll_s
        weighed = "" if cost is None else f", weighing a poll as {in_seconds(cost)} of lag"
        return (
            f"{self.setting} ({self.cadence}) meets the objectives ({held}) with {number(self.polls)} polls "
            f"per job{weighed}."
        )


@dataclass(frozen=True)
class NoBetter:
    """The best alternative to an existing setting is as good."""

    other: str

    def words(self) -> str:
        return f"The best alternative, {self.other}, is no better and no worse."


@dataclass(frozen=True)
class SavesLittle:
    """The best alternative to an existing setting is better by this share only."""

    other: str
    share: float

    def words(self) -> str:
        return f"The best that a search found, {self.other}, would save only {percent(self.share)} of that."


@dataclass(frozen=True)
class OtherTakes:
    """What the setting is compared with takes; ``meets`` is None without objectives."""

    other: str
    polls: float
    lag_s: float
    meets: bool | None

    def words(self) -> str:
        verdict = {None: "", True: " and meets them too", False: " and does not surely meet them"}[self.meets]
        return (
            f"{self.other} takes {number(self.polls)} polls per job, for a mean lag of "
            f"{in_seconds(self.lag_s)}{verdict}."
        )


# What else the reader should know


@dataclass(frozen=True)
class CostOverruled:
    """Objectives, and not the price of a poll that was given, decide: wholly, if ``by_polls``.

    ``other`` would be better by that price alone, with its polls and lag; None if nothing that was tried is.
    """

    cost_per_poll_s: float
    objectives: tuple[str, ...]
    by_polls: bool
    other: str | None
    polls: float
    lag_s: float

    def words(self) -> str:
        price = f"The price of {in_seconds(self.cost_per_poll_s)} of lag per poll"
        names = " and ".join(self.objectives)
        said = (
            f"{price} does not decide what to ship: {names} bounds the lag, so of the settings that meet the "
            "objectives the one with the fewest polls is taken."
            if self.by_polls
            else f"{price} is overruled by {names}."
        )
        if self.other is None:
            return said
        return (
            f"{said} By the price alone {self.other} would be better: {number(self.polls)} polls per job for "
            f"a mean lag of {in_seconds(self.lag_s)}."
        )


@dataclass(frozen=True)
class LetsTheRestWait:
    """The setting bounds the lag of as many jobs as the objective names, and lets the others wait long."""

    objective: str
    share: float
    p99_lag_s: float

    def words(self) -> str:
        return (
            f"{self.objective} says nothing of the last {percent(self.share)} of the jobs, and this setting "
            f"lets them wait: its p99 lag is {in_seconds(self.p99_lag_s)}. Where that matters, bound lag_p99 "
            "or lag_mean too."
        )


@dataclass(frozen=True)
class BackoffDoesNotHelp:
    """The best growing cadence takes more polls than the best steady one."""

    backoff: str
    backoff_polls: float
    other: str
    other_polls: float

    def words(self) -> str:
        return (
            f"Exponential backoff does not help here: its best ({self.backoff}) takes "
            f"{number(self.backoff_polls)} polls per job, {self.other} {number(self.other_polls)}. Growing "
            "waits earn their keep where the scale of the durations is unknown or the service is in trouble."
        )


@dataclass(frozen=True)
class BackoffHelps:
    """The best growing cadence takes fewer polls than the best steady one."""

    backoff_polls: float
    other: str
    other_polls: float

    def words(self) -> str:
        return (
            f"Exponential backoff earns its keep here: {number(self.backoff_polls)} polls per job against "
            f"{number(self.other_polls)} of the best without growth ({self.other}), for the longer a job has "
            "run, the longer it is likely to go on."
        )


@dataclass(frozen=True)
class JitterDoesNotHelp:
    """A constant interval takes more polls with jitter than without."""

    plain_polls: float
    jittered_polls: float

    def words(self) -> str:
        return (
            f"Jitter does not help one client: a constant interval takes {number(self.plain_polls)} polls "
            f"per job without it and {number(self.jittered_polls)} with it. It is for clients that would all "
            "come at once."
        )


@dataclass(frozen=True)
class Fragile:
    """If durations are otherwise, the setting takes many more polls or misses more objectives."""

    durations: str
    setting: str
    polls: float
    backoff_polls: float | None
    usual_polls: float
    missed: tuple[str, ...]

    def words(self) -> str:
        beside = "" if self.backoff_polls is None else f" (best exponential: {number(self.backoff_polls)})"
        missed = f", and misses {', '.join(self.missed)}" if self.missed else ""
        return (
            f"If durations are {self.durations}, {self.setting} takes {number(self.polls)} polls per "
            f"job{beside} instead of {number(self.usual_polls)}{missed}."
        )


@dataclass(frozen=True)
class LosesJobs:
    """Under some durations the deadline of the setting loses more jobs than allowed."""

    setting: str

    def words(self) -> str:
        return (
            f"Under some of these durations the deadline of {self.setting} loses more than 1 % of the jobs."
        )


@dataclass(frozen=True)
class TooThinToFit:
    """The trace has too few rows to fit a setting to one half; ``reason`` takes ``needed`` of each."""

    rows: int
    needed: int
    reason: str

    def words(self) -> str:
        return (
            f"The trace has {self.rows} rows, too few to fit a setting to one half and judge it by the other "
            f"({2 * self.needed} for {self.reason}), so only the scenario's own settings were considered."
        )


@dataclass(frozen=True)
class ToldTimeLeft:
    """The service tells these settings the time left."""

    settings: tuple[str, ...]

    def words(self) -> str:
        return (
            f"The service tells the time left (retry_after: eta, or progress that restarts a cadence) to "
            f"{', '.join(self.settings)}: that is more than a schedule knows, so a ratio below 1 is what the "
            "hint is worth."
        )


@dataclass(frozen=True)
class Tried:
    """How many settings were simulated, and within which share of the best the simplest is taken."""

    settings: int
    near: float

    def words(self) -> str:
        return (
            f"{self.settings} settings were simulated. Of those within {100 * self.near:g} % of the best the "
            "simplest is taken, if it holds on jobs of another seed too."
        )


def _amount(objective: str, value: float) -> str:
    if math.isinf(value):
        return "what the sample cannot tell"
    return quantity(value, OBJECTIVES[objective].unit)
