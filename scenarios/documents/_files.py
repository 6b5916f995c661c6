"""The files that a document names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenarios.documents._words import name_value


def located(file: str, context: Mapping[str, Any] | None) -> Path:
    """Return the absolute path of a file that a document names: one beside it, or anywhere.

    context: of the validation; its ``folder`` is the document's, and where it has ``within``, neither paths
    nor links may lead out of that folder. Raises ValueError where they do.
    """
    known = context or {}
    path = Path(known.get("folder", ""), file).absolute()
    within = known.get("within")
    if within is not None and not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(within)):
        raise ValueError(f"{name_value(file)} is not in the folder of the run, and nothing else is read")
    return path
