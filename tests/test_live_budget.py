"""The limits of the user's own API: dealt out to processes, paced within each, never exceeded."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.live._budget import Ledger, OverBudget, Pacer, Share, split, too_many_processes
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
    steps=st.lists(st.tuples(st.integers(0, 5), st.floats(0.0, 0.5)), max_size=150),
)
def test_no_window_of_a_second_holds_more_than_the_rate_rounded_up(
    rate: float, senders: int, steps: list[tuple[int, float]]
) -> None:
    """However many ask however late: those who missed their place get no more than there is room for."""
    pacer, now, sent = Pacer(rate), 0.0, []
    turns = [pacer.queue() for _ in range(senders)]
    for sender, later in steps:
        now += later
        if turns[sender % senders](now) <= now:
            sent.append(now)
    for start in sent:
        assert sum(start <= each < start + 1.0 for each in sent) <= math.ceil(rate)


def test_who_waits_is_served_in_the_order_of_asking() -> None:
    """Places are 1/rate apart, and a tenth more: 10 requests a second go 110 ms after one another."""
    pacer = Pacer(10.0)
    turns = [pacer.queue() for _ in range(4)]
    assert [turn(100.0) for turn in turns] == pytest.approx([100.0, 100.11, 100.22, 100.33])
    assert turns[3](100.2) == pytest.approx(100.33)  # asked too early, it keeps its place
    assert turns[0](100.2) == pytest.approx(100.44)  # its second request is behind all of them
    assert [turns[1](100.11), turns[2](100.22)] == pytest.approx([100.11, 100.22])


def test_a_request_after_a_quiet_time_goes_at_once() -> None:
    """The pace is no timetable: nobody waits who has left enough time."""
    turn = Pacer(2.0).queue()
    assert turn(10.0) == 10.0
    assert turn(10.6) == 10.6
    assert turn(10.7) == pytest.approx(11.15)


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
