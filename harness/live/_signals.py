"""How signals end a process of a run: in an orderly way at the first, at once at the second.

Python's own handler would raise KeyboardInterrupt in whichever greenlet happens to run, often in the middle
of a job, whose row would be lost; and a headless Locust heeds no SIGTERM before its test has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import gevent
from gevent.event import Event

from harness._refusal import INTERRUPTED

if TYPE_CHECKING:  # importing Locust patches the process
    from locust.env import Environment

    from harness.live._conductor import Conductor

_ENDING: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")  # by name: not every system has them all
_GRACE_S: Final = 2.0  # for what is to be done before the process ends at once


def stop_on_signals(environment: Environment, leave: Callable[[], object] = lambda: None) -> None:
    """Stop in an orderly way at the first signal that asks for it; at the second one, ``leave`` and end.

    Where SIGHUP is ignored it stays so: ``nohup`` has a run outlive its terminal. A shell has what it starts
    in the background ignore SIGINT, but that is for Ctrl-C of others, and this may be sent to it alone.
    """
    from locust.runners import MasterRunner

    received: list[int] = []
    main = gevent.getcurrent()
    stopper: list[Any] = []  # the greenlet that stops the run
    stopped = Event()

    def wait(**_: Any) -> None:
        # Of a page, Locust heeds SIGTERM too, and would end before the run is written.
        if stopper and gevent.getcurrent() not in stopper:
            stopped.wait()

    def stop(number: int) -> None:
        received.append(number)
        _let_go_of_a_closed_terminal()
        if len(received) > 1:
            gevent.spawn(leave).join(_GRACE_S)
            os._exit(INTERRUPTED)  # the simulator and the workers notice that this process is gone
        runner = environment.runner
        if environment.parsed_options.headless and isinstance(runner, MasterRunner):
            environment.process_exit_code = INTERRUPTED
        waiting = isinstance(runner, MasterRunner) and runner.state == "ready" and not runner.shape_greenlet
        conductor: Conductor | None = getattr(environment, "backoff_conductor", None)
        interrupted = conductor is not None and conductor.is_under_way
        stopper.append(gevent.getcurrent())
        try:
            runner.quit()
        finally:
            stopped.set()
        if interrupted:  # a run of the page, too, though its Stop button is no interrupt
            environment.process_exit_code = INTERRUPTED
        if waiting and environment.parsed_options.headless:
            # Locust's main greenlet would wait for its workers for ever.
            environment.events.quitting.fire(environment=environment, reverse=True)
            gevent.kill(main, SystemExit(INTERRUPTED))
        if environment.web_ui is not None:
            environment.web_ui.stop()

    environment.events.quitting.add_listener(wait)
    for name in _ENDING:
        number = getattr(signal, name, None)
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue
        gevent.signal_handler(number, stop, number)


def _let_go_of_a_closed_terminal() -> None:
    """Have what is still said go nowhere, where the terminal is gone: each write to it would fail."""
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, number)
                os.close(nowhere)
