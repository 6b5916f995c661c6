"""Serve a job API that nobody here wrote: Flower's, over Celery and Redis, until Ctrl-C or SIGTERM.

Needs ``redis-server`` (Debian: ``apt-get install redis-server``) and ``pip install flower celery redis``.
Redis listens on a socket in a temporary folder and keeps nothing; Flower listens on 127.0.0.1 alone, and lets
everybody there in unless the environment has ``FLOWER_BASIC_AUTH=USER:PASSWORD``.

Exit status: 0 stopped, 1 something cannot run or stopped by itself, 2 bad usage.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import sys
import threading
import time
from importlib.util import find_spec
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT, Popen
from typing import Final, NoReturn, Self

import requests

HERE: Final = Path(__file__).resolve().parent
PACKAGES: Final = ("celery", "flower", "redis")
PATIENCE_S: Final = 30.0

# Makes the folder, and leads the process group of all that is started here. When its standard input ends
# (closed by us, or by the system when we are gone, however we went), folder and group go, itself included.
GUARD: Final = """
import os, shutil, signal, sys, tempfile
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder = tempfile.mkdtemp(prefix="flower-")
print(folder, flush=True)
sys.stdin.read()
shutil.rmtree(folder, ignore_errors=True)
os.killpg(0, signal.SIGKILL)
"""


class CannotServeError(Exception):
    """Something does not run; the message says what, and what to do."""


class Group:
    """Processes that end together, and a temporary folder that ends with them."""

    def __enter__(self) -> Self:
        self._members: dict[str, Popen[bytes]] = {}
        self._guard = Popen([sys.executable, "-c", GUARD], stdin=PIPE, stdout=PIPE, process_group=0)
        assert self._guard.stdout
        self.folder = Path(os.fsdecode(self._guard.stdout.readline()).rstrip("\n"))
        return self

    def start(self, name: str, *command: str, **environment: str) -> None:
        """Start a process that writes to a file in the folder."""
        with self._log(name).open("wb") as log:
            self._members[name] = Popen(
                command,
                stdin=DEVNULL,
                stdout=log,
                stderr=STDOUT,
                cwd=self.folder,
                env={**os.environ, **environment},
                process_group=self._guard.pid,
            )

    def check(self) -> None:
        """Raise CannotServeError if one of them has stopped."""
        for name, member in self._members.items():
            if member.poll() is not None:
                said = self._log(name).read_text(errors="replace").strip().splitlines() or ["it said nothing"]
                raise CannotServeError(f"{name} stopped (status {member.returncode}): {said[-1]}")
        if self._guard.poll() is not None:
            raise CannotServeError("the process that guards the others is gone")

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def __exit__(self, *_: object) -> None:
        assert self._guard.stdin
        self._guard.stdin.close()
        for process in (self._guard, *self._members.values()):
            process.wait()


def serve(group: Group, port: int, median_s: float) -> NoReturn:
    """Start Redis, a Celery worker and Flower; print the address when all are ready; return never."""
    url = f"http://127.0.0.1:{port}"
    store = f"redis+socket://{group.folder / 'redis.sock'}"
    celery = {
        "CELERY_BROKER_URL": store,
        "CELERY_RESULT_BACKEND": store,
        "PYTHONPATH": str(HERE),
        "VIDEOS_MEDIAN_S": str(median_s),
    }
    python = (sys.executable, "-m", "celery", "-A", "videos")
    group.start("redis", "redis-server", "--port", "0", "--unixsocket", "redis.sock", "--save", "")
    # Processes, not threads: of these, events get lost, and Flower would not know when a task began.
    group.start("worker", *python, "worker", "-E", "--concurrency", "8", **celery)
    group.start(
        "flower",
        *python,
        "flower",
        "--address=127.0.0.1",
        f"--port={port}",
        **celery,
        FLOWER_UNAUTHENTICATED_API="true",  # without effect if FLOWER_BASIC_AUTH is set
    )
    give_up = time.monotonic() + PATIENCE_S
    session = requests.Session()
    session.trust_env = False
    user, colon, password = os.environ.get("FLOWER_BASIC_AUTH", "").split(",")[0].partition(":")
    session.auth = (user, password) if colon else None
    while not has_worker(session, url):
        group.check()
        if time.monotonic() > give_up:
            raise CannotServeError(f"no worker was ready within {PATIENCE_S:g} s")
        time.sleep(0.1)
    group.check()  # it may have been another's Flower that answered
    print(url, flush=True)
    while True:
        time.sleep(0.5)
        group.check()


def has_worker(session: requests.Session, url: str) -> bool:
    """Return whether Flower answers and knows a worker that is online."""
    try:
        reply = session.get(f"{url}/api/workers?status=1", timeout=5)
        return reply.ok and any(reply.json().values())
    except requests.RequestException:
        return False


def checked_port(port: int) -> int:
    """Return the port, or a free one for 0; raise CannotServeError if it is in use or anything is missing."""
    if not shutil.which("redis-server"):
        raise CannotServeError("there is no redis-server here; on Debian: apt-get install redis-server")
    if missing := [name for name in PACKAGES if not find_spec(name)]:
        raise CannotServeError(f"missing packages: pip install {' '.join(missing)}")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "there is no such port"
            raise CannotServeError(f"port {port}: {why}; choose another with --port, or 0") from None
        free: int = probe.getsockname()[1]
    return free


def stop_when_stdin_ends() -> None:
    """Stop once standard input ends: whoever started us and held its other end is gone."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Serve until stopped; return the exit status."""
    parser = argparse.ArgumentParser(description="Serve Flower's job API over Celery and Redis on 127.0.0.1.")
    parser.add_argument("--port", type=int, default=5555, help="default: 5555, as Flower's; 0: any free one")
    parser.add_argument(
        "--median", type=float, default=1.0, metavar="SECONDS", help="of a job's duration (default: 1)"
    )
    parser.add_argument("--exit-with-parent", action="store_true", help="stop when standard input ends")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(0))
    if options.exit_with_parent:
        stop_when_stdin_ends()
    try:
        port = checked_port(options.port)
        with Group() as group:
            serve(group, port, options.median)
    except CannotServeError as error:
        print(f"serve.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
