"""The load-generating side: this process's share of each visit, carried by a pump.

Locust decides *where* lanes live (this process, forked or remote workers). A lane is a number, not a
greenlet: the jobs of all lanes are in one fleet. Raw rows leave this process about once a second.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import gevent

from harness.live._cpu import CpuMeter
from harness.live._files import most_connections
from harness.live._messages import Halted, Message, StartVisit
from harness.live._pump import Pump
from harness.live._share import RequestListener, VisitShare
from scenarios import Scenario

logger = logging.getLogger("backoff")

_FLUSH_INTERVAL_S: Final = 0.5

Send = Callable[[Message], None]


class Carried:
    """A share under way: its pump, and what it costs this process."""

    def __init__(self, share: VisitShare) -> None:
        self.share = share
        self.cpu = CpuMeter()
        self._pump = Pump(share.fleet, share.send, share.client.cause, time.monotonic)
        share.add = self._pump.add

    def run(self) -> None:
        """Submit every job of these lanes at its planned time and poll each to its end."""
        try:
            self._pump.run(self.share.arrivals())
        except Exception as fault:  # ours, or the scenario's: it would be the same for every job
            self.share.halt(f"the load generator failed: {fault!r}")
            raise
        finally:
            self.share.noted_end(time.monotonic())

    def stop(self) -> None:
        """Stop every job under way, and record each as censored."""
        self.share.close()
        self._pump.stop()
        self.share.noted_end(time.monotonic())


class LoadGenerator:
    """Run this process's share of each visit; one per Locust process that has lanes."""

    def __init__(
        self,
        scenario: Scenario,
        send: Send,
        on_request: RequestListener,
        allowed_hosts: frozenset[str] = frozenset(),
    ) -> None:
        self._scenario = scenario
        self._send = send
        self._on_request = on_request
        self._allowed_hosts = allowed_hosts
        self._under_way: Carried | None = None
        self._halted = 0  # the last visit that was

    def start(self, start: StartVisit) -> None:
        """Begin a visit with these lanes."""
        try:
            share = VisitShare(
                self._scenario,
                start,
                self._on_request,
                origin=time.monotonic() + start.starts_in,
                clock=time.monotonic,
                halt=partial(self._halt, start.visit),
                connections=most_connections(),
                allowed_hosts=self._allowed_hosts,
            )
            self._under_way = carried = Carried(share)
        except Exception as fault:
            self._confess(start.visit, fault)
            return
        gevent.spawn(self._report, carried, gevent.spawn(carried.run))

    def _report(self, carried: Carried, running: Any) -> None:
        try:
            while self._under_way is carried and not running.ready():
                running.join(_FLUSH_INTERVAL_S)
                self._flush(carried)
                carried.cpu.sample()
        except Exception as fault:
            self._halt(carried.share.start.visit, f"the load generator failed: {fault!r}")
        else:
            self._finish(carried)

    def _flush(self, carried: Carried) -> None:
        if (rows := carried.share.take_rows()) is not None:
            self._send(rows)

    def _finish(self, carried: Carried, *, cut_short: bool = False) -> None:
        if self._under_way is not carried:
            return
        self._under_way = None
        try:
            self._flush(carried)
            summary = carried.share.summary(carried.cpu.mean(), carried.cpu.peak)
            self._send(summary.model_copy(update={"cut_short": cut_short}))
            carried.share.client.close()
        except Exception as fault:
            self._confess(carried.share.start.visit, fault)

    def _confess(self, visit: int, fault: Exception) -> None:
        """Tell that this process can do nothing more for a visit: nobody must wait for its last word."""
        logger.error("the load generator failed", exc_info=fault)
        self._send(Halted(visit=visit, reason=f"the load generator failed: {fault!r}"))

    def _halt(self, visit: int, reason: str) -> None:
        """End a visit of which nothing more can come, and say why, once."""
        carried = self._under_way
        if carried is None or carried.share.start.visit != visit or self._halted == visit:
            return
        self._halted = visit
        carried.share.close()
        self._send(Halted(visit=visit, reason=reason))
        gevent.spawn(self.abort)  # not here: it is the visit's own greenlet that has found out

    def abort(self) -> None:
        """Stop every job under way, record each as censored, and send what is left."""
        if (carried := self._under_way) is not None:
            carried.stop()
            self._finish(carried, cut_short=True)
