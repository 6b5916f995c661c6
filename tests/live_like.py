"""Runs that look like live ones, made in virtual time: the shipped client and service, and a machine between.

The machine is late, takes its time with every request and can be made to fail. Its figures when it is well
are those of a live run over loopback (545 jobs, 2,419 polls): polls late by 0.66 ms (median), round trips
3.7 ms longer than the service's delay (median), with log-normal spreads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from heapq import heappop, heappush
from itertools import count
from math import inf
from pathlib import Path

import numpy as np
import polars as pl

from client import Done, Failure, Poller, Send, Wait
from harness.measure import (
    JobRow,
    PollRow,
    Run,
    RunInfo,
    ScenarioInfo,
    ServerCounts,
    Visit,
    job_frame,
    poll_aggregates,
    poll_frame,
    response_name,
)
from harness.virtual import with_way_back
from scenarios import Scenario, load_scenario
from server import Board, InService, NoReply, Reply, Ticket

Seconds = Callable[[float, np.random.Generator], float]


def _none(_at: float, _rng: np.random.Generator) -> float:
    return 0.0


@dataclass(frozen=True)
class Machine:
    """What lies between client and service; ``speed`` 2 is twice as slow.

    ``late``, ``out`` and ``back`` add seconds to the moment of sending, the way to the service and the way
    back; a ``stall`` is (start, length): whatever reaches or leaves the service in it does so at its end.
    """

    speed: float = 1.0
    late: Seconds = _none
    out: Seconds = _none
    back: Seconds = _none
    stall: tuple[float, float] | None = None

    def handled(self, at: float) -> float:
        """When the service does what it would do at this time."""
        start, length = self.stall or (0.0, 0.0)
        return start + length if start <= at < start + length else at


WELL = Machine()


@dataclass
class LiveLike:
    """A run with rows as a live one has them; corrupt what you like, then ``run`` it."""

    scenario: Scenario
    jobs: pl.DataFrame
    polls: pl.DataFrame
    visits: list[Visit]

    @property
    def run(self) -> Run:
        """The records as ``analyse`` takes them."""
        info = RunInfo(
            engine="live",
            seed=self.scenario.seed,
            started_at="2026-01-02T03:04:05+00:00",
            environment={},
            scenario=ScenarioInfo(self.scenario.name, self.scenario.text, self.scenario.question),
            settings={name: policy.describe() for name, policy in self.scenario.settings.items()},
            baseline=self.scenario.baseline,
            objectives=dict(self.scenario.objectives),
        )
        rows = [PollRow(*row) for row in self.polls.iter_rows()]
        return Run(info, tuple(self.visits), self.jobs, poll_aggregates(rows))


def scenario_of(folder: Path, text: str, seed: int) -> Scenario:
    """Read a scenario's text, with another seed."""
    path = folder / "live-like.yaml"
    path.write_text(text)
    return replace(load_scenario(path), seed=seed)


def live_like(
    scenario: Scenario, seed: int, machine_of: Callable[[str], Machine] = lambda _: WELL
) -> LiveLike:
    """Play a scenario on a machine for each setting; ``seed`` is that of the machine's noise."""
    jobs: list[JobRow] = []
    polls: list[PollRow] = []
    visits: list[Visit] = []
    for plan in scenario.visits():
        rng = np.random.default_rng([seed, plan.index])
        visit = _Visit(scenario, plan.setting, plan.repeat, machine_of(plan.setting), rng)
        visit.play()
        jobs += visit.jobs
        polls += visit.polls
        counters = visit.board.counters()
        ended = max(row.sent_at_s + (row.latency_s or 0.0) for row in visit.polls)
        visits.append(
            Visit(
                plan.setting,
                plan.repeat,
                plan.index,
                duration_s=ended,
                submit_window_s=max(row.planned_at_s for row in visit.jobs),
                lanes=scenario.workload.lanes,
                planned_jobs=counters.submissions,
                generator_cpu=(0.1,),
                generator_cpu_peak=0.2,
                server=ServerCounts(counters.submissions, counters.polls, counters.replies, 0.05 * ended),
            )
        )
    rows = poll_frame(polls)
    return LiveLike(scenario, with_way_back(scenario, job_frame(jobs), rows), rows, visits)


class _Visit:
    """One visit: an event is a request that is sent, or one that reaches the service."""

    def __init__(
        self, scenario: Scenario, setting: str, repeat: int, machine: Machine, rng: np.random.Generator
    ) -> None:
        self.scenario, self.setting, self.repeat = scenario, setting, repeat
        self.policy = scenario.settings[setting]
        self.machine, self.rng = machine, rng
        self.board = Board(scenario.simulation)
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.in_service: dict[InService, Callable[[Reply | NoReply | None], None]] = {}
        self.sequence = count()
        self.iterations = [0] * scenario.workload.lanes
        self.jobs: list[JobRow] = []
        self.polls: list[PollRow] = []

    def play(self) -> None:
        if self.scenario.workload.arrivals.is_open:
            for key, lane, at in self.scenario.planned(self.repeat):
                self._send_later(at, lambda now, k=key, n=lane, a=at: self._submit(k, n, a, now))  # type: ignore[misc]
        else:
            for lane in range(self.scenario.workload.lanes):
                self._plan_closed(lane, 0.0)
        now = 0.0
        while self.events or self.in_service:
            served_at = self.board.next_departure
            if self.events and self.events[0][0] < served_at:
                at, _, act = heappop(self.events)
                now = max(now, at)
                act(now)
            else:
                now = max(now, served_at)
                for request in self.board.departures(now):
                    if request in self.in_service:
                        self.in_service.pop(request)(request.reply)

    def _spread(self, median_s: float) -> float:
        return self.machine.speed * median_s * float(np.exp(0.4 * self.rng.standard_normal()))

    def _at(self, at: float, act: Callable[[float], None]) -> None:
        heappush(self.events, (at, next(self.sequence), act))

    def _send_later(self, due: float, act: Callable[[float], None]) -> None:
        self._at(due + self._spread(0.00066) + self.machine.late(due, self.rng), act)

    def _out(self, sent: float) -> float:
        return self.machine.handled(sent + self._spread(0.0016) + self.machine.out(sent, self.rng))

    def _back(self, left: float) -> float:
        return left + self._spread(0.0021) + self.machine.back(left, self.rng)

    def _plan_closed(self, lane: int, at: float) -> None:
        workload, iteration = self.scenario.workload, self.iterations[lane]
        if not workload.is_over(at, lane + iteration * workload.lanes):
            self.iterations[lane] += 1
            key = self.scenario.closed_key(self.repeat, lane, iteration)
            self._send_later(at, lambda now: self._submit(key, lane, at, now))

    def _submit(self, key: int, lane: int, planned: float, sent: float) -> None:
        def taken(now: float) -> None:
            ticket, reply = self.board.submit(now, key)
            heard = self._back(self.machine.handled(reply.at))
            poller = Poller(self.policy, lambda n: self.scenario.jitter(key, n))
            self._wait(_Job(key, lane, planned, sent, heard, ticket, poller), poller.start(heard, reply.hint))

        self._at(self._out(sent), taken)

    def _wait(self, job: _Job, command: Wait) -> None:
        self._send_later(command.until, lambda now: self._poll(job, command.until, now))

    def _poll(self, job: _Job, planned: float, sent: float) -> None:
        send = job.poller.wake(sent)

        def taken(now: float) -> None:
            reply = self.board.poll(now, job.ticket, send.attempt, job.lane)
            if isinstance(reply, InService):  # nobody knows when it will be served, but when patience ends
                self.in_service[reply] = partial(self._hear, job, planned, sent, send)
                self._at(sent + send.timeout, lambda _: give_up(reply))
            else:
                self._hear(job, planned, sent, send, reply)

        def give_up(request: InService) -> None:
            if request in self.in_service:
                self.in_service.pop(request)(None)

        self._at(self._out(sent), taken)

    def _hear(
        self, job: _Job, planned: float, sent: float, send: Send, reply: Reply | NoReply | None
    ) -> None:
        until, state, view = sent + send.timeout, "failed", None
        left = inf if reply is None else self.machine.handled(reply.at)
        heard = min(self._back(left), until)
        code = None if reply is None or heard == until else reply.status_code
        command: Wait | Done
        if reply is None or heard == until:
            command = job.poller.fail(heard, Failure("transport", detail="no reply in time"))
        elif (view := reply.job) is not None:
            state = view.status
            command = job.poller.reply(heard, view.status, reply.hint, view.progress)
        elif code is None:
            command = job.poller.fail(heard, Failure("transport", detail="reset"))
        else:
            command = job.poller.fail(heard, Failure.http(code, hinted=reply.hint is not None), reply.hint)
        self.polls.append(
            PollRow(
                self.setting,
                self.repeat,
                job.key,
                send.attempt,
                planned,
                sent,
                heard - sent,
                response_name(code),
                state,
            )
        )
        if isinstance(command, Wait):
            self._wait(job, command)
        else:
            ago = None
            if reply is not None and view is not None and view.finished_ago is not None:
                ago = view.finished_ago + left - reply.at
            self._end(job, command, ago)

    def _end(self, job: _Job, done: Done, ago: float | None) -> None:
        at = None if ago is None else done.at
        self.jobs.append(
            JobRow(
                setting=self.setting,
                repeat=self.repeat,
                key=job.key,
                lane=job.lane,
                planned_at_s=job.planned,
                submitted_at_s=job.submitted,
                finished_at_s=None if at is None or ago is None else at - ago,
                detected_at_s=at,
                duration_s=self.scenario.duration(job.key),
                outcome=done.outcome,
                polls=done.attempts,
                wasted_polls=done.wasted,
                detection_lag_s=ago,
                completion_latency_s=None if at is None else at - job.planned,
                sent_at_s=job.sent,
            )
        )
        if not self.scenario.workload.arrivals.is_open:
            self._plan_closed(job.lane, done.at + self.scenario.think_time(job.key))


@dataclass(frozen=True)
class _Job:
    key: int
    lane: int
    planned: float
    sent: float
    submitted: float
    ticket: Ticket
    poller: Poller
