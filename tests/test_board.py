"""The simulated service as a state machine, at exact virtual times."""

from __future__ import annotations

import random
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenarios import Simulation
from scenarios.draws import uniform
from server import Board, Counters, JobView, Reply, Ticket


def simulation(duration: Any = 4.0, *, seed: int = 7, job: Any = None, **service: Any) -> Simulation:
    return Simulation.model_validate(
        {"seed": seed, "job": {"duration": duration, **(job or {})}, "service": service}
    )


def board(duration: Any = 4.0, **rest: Any) -> Board:
    return Board(simulation(duration, **rest))


LOGNORMAL = {"type": "lognormal", "median": 1.0, "sigma": 0.5}


def test_a_submission_settles_the_job() -> None:
    """The ticket holds the whole future of a job, and the reply leaves at once where there is no delay."""
    ticket, reply = board().submit(10.0, 17)
    assert ticket == Ticket(17, 10.0, 10.0, 14.0, "completed")
    assert reply == Reply(10.0, 202, None, JobView("pending", 0.0, None))


@pytest.mark.parametrize(
    ("now", "view"),
    [
        (0.0, JobView("pending", 0.0, None)),
        (1.0, JobView("pending", 0.25, None)),
        (3.9999, JobView("pending", 0.999, None)),
        (4.0, JobView("completed", 1.0, 0.0)),
        (6.5, JobView("completed", 1.0, 2.5)),
    ],
)
def test_a_job_is_pending_until_the_instant_it_finishes(now: float, view: JobView) -> None:
    """Progress grows with time but never shows 1 before the end; the end counts as finished."""
    service = board()
    ticket, _ = service.submit(0.0, 0)
    assert service.poll(now, ticket, 1) == Reply(now, 200, None, view)


def test_a_job_may_take_no_time() -> None:
    """A job of no duration is finished when its first poll arrives, even in the same instant."""
    service = board(0.0)
    ticket, _ = service.submit(3.0, 0)
    assert service.poll(3.0, ticket, 1).job == JobView("completed", 1.0, 0.0)


def test_progress_stays_below_one_where_the_clock_is_too_coarse() -> None:
    """Where the remaining time is lost in rounding, a pending job still shows less than 1."""
    almost = Ticket(0, 0.0, 3.0, 1e16, "completed")
    reply = board().poll(1e16 - 2.0, almost, 1)
    assert reply.job == JobView("pending", 0.999, None)


def test_a_failed_job_says_error() -> None:
    """With an error rate of one, every job ends in error, after its full duration."""
    service = board(job={"error_rate": 1.0})
    ticket, _ = service.submit(0.0, 0)
    assert service.poll(3.0, ticket, 1).job == JobView("pending", 0.75, None)
    assert service.poll(4.0, ticket, 2).job == JobView("error", 1.0, 0.0)


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**63), st.floats(0, 1))
def test_a_job_fails_by_its_own_draw(key: int, rate: float) -> None:
    """Job ``key`` fails exactly if its draw on the stream "outcome" is below the error rate."""
    ticket, _ = board(job={"error_rate": rate}).submit(0.0, key)
    assert (ticket.outcome == "error") == (uniform(7, "outcome", key) < rate)


def test_the_delay_is_part_of_the_reply() -> None:
    """A status is read when the reply leaves, so a job that ends during the delay is reported finished."""
    service = board(delay=0.5)
    ticket, submitted = service.submit(0.0, 0)
    assert submitted.at == 0.5
    assert ticket.submitted_at == 0.0
    assert service.poll(3.25, ticket, 1) == Reply(3.75, 200, None, JobView("pending", 0.937, None))
    assert service.poll(3.75, ticket, 2) == Reply(4.25, 200, None, JobView("completed", 1.0, 0.25))


def test_the_clock_may_not_go_back() -> None:
    """A call from the past raises and changes nothing; a call in the same instant is welcome."""
    service = board()
    ticket, _ = service.submit(5.0)
    before = service.counters()
    for call in (
        lambda: service.submit(4.0),
        lambda: service.poll(4.0, ticket),
        lambda: service.poll_unknown(4.0),
        lambda: service.poll(float("nan"), ticket),
    ):
        with pytest.raises(ValueError, match=r"went back from 5\.0"):
            call()
    assert service.counters() == before
    assert service.poll(5.0, ticket).status_code == 200


def test_jobs_without_a_key_take_the_boards_own_keys() -> None:
    """Anonymous submissions are numbered 1, 2, 3... and numbered anew after a reset."""
    service = board()
    assert [service.submit(0.0)[0].key for _ in range(3)] == [1, 2, 3]
    service.reset(9.0)
    assert service.submit(9.0)[0].key == 1


def test_a_job_started_directly_takes_no_slot_and_is_not_counted() -> None:
    """`start` is for the job that comes with the server: no queue, no counter."""
    service = board(job={"slots": 1})
    assert service.start(1.0, 0) == Ticket(0, 1.0, 1.0, 5.0, "completed")
    assert service.submit(1.0, 1)[0].started_at == 1.0
    assert service.counters().submissions == 1


# --- hints on pending replies ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hint", "now", "expected"),
    [
        ("none", 1.0, None),
        ("eta", 1.0, 3),
        ("eta", 1.5, 3),
        ("eta", 3.9, 1),
        ("eta", 4.0, None),
        (2.0, 1.0, 2),
        ("250ms", 1.0, 1),
        (0, 1.0, 0),
        (2.0, 4.0, None),
    ],
)
def test_pending_replies_carry_the_hint(hint: Any, now: float, expected: int | None) -> None:
    """Retry-After is the time left, or always the same, in whole seconds rounded up; never at the end."""
    service = board(retry_after=hint)
    ticket, _ = service.submit(0.0, 0)
    assert service.poll(now, ticket, 1).retry_after == expected


# --- slots ----------------------------------------------------------------------------------------------


def test_slots_are_a_first_come_first_served_queue() -> None:
    """Two slots, jobs of 4 s submitted at 0, 1, 2 and 3: the later two wait for the earlier two."""
    service = board(job={"slots": 2})
    tickets = [service.submit(float(at), at)[0] for at in range(4)]
    assert [(t.started_at, t.finished_at) for t in tickets] == [(0, 4), (1, 5), (4, 8), (5, 9)]
    waiting = service.poll(3.0, tickets[2], 1)
    assert waiting.job == JobView("pending", 0.0, None)
    assert service.poll(6.0, tickets[2], 2).job == JobView("pending", 0.5, None)


def test_a_slot_freed_in_this_instant_is_free() -> None:
    """A job that arrives exactly when the slot's job ends starts at once."""
    service = board(job={"slots": 1})
    service.submit(0.0, 0)
    assert service.submit(4.0, 1)[0].started_at == 4.0


def queue_by_hand(arrivals: list[float], services: list[float], places: int) -> list[float]:
    """Finish times of a first come, first served queue, by trying every place for each arrival."""
    free = [float("-inf")] * places
    finished = []
    for arrival, service in zip(arrivals, services, strict=True):
        place = min(range(places), key=free.__getitem__)
        free[place] = max(arrival, free[place]) + service
        finished.append(free[place])
    return finished


ARRIVALS = st.lists(st.integers(0, 64), min_size=1, max_size=40).map(
    lambda steps: [sum(steps[: i + 1]) / 16 for i in range(len(steps))]
)


@settings(deadline=None)  # the machine may be busy
@given(ARRIVALS, st.integers(1, 5))
def test_slots_agree_with_a_queue_worked_out_by_hand(arrivals: list[float], slots: int) -> None:
    """Every job finishes when a plain simulation of the queue says so."""
    service = board(LOGNORMAL, job={"slots": slots})
    tickets = [service.submit(at, key)[0] for key, at in enumerate(arrivals)]
    law = simulation(LOGNORMAL).job.duration
    durations = [law.ppf(uniform(7, "duration", key)) for key in range(len(arrivals))]
    assert [t.finished_at for t in tickets] == queue_by_hand(arrivals, durations, slots)


def test_slots_hold_no_more_than_the_work_in_hand() -> None:
    """A slot limit that is never reached costs no memory: jobs that are over are forgotten."""
    service = board(1.0, job={"slots": 10**9})
    for at in range(1000):
        service.submit(float(at), at)
    assert len(service._slots) == 1


# --- capacity -------------------------------------------------------------------------------------------


def test_capacity_is_a_first_come_first_served_queue_before_the_delay() -> None:
    """One worker of 1 s: three requests at 0 leave at 1, 2 and 3, each plus the delay of half a second."""
    service = board(delay=0.5, capacity={"workers": 1, "service_time": 1.0})
    ticket, submitted = service.submit(0.0, 0)
    assert submitted.at == 0.5
    assert [service.poll(0.0, ticket, n).at for n in (1, 2, 3)] == [1.5, 2.5, 3.5]
    assert service.poll(10.0, ticket, 4).at == 11.5
    assert service.counters().busy_seconds == 4.0


@settings(deadline=None)  # the machine may be busy
@given(ARRIVALS, st.integers(1, 5))
def test_capacity_agrees_with_a_queue_worked_out_by_hand(arrivals: list[float], workers: int) -> None:
    """Every reply leaves when a plain simulation of the queue says so; service times go by attempt."""
    service = board(capacity={"workers": workers, "service_time": LOGNORMAL})
    ticket = service.start(0.0, 5)
    law = simulation(LOGNORMAL).job.duration
    times = [law.ppf(uniform(7, "service", 5, n)) for n in range(len(arrivals))]
    leaving = [service.poll(at, ticket, n).at for n, at in enumerate(arrivals)]
    assert leaving == queue_by_hand(arrivals, times, workers)
    assert service.counters().busy_seconds == pytest.approx(sum(times))


def test_the_wait_for_a_worker_matches_theory() -> None:
    """Poisson arrivals at 80 % of one worker's fixed speed wait as the Pollaczek-Khinchine formula says: 2 s.

    M/D/1: mean wait = load * service / (2 * (1 - load)) = 0.8 * 1 / (2 * 0.2).
    """
    service = board(capacity={"workers": 1, "service_time": 1.0})
    ticket = service.start(0.0, 0)
    source, now, waited, polls = random.Random(1), 0.0, 0.0, 60_000  # noqa: S311 - a test's arrivals
    for n in range(polls):
        now += source.expovariate(0.8)
        waited += service.poll(now, ticket, n).at - 1.0 - now
    assert waited / polls == pytest.approx(2.0, rel=0.1)


# --- faults ---------------------------------------------------------------------------------------------

FAULTS = [
    {"status": 503, "rate": 0.25, "retry_after": 1.5},
    {"fault": "CONNECTION_RESET_BY_PEER", "rate": 0.25},
    {"status": 404, "rate": 0.0},
    {"status": 500, "rate": 0.25},
]


@settings(deadline=None)  # the machine may be busy
@given(st.integers(0, 2**63), st.integers(1, 1000))
def test_one_draw_picks_the_fault(key: int, attempt: int) -> None:
    """The draw of (key, attempt) on the stream "fault" is compared with the rates' running sums."""
    service = board(faults=FAULTS)
    reply = service.poll(1.0, service.start(0.0, key), attempt)
    u = uniform(7, "fault", key, attempt)
    expected = [(503, 2, False), (None, None, True), (500, None, False), (200, None, False)][int(u * 4)]
    assert (reply.status_code, reply.retry_after, reply.reset) == expected
    assert (reply.job is None) == (reply.status_code != 200)


def test_a_fault_occupies_a_worker_and_takes_the_delay() -> None:
    """A failing reply is work for the service too: it queues, is served, and is delayed like any other."""
    faults = [{"status": 500, "rate": 1.0}]
    service = board(faults=faults, delay=0.5, capacity={"workers": 1, "service_time": 1.0})
    ticket = service.start(0.0, 0)
    assert service.poll(0.0, ticket, 1) == Reply(1.5, 500, None, None)
    assert service.poll(0.0, ticket, 2) == Reply(2.5, 500, None, None)


def test_submissions_meet_no_trouble() -> None:
    """Faults, outages, limits and capacity are for status requests: submissions succeed in every case."""
    service = board(
        faults=[{"status": 500, "rate": 1.0}],
        outages=[{"start": 0, "length": 100}],
        rate_limit={"rate": 1, "burst": 1},
        capacity={"workers": 1, "service_time": 9.0},
    )
    assert [service.submit(0.0)[1] for _ in range(3)] == [
        Reply(0.0, 202, None, JobView("pending", 0.0, None))
    ] * 3


# --- outages and order ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("since", "status"), [(0.0, 200), (1.99, 200), (2.0, 502), (4.0, 502), (4.99, 502), (5.0, 200)]
)
def test_an_outage_has_a_first_and_no_last_instant(since: float, status: int) -> None:
    """An outage covers [start, start + length), counted from the board's epoch."""
    outages = [{"start": 2, "length": 3, "status": 502, "retry_after": "1500ms"}]
    service = Board(simulation(outages=outages), epoch=100.0)
    reply = service.poll(100.0 + since, service.start(100.0, 0), 1)
    assert reply.status_code == status
    assert reply.retry_after == (2 if status == 502 else None)


def test_where_outages_overlap_the_first_listed_speaks() -> None:
    """Two outages at once: the one that the scenario lists first decides the status."""
    outages = [{"start": 1, "length": 1, "status": 500}, {"start": 0, "length": 9, "status": 503}]
    service = board(outages=outages)
    ticket = service.start(0.0, 0)
    assert [service.poll(at, ticket, 1).status_code for at in (0.5, 1.5, 2.5)] == [503, 500, 503]


def test_the_order_is_outage_rate_limit_fault() -> None:
    """An outage takes no token, a limited request draws no fault, and neither occupies a worker."""
    service = board(
        delay=0.25,
        outages=[{"start": 0, "length": 1}],
        rate_limit={"rate": 0.5, "burst": 1},
        faults=[{"status": 500, "rate": 1.0}],
        capacity={"workers": 1, "service_time": 1.0},
    )
    ticket = service.start(0.0, 0)
    assert service.poll(0.0, ticket, 1) == Reply(0.25, 503, None, None)
    assert service.poll(1.0, ticket, 2) == Reply(2.25, 500, None, None)
    assert service.poll(1.0, ticket, 3) == Reply(1.25, 429, 2, None)
    assert service.counters() == Counters(0, 3, {"429": 1, "500": 1, "503": 1}, 1.0)


# --- rate limit -----------------------------------------------------------------------------------------


def test_the_bucket_starts_full_and_refills() -> None:
    """Burst 3 at 2 requests/s: three at once, then one each half second; the hint is the wait, rounded up."""
    service = board(rate_limit={"rate": 2, "burst": 3})
    ticket = service.start(0.0, 0)

    def codes(now: float, count: int) -> list[int]:
        return [service.poll(now, ticket, 1).status_code for _ in range(count)]

    assert codes(0.0, 4) == [200, 200, 200, 429]
    assert codes(0.5, 2) == [200, 429]
    assert codes(1.5, 3) == [200, 200, 429]
    assert codes(100.0, 4) == [200, 200, 200, 429]


def test_a_limited_request_says_when_to_come_back() -> None:
    """One token in 4 s: the hint is the time until the next token, and coming back then succeeds."""
    service = board(rate_limit={"rate": 0.25, "burst": 1})
    ticket = service.start(0.0, 0)
    service.poll(0.0, ticket, 1)
    assert service.poll(0.5, ticket, 2).retry_after == 4
    assert service.poll(1.0, ticket, 3).retry_after == 3
    assert service.poll(4.0, ticket, 4).status_code == 200


def test_requests_at_exactly_the_permitted_rate_all_pass() -> None:
    """Ten requests a second against a limit of ten: rounding in the sums of 0.1 turns nobody away."""
    service = board(rate_limit={"rate": 10, "burst": 1})
    ticket = service.start(0.0, 0)
    assert {service.poll(n * 0.1, ticket, 1).status_code for n in range(1, 5000)} == {200}


@settings(deadline=None)  # the machine may be busy
@given(
    ARRIVALS,
    st.integers(1, 5),
    st.integers(1, 8).map(lambda n: Fraction(n, 2)),
)
def test_the_token_bucket_conserves_tokens(arrivals: list[float], burst: int, rate: Fraction) -> None:
    """Admission is exactly that of a bucket counted in fractions, and every refusal's hint is long enough."""
    service = board(rate_limit={"rate": float(rate), "burst": burst})
    ticket = service.start(0.0, 0)
    tokens, last, admitted = Fraction(burst), Fraction(0), []
    for now in arrivals:
        tokens = min(Fraction(burst), tokens + rate * (Fraction(now) - last))
        last = Fraction(now)
        reply = service.poll(now, ticket, 1)
        assert reply.status_code == (200 if tokens >= 1 else 429)
        if tokens >= 1:
            tokens -= 1
            admitted.append(Fraction(now))
        else:
            assert reply.retry_after == ceil((1 - tokens) / rate)
    for i, first in enumerate(admitted):
        for j, final in enumerate(admitted[i:], start=1):
            assert j <= burst + rate * (final - first)


# --- keyed draws ----------------------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "delay": {"type": "exponential", "mean": 0.01},
    "faults": [{"status": 503, "rate": 0.3}, {"fault": "CONNECTION_RESET_BY_PEER", "rate": 0.1}],
}


@settings(deadline=None)  # the machine may be busy
@given(st.permutations([(key, attempt) for key in range(4) for attempt in range(1, 4)]))
def test_replies_do_not_depend_on_the_order_of_requests(order: list[tuple[int, int]]) -> None:
    """Each (key, attempt) has its own delay and fault, whatever else the board was asked before."""

    def ask(requests: list[tuple[int, int]]) -> dict[tuple[int, int], Reply]:
        service = board(LOGNORMAL, **EVERYTHING)
        return {
            (key, attempt): service.poll(1.0, service.start(0.0, key), attempt) for key, attempt in requests
        }

    assert ask(order) == ask(sorted(order))


@settings(deadline=None)  # the machine may be busy
@given(st.permutations(range(8)))
def test_jobs_do_not_depend_on_the_order_of_submission(order: list[int]) -> None:
    """Without a slot limit, a key has the same duration, outcome and delay in any order of submission."""

    def submit(keys: list[int]) -> dict[int, tuple[Ticket, Reply]]:
        service = board(LOGNORMAL, job={"error_rate": 0.5}, **EVERYTHING)
        return {key: service.submit(1.0, key) for key in keys}

    assert submit(order) == submit(sorted(order))


def test_anonymous_polls_count_themselves() -> None:
    """Polls without a number take the numbers 1, 2, 3... so each still has draws of its own."""
    service, keyed = board(**EVERYTHING), board(**EVERYTHING)
    ticket = service.start(0.0, 3)
    assert [service.poll(1.0, ticket) for _ in range(20)] == [
        keyed.poll(1.0, ticket, n) for n in range(1, 21)
    ]


def test_the_seed_decides() -> None:
    """Another seed gives other jobs and other faults."""
    one, other = (board(LOGNORMAL, seed=seed, **EVERYTHING) for seed in (1, 2))
    assert [one.submit(0.0, key) for key in range(9)] != [other.submit(0.0, key) for key in range(9)]


# --- counters and reset ---------------------------------------------------------------------------------


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.tuples(st.sampled_from(["submit", "poll", "unknown"]), st.integers(0, 3)), max_size=60))
def test_counters_reconcile(calls: list[tuple[str, int]]) -> None:
    """Every submission and every status request is counted, and the replies sum to the polls."""
    service = board(rate_limit={"rate": 0.5, "burst": 2}, outages=[{"start": 5, "length": 4}], **EVERYTHING)
    ticket, now, resets = service.start(0.0, 1), 0.0, 0
    for kind, step in calls:
        now += step
        if kind == "submit":
            service.submit(now)
        elif kind == "poll":
            resets += service.poll(now, ticket).reset
        else:
            service.poll_unknown(now)
    counters = service.counters()
    kinds = [kind for kind, _ in calls]
    assert counters.submissions == kinds.count("submit")
    assert counters.polls == len(calls) - counters.submissions == sum(counters.replies.values())
    assert counters.replies.get("404", 0) == kinds.count("unknown")
    assert counters.replies.get("reset", 0) == resets


def test_counters_are_a_copy() -> None:
    """What was read before does not change with later requests."""
    service = board()
    ticket = service.start(0.0, 0)
    before = service.counters()
    service.poll(0.0, ticket)
    assert before == Counters(0, 0, {}, 0.0)
    assert service.counters() == Counters(0, 1, {"200": 1}, 0.0)


def test_an_unknown_job_is_answered_at_once() -> None:
    """A status request for a job nobody submitted is counted and answered 404 without a delay."""
    assert board(delay=1.0).poll_unknown(2.0) == Reply(2.0, 404, None, None)


def test_reset_makes_the_board_as_new() -> None:
    """After a reset the board answers like a fresh one whose epoch is the time of the reset."""
    service = board(
        LOGNORMAL,
        job={"slots": 1},
        capacity={"workers": 1, "service_time": 1.0},
        rate_limit={"rate": 0.5, "burst": 4},
        outages=[{"start": 3, "length": 1}],
        **EVERYTHING,
    )

    def play() -> list[Any]:
        ticket, reply = service.submit(0.0)
        polls = [service.poll(at / 2, ticket) for at in range(12)]
        return [ticket, reply, polls, service.counters()]

    fresh = play()
    service.reset(0.0)
    assert service.counters() == Counters(0, 0, {}, 0.0)
    assert play() == fresh


def test_the_epoch_may_lie_ahead() -> None:
    """A reset can place time zero of the outages in the near future, where a visit will start."""
    service = board(outages=[{"start": 0, "length": 1}])
    service.reset(10.0, epoch=12.0)
    ticket = service.start(10.0, 0)
    assert [service.poll(at, ticket).status_code for at in (10.0, 11.9, 12.0, 12.9, 13.0)] == [
        200,
        200,
        503,
        503,
        200,
    ]
