"""Help and `check` come at once: commands load heavy libraries when they use them, not before."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from harness._executors import WORTH_A_POOL, executor_at
from harness.measure import job_frame

ROOT = Path(__file__).resolve().parent.parent
HEAVY = {"gevent", "locust", "numpy", "polars", "pydantic", "scipy"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["harness", "--help"], set()),
        (["harness", "run", "--help"], set()),
        (["harness", "check", "--help"], set()),
        (["harness", "frobnicate"], set()),
        (["harness", "check", "thundering-herd"], {"numpy", "pydantic"}),  # no law of its needs scipy
        (["harness", "check", "video-translation"], {"numpy", "polars", "pydantic", "scipy"}),  # presets
        (["harness", "export", "--help"], set()),
        (["harness", "export", "exponential", "--to", "go"], {"numpy", "pydantic", "scipy"}),
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


def test_whatever_forks_has_not_loaded_polars() -> None:
    """Polars' threads do not survive a fork: what Locust's processes import comes without it."""
    code = "import sys, harness.measure, harness.virtual, harness.live._lanes, harness.live._finish\n"
    code += "print(*sorted({'polars', 'scipy.stats', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() in ([], ["jinja2"])  # Locust's own page is made with jinja2


def test_a_pool_of_processes_works_beside_frames() -> None:
    """Workers are no forks of a process that has frames, and can make frames of their own."""
    assert job_frame([]).is_empty()
    with executor_at(None, WORTH_A_POOL) as executor:
        frames = [None] if executor is None else list(executor.map(job_frame, [[], []]))
    assert all(frame is None or frame.is_empty() for frame in frames)
