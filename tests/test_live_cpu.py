"""What processes cost is measured as shares of a core, the busiest one's by the second."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from harness.live._cpu import ProcessesMeter

BURN = """
import time
def burn(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass
print(flush=True)
while input():
    burn(0.3)
    print(flush=True)
"""


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def burn(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_the_peak_is_the_busiest_processs_in_its_busiest_second() -> None:
    """Children count each by itself: two that share the work are each half as busy."""
    clock = Clock()
    with subprocess.Popen(
        [sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdout.readline()  # its own start is over
        meter = ProcessesMeter(os.getpid(), clock)
        burn(0.1)
        child.stdin.write("x\n")
        child.stdin.flush()
        child.stdout.readline()
        clock.now = 0.5
        meter.sample()
        assert meter.peak is None  # half a second is too little to tell
        clock.now = 1.0
        meter.sample()
        assert meter.peak == pytest.approx(0.3, abs=0.05)
        clock.now = 2.0
        meter.sample()
        assert meter.peak == pytest.approx(0.3, abs=0.05)  # a quiet second leaves it
        child.stdin.write("\n")
        child.stdin.flush()
        child.wait()
        clock.now = 3.0
        meter.sample()  # the child is gone, which is no error
    with pytest.raises(psutil.NoSuchProcess):
        ProcessesMeter(child.pid)
