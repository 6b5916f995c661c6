"""Which scenario the simulator serves. Of a scenario file it reads only what concerns the service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from scenarios import Simulation
from scenarios.documents import Diagnostic, Document, DocumentError, read_document, validate

_CONFIG = Path("config.yaml")
_FOLDER = Path("scenarios")


def choose_scenario(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file that the option, ``BACKOFF_SCENARIO`` or config.yaml names; None where none does.

    A scenario is named by a path, or by the bare name of a file in ``scenarios/``. Raises DocumentError when
    there is no such file, or when config.yaml is at fault.
    """
    name = option or environ.get("BACKOFF_SCENARIO") or _configured()
    if name is None:
        return None
    path = Path(name)
    in_folder = _FOLDER / f"{name}.yaml"
    if path.name != name or path.suffix or path.is_file():
        return path
    if in_folder.is_file():
        return in_folder
    known = ", ".join(sorted(file.stem for file in _FOLDER.glob("*.yaml"))) or "none"
    raise DocumentError(
        (Diagnostic(str(in_folder), 1, "", f"there is no such file; those in {_FOLDER}/: {known}"),)
    )


def _configured() -> str | None:
    if not _CONFIG.is_file():
        return None
    config = read_document(_CONFIG)
    name = config.data.get("scenario")
    if name is not None and (not isinstance(name, str) or not name):
        line = config.line_of(("scenario",))
        message = f"must be the path of a scenario or its name in {_FOLDER}/"
        raise DocumentError((Diagnostic(config.file, line, "scenario", message),))
    return name


def simulation_in(document: Document) -> Simulation:
    """Return the part of a scenario that the simulator needs: its seed, job and service.

    What else the scenario holds is for others to judge. Raises DocumentError.
    """
    data = {key: value for key, value in document.data.items() if key in Simulation.model_fields}
    return validate(replace(document, data=data), Simulation)
