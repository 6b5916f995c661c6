"""The fleet: many conversations, one heap, budgets; played under a virtual clock."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count
from random import Random as Chance

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import (
    Attempt,
    Backoff,
    Budget,
    Conversation,
    ErrorPolicy,
    Fleet,
    IllegalEvent,
    InvalidSetting,
    JobRef,
    Order,
    PollingPolicy,
    Response,
    Result,
    SendRequest,
    Wait,
)

EVERY_SECOND = PollingPolicy(Backoff("constant", 1))
PENDING = Response(200, body=b'{"status": "pending"}')
BUSY = Response(503, {"Retry-After": "2"})


def chance(key: object) -> Chance:
    """Return random numbers that depend on the key alone."""
    return Chance(str(key))  # noqa: S311 - no secret


@dataclass
class Job:
    """A job as a test sees it: when it starts, when it ends, how it is polled, and what was told of it."""

    number: int
    starts_at: float = 0.0
    ends_at: float = 5.0
    policy: PollingPolicy = EVERY_SECOND
    host: str = ""
    told: list[Attempt] = field(default_factory=list)

    def talk(self) -> Conversation:
        """Return its conversation, which keeps nothing of an earlier one."""
        self.told = []
        return Conversation(
            JobRef(str(self.number)),
            self.policy,
            lambda n: chance(f"{self.number} {n}").random(),
            started_at=self.starts_at,
            on_attempt=(self.told.append,),
        )

    def answer(self, at: float, attempt: int) -> tuple[float, Response | None]:
        """Return when the reply to a request sent now arrives, and the reply: None when the line breaks."""
        draws = chance(f"{self.number} {attempt} reply")
        arrives = at + draws.choice([0.0, 0.125, 0.7])
        kind = draws.random()
        if kind < 0.1:
            return arrives, None
        if kind < 0.2:
            return arrives, BUSY
        if at >= self.ends_at:
            return arrives, Response(200, body=json.dumps({"status": "completed"}).encode())
        return arrives, PENDING


def alone(job: Job) -> list[Attempt]:
    """Return what a lone conversation makes of a job."""
    talk, now = job.talk(), job.starts_at
    while not isinstance(step := talk.next(now), Result):
        if isinstance(step, Wait):
            now = max(now, step.until)
            continue
        now, response = job.answer(now, step.attempt)
        if response is None:
            talk.broke(now, "gone")
        else:
            talk.replied(now, response)
    return job.told


@dataclass
class Sent:
    """One request of a fleet: when it went, its order, and when its reply came."""

    at: float
    order: Order
    until: float


def together(fleet: Fleet, jobs: Sequence[Job], late: Callable[[], float] = lambda: 0.0) -> list[Sent]:
    """Play jobs in one fleet to their end. ``late``: what the driver is behind each time it wakes."""
    numbers = count()
    events: list[tuple[float, int, Job | tuple[Order, Response | None]]] = []
    for job in jobs:
        heappush(events, (job.starts_at, next(numbers), job))
    of = {str(job.number): job for job in jobs}
    sent: list[Sent] = []
    now = -math.inf
    while events or fleet:
        now = max(now, min(events[0][0] if events else math.inf, fleet.next_at + late()))
        assert now < math.inf, "the fleet waits for nothing"
        while events and events[0][0] <= now:
            at, _, event = heappop(events)
            if isinstance(event, Job):
                fleet.add(at, event.talk(), event.host)
            elif event[1] is None:
                fleet.broke(event[0], at, "gone")
            else:
                fleet.replied(event[0], at, event[1])
        for order in fleet.due(now):
            talk = order.talk
            assert isinstance(talk, Conversation)
            arrives, response = of[talk.job.id or ""].answer(now, order.send.attempt)
            heappush(events, (arrives, next(numbers), (order, response)))
            sent.append(Sent(now, order, arrives))
        assert fleet.next_at > now
    return sent


durations = st.integers(0, 40).map(lambda eighths: eighths / 8)
backoffs = st.sampled_from(
    [
        Backoff("constant", 1.0),
        Backoff("constant", 0.25, jitter="full"),
        Backoff("linear", 0.5, maximum=2.0),
        Backoff("exponential", 0.25, maximum=4.0, jitter="decorrelated"),
    ]
)
policies = st.builds(
    PollingPolicy,
    backoffs,
    first_poll=st.sampled_from(["after_delay", "immediately"]),
    deadline=st.sampled_from([None, 3.0, 7.3]),
    max_attempts=st.sampled_from([None, 4]),
    errors=st.builds(ErrorPolicy, backoffs, max_consecutive=st.integers(0, 3)),
)
jobs_of_all_kinds = st.lists(
    st.builds(
        Job,
        st.just(0),
        durations,
        durations.map(lambda seconds: 3 + 2 * seconds),
        policies,
        st.sampled_from(["a", "b"]),
    ),
    min_size=1,
    max_size=12,
).map(lambda jobs: [setattr(job, "number", number) or job for number, job in enumerate(jobs)])


@given(jobs_of_all_kinds)
def test_a_fleet_gives_every_job_the_times_that_it_has_alone(jobs: list[Job]) -> None:
    """Every attempt of every job is what a lone conversation makes: times, replies, decisions."""
    expected = [alone(job) for job in jobs]
    sent = together(fleet := Fleet(), jobs)
    assert [job.told for job in jobs] == expected
    assert all(each.order.held == 0 for each in sent)
    assert (fleet.held, len(fleet), fleet.next_at) == (0, 0, math.inf)


budgets = st.builds(
    Budget, st.sampled_from([None, 0.5, 4.0, 64.0]), st.integers(1, 3), st.sampled_from([None, 1, 3])
)


@given(jobs_of_all_kinds, budgets, budgets)
def test_a_budget_is_never_exceeded_and_says_what_it_held_back(
    jobs: list[Job], one: Budget, other: Budget
) -> None:
    """In any t seconds at most burst + rate * t requests, at most so many at once; held is their lateness."""
    sent = together(fleet := Fleet(one, budgets={"b": other}), jobs)
    for host, budget in (("a", one), ("b", other)):
        mine = [each for each in sent if each.order.host == host]
        for first in range(len(mine)):
            for last in range(first, len(mine)):
                seconds = mine[last].at - mine[first].at
                if budget.rate is not None:
                    assert last - first + 1 <= budget.burst + budget.rate * seconds + 1e-6
            under_way = sum(each.at <= mine[first].at < each.until for each in mine[: first + 1])
            assert budget.in_flight is None or under_way <= budget.in_flight
    told = {id(attempt): attempt for job in jobs for attempt in job.told}.values()
    lateness = sorted(attempt.sent_at - attempt.planned_at for attempt in told)
    assert lateness == pytest.approx(sorted(each.order.held for each in sent))
    assert fleet.held == sum(each.order.held > 0 for each in sent)
    assert all(job.told[-1].command.__class__.__name__ == "Done" for job in jobs)


def test_those_that_wait_for_a_budget_go_in_the_order_of_their_times() -> None:
    """Four jobs want to go at 1 s, at two a second and then one by one as room is made."""
    jobs = [Job(number, ends_at=0.0) for number in range(4)]
    sent = together(Fleet(Budget(2.0, burst=2)), jobs)
    assert [each.at for each in sent][:4] == [1.0, 1.0, 1.5, 2.0]
    assert [each.order.held for each in sent][:4] == [0.0, 0.0, 0.5, 1.0]
    assert [each.order.send.attempt for each in sent][:4] == [1] * 4


def test_what_the_driver_is_late_is_not_held_against_the_budget() -> None:
    """``held`` is the fleet's own doing, as a lateness of the machine is another matter."""
    late = chance(7)
    sent = together(Fleet(), [Job(number) for number in range(5)], late=lambda: late.random() / 4)
    assert sent
    assert all(each.order.held == 0 for each in sent)


def test_a_poll_held_beyond_the_deadline_is_the_last_one() -> None:
    """One request in two seconds, three jobs with a deadline of 1.5 s: late, each is asked for once more."""
    policy = PollingPolicy(Backoff("constant", 1), deadline=1.5)
    jobs = [Job(number, ends_at=math.inf, policy=policy) for number in (3, 4, 5)]
    together(Fleet(Budget(0.5)), jobs)
    assert all(1 <= len(job.told) <= 2 for job in jobs)


@pytest.mark.parametrize("jobs", [10, 100, 1000])
def test_spreading_spaces_the_first_polls_and_holds_none_beyond_its_share(jobs: int) -> None:
    """Submitted together, polled each second: with a full spread no tenth of a second has twice its share."""
    herd = [Job(number, ends_at=0.0) for number in range(jobs)]
    fleet = Fleet(spread=1.0)
    for job in herd:
        fleet.add(0.0, job.talk())
    orders: list[tuple[float, Order]] = []
    while fleet.next_at < math.inf:
        now = fleet.next_at
        orders += [(now, order) for order in fleet.due(now)]
    assert all(1.0 <= at < 2.0 and order.held == pytest.approx(at - 1.0) for at, order in orders)
    in_tenths = [sum(int((at - 1) * 10) == tenth for at, _ in orders) for tenth in range(10)]
    assert sum(in_tenths) == jobs
    assert max(in_tenths) <= max(2, 1.5 * jobs / 10)


def test_a_cancelled_fleet_leaves_no_job_without_an_end() -> None:
    """Waiting, held back by a budget, or in flight: each is censored, and nothing is due any more."""
    jobs = [Job(number) for number in range(4)] + [Job(9, starts_at=50.0)]
    talks = [job.talk() for job in jobs]
    fleet = Fleet(Budget(in_flight=1))
    for job, talk in zip(jobs, talks, strict=True):
        fleet.add(job.starts_at, talk)
    assert len(fleet.due(1.0)) == 1
    assert (len(fleet), fleet.next_at) == (5, 51.0)
    fleet.cancelled(2.0)
    assert [talk.result.outcome for talk in talks if talk.result] == ["censored"] * 5
    assert (len(fleet), fleet.next_at, fleet.due(99.0)) == (0, math.inf, [])


def test_a_job_that_its_owner_cancels_is_no_longer_asked_for() -> None:
    """In the heap or in a budget's queue, a conversation that has ended is passed over."""
    fleet = Fleet(Budget(in_flight=1))
    first, second, third = (Job(number).talk() for number in range(3))
    for talk in (first, second, third):
        fleet.add(0.0, talk)
    (order,) = fleet.due(1.0)
    second.cancelled(1.0)
    fleet.replied(order, 1.5, PENDING)
    (following,) = fleet.due(1.5)
    assert following.talk is third
    third.cancelled(1.5)
    first.cancelled(1.5)
    assert fleet.due(99.0) == []


def test_a_job_that_has_ended_is_not_carried() -> None:
    """Such as one that was done when it was submitted."""
    talk = Job(1).talk()
    talk.cancelled(0.0)
    fleet = Fleet()
    fleet.add(0.0, talk)
    assert (len(fleet), fleet.next_at) == (0, math.inf)


def test_an_answer_to_an_order_that_is_not_out_is_illegal() -> None:
    """Answered twice, or another fleet's: nothing changes."""
    fleet, other = Fleet(), Fleet()
    for each in (fleet, other):
        each.add(0.0, Job(1).talk())
    (order,), (strange,) = fleet.due(1.0), other.due(1.0)
    with pytest.raises(IllegalEvent, match="order 1 is not out"):
        fleet.broke(strange, 1.0, "gone")
    fleet.replied(order, 1.25, PENDING)
    with pytest.raises(IllegalEvent, match="order 1 is not out"):
        fleet.replied(order, 1.25, PENDING)
    assert fleet.next_at == 2.25


@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("rate", lambda: Budget(0.0)),
        ("rate", lambda: Budget(math.nan)),
        ("burst", lambda: Budget(1.0, burst=0)),
        ("in_flight", lambda: Budget(in_flight=0)),
        ("spread", lambda: Fleet(spread=1.5)),
    ],
)
def test_budgets_that_cannot_be_are_refused(field: str, make: Callable[[], object]) -> None:
    """By the field's name, with what would be right."""
    with pytest.raises(InvalidSetting) as refused:
        make()
    assert refused.value.field == field


class _Waiting:
    """Takes no room of its own and waits."""

    __slots__ = ("due",)

    def __init__(self, due: float) -> None:
        self.due: float | None = due

    def next(self, now: float) -> SendRequest:
        raise NotImplementedError

    replied = broke = cancelled = None


def test_a_waiting_job_costs_the_fleet_less_than_a_kilobyte() -> None:
    """Beyond the job's own data."""
    talks = [_Waiting(float(number)) for number in range(20_000)]
    tracemalloc.start()
    try:
        fleet = Fleet(Budget(100.0))
        for talk in talks:
            fleet.add(0.0, talk)  # type: ignore[arg-type]  # it is never sent
        room = tracemalloc.get_traced_memory()[0] / len(talks)
    finally:
        tracemalloc.stop()
    assert room < 300


def test_an_event_costs_about_the_logarithm_of_the_number_of_jobs() -> None:
    """A queue of held jobs is not walked: 100 times the jobs, hardly more comparisons for each request."""

    class Time(float):
        compared = 0

        def __lt__(self, other: float) -> bool:
            Time.compared += 1
            return float(self) < float(other)

        def __le__(self, other: float) -> bool:
            Time.compared += 1
            return float(self) <= float(other)

    def comparisons(jobs: int) -> float:
        fleet, now = Fleet(Budget(1.0)), 0.0
        for number in range(jobs):
            talk = Job(number, starts_at=number % 7 / 7).talk()
            fleet.add(0.0, talk)
        fleet._waiting = [each._replace(at=Time(each.at)) for each in fleet._waiting]
        fleet._opening = []
        fleet.due(2.0)
        Time.compared = 0
        for _ in range(50):
            now = fleet.next_at
            for order in fleet.due(now):
                fleet.replied(order, now, PENDING)
        return Time.compared / 50

    assert comparisons(20_000) <= 4 * max(1.0, comparisons(200))
