"""How much a plan simulates, tries and resolves, and why that much: all knobs of its cost in one value."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from harness.plan.limit import POINTS

_FEWEST_JOBS: Final = 100  # with fewer, no quantile and no interval says anything


@dataclass(frozen=True)
class Effort:
    """What a plan spends; the defaults take seconds to a minute and leave errors of about a per cent.

    Less makes the answer coarser, never wrong: bounds stay bounds, and intervals widen with fewer jobs.
    """

    # The twin
    jobs: int = 20_000
    """Jobs that are simulated per refined candidate; means of polls are then known within 1 or 2 %."""
    jobs_in_visits: int = 4_000
    """At most so many where the scenario's own visits are simulated, which takes longer."""
    jobs_by_events: int = 1_500
    """At most so many where jobs touch each other, which takes longest."""
    sharpened: int = 2
    """Times as many jobs for what is reported of the scenario's own settings."""
    sized_jobs: int = 4_000
    """Jobs that tell how polls cluster in a second."""
    pilot_jobs: int = 200
    """Jobs that tell how many polls a setting takes before more are simulated."""
    untested_jobs: int = 2_000
    """Up to so many jobs are simulated without a pilot: it would save little."""
    most_polls: int = 4_000_000
    """Polls of one prediction, about two seconds; jobs of greedy settings are cut to that."""
    fewest_visits: int = 2
    """Visits that tell how many jobs and polls a visit has; a peak needs more than one anyway."""
    most_visits: int = 400
    """Visits of one prediction; more would sharpen peaks beyond what the bound on 95 % of them needs."""
    reported_visits: int = 48
    """Visits at least of what is reported or recommended where visits are simulated: near saturation each is
    one stretch of a queue's life, whose polls are as skewed as an exponential law, and of 20 visits Student's
    interval holds their mean in 92 % of cases."""
    most_polls_by_events: int = 300_000
    """Polls of one prediction where jobs touch each other, a few seconds."""
    queueing_visits: int = 20
    """Visits in which the times from submission to finish are measured where jobs queue for slots."""

    # The search
    kinds: tuple[str, ...] | None = None
    """Names of the kinds of candidates that are tried; None: all."""
    screened_jobs: int = 2_000
    """Jobs per screened candidate: enough to tell the promising scales, not to rank them."""
    refined_families: int = 2
    """Families of each kind that are refined: screening may mistake the second for the first."""
    rescan: bool = True
    """Whether half of the scales are tried again where visits are simulated: peaks upset the screening."""
    steps: tuple[float, ...] = (1.3, 1.1, 1.04)
    """Factors by which refining stretches and shrinks a scale; the last is near what rounding leaves."""
    scales: int = 8
    """Scales of each family that are screened, some 1.6 times apart."""
    multipliers: tuple[float, ...] = (1.1, 1.25, 1.5, 2.0)
    """Growth of exponential candidates, from hardly any to doubling, which nobody exceeds."""
    caps: tuple[float, ...] = (3.0, 8.0, 64.0)
    """Their longest delays, in first delays."""
    increments: tuple[float, ...] = (0.1, 0.3, 1.0)
    """Growth of linear candidates per delay, in first delays."""
    slower: tuple[float, ...] = (2.0, 4.0, 8.0)
    """How many times as long the second interval of "constant, then slower" is."""
    switches: tuple[float, ...] = (0.5, 0.75, 0.9)
    """Quantiles of the duration at which it takes over."""
    waits: tuple[float, ...] = (0.01, 0.03, 0.06, 0.1, 0.2, 0.3, 0.5, 0.75)
    """Quantiles of the duration at which a long first wait may end; the low ones matter most."""
    lengths: tuple[int, ...] = (3, 5, 8)
    """Delays of a schedule; nobody wants to read more."""
    prices: int = 10
    """Prices of a poll for which the best schedule becomes a candidate."""

    # The limit
    points: int = POINTS
    """Cells where a limit is reported."""
    coarse: int = 2**13
    """Cells where many distributions or settings are looked at: within 0.4 % at 3 polls a job."""
    nodes: int = 2**17
    """Quantiles of the duration that objectives are checked against; their rounding stays below 0.1 %."""
    late_cells: int = 400
    """Candidate polls of schedules for objectives on quantiles; the time grows with the square."""
    late_prices: int = 21
    """Prices of a late job, four decades; the bound is the greatest of as many."""

    def affordable(self, jobs: int | None, *, in_visits: bool, by_events: bool) -> Effort:
        """Return what of it a scenario can afford, for ``jobs`` jobs a candidate (None: as here).

        ``in_visits``: the scenario's own visits are simulated. ``by_events``: jobs touch each other, so that
        each takes long; the search then trusts more to screening.
        """
        wanted = max(self.jobs if jobs is None else jobs, _FEWEST_JOBS)
        if in_visits:
            wanted = min(wanted, self.jobs_by_events if by_events else self.jobs_in_visits)
        if by_events:
            return replace(
                self,
                jobs=wanted,
                sharpened=1,
                refined_families=1,
                rescan=False,
                most_polls=min(self.most_polls, self.most_polls_by_events),
            )
        return replace(self, jobs=wanted)


DEFAULT: Final = Effort()
"""The effort of ``python -m harness plan``."""

QUICK: Final = Effort(
    jobs=8_000,
    screened_jobs=1_000,
    refined_families=1,
    kinds=("constant", "wait, then constant", "constant, then slower", "schedule"),
    slower=(4.0,),
    switches=(0.75, 0.9),
    waits=(0.01, 0.03, 0.06, 0.1, 0.3),
    lengths=(5,),
    prices=5,
    coarse=2**11,
    points=2**11,
    nodes=2**14,
    late_cells=200,
    late_prices=11,
)
"""The effort of what a report says of plans: a second or two, for the kinds that nearly always win."""
