"""The limits of the user's own API: dealt out to processes, paced within each, never exceeded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client import Backoff, Conversation, Fleet, JobRef, PollingPolicy, Response
from harness.live._allowance import Shared
from harness.live._budget import Ledger, OverBudget, Share, split, too_many_processes
from harness.measure import Held
from scenarios import Limits

LIMITS = Limits(jobs=100, rate=20.0, in_flight=10)


@st.composite
def wholes_and_lanes(draw: st.DrawFn) -> tuple[Share, dict[str, range]]:
    """A whole to be split, and processes with lanes of their own that it suffices for."""
    counts = draw(st.lists(st.integers(1, 7), min_size=1, max_size=6))
    least = len(counts)
    whole = Share(
        jobs=draw(st.integers(1, 10_000)),
        rate=draw(st.floats(least, 1e4) if least > 1 else st.floats(1e-3, 1e4)),
        in_flight=draw(st.integers(least, 10_000)),
    )
    lanes, first = {}, 0
    for index, count in enumerate(counts):
        lanes[f"node-{index}"] = range(first, first + count)
        first += count
    return whole, lanes


@given(wholes_and_lanes(), st.none() | st.integers(0, 20_000))
def test_shares_add_up_to_no_more_than_the_whole(
    case: tuple[Share, dict[str, range]], planned: int | None
) -> None:
    """In jobs, in rate and in jobs at once; and each process gets a job at once and some rate."""
    whole, lanes = case
    shares = split(whole, lanes, planned)
    assert shares.keys() == lanes.keys()
    assert sum(share.jobs for share in shares.values()) <= whole.jobs
    assert sum(share.in_flight for share in shares.values()) == whole.in_flight
    assert math.fsum(share.rate for share in shares.values()) <= whole.rate * (1 + 1e-12)
    assert all(share.in_flight >= 1 and share.rate > 0 for share in shares.values())


@given(wholes_and_lanes())
def test_shares_of_the_rate_do_not_round_up_beyond_it(case: tuple[Share, dict[str, range]]) -> None:
    """A process may fill a second with its share rounded up; together that is the rate rounded up."""
    whole, lanes = case
    assert sum(math.ceil(share.rate) for share in split(whole, lanes, None).values()) <= math.ceil(whole.rate)


@given(wholes_and_lanes(), st.integers(0, 20_000))
def test_jobs_that_are_planned_and_fit_all_find_a_share(
    case: tuple[Share, dict[str, range]], planned: int
) -> None:
    """Job number i belongs to lane i modulo the lanes, and so to the process that has this lane."""
    whole, lanes = case
    every = sum(len(own) for own in lanes.values())
    shares = split(whole._replace(jobs=planned + 1), lanes, planned)
    for node, own in lanes.items():
        assert shares[node].jobs == sum(index % every in own for index in range(planned))


@given(
    rate=st.floats(0.1, 50.0),
    senders=st.integers(1, 6),
    late=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=150),
)
def test_no_window_of_a_second_holds_more_than_the_rate_rounded_up(
    rate: float, senders: int, late: list[float]
) -> None:
    """However many ask, and however late they are let go: a late one puts off those behind it."""
    fleet, now, sent = Fleet(Shared(Share(10, rate, 10), 100).budget), 0.0, []
    policy = PollingPolicy(Backoff("constant", 0.001))
    for number in range(senders):
        fleet.add(now, Conversation(JobRef(str(number)), policy, lambda _n: 0.0, started_at=now))
    for behind in late:
        now = max(now, fleet.next_at) + behind
        for order in fleet.due(now):
            sent.append(now)
            fleet.replied(order, now, Response(200, body=b'{"status": "pending"}'))
    for start in sent:
        assert sum(start <= each < start + 1.0 for each in sent) <= math.ceil(rate)


def test_room_is_given_in_turn() -> None:
    """Two jobs at once; those that wait begin as others end, as long as there are submissions left."""
    share, begun = Shared(Share(jobs=4, rate=10.0, in_flight=2), 100), list[int]()
    for number in range(5):
        share.admit(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert begun == [0, 1]
    share.release(ended=True)
    assert (begun, share.is_spent) == ([0, 1, 2], False)
    share.release(ended=False)  # it may be at work: nobody gets its room
    assert (begun, share.left, share.is_choked) == ([0, 1, 2], 1, False)
    share.release(ended=True)
    share.release(ended=True)
    assert (begun, share.is_spent) == ([0, 1, 2, 3], True)


def test_a_closed_share_admits_nobody() -> None:
    """Neither those that waited nor those that come."""
    share, begun = Shared(Share(jobs=4, rate=10.0, in_flight=1), 100), list[int]()
    share.admit(lambda: begun.append(0))
    share.admit(lambda: begun.append(1))
    share.close()
    share.release(ended=True)
    share.admit(lambda: begun.append(2))
    assert begun == [0]


def test_what_was_held_is_counted_from_a_millisecond_on() -> None:
    """Submissions and polls apart."""
    share = Shared(Share(jobs=4, rate=10.0, in_flight=1), 100)
    share.sent(submission=True, held_s=0.25)
    share.sent(submission=False, held_s=0.0005)
    share.sent(submission=False, held_s=0.5)
    assert share.held() == (Held(1, 0.25, 0.25), Held(1, 0.5, 0.5))
    assert share.submissions == 1


def test_a_ledger_lends_what_is_left_of_the_whole_run() -> None:
    """What one visit has submitted is missing in the next; what it did not use comes back."""
    ledger = Ledger(LIMITS)
    assert ledger.lend({"a": range(2)}, None) == {"a": Share(100, 20.0, 10)}
    ledger.settle("a", submissions=30, left=4)
    assert ledger.lend({"a": range(2)}, 20) == {"a": Share(20, 20.0, 6)}
    ledger.settle("a", submissions=20, left=0)
    assert ledger.lend({"a": range(2)}, 60) == {"a": Share(50, 20.0, 6)}


def test_visits_without_a_plan_share_what_is_left_alike() -> None:
    """Otherwise the first setting of a closed loop would get all the jobs, and the last none."""
    ledger = Ledger(LIMITS)
    assert ledger.lend({"a": range(2)}, None, visits=3) == {"a": Share(34, 20.0, 10)}
    ledger.settle("a", submissions=34, left=0)
    assert ledger.lend({"a": range(2)}, None, visits=2) == {"a": Share(33, 20.0, 10)}


def test_a_lost_process_gives_nothing_back() -> None:
    """Nobody knows what it sent: all that it was lent counts as spent."""
    ledger = Ledger(LIMITS)
    assert ledger.lend({"a": range(2), "b": range(2, 4)}, None)["b"] == Share(50, 10.0, 5)
    ledger.settle("a", submissions=40, left=0)
    assert ledger.lend({"a": range(4)}, None) == {"a": Share(10, 20.0, 5)}


def test_a_visit_that_would_get_nothing_is_refused() -> None:
    """With what is short, and for processes how many would do."""
    ledger = Ledger(LIMITS)
    with pytest.raises(OverBudget, match=r"among 11 processes.*use at most 10$"):
        ledger.lend({str(i): range(i, i + 1) for i in range(11)}, None)
    ledger.lend({"a": range(2)}, None)
    ledger.settle("a", submissions=1, left=10)
    with pytest.raises(OverBudget, match=r"^10 jobs were left by their clients.*of the 10 of target"):
        ledger.lend({"a": range(2)}, None)
    ledger = Ledger(LIMITS)
    ledger.lend({"a": range(2)}, None)
    ledger.settle("a", submissions=100, left=0)
    with pytest.raises(OverBudget, match=r"^all 100 submissions of target\.limits\.jobs are used up$"):
        ledger.lend({"a": range(2)}, None)


@pytest.mark.parametrize(
    ("rate", "in_flight", "most"), [(20.0, 10, 10), (3.9, 10, 3), (0.5, 10, 1), (20.0, 1, 1)]
)
def test_limits_feed_so_many_processes_and_no_more(rate: float, in_flight: int, most: int) -> None:
    """Each process needs a job in flight and, beside others, a whole request per second."""
    limits = Limits(jobs=1, rate=rate, in_flight=in_flight)
    assert too_many_processes(limits, most) is None
    assert f"use at most {most}" in str(too_many_processes(limits, most + 1))
