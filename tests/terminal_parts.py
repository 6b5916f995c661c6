"""`python -m harness new` at a terminal: a pseudo-terminal, answered question by question."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Terminal:
    """`python -m harness new` at a terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.end, other = pty.openpty()
        command = [sys.executable, "-m", "harness", "new", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=other,
            stdout=other,
            stderr=other,
            env=environment,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # so that Ctrl-C is a signal,
        )
        os.close(other)
        self.seen = ""

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, then type."""
        self.wait_for(question)
        self.type(text)

    def type(self, text: str) -> None:
        """Type, whatever was asked."""
        os.write(self.end, text.encode())

    def wait_for(self, text: str) -> None:
        """Read until this is there; what was before is forgotten."""
        until = time.monotonic() + 60
        while text not in self.seen:
            assert time.monotonic() < until, self.seen
            if select.select([self.end], [], [], 1)[0]:
                try:
                    self.seen += os.read(self.end, 4096).decode(errors="replace")
                except OSError:  # the other end is closed
                    break
        assert text in self.seen, self.seen
        self.seen = self.seen.partition(text)[2]


@contextmanager
def terminal(folder: Path, *arguments: str) -> Iterator[Terminal]:
    at = Terminal(folder, *arguments)
    try:
        yield at
    finally:
        at.process.kill()
        at.process.wait()
        os.close(at.end)
