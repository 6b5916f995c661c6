"""Flower over Celery and Redis, started as docs/your-own-api.md says, and what it tells of its tasks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil
import pytest
import requests

FOLDER: Final = Path(__file__).parent.parent / "docs" / "flower"
SCRIPT: Final = FOLDER / "serve.py"
WITH_REDIS: Final = pytest.mark.skipif(
    not shutil.which("redis-server"),
    reason="redis-server is not installed (Debian: apt-get install redis-server)",
)
PATIENCE: Final = 30.0  # seconds for a slow machine; nothing here takes that long by itself


class Task(NamedTuple):
    """What Celery recorded of a task; moments are seconds since 1970 by the clock of its worker.

    A task is received, then run for so long, then its result is stored, then the event of its end is sent. So
    its end could first be read between ``earliest`` and ``latest``. (The event of its start is sent while it
    runs already; how long a task ran that failed is not told.)
    """

    state: str
    received: float
    earliest: float
    latest: float


class Flower(NamedTuple):
    """The script, and where what it started is served."""

    process: subprocess.Popen[str]
    url: str

    def task_ids(self) -> list[str]:
        """The tasks that Flower has heard of."""
        return list(requests.get(f"{self.url}/api/tasks", timeout=PATIENCE).json())

    def task(self, task_id: str) -> Task:
        """What Flower knows of a task that has ended."""
        give_up = time.monotonic() + PATIENCE
        while True:  # Flower hears of a task's end a moment after its result can be read
            told: dict[str, Any] = requests.get(
                f"{self.url}/api/task/info/{task_id}", timeout=PATIENCE
            ).json()
            if ended := told["succeeded"] or told["failed"]:
                received = told["received"]
                return Task(told["state"], received, received + (told["runtime"] or 0), ended)
            assert time.monotonic() < give_up, f"Flower never told the end of {task_id}: {told['state']}"


@contextmanager
def flower(*, median_s: float = 0.3, **environment: str) -> Iterator[Flower]:
    """`docs/flower/serve.py` on a free port, stopped by the end of its standard input."""
    command = [sys.executable, str(SCRIPT), "--port", "0", "--median", str(median_s), "--exit-with-parent"]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    ) as process:
        assert process.stdout
        assert process.stdin
        try:
            url = process.stdout.readline().strip()
            assert url, "it said on standard error why it does not serve"
            started = psutil.Process(process.pid).children(recursive=True)
            yield Flower(process, url)
        finally:
            process.stdin.close()
            process.wait(PATIENCE)
    assert living(started) == []


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run after a while; one that only waits to be reaped has ended."""

    def runs(process: psutil.Process) -> bool:
        try:
            return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    give_up = time.monotonic() + PATIENCE
    while any(map(runs, processes)) and time.monotonic() < give_up:
        time.sleep(0.01)
    return list(filter(runs, processes))
