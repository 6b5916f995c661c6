"""Which experiment runs where: the command line, then the environment, then ``config.yaml``.

One rule for every command (``harness``, ``server``, Locust): each asks ``deployment``, here and nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from scenarios._scenario import Scenario, load_scenario
from scenarios._service import Simulation
from scenarios.documents import (
    Diagnostic,
    DocumentError,
    Model,
    did_you_mean,
    is_there,
    read_document,
    suggest,
    validate,
)

_SHIPPED: Final = Path(__file__).resolve().parent
_CONFIG: Final = "config.yaml"
_PROJECTS_CONFIG: Final = _SHIPPED.parent / _CONFIG
_FOLDER: Final = "scenarios"
_VARIABLE: Final = "BACKOFF_SCENARIO"
_Text = Annotated[str, Field(strict=True, min_length=1)]


@dataclass(frozen=True)
class Address:
    """Where the simulator listens, and how many processes it has."""

    host: str
    port: int
    processes: int = 1


@dataclass(frozen=True)
class Config:
    """The deployment; read it with ``deployment``, or a single file with ``load_config``.

    Paths that stood in a file no longer depend on the working directory.
    """

    scenario: Path | None
    """None where nobody named one."""
    simulator: Address
    reports: Path
    file: Path | None
    """The ``config.yaml`` that it was read from; None where there was none."""


@dataclass(frozen=True)
class Options:
    """One resolved experiment: the scenario and the deployment it runs in."""

    scenario: Scenario
    config: Config


class _Simulator(Model):
    host: _Text = "127.0.0.1"
    port: Annotated[int, Field(strict=True, ge=0, le=65535)] = 5000
    processes: Annotated[int, Field(strict=True, ge=1, le=64)] = 1


class _Place(Model):
    scenario: _Text | None = None
    simulator: _Simulator = _Simulator()
    reports: _Text = "reports"


class _ConfigFile(_Place):
    scenario: _Text


def load_config(path: str | os.PathLike[str]) -> Config:
    """Read and check a ``config.yaml``; relative paths in it start at its own folder.

    Raises ``DocumentError`` with every fault: its file, line, YAML path and remedy.
    """
    return _config(Path(path), validate(read_document(path), _ConfigFile))


def _config_at(path: Path) -> Config | None:
    """Return what a ``config.yaml`` says, be it only where and not which scenario.

    None where there is no such file, and where it does not speak to us, for other programs have one as well:
    ours has a key of ours, or a slip of one. Raises ``DocumentError`` as ``load_config`` does.
    """
    if not path.is_file():
        return None
    document = read_document(path)
    if document.data and not any(suggest(str(key), _Place.model_fields) for key in document.data):
        return None
    return _config(path, validate(document, _Place))


def _config(path: Path, file: _Place) -> Config:
    folder = path.absolute().parent
    return Config(
        scenario=None if file.scenario is None else _find(file.scenario, folder) or folder / file.scenario,
        simulator=Address(file.simulator.host, file.simulator.port, file.simulator.processes),
        reports=folder / file.reports,
        file=path,
    )


def deployment(
    scenario: str | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    processes: int | None = None,
    reports: str | None = None,
    environ: Mapping[str, str] | None = None,
    behind: Path | None = None,
) -> Config:
    """Return what the command line (the arguments), then the environment, then ``config.yaml`` ask for.

    It is the working directory's ``config.yaml``. Where there is none, or that of another program, the one at
    ``behind`` stands in for it; without that too, all that is said is a simulator at 127.0.0.1:5000.
    Raises ``DocumentError`` when the scenario that is named does not exist, and with every fault of
    ``config.yaml``.
    """
    config = _config_here(behind)
    here = config.simulator
    return replace(
        config,
        scenario=choose_scenario(scenario, os.environ if environ is None else environ, config),
        simulator=Address(
            host or here.host, here.port if port is None else port, processes or here.processes
        ),
        reports=config.reports if reports is None else Path(reports),
    )


def reports_folder(reports: str | None = None) -> Path:
    """Return where runs are kept: ``reports``, or what ``config.yaml`` says, whatever scenario it names.

    Raises ``DocumentError`` with every fault of ``config.yaml``.
    """
    return Path(reports) if reports is not None else _config_here(_PROJECTS_CONFIG).reports


def _config_here(behind: Path | None) -> Config:
    """Return the working directory's configuration, or what stands in for it."""
    return (
        _config_at(Path(_CONFIG))
        or (behind and _config_at(behind))
        or Config(None, Address("127.0.0.1", 5000), Path("reports"), None)
    )


def one_process_only(simulation: Simulation, config: Config) -> tuple[Diagnostic, ...]:
    """Return why the processes that ``config`` asks for cannot serve this: a fault for each key, or none."""
    if config.simulator.processes == 1 or config.scenario is None:  # the demo shares nothing
        return ()
    document, way = read_document(config.scenario), "simulator.processes in config.yaml, --processes"
    return tuple(
        Diagnostic(document.file, document.line_of(path), ".".join(map(str, path)), f"{why} ({way})")
        for path, why in simulation.shared_state()
    )


def resolve(
    scenario: str | None = None,
    *,
    reports: str | None = None,
    port: int | None = None,
    margin: float | None = None,
    environ: Mapping[str, str] | None = None,
    apart: bool = False,
) -> Options:
    """Load the experiment that is asked for; the project's own ``config.yaml`` stands in for a missing one.

    apart: for a process that forks later, as for ``load_scenario``. margin: instead of the
    scenario's.
    Raises ``DocumentError`` with every fault of the file that is wrong.
    """
    config = deployment(scenario, port=port, reports=reports, environ=environ, behind=_PROJECTS_CONFIG)
    if config.scenario is None:
        message = f"no scenario is named; name a file, or one of {', '.join(_known(Path()))}"
        raise DocumentError((Diagnostic(_CONFIG, 1, "scenario", message),))
    loaded = load_scenario(config.scenario, apart=apart)
    return Options(loaded if margin is None else replace(loaded, margin=margin), config)


def choose_scenario(command_line: str | None, environ: Mapping[str, str], config: Config) -> Path | None:
    """Return the scenario to run: the command line's, else ``BACKOFF_SCENARIO``'s, else the configuration's.

    Each may be a path, or the bare name of a file in ``scenarios/``: first in that of the working directory
    (of ``config.yaml``'s folder, for a name in it), then in the project's. None where none is named. Raises
    ``DocumentError`` when there is no such file, with the names there are.
    """
    for asked in (command_line, environ.get(_VARIABLE)):
        if asked:
            if (found := _find(asked, Path())) is None:
                message = f"there is no such scenario; {_remedy(asked, Path())}"
                raise DocumentError((Diagnostic(asked, 1, "", message),))
            return found
    if config.scenario is not None and config.file is not None and not is_there(config.scenario):
        document = read_document(config.file)
        folder, name = config.file.absolute().parent, str(document.data["scenario"])
        message = f"there is no such file: {config.scenario}; {_remedy(name, folder)}"
        raise DocumentError(
            (Diagnostic(str(config.file), document.line_of(("scenario",)), "scenario", message),)
        )
    return config.scenario


def _find(name: str, folder: Path) -> Path | None:
    """Return the file that a path (starting at ``folder``) or a bare name stands for, if there is one."""
    path = folder / name
    there = is_there(path)
    if there and not path.is_dir():
        return path
    return _known(folder).get(name, path if there else None)


def _known(folder: Path) -> dict[str, Path]:
    """Return the scenarios that have a bare name, the project's last."""
    here = sorted((folder / _FOLDER).glob("*.yaml"))
    known = {file.stem: file for file in here}
    return known | {file.stem: file for file in sorted(_SHIPPED.glob("*.yaml")) if file.stem not in known}


def _remedy(asked: str, folder: Path) -> str:
    return did_you_mean(Path(asked).stem, _known(folder), "name a file, or one of")
