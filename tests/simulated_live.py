"""The simulator and shipped pollers as a live run has them, each in a greenlet, under a clock that jumps.

Nothing of the twin's engines is in here: whoever waits sleeps, requests in service are looked at again and
again as ``Simulator.wait`` does, and clients that lose patience leave their requests behind.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from math import nan
from typing import Any, NamedTuple

from greenlet import getcurrent, greenlet

from client import Done, Failure, Poller, Wait
from scenarios import Scenario
from server import NoReply, Reply
from server._simulator import Simulator
from server._spoiling import dribble_s


class JobSeen(NamedTuple):
    """What became of one job. Times are seconds from the start."""

    key: int
    outcome: str
    polls: int
    wasted: int
    submitted_at: float
    detected_at: float
    lag: float


class Hub:
    """Greenlets in virtual time: first whoever wakes first, then whoever went to sleep first."""

    def __init__(self) -> None:
        self.now = 0.0
        self._main = getcurrent()
        self._sleepers: list[tuple[float, int, greenlet]] = []
        self._woken: dict[greenlet, int] = {}
        self._sequence = count()

    def spawn(self, at: float, work: Callable[[], Any]) -> greenlet:
        """Plan a greenlet."""
        return self._plan(at, greenlet(work))

    def sleep(self, seconds: float) -> None:
        """Sleep, or until somebody calls ``wake``."""
        self._plan(self.now + max(0.0, seconds), getcurrent())
        self._main.switch()

    def wake(self, sleeper: greenlet) -> None:
        """Wake a sleeper now."""
        self._plan(self.now, sleeper)

    def run(self) -> None:
        """Let everybody work until nobody has anything to do."""
        while self._sleepers:
            at, number, sleeper = heappop(self._sleepers)
            if self._woken[sleeper] == number and not sleeper.dead:
                self.now = at
                sleeper.switch()

    def _plan(self, at: float, sleeper: greenlet) -> greenlet:
        sleeper.parent = self._main  # whoever ends here hands over to the hub
        number = next(self._sequence)
        self._woken[sleeper] = number  # what was planned for it before is void
        heappush(self._sleepers, (at, number, sleeper))
        return sleeper


def live(scenario: Scenario, setting: str) -> list[JobSeen]:
    """Run one visit; return the jobs whose submission was answered in time, in the order of their keys."""
    hub = Hub()
    simulator = Simulator(
        scenario.simulation,
        clock=lambda: hub.now,
        wall_clock=lambda: hub.now,
        sleep=hub.sleep,
        secret=None,
    )
    policy, workload = scenario.settings[setting], scenario.workload
    seen: list[JobSeen] = []

    def job(key: int, lane: int) -> None:
        sent_at = hub.now
        job_id, _, accepted = simulator.submit(key)
        if accepted.at > sent_at + policy.request_timeout:
            hub.sleep(policy.request_timeout)
            return
        hub.sleep(accepted.at - hub.now)
        submitted_at = hub.now
        poller = Poller(policy, lambda n: scenario.jitter(key, n))
        command: Wait | Done = poller.start(submitted_at, accepted.hint)
        ago: float | None = None
        while isinstance(command, Wait):
            hub.sleep(command.until - hub.now)
            send = poller.wake(hub.now)
            reply = asked(job_id, lane, send.attempt, send.timeout)
            view = None if reply is None else reply.job
            if reply is None or reply.status_code is None:
                command = poller.fail(hub.now, Failure("transport"))
            elif view is not None:
                command = poller.reply(hub.now, view.status, reply.hint, view.progress)
                ago = view.finished_ago
            elif reply.status_code == 200:
                command = poller.fail(hub.now, Failure("malformed", 200), reply.hint)
            else:
                failure = Failure.http(reply.status_code, hinted=reply.hint is not None)
                command = poller.fail(hub.now, failure, reply.hint)
        found = ago is not None and command.outcome in ("completed", "error")
        detected_at, lag = (command.at, ago) if found else (nan, nan)
        assert lag is not None
        seen.append(
            JobSeen(key, command.outcome, command.attempts, command.wasted, submitted_at, detected_at, lag)
        )

    def asked(job_id: str, lane: int, attempt: int, patience: float) -> Reply | NoReply | None:
        """Ask for a status as a client does that hangs up when its patience ends."""
        client, heard = getcurrent(), list[Reply | NoReply]()

        def serve() -> None:
            _, _, answer = simulator.poll(job_id, attempt, str(lane))
            reply = simulator.wait(answer)
            hub.sleep(dribble_s(reply))
            if waits:
                heard.append(reply)
                hub.wake(client)

        waits = True
        hub.spawn(hub.now, serve)
        hub.sleep(patience)
        waits = False
        return heard[0] if heard else None

    def lane_of_jobs(lane: int) -> None:
        iteration = 0
        while not workload.is_over(hub.now, lane + iteration * workload.lanes):
            key = scenario.closed_key(0, lane, iteration)
            job(key, lane)
            hub.sleep(scenario.think_time(key))
            iteration += 1

    if workload.arrivals.is_open:
        for planned in scenario.planned(0):
            hub.spawn(planned.at, lambda planned=planned: job(planned.key, planned.lane))  # type: ignore[misc]
    else:
        for lane in range(workload.lanes):
            hub.spawn(0.0, lambda lane=lane: lane_of_jobs(lane))  # type: ignore[misc]
    hub.run()
    return sorted(seen)
