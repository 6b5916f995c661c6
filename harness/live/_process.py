"""The simulator as a process of its own: start it, ask it for its counts, stop it.

It never runs inside the Locust process: one interpreter lock would couple the load with what is loaded.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import tempfile
import time
from pathlib import Path
from subprocess import PIPE, Popen, TimeoutExpired
from typing import IO, Any, Final

import psutil
import requests

from harness._child import environment, python_module
from harness.live._cpu import ProcessesMeter

_MOST_LOG: Final = 1 << 16  # bytes of the child's output that are looked at
_STARTUP_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 5.0
_TOKEN_VARIABLE: Final = "BACKOFF_ADMIN_TOKEN"  # noqa: S105 - the variable's name, not a token


class SimulatorError(RuntimeError):
    """The simulator did not start, died, or does not answer its admin calls."""


class SimulatorProcess:
    """A running simulator seen from the harness; ``process`` is None for one that somebody else started.

    All admin calls raise ``SimulatorError`` when they cannot be answered.
    """

    def __init__(self, url: str, token: str | None, process: Popen[bytes] | None, log: IO[bytes] | None):
        self.url = url
        self._process = process
        self._log = log
        self._log_read = 0  # where in it the words begin that are news
        self._told = b""  # what the ready pipe has told so far
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy must not stand between two processes of one machine
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    @classmethod
    def start(cls, scenario: Path, host: str, port: int, processes: int = 1) -> SimulatorProcess:
        """Start ``python -m server`` for ``scenario``, with so many processes, and wait until it answers.

        Raises ``SimulatorError`` with the child's own last words, e.g. that the port is in use.
        """
        token = secrets.token_urlsafe(24)
        log = tempfile.TemporaryFile()  # noqa: SIM115 - it has no name to clean up, and lives with the process
        command = python_module("server", "--scenario", str(scenario), "--host", host, "--port", str(port))
        command += ["--processes", str(processes)]
        process = Popen(  # noqa: S603 - our own module, no shell
            [*command, "--exit-with-parent", "--ready-fd", "1"],
            stdin=PIPE,  # its end of file tells the child that we are gone, however we went
            stdout=PIPE,  # the ready pipe: one line, when it listens
            stderr=log,
            env=environment(**{_TOKEN_VARIABLE: token}),
            start_new_session=True,  # Ctrl-C is for the harness, which still needs the counts
        )
        if process.stdout is not None:
            os.set_blocking(process.stdout.fileno(), False)
        simulator = cls("", token, process, log)
        try:
            simulator._wait_until_ready()
        except BaseException:
            simulator.stop()
            raise
        return simulator

    @classmethod
    def attach(cls, url: str, fingerprint: str) -> SimulatorProcess:
        """Return a simulator that already runs at ``url``; its token is taken from ``BACKOFF_ADMIN_TOKEN``.

        Raises ``SimulatorError`` when it does not answer, does not know the token, or serves something else
        than the simulation with this ``fingerprint``.
        """
        simulator = cls(url.rstrip("/"), os.environ.get(_TOKEN_VARIABLE), None, None)
        simulator.counters()
        if simulator._call("GET", "/healthz").json()["simulation"] != fingerprint:
            raise SimulatorError(f"the simulator at {url} serves another scenario; start it with --scenario")
        return simulator

    def _wait_until_ready(self) -> None:
        give_up = time.monotonic() + _STARTUP_TIMEOUT_S
        while time.monotonic() < give_up:
            if (death := self.death()) is not None:
                # The simulator names its own option, which Locust's command line has under another name.
                under_locust = " (under locust: --simulator-port)" if "--port" in death else ""
                raise SimulatorError(death + under_locust)
            if url := self._told_url():
                self.url = url
                # Only our child knows our token, so another server on the port cannot pass for it.
                self.counters()
                return
            time.sleep(0.05)
        raise SimulatorError(
            f"the simulator did not answer within {_STARTUP_TIMEOUT_S:g} s: {self._last_words()}"
        )

    def _told_url(self) -> str | None:
        """Return the address that the child tells through its ready pipe; None until it has."""
        pipe = self._process.stdout if self._process is not None else None
        if pipe is None:
            return None
        with contextlib.suppress(BlockingIOError):
            self._told += os.read(pipe.fileno(), _MOST_LOG)
        line, ended, _ = self._told.partition(b"\n")
        if not ended:
            return None
        self._log_read = os.fstat(self._log.fileno()).st_size if self._log else 0
        pipe.close()
        url: str = json.loads(line)["url"]
        return url

    def death(self) -> str | None:
        """Why the process is gone, in one line, or None while it lives (or is not ours to watch)."""
        if self._process is None or self._process.poll() is None:
            return None
        status = self._process.returncode
        how = f"exit status {status}" if status >= 0 else f"killed by signal {-status}"
        return f"the simulator stopped ({how}): {self._last_words()}"

    def reset(self, starts_in: float) -> None:
        """Zero the counts and start the simulator's scenario clock ``starts_in`` seconds from now."""
        self._call("POST", "/admin/reset", json={"starts_in": starts_in})

    def counters(self) -> dict[str, Any]:
        """Its counts since the last reset: submissions, polls, replies, busy_seconds, cpu_seconds, ..."""
        counted: dict[str, Any] = self._call("GET", "/admin/counters").json()
        return counted

    def cpu(self) -> ProcessesMeter | None:
        """Return what measures its processes; None where somebody else started it, perhaps elsewhere."""
        if self._process is None:
            return None
        try:
            return ProcessesMeter(self._process.pid)
        except (OSError, psutil.Error):  # it has died, which is told elsewhere, or files have run out
            return None

    def _call(self, method: str, path: str, **kwargs: Any) -> requests.Response:
        try:
            reply = self._session.request(method, self.url + path, timeout=10, **kwargs)
        except requests.RequestException as error:
            raise SimulatorError(self.death() or f"no simulator answers at {self.url}") from error
        if reply.status_code == 401:
            raise SimulatorError(
                f"the simulator at {self.url} wants its token: start both with the same {_TOKEN_VARIABLE}"
            )
        if not reply.ok:
            raise SimulatorError(f"{method} {self.url}{path} was answered {reply.status_code}: no simulator?")
        return reply

    def _last_words(self) -> str:
        """Return the last line that the child wrote for people, but for what it said until it was ready."""
        if self._log is None:
            return "it said nothing"
        # The child writes through the same open file: reading must not move its position.
        written = os.pread(self._log.fileno(), _MOST_LOG, self._log_read).decode(errors="replace")
        lines = [line for line in written.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """Stop the process if it is ours; harmless when it is gone already."""
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_S)
            except TimeoutExpired:
                self._process.kill()
                self._process.wait()
