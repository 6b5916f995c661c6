"""Which signals end a process of a run, and what becomes of a terminal that is gone."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys
import gevent
from types import ModuleType, SimpleNamespace
sys.modules["locust"] = ModuleType("locust")  # what it takes a second to import for one name
sys.modules["locust.runners"] = SimpleNamespace(MasterRunner=type("MasterRunner", (), {}))
from harness.live._signals import stop_on_signals
for number in (signal.SIGHUP, signal.SIGINT):  # whatever the tests themselves run under
    signal.signal(number, signal.SIG_IGN if "ignored" in sys.argv else signal.SIG_DFL)
stopped = gevent.event.Event()
runner = SimpleNamespace(quit=stopped.set)
events = SimpleNamespace(quitting=SimpleNamespace(add_listener=lambda _: None))
options = SimpleNamespace(headless=True)
environment = SimpleNamespace(events=events, runner=runner, parsed_options=options, web_ui=None)
stop_on_signals(environment, lambda: print("left", flush=True))
print("ready", flush=True)
number = int(sys.argv[1])
os.kill(os.getpid(), number)
print("stopped" if stopped.wait(0.5) else "goes on", flush=True)
if "twice" in sys.argv:
    os.kill(os.getpid(), number)
    gevent.sleep(5)
"""


def said(*arguments: str, status: int = 0) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import gevent.event\n{SCRIPT}", *arguments],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout.split("\n")[1:-1]


@pytest.mark.parametrize(
    ("number", "ignored", "what"),
    [
        (signal.SIGHUP, (), "stopped"),
        (signal.SIGHUP, ("ignored",), "goes on"),
        (signal.SIGINT, ("ignored",), "stopped"),
        (signal.SIGQUIT, (), "stopped"),
    ],
)
def test_signals_stop_a_run_in_order(number: signal.Signals, ignored: tuple[str, ...], what: str) -> None:
    """A terminal that is closed as well, but under ``nohup``; in the background of a shell as well."""
    assert said(str(int(number)), *ignored) == [what]


def test_a_second_signal_ends_it_at_once() -> None:
    """After what must be said, with the status of interruptions."""
    assert said(str(int(signal.SIGTERM)), "twice", status=130) == ["stopped", "left"]
