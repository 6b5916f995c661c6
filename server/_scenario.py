"""Of a scenario file the simulator reads only what concerns the service."""

from __future__ import annotations

from dataclasses import replace

from scenarios import Simulation
from scenarios.documents import Document, validate


def simulation_in(document: Document) -> Simulation:
    """Return the part of a scenario that the simulator needs: its seed, job and service.

    What else the scenario holds is for others to judge. Raises DocumentError.
    """
    data = {key: value for key, value in document.data.items() if key in Simulation.model_fields}
    return validate(replace(document, data=data), Simulation)
