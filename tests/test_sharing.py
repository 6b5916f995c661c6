"""Processor sharing: the board's exact times, the twin against closed forms, and the simulator's clock."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from virtual_scenarios import every, scenario

from client import Backoff, ErrorPolicy
from harness.measure import PollRow
from harness.virtual import simulate
from harness.virtual._events import EventVisit
from harness.virtual._overhead import Overhead
from scenarios import Simulation
from server import Board, InService, Ticket
from server._sharing import Sharing
from server._simulator import Simulator


def simulation(service_time: Any = 1.0, workers: int = 1, **service: Any) -> Simulation:
    capacity = {"workers": workers, "service_time": service_time, "discipline": "ps"}
    return Simulation.model_validate(
        {"job": {"duration": "1h"}, "service": {"capacity": capacity, **service}}
    )


def ask(board: Board, now: float, ticket: Ticket, attempt: int) -> InService:
    request = board.poll(now, ticket, attempt)
    assert isinstance(request, InService)
    return request


def shared_by_hand(arrivals: list[tuple[int, int]], workers: int) -> list[Fraction]:
    """When each of (arrival, work) leaves, by moving from event to event with exact fractions."""
    left = [Fraction(work) for _, work in arrivals]
    leaves: dict[int, Fraction] = {}
    now = Fraction(0)
    while len(leaves) < len(arrivals):
        present = [i for i, (at, _) in enumerate(arrivals) if at <= now and i not in leaves]
        later = [Fraction(at) for at, _ in arrivals if at > now]
        rate = min(Fraction(1), Fraction(workers, len(present))) if present else Fraction(0)
        ends = [now + left[i] / rate for i in present]
        then = min(later + ends)
        for i in present:
            left[i] -= (then - now) * rate
            if left[i] == 0:
                leaves[i] = then
        now = then
    return [leaves[i] for i in range(len(arrivals))]


REQUESTS = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=12).map(sorted)


@settings(deadline=None)  # the machine may be busy
@given(REQUESTS, st.integers(1, 4))
def test_everybody_leaves_when_a_calculation_by_hand_says_so(
    requests: list[tuple[int, int]], workers: int
) -> None:
    """Marks of the work received give the departures of a step-by-step calculation, and then none is left."""
    sharing: Sharing[int] = Sharing(workers, 0.0)
    left: dict[int, float] = {}
    for i, (at, work) in enumerate(requests):
        left.update((item, leaves) for leaves, item in sharing.departures(at))
        sharing.arrive(at, work, i)
    left.update((item, leaves) for leaves, item in sharing.departures(math.inf))
    assert [left[i] for i in range(len(requests))] == pytest.approx(
        [float(at) for at in shared_by_hand(requests, workers)]
    )
    assert sharing.items() == []
    assert sharing.next_departure == math.inf


def test_a_later_arrival_moves_an_earlier_departure() -> None:
    """Alone the first is served at 1; with a second at 0.5 it has half a second to go at half the speed."""
    board = Board(simulation(delay=0.25))
    ticket = board.start(0.0, 0)
    first = ask(board, 0.0, ticket, 1)
    assert (board.next_departure, board.foreseen(first)) == (1.0, 1.0)
    second = ask(board, 0.5, ticket, 2)
    assert (board.next_departure, board.foreseen(first), board.foreseen(second)) == (1.5, 1.5, 2.0)
    assert board.departures(1.0) == []
    assert board.departures(1.5) == [first]
    assert first.reply is not None
    assert first.reply.at == 1.75
    assert board.departures(9.0) == [second]
    assert second.reply is not None
    assert (second.reply.at, board.next_departure) == (2.25, math.inf)
    assert board.counters().replies == {"200": 2}
    assert board.counters().busy_seconds == 2.0


def test_only_what_is_served_shares_the_workers() -> None:
    """An outage answers at once; a fault is served like any request, and counts as soon as it arrives."""
    service = {"outages": [{"start": 0, "length": 1}], "faults": [{"fault": "EMPTY_RESPONSE", "rate": 1}]}
    board = Board(simulation(**service))
    ticket = board.start(0.0, 0)
    refused = board.poll(0.0, ticket, 1)
    assert not isinstance(refused, InService)
    assert refused.status_code == 503
    struck = ask(board, 1.0, ticket, 2)
    assert board.counters().replies == {"503": 1, "empty": 1}
    board.departures(2.0)
    assert struck.reply is not None
    assert (struck.reply.at, struck.reply.status_code) == (2.0, None)


def test_a_reset_lets_everybody_go() -> None:
    """Requests in service when the board is reset are answered at once; the workers are free again."""
    board = Board(simulation())
    request = ask(board, 0.0, board.start(0.0, 0), 1)
    board.reset(0.25)
    assert request.reply is not None
    assert request.reply.at == 0.25
    assert board.next_departure == math.inf
    with pytest.raises(KeyError):
        board.foreseen(request)


# --- the twin -------------------------------------------------------------------------------------------


def play(made: Any) -> tuple[Any, list[PollRow]]:
    polls: list[PollRow] = []
    part = EventVisit(made, "only", 0, Overhead(), on_poll=polls.append).run()
    return part, polls


def capacity(service_time: Any, workers: int = 1) -> dict[str, Any]:
    return {"capacity": {"workers": workers, "service_time": service_time, "discipline": "ps"}}


def test_polls_of_one_instant_are_answered_together() -> None:
    """Three polls at 1 s share a worker that takes 0.25 s for one: all are answered at 1.75 s."""
    made = scenario(
        every(1.0),
        duration="1.5s",
        service=capacity("250ms"),
        arrivals={"type": "burst", "size": 3},
        jobs=3,
    )
    part, polls = play(made)
    assert [poll.latency_s for poll in polls] == [0.75] * 3
    assert part.jobs.detected_at.tolist() == [1.75] * 3
    assert part.jobs.lag.tolist() == [0.25] * 3
    assert part.busy_seconds == 0.75


def test_a_client_that_hangs_up_leaves_its_request_to_the_workers() -> None:
    """Polls of 0.7 s time out after 0.5 s and are served all the same: the service counts three replies."""
    policy = every(1.0, request_timeout=0.5, errors=ErrorPolicy(Backoff("constant", 0.1), max_consecutive=2))
    part, polls = play(scenario(policy, service=capacity("0.7s")))
    assert [poll.sent_at_s for poll in polls] == pytest.approx([1.0, 1.6, 2.2])
    assert [poll.response for poll in polls] == ["transport_error"] * 3
    assert [poll.latency_s for poll in polls] == pytest.approx([0.5] * 3)
    assert part.replies == {"200": 3}


def test_a_reply_at_the_end_of_patience_is_heard() -> None:
    """A reply is in time up to and including the timeout, as under first come, first served."""
    policy = every(1.0, request_timeout=0.5)
    part, polls = play(scenario(policy, duration="1s", service=capacity("0.5s")))
    assert [(poll.response, poll.latency_s) for poll in polls] == [("200", 0.5)]
    assert part.jobs.lag.tolist() == [0.5]


def test_with_workers_for_all_both_disciplines_are_one() -> None:
    """While no more requests are in service than workers, nobody waits and nobody is slowed down."""
    both = [
        play(
            scenario(
                every(0.5),
                duration={"type": "exponential", "mean": 2.0},
                service={
                    "delay": "10ms",
                    "capacity": {"workers": 50, "service_time": "100ms", "discipline": discipline},
                    "faults": [{"status": 500, "rate": 0.1}, {"fault": "EMPTY_RESPONSE", "rate": 0.1}],
                },
                arrivals={"type": "poisson", "rate": 5.0},
                jobs=50,
            )
        )
        for discipline in ("fifo", "ps")
    ]
    (fifo, polls), (ps, shared) = both
    assert len(polls) == len(shared)
    assert ps.jobs.polls.tolist() == fifo.jobs.polls.tolist()
    assert ps.jobs.detected_at == pytest.approx(fifo.jobs.detected_at, nan_ok=True)
    assert (ps.replies, ps.busy_seconds) == (fifo.replies, pytest.approx(fifo.busy_seconds))


def sojourns(rate: float, work: Any, workers: int, discipline: str, polls: int = 16_000) -> pl.Series:
    """Mean reply times of batches of 500 polls that come as a Poisson process: each job is polled once."""
    made = scenario(
        every(1e-9, request_timeout=1e6),
        duration=0,
        service={"capacity": {"workers": workers, "service_time": work, "discipline": discipline}},
        arrivals={"type": "poisson", "rate": rate},
        jobs=polls,
    )
    jobs = simulate(made, engine="event").run.jobs
    assert (jobs["polls"] == 1).all()
    times = (jobs["detected_at_s"] - jobs["submitted_at_s"]).to_numpy()[1000:]
    return pl.Series(times.reshape(-1, 500).mean(axis=1))


def assert_mean(batches: pl.Series, expected: float) -> None:
    """The mean is the expected one within five standard errors, which come from the batches.

    So wide a band tells the disciplines apart all the same: it is less than a quarter of the mean.
    """
    error = float(batches.std()) / math.sqrt(len(batches))  # type: ignore[arg-type]
    assert batches.mean() == pytest.approx(expected, abs=5 * error)
    assert 5 * error < expected / 4


LAWS = {
    "fixed": 0.1,
    "exponential": {"type": "exponential", "mean": 0.1},
    "two kinds": {
        "type": "mixture",
        "of": [{"weight": 9, "type": "fixed", "value": 0.05}, {"weight": 1, "type": "fixed", "value": 0.55}],
    },
}


@pytest.mark.parametrize("law", LAWS)
def test_the_mean_sojourn_under_sharing_is_insensitive_to_the_law(law: str) -> None:
    """M/G/1-PS: E[S] / (1 - rho), whatever the law: 0.1 / (1 - 0.5)."""
    assert_mean(sojourns(5.0, LAWS[law], 1, "ps"), 0.1 / (1 - 0.5))


def erlang_sojourn(load: float, mean: float, workers: int) -> float:
    """The mean sojourn of M/M/c: C(c, a) * m / (c - a) + m."""
    terms = [load**k / math.factorial(k) for k in range(workers)]
    last = load**workers / math.factorial(workers) * workers / (workers - load)
    return last / (sum(terms) + last) * mean / (workers - load) + mean


@pytest.mark.parametrize(
    ("discipline", "law"), [("fifo", "exponential"), ("ps", "exponential"), ("ps", "fixed")]
)
def test_several_workers_have_the_mean_sojourn_of_m_m_c(discipline: str, law: str) -> None:
    """In line only for memoryless work; under sharing for every law."""
    assert_mean(sojourns(18.0, LAWS[law], 3, discipline), erlang_sojourn(1.8, 0.1, 3))


def test_one_worker_with_fixed_work_in_line_is_an_m_d_1_queue() -> None:
    """Pollaczek and Khinchine: S + rho S / (2 (1 - rho)), half of the wait that sharing costs."""
    assert_mean(sojourns(5.0, 0.1, 1, "fifo"), 0.1 + 0.5 * 0.1 / (2 * (1 - 0.5)))


# --- the simulator's clock ------------------------------------------------------------------------------


class Clock:
    """A clock that moves when somebody sleeps; things that happen meanwhile happen on time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.plan: list[tuple[float, Any]] = []

    def sleep(self, seconds: float) -> None:
        until = self.now + seconds
        while self.plan and self.plan[0][0] <= until:
            self.now, action = self.plan.pop(0)
            action()
        self.now = until


def simulator(clock: Clock, made: Simulation) -> Simulator:
    return Simulator(
        made, clock=lambda: clock.now, wall_clock=lambda: clock.now, sleep=clock.sleep, secret=None
    )


def test_the_simulator_waits_on_while_others_arrive() -> None:
    """A request of 1 s that shares its worker from 0.5 s on is answered at 1.5 s plus the delay."""
    clock = Clock()
    served = simulator(clock, simulation(delay=0.25))
    _, _, request = served.poll(None, 1)
    clock.plan = [(0.5, lambda: served.poll(None, 2))]
    assert served.activity().in_flight == 0
    assert served.wait(request).at == clock.now == 1.75


@pytest.mark.parametrize("starts_over", ["reset", "install"])
def test_whoever_starts_over_lets_waiting_requests_go(starts_over: str) -> None:
    """A reset, or another scenario, answers requests in service: nobody waits for ever."""
    clock = Clock()
    made = simulation(delay=0.25)
    served = simulator(clock, made)
    _, _, request = served.poll(None, 1)
    again = served.reset if starts_over == "reset" else lambda: served.install(made)
    clock.plan = [(0.5, again)]
    assert served.wait(request).status_code == 200
    assert clock.now == 1.0
