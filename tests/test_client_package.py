"""The client under the name that its users depend on: ``backoff_client``, the same files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
USE = (
    "import sys, backoff_client, backoff_client.blocking, backoff_client.asynchronous as driver;"
    "print(backoff_client.Backoff('constant', 1).describe());"
    "print(driver.AsyncVideoTranslationClient.__module__, 'client' in sys.modules)"
)


@pytest.fixture(scope="module", params=["wheel", "editable"])
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of site-packages with this project installed, from a copy of what git tracks of it."""
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in tracked.splitlines():
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    site = tmp_path_factory.mktemp("site")
    code = f"from setuptools import build_meta; print(build_meta.build_{request.param}({str(site)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, check=True)
    (wheel,) = site.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    return site


def run(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with that folder as a site folder, somewhere else than in the project."""
    (installed / "sitecustomize.py").write_text(f"import site; site.addsitedir({str(installed)!r})\n")
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=installed, env=environment, capture_output=True, text=True
    )


def test_the_client_can_be_imported_by_its_own_name(installed: Path) -> None:
    """Installed plainly or for development, whole, with both drivers, and without the name ``client``."""
    ran = run(installed, "-c", USE)
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["constant: every 1 s, no jitter", "backoff_client.asynchronous False"]


def test_its_command_goes_by_that_name_too(installed: Path) -> None:
    """``python -m backoff_client`` says what it was called."""
    ran = run(installed, "-m", "backoff_client", "--key", "1")
    assert ran.returncode == 2
    assert "python -m backoff_client: --key goes with --submit" in ran.stderr


def test_its_templates_are_installed_too(installed: Path) -> None:
    """``export`` writes code from files beside its modules."""
    ran = run(installed, "-m", "harness", "export", "stamina", "--to", "bash")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("#!/usr/bin/env bash\n")
