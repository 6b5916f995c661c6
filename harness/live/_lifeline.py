"""A worker does not outlive what it works for: its parent, where it was forked, and its master.

Locust's workers wait a minute for a master that is gone, polling meanwhile. A parent that is gone shows in
the parent's process id, a master that is gone in the connection: the kernel closes it, however it went.
One that only says nothing (a long computation, a slow network) is waited for as Locust does.
"""

from __future__ import annotations

import logging
import os
from typing import Any, Final

import gevent

from harness._refusal import FAILED

logger = logging.getLogger("backoff")

_LOOK_S: Final = 0.5
_AWAY_S: Final = 2.0  # a connection that is back by then was lost on the way


def end_forks_with_this() -> None:
    """Have the processes that are forked from this one end when it is gone; call it before they are."""
    gevent.spawn(_watch_parent, os.getpid())


def _watch_parent(parent: int) -> None:
    """Watch in a fork of the process; the greenlet exists in both."""
    if os.getpid() == parent:
        return
    while os.getppid() == parent:
        gevent.sleep(_LOOK_S)
    os._exit(FAILED)  # its rows have nobody to go to, and waiting to send them would never end


def end_with_master(runner: Any) -> None:
    """Have this worker end when the connection to its master is gone, and does not come back."""
    gevent.spawn(_watch_master, runner)


def _watch_master(runner: Any) -> None:
    from zmq.constants import Event
    from zmq.utils.monitor import parse_monitor_message

    wanted = Event.DISCONNECTED | Event.HANDSHAKE_SUCCEEDED | Event.MONITOR_STOPPED
    while True:
        monitor = runner.client.socket.get_monitor_socket(wanted)
        event = None
        while event != Event.MONITOR_STOPPED:  # Locust has made another connection
            event = parse_monitor_message(monitor.recv_multipart())["event"]
            if event == Event.DISCONNECTED and not monitor.poll(_AWAY_S * 1000):
                logger.error("the master is gone; this worker ends")
                os._exit(FAILED)
        gevent.sleep(_LOOK_S)
