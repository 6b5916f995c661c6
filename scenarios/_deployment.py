"""``config.yaml``: which scenario runs, where the simulator listens, where reports go."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from scenarios.documents import Diagnostic, DocumentError, Model, did_you_mean, read_document, validate

_SHIPPED = Path(__file__).parent
_VARIABLE = "BACKOFF_SCENARIO"
_Text = Annotated[str, Field(strict=True, min_length=1)]


@dataclass(frozen=True)
class Address:
    """Where the simulator listens."""

    host: str
    port: int


@dataclass(frozen=True)
class Config:
    """The deployment; read it with `load_config`. Paths no longer depend on the working directory."""

    scenario: Path
    simulator: Address
    reports: Path
    file: Path
    """The file itself."""


class _Simulator(Model):
    host: _Text = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=0, le=65535)] = 5000


class _ConfigFile(Model):
    scenario: _Text
    simulator: _Simulator = _Simulator()
    reports: _Text = "reports"


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a ``config.yaml``; relative paths in it start at its own folder.

    Raises `DocumentError` with every fault: its file, line, YAML path and remedy.
    """
    file = validate(read_document(path), _ConfigFile)
    folder = Path(path).absolute().parent
    return Config(
        scenario=folder / file.scenario,
        simulator=Address(file.simulator.host, file.simulator.port),
        reports=folder / file.reports,
        file=Path(path),
    )


def choose_scenario(command_line: str | None, environ: Mapping[str, str], config: Config) -> Path:
    """Return the scenario to run: the command line's, else ``BACKOFF_SCENARIO``'s, else the configuration's.

    The first two may be a path, or the bare name of a scenario that comes with the project (``outage``).
    Raises `DocumentError` when there is no such file, with the names there are.
    """
    for asked in (command_line, environ.get(_VARIABLE)):
        if asked:
            return _find(asked)
    if not config.scenario.exists():
        line = read_document(config.file).line_of(("scenario",))
        message = f"there is no such file: {config.scenario}"
        raise DocumentError((Diagnostic(str(config.file), line, "scenario", message),))
    return config.scenario


def _find(asked: str) -> Path:
    path = Path(asked)
    if path.exists():
        return path
    shipped = {file.stem: file for file in sorted(_SHIPPED.glob("*.yaml"))}
    if asked in shipped:
        return shipped[asked]
    remedy = did_you_mean(path.stem, shipped, "name a file, or one of")
    raise DocumentError((Diagnostic(asked, 1, "", f"there is no such scenario; {remedy}"),))
