"""A scenario that has been read and found valid: frozen objects from here on."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Final

import numpy as np

from client import Dialect, PollingPolicy
from scenarios._arrivals import KEYS_PER_REPEAT, Arrival, Block, Closed, OpenArrivals
from scenarios._dialect import client_dialect
from scenarios._schema import MARGIN, ScenarioFile, Workload
from scenarios._service import Job, Service, Simulation
from scenarios._target import Target
from scenarios.documents import YamlPath, describe_path, did_you_mean, read_document, validate
from scenarios.draws import Draws, Found, MeasuredTimes, Stream, measured, uniform, uniforms

_OF_A_RUN: Final = ("run.json", "rows.journal")
"""What tells the folder of a run from others: one of these."""

_BLOCK: Final = 1 << 16  # jobs counted at a time


@dataclass(frozen=True, slots=True)
class Visit:
    """One setting's turn in a run: its place in the order, the repeat whose jobs it gets, its name."""

    index: int
    repeat: int
    setting: str


class NothingToSimulate(ValueError):
    """A scenario has a target and no job: how long its jobs take, only a run can tell."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return (
            f"{self.name} polls its target and has no job to simulate: run it, then make a scenario of what "
            "was measured with `python -m harness new --from RUN`, or add job"
        )


@dataclass(frozen=True)
class Scenario:
    """One experiment; read it with ``load_scenario``. Times are seconds."""

    name: str
    question: str
    seed: int
    job: Job | None
    """None where only the user's own API has jobs: then nothing can be simulated."""
    service: Service
    workload: Workload
    settings: Mapping[str, PollingPolicy]
    objectives: Mapping[str, float]
    baseline: str | None
    path: Path
    text: str
    target: Target | None = None
    """The user's own API; None: the simulator."""
    margin: float = MARGIN
    """The smallest difference that matters, as a share of the reference."""

    @property
    def sha256(self) -> str:
        """The fingerprint of the file's text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def simulation(self) -> Simulation:
        """What the simulated service needs to know.

        Raises NothingToSimulate where nobody knows how long jobs take, for they are those of a target.
        """
        if self.job is None:
            raise NothingToSimulate(self.name)
        return Simulation(seed=self.seed, job=self.job, service=self.service)

    @cached_property
    def dialect(self) -> Dialect:
        """What lanes read with: the target's dialect, or the service's with the simulator's truth."""
        if self.target is not None:
            return self.target.spoken
        return client_dialect(self.service.dialect).with_truth()

    @cached_property
    def measured(self) -> Mapping[YamlPath, MeasuredTimes]:
        """All recorded times in the scenario, by the YAML path of each."""
        parts = {"job": self.job, "service": self.service, "workload": self.workload}
        found = (each for name, part in parts.items() if part for each in measured(part, (name,)))
        return MappingProxyType(dict(found))

    @property
    def found(self) -> tuple[Found, ...]:
        """What was found in the files of recorded times."""
        return tuple(each.found(describe_path(path)) for path, each in self.measured.items())

    def duration(self, key: int) -> float:
        """Return the seconds of work in the job ``key``: the same under every setting, live or virtual."""
        return self.simulation.duration(key)

    def jitter(self, key: int, n: int) -> float:
        """Return the draw in [0, 1) for the n-th wait (from 1) of the client that polls job ``key``."""
        return uniform(self.seed, Stream.JITTER, key, n)

    def jitters(self, key: int) -> Draws:
        """Return what gives ``jitter(key, n)`` for each n: for a client that keeps it while it polls."""
        return Draws(self.seed, Stream.JITTER, key)

    def visits(self, only: Sequence[str] | None = None) -> list[Visit]:
        """Return the order in which a run visits the settings, or ``only`` some of them.

        Repeats come in pairs, the second of which is the first reversed, so that whatever drifts steadily in
        the machine during such a pair meets every setting alike. Each pair starts one setting later.
        Raises ValueError for a name that is not among the settings.
        """
        names = list(self.settings)
        for name in only or ():
            if name not in self.settings:
                remedy = did_you_mean(name, names, "the settings are")
                raise ValueError(f"{name!r} is not among the settings of {self.name}; {remedy}")
        order: list[tuple[int, str]] = []
        for repeat in range(self.workload.repeats):
            start = repeat // 2 % len(names)
            turn = names[start:] + names[:start]
            order.extend((repeat, name) for name in (reversed(turn) if repeat % 2 else turn))
        kept = [(repeat, name) for repeat, name in order if only is None or name in only]
        return [Visit(index, repeat, name) for index, (repeat, name) in enumerate(kept)]

    def planned_jobs(self, repeat: int) -> int | None:
        """Return how many jobs a setting gets in a repeat; None: as many as a closed loop gets through."""
        if self.workload.arrivals.is_open:
            return sum(block.keys.size for block in self.planned_blocks(repeat, _BLOCK))
        return self.workload.jobs if self.workload.duration is None else None

    def planned(self, repeat: int) -> Iterator[Arrival]:
        """Yield the planned submissions of a repeat in order of time, the same under every setting.

        Job ``index`` has the key ``repeat * 10**9 + index`` and belongs to lane ``index % lanes``. The plan
        ends at the workload's ``duration`` (a job planned for that very moment is not in it) or after
        ``jobs``. Raises ValueError for a closed loop, in which every job waits for the one before.
        """
        workload, first = self.workload, repeat * KEYS_PER_REPEAT
        times = self._open_arrivals.times(lambda index: uniform(self.seed, Stream.ARRIVAL, first + index))
        for index, at in enumerate(times):
            if workload.is_over(at, index):
                return
            yield Arrival(first + index, index % workload.lanes, at)

    def planned_blocks(self, repeat: int, size: int) -> Iterator[Block]:
        """Yield what ``planned`` yields as arrays of at most ``size`` jobs, none of them empty."""
        workload, first = self.workload, repeat * KEYS_PER_REPEAT
        until = math.inf if workload.duration is None else workload.duration
        start = 0
        for times in self._open_arrivals.blocks(
            lambda indices: uniforms(self.seed, Stream.ARRIVAL, first + indices), size, workload.jobs, until
        ):
            index = np.arange(start, start + times.size, dtype=np.int64)
            yield Block(first + index, index % workload.lanes, times)
            start += times.size

    @property
    def _open_arrivals(self) -> OpenArrivals:
        if not isinstance(self.workload.arrivals, OpenArrivals):
            raise ValueError("a closed loop has no plan; ask closed_key and think_time instead")
        return self.workload.arrivals

    def closed_key(self, repeat: int, lane: int, iteration: int) -> int:
        """Return the key of a lane's job number ``iteration`` (from 0) in a closed loop."""
        return closed_key(repeat, lane, iteration, self.workload.lanes)

    def think_time(self, key: int) -> float:
        """Return the seconds from the end of the closed loop's job ``key`` to its lane's next submission.

        Raises ValueError for open arrivals, which wait for nobody.
        """
        arrivals = self.workload.arrivals
        if not isinstance(arrivals, Closed):
            raise ValueError("only a closed loop has think times; ask planned instead")
        return arrivals.think.ppf(uniform(self.seed, Stream.THINK, key))


def planned(scenario: Scenario, repeat: int) -> Iterator[Arrival]:
    """Yield the planned submissions of a repeat; see ``Scenario.planned``."""
    return scenario.planned(repeat)


def closed_key(repeat: int, lane: int, iteration: int, lanes: int) -> int:
    """Return the key of a lane's job number ``iteration`` (from 0) in a closed loop of so many ``lanes``."""
    return repeat * KEYS_PER_REPEAT + lane + iteration * lanes


def think_time(scenario: Scenario, key: int) -> float:
    """Return the seconds that a lane of a closed loop thinks after a job; see ``Scenario.think_time``."""
    return scenario.think_time(key)


def load_scenario(path: str | os.PathLike[str], *, secrets: bool = True, apart: bool = False) -> Scenario:
    """Read and check a scenario file.

    secrets: whether the environment must have the secrets that the file names; False to look at what was run.
    apart: whether recorded times are read by processes of their own, for what reads them starts threads: a
    process that forks later must have none. The scenario in a run's folder names files of that folder alone:
    it may come from anybody. Raises ``DocumentError`` with every fault: its file, line, YAML path and remedy.
    """
    document = read_document(path)
    folder = Path(path).parent
    context = {
        "environment": os.environ if secrets else None,
        "apart": apart,
        "within": folder if any((folder / each).is_file() for each in _OF_A_RUN) else None,
    }
    file = validate(document, ScenarioFile, {key: value for key, value in context.items() if value})
    return Scenario(
        name=file.name,
        question=file.question,
        seed=file.seed,
        job=file.job,
        service=file.service,
        workload=file.workload,
        settings=MappingProxyType({name: setting.policy for name, setting in file.settings.items()}),
        objectives=MappingProxyType(file.objectives.model_dump(exclude_none=True)),
        baseline=file.baseline,
        path=Path(path),
        text=document.text,
        target=file.target,
        margin=file.margin,
    )
