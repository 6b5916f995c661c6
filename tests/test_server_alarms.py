"""Alarms ring at their times, by the kernel's timer and by a loop's own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from server import _alarms
from server._alarms import Alarms
from server._serve import _new_loop

TIMERS = ["_LoopTimer", *(["_KernelTimer"] if sys.platform == "linux" else [])]


@pytest.fixture(params=[_new_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    with closing(request.param()) as loop:
        yield loop


@pytest.fixture(params=TIMERS)
def alarms(
    request: pytest.FixtureRequest, loop: asyncio.AbstractEventLoop, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Alarms]:
    monkeypatch.setattr(_alarms, "_KernelTimer", getattr(_alarms, request.param))
    with closing(Alarms(loop)) as alarms:
        yield alarms


def test_no_call_comes_early_or_out_of_turn(loop: asyncio.AbstractEventLoop, alarms: Alarms) -> None:
    """Fractions of milliseconds included, given in any order, some by calls themselves."""
    base, rung = time.monotonic(), []

    def ring(at: float) -> None:
        rung.append((at, time.monotonic()))
        if len(rung) == 8:
            loop.stop()
        elif at == base + 0.0007:
            alarms.at(base + 0.0101, lambda: ring(base + 0.0101))
            alarms.at(base - 1, lambda: ring(base - 1))

    for after in (0.0301, 0.0007, 0.0204, 0.0, -5.0, 0.0203):
        alarms.at(base + after, lambda after=after: ring(base + after))  # type: ignore[misc]
    loop.run_forever()
    due = [at - base for at, _ in rung]
    assert due == pytest.approx([-5.0, 0.0, 0.0007, -1.0, 0.0101, 0.0203, 0.0204, 0.0301], abs=1e-9)
    assert all(now >= at for at, now in rung)


def test_a_call_that_fails_keeps_no_other_from_ringing(
    loop: asyncio.AbstractEventLoop, alarms: Alarms
) -> None:
    """Its error is the loop's to tell; the next alarm rings all the same."""
    told = []
    loop.set_exception_handler(lambda _loop, context: told.append(type(context["exception"])))

    def fail() -> None:
        raise ZeroDivisionError

    now = time.monotonic()
    alarms.at(now, fail)
    alarms.at(now + 0.001, loop.stop)
    loop.run_forever()
    assert told == [ZeroDivisionError]
