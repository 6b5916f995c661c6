"""Two stand-ins for an API that many take from npm, mountebank and json-server, where npm is.

Both answer the same JSON as the other contenders, on a connection that is kept.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

PACKAGES = {"mountebank": "mountebank@2", "json-server": "json-server@0.17"}
_INSTALLED_IN_S = 180.0
_STARTED_IN_S = 30.0


def installed(folder: Path) -> str | None:
    """Install both into ``folder``; return why they are not there, None if they are."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not here"
    # None of the scripts that packages would run: neither of these needs one.
    command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            [*command, "--loglevel=error", *PACKAGES.values()],
            capture_output=True,
            text=True,
            timeout=_INSTALLED_IN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"npm took more than {_INSTALLED_IN_S:g} s"
    return done.stderr.strip().splitlines()[-1] if done.returncode and done.stderr.strip() else None


@contextmanager
def serving(name: str, folder: Path, ids: list[str]) -> Iterator[tuple[psutil.Process, int]]:
    """Run one of them, with a job for each id at ``/jobs/ID``, until the block ends."""
    port = _free_port()
    jobs = [{"id": each, "status": "pending", "progress": 0.5} for each in ids]
    command = {"mountebank": _mountebank, "json-server": _json_server}[name](folder, port, jobs)
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ
    )
    try:
        _wait_for(process, port)
        yield psutil.Process(process.pid), port
    finally:
        process.kill()
        process.wait()


def _mountebank(folder: Path, port: int, jobs: list[dict[str, object]]) -> list[str]:
    """Return its command: a static stub, its fastest form."""
    body = json.dumps(jobs[0])
    headers = {
        "Content-Type": "application/json",
        "Connection": "keep-alive",  # it closes connections unless told
        "Content-Length": str(len(body)),
    }
    stub = {"responses": [{"is": {"statusCode": 200, "headers": headers, "body": body}}]}
    imposters = {"imposters": [{"port": port, "protocol": "http", "host": "127.0.0.1", "stubs": [stub]}]}
    (folder / "imposters.json").write_text(json.dumps(imposters))
    own = ["--port", str(_free_port()), "--host", "127.0.0.1", "--nologfile", "--loglevel", "error"]
    return [str(folder / "node_modules/.bin/mb"), "--configfile", "imposters.json", "--noParse", *own]


def _json_server(folder: Path, port: int, jobs: list[dict[str, object]]) -> list[str]:
    """Return its command: a database of the jobs."""
    (folder / "db.json").write_text(json.dumps({"jobs": jobs}))
    own = ["--host", "127.0.0.1", "--port", str(port), "--quiet"]
    return [str(folder / "node_modules/.bin/json-server"), "db.json", *own]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    give_up = time.monotonic() + _STARTED_IN_S
    while time.monotonic() < give_up and process.poll() is None:
        with socket.socket() as probe:
            if not probe.connect_ex(("127.0.0.1", port)):
                return
        time.sleep(0.1)
    raise RuntimeError("it did not start")
