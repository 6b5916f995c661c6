"""The pump: a fleet driven over gevent. What sends is a function here, which sleeps instead of a network."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import gevent
import pytest

from client import (
    Attempt,
    Backoff,
    Budget,
    Cause,
    Conversation,
    Fleet,
    JobRef,
    Order,
    PollingPolicy,
    Response,
)
from harness.live._pump import Arrival, Pump

PENDING = Response(200, body=b'{"status": "pending"}')
COMPLETED = Response(200, body=b'{"status": "completed"}')
POLICY = PollingPolicy(Backoff("constant", 0.02))
ROOM = 5.0  # seconds that a busy machine may be late


@dataclass
class Service:
    """Answers each job's third poll with its end, ``takes`` seconds after it was asked."""

    takes: float = 0.005
    breaks: int = 0  # this many of the first requests
    asked: list[str] = field(default_factory=list)
    at_once: int = 0
    most_at_once: int = 0

    def send(self, order: Order) -> Response:
        request = order.send
        self.asked.append(request.request.path)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            gevent.sleep(self.takes)
        finally:
            self.at_once -= 1
        if len(self.asked) <= self.breaks:
            raise ConnectionResetError("gone")
        return PENDING if request.attempt < 3 else COMPLETED


def explained(error: OSError) -> Cause:
    return Cause(f"{type(error).__name__}: {error}")


def talk(number: int, told: Callable[[Attempt], None] = lambda _attempt: None) -> Conversation:
    return Conversation(
        JobRef(str(number)), POLICY, lambda _n: 0.5, started_at=time.monotonic(), on_attempt=(told,)
    )


def pump(service: Service, fleet: Fleet | None = None) -> Pump:
    return Pump(Fleet() if fleet is None else fleet, service.send, explained, time.monotonic)


def test_every_job_is_carried_to_its_end() -> None:
    """Two hundred jobs, three polls each, none before its time."""
    service, told = Service(), list[Attempt]()
    talks = [talk(number, told.append) for number in range(200)]
    driver = pump(service)
    for each in talks:
        driver.add(each)
    driver.run()
    assert {each.result.outcome for each in talks if each.result} == {"completed"}
    assert len(service.asked) == len(told) == 600
    assert all(attempt.sent_at >= attempt.planned_at for attempt in told)


def test_a_greenlet_is_needed_for_each_request_in_flight_and_no_more() -> None:
    """A budget of ten at once: ten greenlets carry five hundred jobs."""
    service = Service()
    driver = pump(service, Fleet(Budget(in_flight=10)))
    for number in range(500):
        driver.add(talk(number))
    carriers: set[gevent.Greenlet] = set()
    send = service.send

    def counted(order: Order) -> Response:
        carriers.add(gevent.getcurrent())
        return send(order)

    driver._send = counted
    driver.run()
    assert service.most_at_once == 10
    assert len(carriers) <= 20  # one that is about to look for more work may overlap with one that starts


def test_what_is_due_at_once_does_not_open_a_connection_each() -> None:
    """Replies that have come go first, and who reads one carries what is due: the rest waits in the fleet."""
    service = Service(takes=1e-9)  # there when the loop next looks
    driver = pump(service)
    for number in range(1000):
        driver.add(talk(number))
    driver.run()
    assert len(service.asked) == 3000
    assert service.most_at_once < 300  # of a thousand


def test_a_broken_request_is_told_to_its_job() -> None:
    """Its error budget decides; the pump goes on."""
    service, told = Service(breaks=1), list[Attempt]()
    policy = PollingPolicy(Backoff("constant", 0.01), errors=POLICY.errors)
    one = Conversation(
        JobRef("1"), policy, lambda _n: 0.0, started_at=time.monotonic(), on_attempt=(told.append,)
    )
    driver = pump(service)
    driver.add(one)
    driver.run()
    assert [attempt.failure for attempt in told] == ["transport (ConnectionResetError: gone)", None, None]


def test_arrivals_are_made_when_their_time_has_come_near() -> None:
    """A plan of any length costs what is under way, and no job is late for being made late."""
    service, made, told = Service(takes=0.0), list[float](), list[Attempt]()
    driver, start = pump(service), time.monotonic()

    def arrival(number: int) -> Arrival:
        at = start + 0.2 + 0.7 * number

        def join() -> None:
            made.append(time.monotonic() - at)
            driver.add(
                Conversation(
                    JobRef(str(number)), POLICY, lambda _n: 0.0, started_at=at, on_attempt=(told.append,)
                )
            )

        return Arrival(at, join)

    driver.run(arrival(number) for number in range(4))
    assert len(told) == 12
    assert all(-1.1 <= early < 0 for early in made)
    assert made[3] == pytest.approx(-1.0, abs=0.2)


def test_jobs_may_be_added_by_the_end_of_others() -> None:
    """As a closed loop does: the run goes on until nobody adds any more."""
    service, ends = Service(), list[int]()
    driver = pump(service)

    def follow(number: int) -> Callable[[Attempt], None]:
        def told(attempt: Attempt) -> None:
            if attempt.status == "completed":
                ends.append(number)
                if number < 4:
                    driver.add(talk(number + 1, follow(number + 1)))

        return told

    driver.add(talk(0, follow(0)))
    driver.run()
    assert ends == [0, 1, 2, 3, 4]


def test_a_fault_of_ours_ends_the_run_instead_of_being_swallowed() -> None:
    """A hook that fails is no failed read: it comes out of ``run``, and every job has an end."""
    service = Service()
    driver = pump(service)

    def fails(_attempt: Attempt) -> None:
        raise ZeroDivisionError

    talks = [talk(0, fails), talk(1)]
    for each in talks:
        driver.add(each)
    with pytest.raises(ZeroDivisionError):
        driver.run()
    assert talks[1].result is not None
    assert talks[1].result.outcome == "censored"


def test_stopping_ends_every_job_and_every_request() -> None:
    """Those in flight, those that wait, and those to come: ``run`` returns at once."""
    service = Service(takes=30.0)
    driver = pump(service)
    talks = [talk(number) for number in range(3)]
    for each in talks:
        driver.add(each)
    running = gevent.spawn(driver.run, (Arrival(time.monotonic() + 60.0, lambda: driver.add(talk(9))),))
    gevent.sleep(0.1)
    assert service.at_once == 3
    before = time.monotonic()
    driver.stop()
    running.get(timeout=ROOM)
    assert time.monotonic() - before < ROOM
    assert service.at_once == 0
    assert [each.result.outcome for each in talks if each.result] == ["censored"] * 3


def test_a_killed_run_leaves_nothing_behind() -> None:
    """As when Locust ends the process's users."""
    service = Service(takes=30.0)
    driver = pump(service)
    one = talk(1)
    driver.add(one)
    running = gevent.spawn(driver.run)
    gevent.sleep(0.1)
    running.kill(timeout=ROOM)
    assert service.at_once == 0
    assert one.result is not None
    assert one.result.outcome == "censored"


def test_nothing_to_do_is_done() -> None:
    """No jobs: the run is over before it has slept."""
    pump(Service()).run()


def test_many_that_are_due_at_the_stop_are_not_sent() -> None:
    """The runner is in the middle of them: it sends no more, and no reply comes to a job that was ended."""
    service = Service(takes=0.0)
    driver = pump(service)
    talks = [talk(number) for number in range(300)]
    for each in talks:
        driver.add(each)
    running = gevent.spawn(driver.run)
    send, asked = service.send, service.asked

    def stopping(order: Order) -> Response:
        if len(asked) == 50:
            gevent.spawn(driver.stop)
        try:
            return send(order)
        except gevent.GreenletExit:
            gevent.sleep(0.05)  # connections may take their time to close
            raise

    driver._send = stopping
    running.get(timeout=ROOM)
    assert len(asked) < 100  # of 900: one or two turns of the loop
    assert all(each.result is not None for each in talks)
