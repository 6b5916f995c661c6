"""Commands started from a folder whose own modules have the names of ours work all the same."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("BACKOFF_")}
TINY = """\
name: tiny
job: {duration: 200ms}
workload: {lanes: 2, arrivals: {type: constant, rate: 10}, jobs: 4}
settings:
  often: {curve: constant, initial: 100ms}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of a user's: YAML in scenarios/, packages server and client, modules measure and harness."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "tiny.yaml").write_text(TINY)
    (tmp_path / "server").mkdir()
    for name in ("server/__init__.py", "client.py", "measure.py", "live.py", "backoff_client.py"):
        (tmp_path / name).write_text("raise SystemExit('the working directory was imported')")
    return tmp_path


def ended(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command, run to its end in the folder."""
    return subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, check=False, env=ENVIRONMENT
    )


@pytest.mark.parametrize("command", [["check", "tiny"], ["simulate", "tiny", "--out", "run"]])
def test_the_harness_finds_its_own_modules(folder: Path, command: list[str]) -> None:
    """Nothing of the working directory but its scenario is read."""
    done = ended(folder, "-m", "harness", *command)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert "often" in done.stdout


@pytest.mark.slow
def test_a_live_run_finds_its_own_modules_in_every_process(folder: Path) -> None:
    """The simulator, Locust and the report's process are started from the same folder."""
    (folder / "harness.py").write_text("raise SystemExit('the working directory was imported')")
    code = "from harness.__main__ import run; run()"  # as the console script does
    arguments = ["run", "tiny", "--port", "0", "--reports", "out", "--json"]
    done = ended(folder, "-P", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {code}", *arguments)
    results = json.loads(done.stdout)
    assert results["settings"]["often"]["jobs"]["completed"] == 4
    assert "Traceback" not in done.stderr


def test_the_server_finds_its_own_modules(folder: Path) -> None:
    """A folder of scenarios, and a module called client, are nothing to it."""
    (folder / "server" / "__init__.py").unlink()
    (folder / "server").rmdir()
    done = ended(folder, "-m", "server", "--scenario", "missing")
    assert done.returncode == 2
    assert done.stderr.startswith("missing:1: there is no such scenario; name a file, or one of tiny, ")


def test_the_client_finds_its_own_modules(folder: Path) -> None:
    """A server and scenarios beside it are nothing to the client."""
    (folder / "client.py").unlink()
    done = ended(folder, "-m", "client", "--help")
    assert (done.returncode, done.stderr) == (0, "")
