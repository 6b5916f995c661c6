"""How near a live run came to what its machine can do: its busiest second beside a whole core."""

from __future__ import annotations

from typing import Final

from harness.measure._results import Headroom
from harness.measure._rows import PollAggregate, Run, Visit

_TOLD_FROM: Final = 0.05  # of a core: below it, what a poll costs is lost in what the process costs


def capacity(polls: PollAggregate | None, share: float | None) -> float | None:
    """Return the polls/s that a whole core would do, where ``share`` of one did those of the busiest second.

    A straight line from one point, to two digits; None where the point is too low to draw it.
    """
    if polls is None or share is None or share < _TOLD_FROM:
        return None
    return float(f"{polls.peak_per_second / share:.2g}")


def headroom(run: Run) -> Headroom | None:
    """Return the headroom of the visit that came nearest to a ceiling; None where nothing can be said."""
    polls = {(each.setting, each.repeat): each for each in run.polls}
    found = [_of(visit, polls.get((visit.setting, visit.repeat))) for visit in run.visits]
    return max((each for each in found if each), key=lambda each: each.share, default=None)


def _of(visit: Visit, polls: PollAggregate | None) -> Headroom | None:
    generator = capacity(polls, max(visit.generator_cpu_peak or 0.0, *visit.generator_cpu, 0.0))
    simulator = capacity(polls, visit.server.cpu_peak if visit.server else None)
    sides = {"generator": generator, "simulator": simulator}
    known = {side: most for side, most in sides.items() if most is not None}
    if polls is None or not known:
        return None
    tighter = min(known, key=known.__getitem__)
    return Headroom(
        setting=visit.setting,
        repeat=visit.repeat,
        polls_per_second=polls.peak_per_second,
        capacity_per_second=known[tighter],
        share=polls.peak_per_second / known[tighter],
        limited_by="generator" if tighter == "generator" else "simulator",
        generator_per_second=generator,
        simulator_per_second=simulator,
    )
