"""Which release of ours this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final

DISTRIBUTION: Final = "backoff-harness"


def own_version() -> str:
    """Return the version that is installed, "unknown" in a copy of the sources that never was."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
