"""A scenario that has been read and found valid: frozen objects from here on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from client import PollingPolicy
from scenarios._describe import describe
from scenarios._schema import ScenarioFile, Workload
from scenarios._service import Job, Service, Simulation
from scenarios.documents import read_document, suggest, validate
from scenarios.draws import Stream, uniform


@dataclass(frozen=True, slots=True)
class Visit:
    """One setting's turn in a run: its place in the order, the repeat whose jobs it gets, its name."""

    index: int
    repeat: int
    setting: str


@dataclass(frozen=True)
class Scenario:
    """One experiment; read it with `load_scenario`. Times are seconds."""

    name: str
    question: str
    seed: int
    job: Job
    service: Service
    workload: Workload
    settings: Mapping[str, PollingPolicy]
    objectives: Mapping[str, float]
    baseline: str | None
    path: Path
    text: str

    @property
    def sha256(self) -> str:
        """The fingerprint of the file's text, in hexadecimal digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @cached_property
    def simulation(self) -> Simulation:
        """What the simulated service needs to know."""
        return Simulation(seed=self.seed, job=self.job, service=self.service)

    def duration(self, key: int) -> float:
        """Return the seconds of work in the job ``key``: the same under every setting, live or virtual."""
        return self.simulation.duration(key)

    def jitter(self, key: int, n: int) -> float:
        """Return the draw in [0, 1) for the n-th wait (from 1) of the client that polls job ``key``."""
        return uniform(self.seed, Stream.JITTER, key, n)

    def visits(self, only: Sequence[str] | None = None) -> list[Visit]:
        """Return the order in which a run visits the settings, or ``only`` some of them.

        Repeats come in pairs, the second of which is the first reversed, so that whatever drifts steadily in
        the machine during such a pair meets every setting alike. Each pair starts one setting later.
        Raises ValueError for a name that is not among the settings.
        """
        names = list(self.settings)
        for name in only or ():
            if name not in self.settings:
                guess = suggest(name, names)
                remedy = f"did you mean {guess!r}?" if guess else f"the settings are {', '.join(names)}"
                raise ValueError(f"{name!r} is not among the settings of {self.name}; {remedy}")
        order: list[tuple[int, str]] = []
        for repeat in range(self.workload.repeats):
            start = repeat // 2 % len(names)
            turn = names[start:] + names[:start]
            order.extend((repeat, name) for name in (reversed(turn) if repeat % 2 else turn))
        kept = [(repeat, name) for repeat, name in order if only is None or name in only]
        return [Visit(index, repeat, name) for index, (repeat, name) in enumerate(kept)]

    def describe(self) -> list[str]:
        """Return lines of English: what would run, and what it will cost."""
        return describe(self)


def load_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Read and check a scenario file.

    Raises `DocumentError` with every fault: its file, line, YAML path and remedy.
    """
    document = read_document(path)
    file = validate(document, ScenarioFile)
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
    )
