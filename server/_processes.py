"""Several processes that serve one simulator, for scenarios whose processes need to share nothing but counts.

Each has a listening socket of its own at the same port (SO_REUSEPORT): the kernel deals out the connections.
This process holds all of the sockets, so that none closes with its process, and puts another in the place of
one that was killed. A job's id holds all there is to know of it, hence no job is lost with a process.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Final

from flask import Flask

from server._serve import call_at_end, serve
from server._simulator import Simulator
from server._tally import Tally

_SIGNALS: Final = ("SIGINT", "SIGTERM", "SIGCHLD")
_STOP_S: Final = 2.0


def can_be_several() -> bool:
    """Say whether this system lets several processes listen at one port."""
    return hasattr(os, "fork") and hasattr(socket, "SO_REUSEPORT")


def serve_by_processes(
    app: Flask, listeners: Sequence[socket.socket], *, ready: Callable[[], None], exit_with_parent: bool
) -> int:
    """Serve ``app`` by a process for each listener until told to stop; return the exit status."""
    return _Supervisor(app, listeners).run(ready, exit_with_parent=exit_with_parent)


class _Supervisor:
    def __init__(self, app: Flask, listeners: Sequence[socket.socket]) -> None:
        self._app = app
        self._listeners = listeners
        simulator: Simulator = app.extensions["simulator"]
        self._tally = Tally(len(listeners), simulator.served)
        self._places: dict[int, int] = {}  # by the process's id
        self._lifeline = os.pipe()  # its end tells the processes that this one is gone, however it went

    def run(self, ready: Callable[[], None], *, exit_with_parent: bool) -> int:
        signals = {getattr(signal, name) for name in _SIGNALS}
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # they are waited for
        signal.signal(signal.SIGCHLD, lambda *_: None)  # where nobody handles it, it may not be kept
        if exit_with_parent:
            call_at_end(0, lambda: os.kill(os.getpid(), signal.SIGTERM))
        ready()  # before forking: whoever is told so waits for the end of the file that it came through
        for place in range(len(self._listeners)):
            self._fork(place)
        status: int | None = None
        while status is None:
            if signal.sigwait(signals) != signal.SIGCHLD:
                status = 0
            elif not self._replace_the_dead():
                status = 1
        self._stop()
        return status

    def _fork(self, place: int) -> None:
        pid = os.fork()
        if pid:
            self._places[pid] = place
            return
        status = 1
        try:
            os.setpgrp()  # Ctrl-C is for the first process
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.close(self._lifeline[1])
            for listener in self._listeners:
                if listener is not self._listeners[place]:
                    listener.close()
            self._app.extensions["simulator"].share(self._tally, place)
            serve(self._app, self._listeners[place], ready=lambda: None, ends_with=self._lifeline[0])
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)  # what the process before the fork had to clean up is not ours

    def _replace_the_dead(self) -> bool:
        """Fork again for each that was killed; return False where one has failed: it would again."""
        while self._places:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return True
            place = self._places.pop(pid)
            code = os.waitstatus_to_exitcode(status)
            if code > 0:
                _say(f"simulator: process {pid} ended with exit status {code}")
                return False
            self._fork(place)
            how = f"killed by signal {-code}" if code else "stopped"
            _say(f"simulator: process {pid} was {how}; another took its place")
        return True

    def _stop(self) -> None:
        for pid in self._places:
            os.kill(pid, signal.SIGTERM)
        killer = threading.Timer(_STOP_S, self._kill)
        killer.daemon = True
        killer.start()
        for pid in tuple(self._places):
            os.waitpid(pid, 0)
            del self._places[pid]
        killer.cancel()

    def _kill(self) -> None:
        for pid in tuple(self._places):
            os.kill(pid, signal.SIGKILL)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
