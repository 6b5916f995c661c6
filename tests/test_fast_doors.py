"""Help and `check` come at once: commands load heavy libraries when they use them, not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"gevent", "locust", "numpy", "pandas", "plotly", "polars", "pydantic", "scipy"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["harness", "--help"], set()),
        (["harness", "run", "--help"], set()),
        (["harness", "check", "--help"], set()),
        (["harness", "frobnicate"], set()),
        (["harness", "check", "video-translation"], {"numpy", "pydantic", "scipy"}),
        (["server", "--help"], set()),
        (["server", "--port", "x"], set()),
        (["client", "--help"], set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_loads_only_the_heavy_libraries_that_it_uses(
    arguments: list[str], allowed: set[str]
) -> None:
    """Of those that take long to import, what is in sys.modules when the command has ended is allowed."""
    code = f"""
import atexit, runpy, sys
atexit.register(lambda: print("loaded:", *sorted({HEAVY!r} & set(sys.modules))))
sys.argv = {arguments!r}
runpy.run_module({arguments[0]!r}, run_name="__main__", alter_sys=True)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    loaded = done.stdout.splitlines()[-1].split()
    assert loaded[0] == "loaded:"
    assert set(loaded[1:]) <= allowed
