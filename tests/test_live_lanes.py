"""Lanes under a virtual clock: what they submit when, and the rows that they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
import requests
from gevent.event import Event
from virtual_scenarios import every, scenario

from client import PollingPolicy
from client.blocking import VideoTranslationClient
from harness.live import _cpu, _lanes
from harness.live._cpu import CpuMeter
from harness.live._lanes import LoadGenerator, VisitShare
from harness.live._messages import Message, Rows, ShareDone, StartVisit
from harness.measure import JobRow, PollRow
from scenarios import Scenario

STARTS_IN = 0.5


class Clock:
    """Time that passes only when somebody sleeps; good for one job at a time."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Session:
    """A service whose replies take 0.25 s; ``replies`` are the status replies, in order of the polls."""

    def __init__(self, clock: Clock, replies: Iterator[Any], accepts: Callable[[int], bool]) -> None:
        self._clock = clock
        self._replies = replies
        self._accepts = accepts

    def request(self, method: str, url: str, **how: Any) -> Any:
        self._clock.sleep(0.25)
        if method == "POST":
            key = how["json"]["key"]
            return self._reply(202 if self._accepts(key) else 503, f'{{"id": "job-{key}"}}', url)
        reply = next(self._replies)
        return reply() if callable(reply) else self._reply(*reply, url)

    def close(self) -> None:
        pass

    @staticmethod
    def _reply(code: int, body: str, url: str) -> Any:
        return SimpleNamespace(status_code=code, headers={}, content=body.encode(), url=url)


PENDING = (200, '{"status": "pending"}')
COMPLETED = (200, '{"status": "completed", "finished_ago": 0.75}')
BUSY = (503, "busy")


def broken() -> Any:
    raise requests.ConnectionError("reset")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_lanes, "time", SimpleNamespace(monotonic=clock.now))
    monkeypatch.setattr(_lanes, "gevent", SimpleNamespace(sleep=clock.sleep, spawn=gevent.spawn))
    return clock


Serve = Callable[..., None]


@pytest.fixture
def serve(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Have every client talk to a made-up service."""

    def serve(*replies: Any, accepts: Callable[[int], bool] = lambda _key: True) -> None:
        session = Session(clock, iter(replies), accepts)

        def client(host: str, policy: PollingPolicy, **_: Any) -> VideoTranslationClient:
            assert host == "http://service"
            return VideoTranslationClient(host, policy, session=session, clock=clock.now, sleep=clock.sleep)  # type: ignore[arg-type] # as much of a session as is used

        monkeypatch.setattr(_lanes, "VideoTranslationClient", client)

    return serve


def closed(jobs: int = 2, lanes: int = 1) -> Scenario:
    """Closed loops that think 2 s; polls every second."""
    arrivals = {"type": "closed", "think": "2s"}
    return scenario({"quick": every(1)}, arrivals=arrivals, lanes=lanes, jobs=jobs)


def start(lanes: list[int] | None = None) -> StartVisit:
    return StartVisit(
        visit=7, setting="quick", repeat=0, host="http://service", lanes=lanes or [0], starts_in=STARTS_IN
    )


def share_of(
    experiment: Scenario, lanes: list[int] | None = None
) -> tuple[VisitShare, list[tuple[str, float]]]:
    """A share, and what Locust is told of it: (method, milliseconds)."""
    told: list[tuple[str, float]] = []

    def on_request(**request: Any) -> None:
        assert (request["name"], request["exception"]) == ("quick", None)
        told.append((request["request_type"], request["response_time"]))

    return VisitShare(experiment, start(lanes), on_request), told


def test_a_job_leaves_one_row_and_one_for_each_poll(serve: Serve) -> None:
    """Times are seconds of the visit; the lag is the service's own, and fixes the finish."""
    serve(PENDING, COMPLETED)
    share, told = share_of(closed(jobs=1))
    share.run()
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
    assert told == [("POST", 250.0), ("GET", 250.0), ("GET", 250.0)]


def test_beats_on_the_clock_are_the_visits(serve: Serve) -> None:
    """Multiples count from the visit's beginning, whenever the job was submitted."""
    serve(PENDING, PENDING, COMPLETED)
    experiment = replace(closed(jobs=1), settings={"quick": every(2, anchor="clock")})
    share, _ = share_of(experiment)
    share.run()
    assert [poll.planned_at_s for poll in share.polls] == [2.0, 4.0, 6.0]


def test_failed_reads_are_polls_but_not_wasted_ones(serve: Serve) -> None:
    """A broken connection and a 503 have their responses in the rows; the job goes on."""
    serve(broken, BUSY, COMPLETED)
    share, _ = share_of(closed(jobs=1))
    share.run()
    (job,) = share.jobs
    assert (job.outcome, job.polls, job.wasted_polls) == ("completed", 3, 0)
    assert [poll.response for poll in share.polls] == ["transport_error", "503", "200"]


def test_a_job_whose_end_was_not_seen_has_no_finish(serve: Serve) -> None:
    """Its time is up: no finish, no lag, no latency."""
    serve(PENDING, PENDING)
    experiment = closed(jobs=1)
    experiment = replace(experiment, settings={"quick": every(1, deadline=2.0)})
    share, _ = share_of(experiment)
    share.run()
    (job,) = share.jobs
    assert (job.outcome, job.polls, job.wasted_polls) == ("timeout", 2, 2)
    assert (job.finished_at_s, job.detected_at_s) == (None, None)
    assert (job.detection_lag_s, job.completion_latency_s) == (None, None)


def test_a_closed_lane_plans_its_next_job_for_when_it_is_free(serve: Serve) -> None:
    """After the end of its job and the think time; then the workload is over."""
    serve(COMPLETED, PENDING, COMPLETED)
    share, _ = share_of(closed(jobs=2))
    share.run()
    first, second = share.jobs
    assert (first.planned_at_s, first.detected_at_s) == (0.0, 1.5)
    assert (second.planned_at_s, second.sent_at_s, second.key) == (3.5, 3.5, 1)
    assert share.ended_at == second.detected_at_s


def test_a_submission_that_is_not_taken_is_counted_and_leaves_no_row(serve: Serve) -> None:
    """The lane pauses a second, for a service that takes nothing is not to be hammered."""
    serve(COMPLETED, accepts=lambda key: key != 0)
    share, told = share_of(closed(jobs=2))
    share.run()
    assert share.failed_submissions == {"503": 1}
    assert [job.key for job in share.jobs] == [1]
    assert share.jobs[0].planned_at_s == 0.25 + 1.0 + 2.0
    assert told[0] == ("POST", 250.0)


def test_an_open_loop_submits_the_jobs_of_its_own_lanes(serve: Serve) -> None:
    """Lanes take turns; what another process's lanes submit is not ours."""
    serve(*[COMPLETED] * 6)
    experiment = scenario({"quick": every(1)}, arrivals={"type": "burst", "size": 6}, lanes=3, jobs=6)
    share, _ = share_of(experiment, lanes=[0, 2])
    share.run()
    assert [(job.key, job.lane) for job in share.jobs] == [(0, 0), (2, 2), (3, 0), (5, 2)]


def test_rows_are_taken_once(serve: Serve) -> None:
    """What was taken is gone; nothing new is no message."""
    serve(COMPLETED)
    share, _ = share_of(closed(jobs=1))
    assert share.take_rows() is None
    share.run()
    assert share.take_rows() is not None
    assert share.take_rows() is None


class Blocking:
    """A service that accepts jobs and never answers a poll."""

    def __init__(self) -> None:
        self.polled = Event()

    def request(self, method: str, url: str, **_: Any) -> Any:
        if method == "POST":
            return SimpleNamespace(status_code=202, headers={}, content=b'{"id": "x"}', url=url)
        self.polled.set()
        Event().wait()
        return None

    def close(self) -> None:
        pass


def test_aborting_censors_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The job keeps its row, the poll in flight has none, and the last word is that the share is done."""
    service = Blocking()
    monkeypatch.setattr(
        _lanes,
        "VideoTranslationClient",
        lambda host, policy, **_: VideoTranslationClient(host, policy, session=service),
    )
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
    assert (done.visit, done.failed_submissions) == (7, {})
    assert done.ended_at_s >= job.sent_at_s
    assert sum(isinstance(each, ShareDone) for each in sent) == 1


def test_cpu_use_is_a_share_of_one_core(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean is over the whole visit, the peak over intervals of 0.9 s at least."""
    used = iter([1.0, 1.3, 1.8, 1.8])
    times = SimpleNamespace(cpu_times=lambda: SimpleNamespace(user=next(used), system=0.5))
    monkeypatch.setattr(_cpu, "time", SimpleNamespace(monotonic=clock.now))
    monkeypatch.setattr(_cpu.psutil, "Process", lambda: times)
    meter = CpuMeter()
    clock.sleep(0.5)
    meter.sample()  # too short to say anything
    assert meter.peak == 0.0
    clock.sleep(0.5)
    meter.sample()
    assert meter.peak == pytest.approx(0.8)
    clock.sleep(1.0)
    assert meter.mean() == pytest.approx(0.4)
