"""Lanes under a virtual clock: what they submit when, and the rows that they leave."""

from __future__ import annotations

import errno
import math
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from gevent.event import Event
from virtual_scenarios import every, scenario

from client import NATIVE, Backoff, PollingPolicy, Request, Response
from harness.live import _cpu, _share
from harness.live._cpu import CpuMeter
from harness.live._lanes import LoadGenerator
from harness.live._messages import Halted, Message, Rows, ShareDone, StartVisit
from harness.live._share import VisitShare
from harness.live._transport import LeanClient
from harness.measure import JobRow, PollRow
from scenarios import Scenario

STARTS_IN = 0.5


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


Reply = tuple[int, str] | Exception
PENDING = (200, '{"status": "pending"}')
COMPLETED = (200, '{"status": "completed", "finished_ago": 0.75}')
BUSY = (503, "busy")


class Service(LeanClient):
    """A service whose replies take 0.25 s; ``replies`` are those to polls, in the order of the polls."""

    def __init__(self, clock: Clock, replies: Sequence[Reply], accepts: Callable[[int], bool]) -> None:
        super().__init__("http://service", PollingPolicy(Backoff("constant", 1)), dialect=NATIVE, ca=None)
        self._time = clock
        self._replies = iter(replies)
        self._accepts = accepts
        self.lanes: list[str] = []

    def exchange(self, request: Request, timeout: float) -> Response:  # noqa: ARG002 - it has time
        self._time.sleep(0.25)
        self.lanes.append(request.headers["Backoff-Client"])
        if request.method == "POST":
            assert isinstance(request.json, dict)
            key = request.json["key"]
            return Response(202 if self._accepts(key) else 503, body=f'{{"id": "job-{key}"}}'.encode())
        reply = next(self._replies)
        if isinstance(reply, Exception):
            raise reply
        return Response(reply[0], body=reply[1].encode())


@pytest.fixture
def clock() -> Clock:
    return Clock()


Play = Callable[..., "Played"]


class Played(NamedTuple):
    """A share that was carried to its end, and what Locust was told: (method, milliseconds, fault)."""

    share: VisitShare
    told: list[tuple[str, float, str | None]]
    service: Service


@pytest.fixture
def play(clock: Clock) -> Play:
    """Have one process's lanes carried to their ends, one request at a time, under the clock."""

    def play(
        experiment: Scenario,
        *replies: Reply,
        lanes: Sequence[int] = (0,),
        accepts: Callable[[int], bool] = lambda _key: True,
    ) -> Played:
        told: list[tuple[str, float, str | None]] = []

        def on_request(**request: Any) -> None:
            assert request["name"] == "quick"
            fault = request["exception"] and str(request["exception"])
            told.append((request["request_type"], request["response_time"], fault))

        share = VisitShare(
            experiment,
            start(list(lanes)),
            on_request,
            origin=clock.now() + STARTS_IN,
            clock=clock.now,
            halt=pytest.fail,
            connections=10,
        )
        service = share.client = Service(clock, replies, accepts)
        coming = list(share.arrivals())
        while coming or share.fleet:
            clock.time = max(clock.time, min(share.fleet.next_at, coming[0].at if coming else math.inf))
            while coming and coming[0].at <= clock.time:
                coming.pop(0).join()
            for order in share.fleet.due(clock.time, 1):
                try:
                    response = share.send(order)
                except OSError as error:
                    share.fleet.broke(order, clock.now(), str(error))
                else:
                    share.fleet.replied(order, clock.now(), response)
        share.noted_end(clock.now())
        return Played(share, told, service)

    return play


def closed(jobs: int = 2, lanes: int = 1) -> Scenario:
    """Closed loops that think 2 s; polls every second."""
    arrivals = {"type": "closed", "think": "2s"}
    return scenario({"quick": every(1)}, arrivals=arrivals, lanes=lanes, jobs=jobs)


def start(lanes: list[int] | None = None) -> StartVisit:
    return StartVisit(
        visit=7, setting="quick", repeat=0, host="http://service", lanes=lanes or [0], starts_in=STARTS_IN
    )


def test_a_job_leaves_one_row_and_one_for_each_poll(play: Play) -> None:
    """Times are seconds of the visit; the lag is the service's own, and fixes the finish."""
    share, told, service = play(closed(jobs=1), PENDING, COMPLETED)
    rows = share.take_rows()
    assert rows is not None
    assert rows.jobs == [
        JobRow(
            setting="quick",
            repeat=0,
            key=0,
            lane=0,
            planned_at_s=0.0,
            submitted_at_s=0.25,
            finished_at_s=2.0,
            detected_at_s=2.75,
            duration_s=4.0,
            outcome="completed",
            polls=2,
            wasted_polls=1,
            detection_lag_s=0.75,
            completion_latency_s=2.75,
            sent_at_s=0.0,
        )
    ]
    assert rows.polls == [
        PollRow("quick", 0, 0, 1, 1.25, 1.25, 0.25, "200", "pending"),
        PollRow("quick", 0, 0, 2, 2.5, 2.5, 0.25, "200", "completed"),
    ]
    assert (rows.visit, rows.submitted) == (7, 1)
    assert told == [
        ("POST", 250.0, None),
        ("GET", 250.0, None),
        ("GET", 250.0, None),
        ("JOB", 2750.0, None),
    ]
    assert service.lanes == ["0"] * 3


def test_beats_on_the_clock_are_the_visits(play: Play) -> None:
    """Multiples count from the visit's beginning, whenever the job was submitted."""
    experiment = replace(closed(jobs=1), settings={"quick": every(2, anchor="clock")})
    share = play(experiment, PENDING, PENDING, COMPLETED).share
    assert [poll.planned_at_s for poll in share.polls] == [2.0, 4.0, 6.0]


def test_failed_reads_are_polls_but_not_wasted_ones(play: Play) -> None:
    """A broken connection and a 503 have their responses in the rows; the job goes on."""
    share = play(closed(jobs=1), ConnectionResetError("reset"), BUSY, COMPLETED).share
    (job,) = share.jobs
    assert (job.outcome, job.polls, job.wasted_polls) == ("completed", 3, 0)
    assert [poll.response for poll in share.polls] == ["transport_error", "503", "200"]


def test_a_job_whose_end_was_not_seen_has_no_finish(play: Play) -> None:
    """Its time is up: no finish, no lag, no latency; Locust is told that the job is lost."""
    experiment = replace(closed(jobs=1), settings={"quick": every(1, deadline=2.0)})
    share, told, _ = play(experiment, PENDING, PENDING)
    assert told[-1] == ("JOB", 2500.0, "timeout")
    (job,) = share.jobs
    assert (job.outcome, job.polls, job.wasted_polls) == ("timeout", 2, 2)
    assert (job.finished_at_s, job.detected_at_s) == (None, None)
    assert (job.detection_lag_s, job.completion_latency_s) == (None, None)


def test_a_closed_lane_plans_its_next_job_for_when_it_is_free(play: Play) -> None:
    """After the end of its job and the think time; then the workload is over."""
    share = play(closed(jobs=2), COMPLETED, PENDING, COMPLETED).share
    first, second = share.jobs
    assert (first.planned_at_s, first.detected_at_s) == (0.0, 1.5)
    assert (second.planned_at_s, second.sent_at_s, second.key) == (3.5, 3.5, 1)
    assert share.ended_at == second.detected_at_s


def test_a_submission_that_is_not_taken_is_counted_and_leaves_no_row(play: Play) -> None:
    """The lane pauses a second, for a service that takes nothing is not to be hammered."""
    share, told, _ = play(closed(jobs=2), COMPLETED, accepts=lambda key: key != 0)
    assert share.failed_submissions == {"503": 1}
    assert [job.key for job in share.jobs] == [1]
    assert [job.planned_at_s for job in share.jobs] == [0.25 + 1.0 + 2.0]
    assert [method for method, *_ in told] == ["POST", "GET", "JOB"]


def test_an_open_loop_submits_the_jobs_of_its_own_lanes(play: Play) -> None:
    """Lanes take turns; what another process's lanes submit is not ours."""
    experiment = scenario({"quick": every(1)}, arrivals={"type": "burst", "size": 6}, lanes=3, jobs=6)
    share, _, service = play(experiment, *[COMPLETED] * 6, lanes=[0, 2])
    assert set(service.lanes) == {"0", "2"}
    assert [(job.key, job.lane) for job in share.jobs] == [(0, 0), (2, 2), (3, 0), (5, 2)]


def test_rows_are_taken_once(play: Play) -> None:
    """What was taken is gone; nothing new is no message."""
    share = play(closed(jobs=1), COMPLETED).share
    assert share.take_rows() is not None
    assert share.take_rows() is None


def test_a_job_in_flight_costs_less_than_a_kilobyte_and_a_half(clock: Clock) -> None:
    """All in: its machine, its conversation, its place in the fleet."""
    jobs = 2000
    experiment = scenario({"quick": every(1)}, arrivals={"type": "burst", "size": jobs}, lanes=500, jobs=jobs)
    share = VisitShare(
        experiment,
        start(list(range(500))),
        lambda **_: None,
        origin=clock.now(),
        clock=clock.now,
        halt=pytest.fail,
        connections=jobs,
    )
    arrivals = list(share.arrivals())
    tracemalloc.start()
    try:
        for arrival in arrivals:
            arrival.join()
        for order in share.fleet.due(clock.now()):
            share.fleet.replied(order, clock.now(), Response(202, body=b'{"id": "job-%d"}' % order.number))
        room = tracemalloc.get_traced_memory()[0] / jobs
    finally:
        tracemalloc.stop()
    assert len(share.fleet) == jobs
    assert room < 1500


class Blocking(LeanClient):
    """A service that accepts jobs and never answers a poll."""

    def __init__(self) -> None:
        super().__init__("http://service", PollingPolicy(Backoff("constant", 1)), dialect=NATIVE, ca=None)
        self.polled = Event()

    def exchange(self, request: Request, timeout: float) -> Response:  # noqa: ARG002 - it has time
        if request.method == "POST":
            return Response(202, body=b'{"id": "x"}')
        self.polled.set()
        Event().wait()
        raise AssertionError("it is killed")


def test_aborting_censors_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job keeps its row, the poll in flight has none, and the last word is that the share is done."""
    service = Blocking()
    monkeypatch.setattr(_share, "CLIENTS", {"lean": lambda *_, **__: service})
    experiment = scenario({"quick": every(1, first_poll="immediately")}, lanes=1, jobs=1)
    sent: list[Message] = []
    generator = LoadGenerator(experiment, sent.append, lambda **_: None)
    generator.start(start().model_copy(update={"starts_in": 0.0}))
    assert service.polled.wait(10)
    generator.abort()
    generator.abort()  # nothing is under way any more
    rows, done = [each for each in sent if isinstance(each, Rows)], sent[-1]
    (job,) = [job for each in rows for job in each.jobs]
    assert (job.outcome, job.polls, job.wasted_polls) == ("censored", 0, 0)
    assert (job.finished_at_s, job.detected_at_s, job.detection_lag_s) == (None, None, None)
    assert sum(each.submitted for each in rows) == 1
    assert [poll for each in rows for poll in each.polls] == []
    assert isinstance(done, ShareDone)
    assert (done.visit, done.failed_submissions, done.cut_short) == (7, {}, True)
    assert done.ended_at_s >= job.sent_at_s
    assert sum(isinstance(each, ShareDone) for each in sent) == 1


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (CpuMeter, "__init__"),
        (CpuMeter, "sample"),
        (CpuMeter, "mean"),
        (VisitShare, "__init__"),
        (VisitShare, "arrivals"),
        (VisitShare, "polled"),
        (VisitShare, "take_rows"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_whatever_fails_in_a_process_ends_its_visit(
    owner: type, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No file can be opened any more, say: the conductor is told why, and waits for nothing."""
    service = Service(Clock(), [PENDING] * 9, lambda _key: True)
    monkeypatch.setattr(_share, "CLIENTS", {"lean": lambda *_, **__: service})

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(owner, name, fail)
    told, sent = Event(), list[Message]()

    def send(message: Message) -> None:
        sent.append(message)
        if isinstance(message, Halted):
            told.set()

    experiment = scenario({"quick": every(1, first_poll="immediately")}, lanes=1, jobs=1)
    generator = LoadGenerator(experiment, send, lambda **_: None)
    generator.start(start().model_copy(update={"starts_in": 0.0}))
    if name == "mean":
        generator.abort()
    assert told.wait(20)
    (halted,) = [each for each in sent if isinstance(each, Halted)][:1]
    assert halted.visit == 7
    assert "Too many open files" in halted.reason


def test_cpu_use_is_a_share_of_one_core(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean is over the whole visit, the peak over intervals of 0.9 s at least."""
    used = iter([1.0, 1.3, 1.8, 1.8])
    times = SimpleNamespace(monotonic=clock.now, process_time=lambda: next(used))
    monkeypatch.setattr(_cpu, "time", times)
    meter = CpuMeter()
    clock.sleep(0.5)
    meter.sample()  # too short to say anything
    assert meter.peak == 0.0
    clock.sleep(0.5)
    meter.sample()
    assert meter.peak == pytest.approx(0.8)
    clock.sleep(1.0)
    assert meter.mean() == pytest.approx(0.4)
