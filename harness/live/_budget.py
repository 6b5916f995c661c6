"""What a run may send to the user's own API, dealt out to its processes: their sum never exceeds it.

The run's ``Ledger`` lends each process of a visit a ``Share`` and takes back what was not used; a process
that is lost gives nothing back. Within its share a process keeps to the rate by its fleet's ``Budget``. None
of this reads a clock.

**Rates.** The whole requests per second are dealt out as whole numbers, so that the windows of one second of
all processes together hold no more than the rate, rounded up, however they lie to each other. So a rate feeds
no more processes than it has whole requests per second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from scenarios import Limits


class OverBudget(ValueError):
    """What is left does not do for a visit; the text says what is short, and what would be right."""


class Share(NamedTuple):
    """What one process may do in one visit: submissions in all, requests per second, jobs at once."""

    jobs: int
    rate: float
    in_flight: int


class Ledger:
    """The books of one run: what its limits leave for the visits to come."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs = limits.jobs
        self._in_flight = limits.in_flight
        self._lent: dict[str, Share] = {}

    def lend(
        self, lanes: Mapping[str, Sequence[int]], planned: int | None, visits: int = 1
    ) -> dict[str, Share]:
        """Return the share of each process in a visit, given its lanes and its ``planned`` jobs, if known.

        visits: how many there are to come, this one included; without a plan they share the jobs alike.
        Raises OverBudget, lending nothing, when a process would get nothing.
        """
        if reason := too_many_processes(self._limits, len(lanes)):
            raise OverBudget(reason)
        if self._jobs < 1:
            raise OverBudget(f"all {self._limits.jobs} submissions of target.limits.jobs are used up")
        if self._in_flight < len(lanes):
            left = self._limits.in_flight - self._in_flight
            raise OverBudget(
                f"{left} jobs were left by their clients and may still be at work, so that too few of the "
                f"{self._limits.in_flight} of target.limits.in_flight remain"
            )
        jobs = self._jobs if planned is not None else -(-self._jobs // visits)
        self._lent = split(Share(jobs, self._limits.rate, self._in_flight), lanes, planned)
        self._jobs -= sum(share.jobs for share in self._lent.values())
        self._in_flight -= sum(share.in_flight for share in self._lent.values())
        return dict(self._lent)

    def settle(self, node: str, submissions: int, left: int) -> None:
        """Take back what a process did not use; ``left`` jobs of its may still be under way."""
        if share := self._lent.pop(node, None):
            self._jobs += max(0, share.jobs - submissions)
            self._in_flight += max(0, share.in_flight - left)


def too_many_processes(limits: Limits, processes: int) -> str | None:
    """Return why limits cannot be split among so many processes; None if they can."""
    most = min(limits.in_flight, max(1, math.floor(limits.rate)))
    if processes <= most:
        return None
    return (
        f"target.limits cannot be split among {processes} processes, each of which needs a job in flight and "
        f"a request per second: use at most {most}"
    )


def split(whole: Share, lanes: Mapping[str, Sequence[int]], planned: int | None) -> dict[str, Share]:
    """Return shares whose sums are at most the whole; every process gets a job in flight and some rate.

    lanes: each process's lanes; of a number of ``planned`` jobs each gets those of its own lanes, if all fit.
    """
    nodes = sorted(lanes)
    weights = [len(lanes[node]) for node in nodes]
    rates: list[float] = [whole.rate]
    if len(nodes) > 1:
        rates = [float(each) for each in _apportioned(math.floor(whole.rate), weights)]
        rates[0] += whole.rate - math.floor(whole.rate)
    jobs = _apportioned(whole.jobs, weights)
    if planned is not None and planned <= whole.jobs:
        every = sum(weights)
        jobs = [sum(len(range(lane, planned, every)) for lane in lanes[node]) for node in nodes]
    in_flight = _apportioned(whole.in_flight, weights)
    shares = (Share(*each) for each in zip(jobs, rates, in_flight, strict=True))
    return dict(zip(nodes, shares, strict=True))


def _apportioned(total: int, weights: Sequence[int]) -> list[int]:
    """Return whole numbers in proportion to the weights, at least 1 each where there are enough of them."""
    least = 1 if total >= len(weights) else 0
    rest, every = total - least * len(weights), sum(weights)
    exact = [rest * weight / every for weight in weights]
    parts = [least + math.floor(each) for each in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: (math.floor(exact[i]) - exact[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts
