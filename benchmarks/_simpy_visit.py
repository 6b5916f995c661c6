"""The event engine's work written for SimPy, as its manual would: a process per job, a timeout per wait.

The client is the shipped Poller, the service the shipped Board; requests take no time on the wire. What it
counts is the least there is to count. Its differences from the project's engine are SimPy's event loop, and a
second event per poll: the reply is waited for in virtual time, as a process naturally does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import simpy

from client import Failure, Poller, PollingPolicy, Wait
from scenarios import Arrival, Scenario
from scenarios.draws import Stream, uniform
from server import Board


class SimpyVisit:
    """One open-loop visit."""

    def __init__(self, scenario: Scenario, setting: str) -> None:
        self.scenario = scenario
        self.policy: PollingPolicy = scenario.settings[setting]
        self.board = Board(scenario.simulation)
        self.environment = simpy.Environment()
        self.polls = 0
        self.outcomes: dict[str, int] = {}

    def run(self) -> int:
        """Run to the end; return how many polls were sent."""
        self.environment.process(self._arrivals())
        self.environment.run()
        return self.polls

    def _arrivals(self) -> Iterator[Any]:
        environment = self.environment
        for arrival in self.scenario.planned(0):
            yield environment.timeout(arrival.at - environment.now)
            environment.process(self._job(arrival))

    def _job(self, arrival: Arrival) -> Iterator[Any]:
        environment, seed, key = self.environment, self.scenario.seed, arrival.key
        ticket, accepted = self.board.submit(environment.now, key)
        yield environment.timeout(accepted.at - environment.now)
        poller = Poller(self.policy, lambda n: uniform(seed, Stream.JITTER, key, n))
        command = poller.start(environment.now)
        while isinstance(command, Wait):
            yield environment.timeout(max(0.0, command.until - environment.now))
            send = poller.wake(environment.now)
            reply = self.board.poll(environment.now, ticket, send.attempt)
            self.polls += 1
            yield environment.timeout(min(reply.at - environment.now, send.timeout))
            if reply.at > environment.now or reply.status_code is None:
                command = poller.fail(environment.now, Failure("transport"))
            elif reply.job is not None:
                command = poller.reply(environment.now, reply.job.status, reply.retry_after)
            else:
                command = poller.fail(environment.now, Failure.http(reply.status_code), reply.retry_after)
        self.outcomes[command.outcome] = self.outcomes.get(command.outcome, 0) + 1
