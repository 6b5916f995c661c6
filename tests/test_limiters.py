"""Rate limits: each kind against its definition, exactly and for random requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from scenarios import RATE_LIMITS, Limit, Simulation
from scenarios._limits import RateLimit
from server import Board
from server._limiters import METERS, Allowance, Limiter

ANY_LIMIT: TypeAdapter[Limit] = TypeAdapter(RateLimit)


def limiter(**keys: Any) -> Limiter:
    return Limiter(ANY_LIMIT.validate_python(keys))


def takes(limits: Limiter, *times: float) -> list[Allowance]:
    return [limits.take(now, 0, None) for now in times]


def test_a_fixed_window_refuses_until_it_is_over() -> None:
    """Ten a minute, polled each second: from the eleventh on nothing is let in until the minute is full."""
    limits = limiter(type="fixed_window", limit=10, window="1m")
    found = takes(limits, *map(float, range(62)))
    assert [each.wait == 0 for each in found] == [True] * 10 + [False] * 50 + [True] * 2
    assert found[0] == (0, 9, 60)
    assert found[9] == (0, 0, 51)
    assert found[10] == (50, 0, 50)
    assert found[60] == (0, 9, 60)


def test_a_fixed_window_lets_twice_its_limit_in_around_its_edge() -> None:
    """What it is known for: windows begin at multiples of their length, whenever the first request came."""
    limits = limiter(type="fixed_window", limit=3, window="10s")
    assert [each.wait for each in takes(limits, 9.7, 9.8, 9.9, 10.0, 10.1, 10.2, 10.3)] == pytest.approx(
        [0, 0, 0, 0, 0, 0, 9.7]
    )


def test_a_sliding_window_counts_back_from_now() -> None:
    """The fourth within ten seconds waits until the first is ten seconds old."""
    limits = limiter(type="sliding_window", limit=3, window="10s")
    found = takes(limits, 1.0, 4.0, 9.0, 9.5, 11.0, 11.5)
    assert found == [(0, 2, 10), (0, 1, 7), (0, 0, 2), (1.5, 0, 1.5), (0, 0, 3), (2.5, 0, 2.5)]


def test_a_bucket_tells_its_tokens_and_when_the_next_one_comes() -> None:
    """Two a second, three at once."""
    limits = limiter(rate=2, burst=3)
    found = takes(limits, 0.0, 0.0, 0.0, 0.125, 0.5)
    assert found[:3] == [(0, 2, 0.5), (0, 1, 0.5), (0, 0, 0.5)]
    assert found[3] == pytest.approx((0.375, 0, 0.375))
    assert found[4] == pytest.approx((0, 0, 0.5))


TIMES = st.lists(st.integers(0, 400), max_size=60).map(lambda eighths: [each / 8 for each in sorted(eighths)])


@given(TIMES, st.integers(1, 5), st.sampled_from([1.0, 2.5, 10.0]))
def test_windows_hold_what_they_promise(times: list[float], most: int, window: float) -> None:
    """A request is let in exactly if fewer than the limit were let in during its window."""
    for kind in ("fixed_window", "sliding_window"):
        limits = limiter(type=kind, limit=most, window=window)
        let_in: list[float] = []
        for now in times:
            if kind == "fixed_window":
                within = [at for at in let_in if at // window == now // window]
            else:
                within = [at for at in let_in if at > now - window]
            allowance = limits.take(now, 0, None)
            assert (allowance.wait == 0) == (len(within) < most)
            if allowance.wait == 0:
                let_in.append(now)
            else:
                assert limiter_would_let_in(kind, let_in, now + allowance.wait, most, window)


def limiter_would_let_in(kind: str, let_in: list[float], now: float, most: int, window: float) -> bool:
    """Say whether the very moment that was told is one at which a request is let in."""
    limits = limiter(type=kind, limit=most, window=window)
    for at in let_in:
        assert limits.take(at, 0, None).wait == 0
    return limits.take(now, 0, None).wait == 0


@given(TIMES, st.integers(1, 4), st.sampled_from([0.5, 3.0]))
def test_what_remains_is_let_in_at_once_and_no_more(times: list[float], most: int, window: float) -> None:
    """``remaining`` more requests at the same moment are let in, and the next is not, for every kind."""
    for keys in (
        {"rate": most / window, "burst": most},
        {"type": "fixed_window", "limit": most, "window": window},
        {"type": "sliding_window", "limit": most, "window": window},
    ):
        limits = limiter(**keys)
        for now in times[:-1]:
            limits.take(now, 0, None)
        for now in times[-1:]:
            allowance = limits.take(now, 0, None)
            more = [limits.take(now, 0, None).wait == 0 for _ in range(allowance.remaining + 1)]
            assert more == [True] * allowance.remaining + [False]


@pytest.mark.parametrize("kind", RATE_LIMITS)
def test_every_kind_of_limit_has_a_meter(kind: type[Limit]) -> None:
    """A row here is a row there."""
    assert kind in METERS
    assert len(METERS) == len(RATE_LIMITS)


@pytest.mark.parametrize(
    ("per", "waits"),
    [("service", [0, 1, 1, 1]), ("client", [0, 0, 1, 1]), ("job", [0, 0, 0, 1])],
)
def test_each_has_a_limit_of_its_own(per: str, waits: list[int]) -> None:
    """Of one a second: job 1 of client a, job 1 of client b, job 2 of a, job 1 of a again."""
    limits = limiter(rate=1, burst=1, per=per)
    asked = [(1, "a"), (1, "b"), (2, "a"), (2, "a")]
    if per == "job":
        asked = [(1, "a"), (2, "a"), (3, "b"), (1, "b")]
    assert [limits.take(0.0, key, client).wait for key, client in asked] == pytest.approx(waits)


@pytest.mark.parametrize(
    "keys",
    [
        {"rate": 10, "burst": 5},
        {"type": "fixed_window", "limit": 3, "window": "1s"},
        {"type": "sliding_window", "limit": 3, "window": "1s"},
    ],
)
def test_the_memory_of_limits_per_job_does_not_grow_with_the_jobs(keys: dict[str, Any]) -> None:
    """Those that are as new again are forgotten: ten jobs a second for an hour, a handful kept."""
    limits = limiter(**keys, per="job")
    for number in range(36_000):
        limits.take(number / 10, number, None)
    assert len(limits) <= 12


def test_a_limit_without_a_type_is_a_bucket() -> None:
    """As it always was."""
    assert ANY_LIMIT.validate_python({"rate": 5, "burst": 2}).model_dump() == {
        "type": "token_bucket",
        "rate": 5,
        "burst": 2,
        "per": "service",
        "headers": False,
    }


def test_the_board_tells_what_is_left_where_the_limit_says_so() -> None:
    """On good replies and on 429; a client reads the reset as a hint once nothing remains."""
    service = {"rate_limit": {"type": "fixed_window", "limit": 2, "window": "10s", "headers": True}}
    board = Board(Simulation.model_validate({"job": {"duration": "1h"}, "service": service}))
    ticket = board.start(0.0, 0)
    replies = [board.poll(float(now), ticket, now + 1) for now in range(3)]
    assert [(each.status_code, each.retry_after, each.hint) for each in replies] == [
        (200, None, None),
        (200, None, 9),
        (429, 8, 8),
    ]
    assert [each.allowance for each in replies] == [(0, 1, 10), (0, 0, 9), (8, 0, 8)]  # type: ignore[union-attr]


def test_clients_that_the_host_tells_apart_have_limits_of_their_own() -> None:
    """``per: client``."""
    service = {"rate_limit": {"rate": 1, "burst": 1, "per": "client"}}
    board = Board(Simulation.model_validate({"job": {"duration": "1h"}, "service": service}))
    ticket = board.start(0.0, 0)
    codes = [board.poll(0.0, ticket, 1, client).status_code for client in (1, 2, 1)]
    assert codes == [200, 200, 429]
