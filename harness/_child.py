"""Starting Python processes of our own: whatever the working directory holds, they find our packages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

COMMAND_VARIABLE: Final = "BACKOFF_COMMAND"
"""The environment variable by which ``harness run`` tells Locust's process what the user has typed."""

_ROOT: Final = Path(__file__).resolve().parent.parent


def python_module(module: str, *arguments: str) -> list[str]:
    """Return the command of ``python -m module`` that does not look for modules in the working directory."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with ``variables``, for a command of ``python_module``.

    From a copy of the sources our packages are found by ``PYTHONPATH``: they may not be installed, and what
    finds an editable installation comes after any folder of the same name.
    """
    path = os.environ.get("PYTHONPATH")
    if (_ROOT / "pyproject.toml").is_file():
        path = os.pathsep.join([str(_ROOT), *([path] if path else [])])
    return {**os.environ, **({"PYTHONPATH": path} if path else {}), **variables}
