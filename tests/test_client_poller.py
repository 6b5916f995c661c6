"""The poller: its table, its timing to the digit, and its laws under any world (virtual clock throughout)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from client import (
    Backoff,
    Done,
    ErrorPolicy,
    Failure,
    HintPolicy,
    IllegalEvent,
    Poller,
    PollingPolicy,
    Send,
    Wait,
)
from client._poller import AFTER, TRANSITIONS, Event, State

EVERY_SECOND = Backoff("constant", 1)
DOUBLING = Backoff("exponential", 1, multiplier=2)
TRANSPORT = Failure("transport")
LENIENT = settings(deadline=None)  # a busy machine is no broken law


def poller(policy: PollingPolicy | None = None, uniform: Callable[[int], float] = lambda _n: 0.0) -> Poller:
    return Poller(policy or PollingPolicy(EVERY_SECOND), uniform)


def brought_to(state: State) -> Poller:
    """A poller in the state, by the shortest way."""
    machine = poller()
    if state is not State.READY:
        machine.start(0.0)
    if state is State.POLLING:
        machine.wake(1.0)
    if state is State.DONE:
        machine.cancel(0.5)
    assert machine.state is state
    return machine


def send_event(machine: Poller, event: Event, now: float = 5.0) -> Wait | Send | Done:
    arguments: dict[Event, tuple[Any, ...]] = {Event.REPLY: ("pending",), Event.FAIL: (TRANSPORT,)}
    command: Wait | Send | Done = getattr(machine, event.value)(now, *arguments.get(event, ()))
    return command


def snapshot(thing: object) -> object:
    """Everything an object remembers, slot by slot."""
    slots = getattr(type(thing), "__slots__", None)
    if not slots or isinstance(thing, PollingPolicy | Backoff):
        return thing
    return {name: snapshot(getattr(thing, name)) for name in slots}


# The table


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_state_and_event_pair_is_as_the_table_says(state: State, event: Event) -> None:
    """A pair in the table gives one of its commands and that command's state; any other changes nothing."""
    machine = brought_to(state)
    before = snapshot(machine)
    if event in TRANSITIONS[state]:
        command = send_event(machine, event)
        assert type(command) in TRANSITIONS[state][event]
        assert machine.state is AFTER[type(command)]
    else:
        with pytest.raises(IllegalEvent, match=rf"{event.value}\(\) is not allowed while {state.value}"):
            send_event(machine, event)
        assert snapshot(machine) == before


def test_every_command_of_the_table_can_happen() -> None:
    """No row promises what the machine never does: replies and failures lead both on and to the end."""
    strict = PollingPolicy(EVERY_SECOND, max_attempts=1, errors=ErrorPolicy(max_consecutive=0))
    for event in (Event.REPLY, Event.FAIL):
        commands = set()
        for policy in (PollingPolicy(EVERY_SECOND), strict):
            machine = poller(policy)
            machine.start(0)
            machine.wake(1)
            commands.add(type(send_event(machine, event)))
        assert commands == set(TRANSITIONS[State.POLLING][event])


def test_an_unknown_status_is_refused_and_changes_nothing() -> None:
    """A driver must report an unknown status as a failed read; the machine does not guess."""
    machine = brought_to(State.POLLING)
    before = snapshot(machine)
    with pytest.raises(ValueError, match="status='running' cannot be used"):
        machine.reply(2.0, "running")  # type: ignore[arg-type] # the point of the test
    assert snapshot(machine) == before


# Timing


def test_waits_start_where_replies_arrive() -> None:
    """T = 0 is the start; wait k follows its k-th delay and is counted from the reply before it."""
    machine = poller(PollingPolicy(DOUBLING))
    assert machine.start(100) == Wait(101)
    assert machine.wake(101) == Send(1, 10)
    assert machine.reply(101.25, "pending") == Wait(103.25)
    assert machine.wake(103.25) == Send(2, 10)
    assert machine.reply(103.5, "pending") == Wait(107.5)
    assert machine.wake(108) == Send(3, 10)
    assert machine.reply(108.5, "completed") == Done("completed", 108.5, 3, 2, 0, "the job ended: completed")


def test_an_immediate_first_poll_takes_no_delay_and_no_draw() -> None:
    """The first poll comes at once, and the wait after it is the first delay with the first draw."""
    draws: list[int] = []
    policy = PollingPolicy(Backoff("exponential", 4, jitter="full"), first_poll="immediately")
    machine = poller(policy, lambda n: draws.append(n) or 0.5)  # type: ignore[func-returns-value] # records n
    assert machine.start(7) == Wait(7)
    machine.wake(7)
    assert draws == []
    assert machine.reply(7, "pending") == Wait(9)
    assert draws == [1]


def test_a_failed_read_does_not_advance_the_cadence() -> None:
    """The error policy times the retry; afterwards the cadence goes on where it stood."""
    machine = poller(PollingPolicy(DOUBLING, errors=ErrorPolicy(Backoff("linear", 10))))
    machine.start(0)  # cadence delay 1: 1 s
    machine.wake(1)
    assert machine.reply(1, "pending") == Wait(3)  # cadence delay 2
    machine.wake(3)
    assert machine.fail(3, TRANSPORT) == Wait(13)  # error delay 1
    machine.wake(13)
    assert machine.fail(13, TRANSPORT) == Wait(33)  # error delay 2
    machine.wake(33)
    assert machine.reply(33, "pending") == Wait(37)  # cadence delay 3
    machine.wake(37)
    assert machine.fail(37, TRANSPORT) == Wait(47)  # error delay 1 again
    assert machine.cancel(47) == Done("censored", 47, 5, 2, 3, "polling was cancelled")


def test_draws_are_numbered_across_both_policies() -> None:
    """uniform(n) is asked for n = 1, 2, 3... whichever policy computes the wait, so jobs can be replayed."""
    policy = PollingPolicy(
        Backoff("constant", 10, jitter="full"), errors=ErrorPolicy(Backoff("constant", 100, jitter="full"))
    )
    machine = poller(policy, lambda n: n / 10)
    assert machine.start(0) == Wait(1)
    machine.wake(1)
    assert machine.fail(1, TRANSPORT) == Wait(21)
    machine.wake(21)
    assert machine.reply(21, "pending") == Wait(24)


def test_decorrelated_waits_grow_from_the_last_computed_wait() -> None:
    """The chain of delays is the law's own: neither hints nor failed reads in between lengthen it."""
    policy = PollingPolicy(
        Backoff("exponential", 1, maximum=100, jitter="decorrelated"), errors=ErrorPolicy(EVERY_SECOND)
    )
    machine = poller(policy, lambda _n: 0.5)
    assert machine.start(0) == Wait(2)  # (1 + 3) / 2
    machine.wake(2)
    assert machine.reply(2, "pending", retry_after=50) == Wait(2 + 50 * 1.05)
    machine.wake(60)
    assert machine.fail(60, TRANSPORT) == Wait(61)
    machine.wake(61)
    assert machine.reply(61, "pending") == Wait(61 + (1 + 3 * 3.5) / 2)  # after (1 + 3 * 2) / 2 = 3.5


def test_the_draw_of_a_wait_also_spreads_its_hint() -> None:
    """A hint of 4 s with spread 0.1 and u = 0.5 is 4.2 s, after a pending reply and after a failed read."""
    machine = poller(uniform=lambda _n: 0.5)
    machine.start(0)
    machine.wake(1)
    assert machine.reply(1, "pending", retry_after=4) == Wait(5.2)
    machine.wake(5.2)
    assert machine.fail(6, Failure.http(429), retry_after=40) == Wait(6 + 42)


def test_time_never_runs_backwards() -> None:
    """A wake that fires early counts as on time, and so does a reply stamped before it."""
    machine = poller()
    machine.start(10)
    assert machine.wake(10.999) == Send(1, 10)
    assert machine.reply(10.9995, "pending") == Wait(12)


def test_an_uncapped_wait_is_still_a_number() -> None:
    """An exploding curve ends in a time that is finite, and no deadline appears from nowhere."""
    machine = poller(PollingPolicy(Backoff("exponential", 1, multiplier=1e300)))
    now = machine.start(0).until
    for _ in range(4):
        machine.wake(now)
        command = machine.reply(now, "pending")
        assert isinstance(command, Wait)
        now = command.until
    assert now == sys.float_info.max


# Budgets


def test_the_budget_of_pending_polls_counts_pending_polls_alone() -> None:
    """max_attempts=2 gives up at the second pending reply; failed reads do not use it up."""
    machine = poller(PollingPolicy(EVERY_SECOND, max_attempts=2))
    machine.start(0)
    for now in (1.0, 2.0, 3.0):
        machine.wake(now)
        assert isinstance(machine.fail(now, TRANSPORT), Wait)
    machine.wake(4)
    assert isinstance(machine.reply(4, "pending"), Wait)
    machine.wake(5)
    assert machine.reply(5, "pending") == Done(
        "gave_up", 5, 5, 2, 3, "2 polls answered 'pending' is the limit"
    )


def test_the_error_budget_counts_failed_reads_in_a_row() -> None:
    """max_consecutive=2 retries two failed reads and gives up at the third; a good read starts afresh."""
    machine = poller(PollingPolicy(EVERY_SECOND, errors=ErrorPolicy(max_consecutive=2)))
    machine.start(0)
    answers = [TRANSPORT, TRANSPORT, None, TRANSPORT, TRANSPORT]
    for now, failure in enumerate(answers, start=1):
        machine.wake(now)
        command = machine.fail(now, failure) if failure else machine.reply(now, "pending")
        assert isinstance(command, Wait)
    machine.wake(9)
    done = machine.fail(9, Failure.http(503, "busy"))
    assert done == Done("gave_up", 9, 6, 1, 5, "3 failed reads in a row, the last: http 503 (busy)")


@pytest.mark.parametrize(
    ("failure", "retried"),
    [
        (Failure("transport"), True),
        (Failure("malformed", 200), True),
        *[(Failure.http(code), True) for code in (408, 425, 429, 500, 502, 503, 504, 302, 202)],
        *[(Failure.http(code), False) for code in (400, 401, 403, 404, 405, 410, 422)],
        (Failure.http(409, hinted=True), True),
        (Failure("grpc UNAVAILABLE", retryable=True), True),
        (Failure("grpc NOT_FOUND", retryable=False), False),
        (Failure("http 503", 503, retryable=False), False),
    ],
)
def test_what_is_worth_a_retry(failure: Failure, retried: bool) -> None:
    """Broken connections, 5xx, 408, 425, 429, hints, garbage: retried; other 4xx end it at once."""
    machine = poller()
    machine.start(0)
    machine.wake(6)
    command = machine.fail(6, failure)
    if retried:
        assert isinstance(command, Wait)
    else:
        assert isinstance(command, Done)
        assert command.outcome == "gave_up"
        assert failure.kind in command.reason


@pytest.mark.parametrize(("at", "retried"), [(4.9, True), (5.0, True), (5.1, False)])
def test_not_found_is_retried_while_the_job_is_young(at: float, retried: bool) -> None:
    """Within not_found_grace of the start a 404 may be a job not visible yet; later it is an answer."""
    machine = poller()
    machine.start(0)
    machine.wake(1)
    assert isinstance(machine.fail(at, Failure.http(404)), Wait) is retried


# The deadline


def test_one_last_poll_is_sent_at_the_deadline() -> None:
    """Waits are clamped to the edge; the poll there has its own allowance; if still pending, time is up."""
    machine = poller(PollingPolicy(Backoff("constant", 4), deadline=10, last_poll_timeout=0.5))
    machine.start(0)
    assert machine.wake(4) == Send(1, 6)  # the request timeout of 10 s is clamped to what is left
    assert machine.reply(4, "pending") == Wait(8)
    assert machine.wake(8) == Send(2, 2)
    assert machine.reply(8, "pending") == Wait(10)
    assert machine.wake(10) == Send(3, 0.5)
    assert machine.reply(10.25, "pending") == Done(
        "timeout", 10.25, 3, 3, 0, "the deadline of 10 s passed; the last poll was answered 'pending'"
    )


def test_a_failed_last_poll_is_a_timeout_too() -> None:
    """At the edge neither budget is asked: the deadline has passed."""
    machine = poller(
        PollingPolicy(EVERY_SECOND, deadline=1, max_attempts=1, errors=ErrorPolicy(max_consecutive=0))
    )
    machine.start(0)
    machine.wake(1)
    assert machine.fail(1.5, Failure.http(403)) == Done(
        "timeout", 1.5, 1, 0, 1, "the deadline of 1 s passed; the last poll failed: http 403"
    )


@pytest.mark.parametrize("status", ["completed", "error"])
def test_the_jobs_end_beats_the_timeout(status: str) -> None:
    """A terminal answer counts however late it comes, from the last poll or one that overran the edge."""
    for wakes in ([1.0], [0.5]):
        machine = poller(PollingPolicy(Backoff("constant", 0.5 if wakes == [0.5] else 1), deadline=1))
        machine.start(0)
        machine.wake(wakes[0])
        command = machine.reply(99, status)  # type: ignore[arg-type] # parametrised
        assert isinstance(command, Done)
        assert (command.outcome, command.at) == (status, 99)


@pytest.mark.parametrize("failing", [False, True])
def test_a_poll_in_flight_at_the_deadline_is_followed_by_the_last_one_at_once(failing: bool) -> None:
    """The edge poll is owed even when an earlier poll came back late."""
    machine = poller(PollingPolicy(EVERY_SECOND, deadline=1.5))
    machine.start(0)
    assert machine.wake(1) == Send(1, 0.5)
    late = machine.fail(1.75, TRANSPORT) if failing else machine.reply(1.75, "pending", retry_after=30)
    assert late == Wait(1.75)
    assert machine.wake(1.75) == Send(2, 1.0)
    done = machine.reply(2, "pending")
    assert isinstance(done, Done)
    assert (done.outcome, done.attempts) == ("timeout", 2)


def test_a_hint_cannot_pass_the_deadline() -> None:
    """A server that says "come back in a minute" does not cost the poll at the edge."""
    machine = poller(PollingPolicy(EVERY_SECOND, deadline=5))
    machine.start(0)
    machine.wake(1)
    assert machine.reply(1, "pending", retry_after=60) == Wait(5)


def test_rounding_does_not_buy_an_extra_poll_before_the_deadline() -> None:
    """Ten waits of 0.1 s miss one second by a rounding error; the tenth is the poll at the edge."""
    machine = poller(PollingPolicy(Backoff("constant", 0.1), deadline=1))
    command: Wait | Done = machine.start(0)
    waits = []
    while isinstance(command, Wait):
        waits.append(command.until)
        machine.wake(command.until)
        command = machine.reply(command.until, "pending")
    assert sum([0.1] * 10) < 1
    assert (len(waits), waits[-1]) == (10, 1.0)


def test_an_early_timer_does_not_split_the_last_poll_in_two() -> None:
    """A timer that fires a hair before the edge still sends the edge poll, with its full allowance."""
    machine = poller(PollingPolicy(EVERY_SECOND, deadline=1))
    machine.start(0)
    assert machine.wake(0.9999) == Send(1, 1.0)


@pytest.mark.parametrize("state", [State.READY, State.WAITING, State.POLLING])
def test_cancelling_is_censored_and_keeps_the_counts(state: State) -> None:
    """A run that ends first says so; a request in flight counts as sent, and as nothing else."""
    done = brought_to(state).cancel(3)
    assert (done.outcome, done.at, done.wasted, done.failures) == ("censored", 3, 0, 0)
    assert done.attempts == (1 if state is State.POLLING else 0)


# Any world


@dataclass(frozen=True)
class Answer:
    """What the server does with one request: after so long it says this (None: a failed read)."""

    latency: float
    status: str | None
    failure: Failure = TRANSPORT
    hint: float | None = None


@dataclass
class Trace:
    """A run: what happened, in order, as (time, what)."""

    waits: list[tuple[float, Wait]] = field(default_factory=list)
    sends: list[tuple[float, Send]] = field(default_factory=list)
    heard: list[tuple[float, Answer]] = field(default_factory=list)
    done: Done | None = None


def run(policy: PollingPolicy, answers: Iterator[Answer], lateness: float, start: float = 0.0) -> Trace:
    """Drive a poller in virtual time, as an honest driver does: it obeys waits and enforces timeouts."""
    machine = Poller(policy, uniform=lambda n: (n * 0.618) % 1)
    trace = Trace()
    now = start
    command: Wait | Done = machine.start(now)
    while isinstance(command, Wait):
        trace.waits.append((now, command))
        now = max(now, command.until) + lateness
        send = machine.wake(now)
        trace.sends.append((now, send))
        answer = next(answers)
        if answer.latency > send.timeout:
            answer = Answer(send.timeout, None)
        now += answer.latency
        trace.heard.append((now, answer))
        if answer.status is None:
            command = machine.fail(now, answer.failure, answer.hint)
        else:
            command = machine.reply(now, answer.status, answer.hint)  # type: ignore[arg-type] # one of three
    trace.done = command
    return trace


short = st.floats(0.05, 5)
laws = st.builds(
    Backoff,
    st.just("exponential"),
    short,
    multiplier=st.floats(1, 3),
    jitter=st.sampled_from(["none", "full", "equal", "decorrelated"]),
)
policies = st.builds(
    PollingPolicy,
    laws,
    first_poll=st.sampled_from(["after_delay", "immediately"]),
    deadline=st.floats(0.5, 60),
    max_attempts=st.none() | st.integers(1, 20),
    request_timeout=st.floats(0.1, 10),
    last_poll_timeout=st.floats(0.1, 2),
    errors=st.builds(ErrorPolicy, laws, max_consecutive=st.integers(0, 5), not_found_grace=st.floats(0, 10)),
    hints=st.builds(HintPolicy, honour=st.booleans(), maximum=short, spread=st.floats(0, 1)),
)
failures = st.sampled_from([TRANSPORT, *map(Failure.http, (503, 429, 404, 403)), Failure("malformed", 200)])
hints = st.none() | st.floats(0, 30)
undecided = st.builds(
    Answer, st.floats(0, 12), st.sampled_from(["pending", "pending", None]), failures, hints
)
endings = st.builds(Answer, st.floats(0, 12), st.sampled_from(["completed", "error", "pending"]))
lateness = st.sampled_from([0.0, 0.0, 0.001, 0.5])


@st.composite
def traces(draw: st.DrawFn) -> tuple[PollingPolicy, float, Trace]:
    """Any policy in any world: undecided answers, then one answer again and again."""
    policy, late = draw(policies), draw(lateness)
    start = draw(st.sampled_from([0.0, 1e6]))
    answers = chain(draw(st.lists(undecided, max_size=25)), repeat(draw(endings)))
    return policy, start, run(policy, answers, late, start)


@LENIENT
@given(traces())
def test_counts_add_up(case: tuple[PollingPolicy, float, Trace]) -> None:
    """Attempts = requests sent = pending replies + failed reads + the job's end."""
    _, _, trace = case
    done = trace.done
    assert done is not None
    statuses = [answer.status for _, answer in trace.heard]
    assert done.attempts == len(trace.sends) == len(statuses)
    assert [send.attempt for _, send in trace.sends] == list(range(1, done.attempts + 1))
    assert (done.wasted, done.failures) == (statuses.count("pending"), statuses.count(None))
    ended = done.outcome in ("completed", "error")
    assert done.attempts == done.wasted + done.failures + ended
    assert ended is (statuses[-1] in ("completed", "error"))


@LENIENT
@given(traces())
def test_the_deadline_is_exact_both_ways(case: tuple[PollingPolicy, float, Trace]) -> None:
    """No wait or request passes the edge; a timeout has one poll there and ends within its allowance."""
    policy, start, trace = case
    assert policy.deadline is not None
    edge = start + policy.deadline
    for now, wait in trace.waits:
        assert now <= wait.until <= max(now, edge)
    for now, send in trace.sends:
        if now < edge:
            assert 0 < send.timeout <= min(policy.request_timeout, edge - now)
        else:
            assert send.timeout == policy.last_poll_timeout
    at_edge = [now for now, _ in trace.sends if now >= edge]
    assert len(at_edge) <= 1
    done = trace.done
    assert done is not None
    if done.outcome == "timeout":
        assert at_edge == [trace.sends[-1][0]]
        assert edge <= done.at <= at_edge[0] + policy.last_poll_timeout
    elif done.outcome == "gave_up":
        assert not at_edge  # a budget that runs out ends it earlier, or not at all


@LENIENT
@given(traces())
def test_budgets_are_kept_apart_and_to_the_last_unit(case: tuple[PollingPolicy, float, Trace]) -> None:
    """gave_up means: pending budget exactly spent, error budget just exceeded, or a read beyond mending."""
    policy, start, trace = case
    done = trace.done
    assert done is not None
    in_a_row = 0
    for _, answer in reversed(trace.heard):
        if answer.status is not None:
            break
        in_a_row += 1
    now, last = trace.heard[-1]
    mended = last.failure.retryable or (
        last.failure.status_code == 404 and now - start <= policy.errors.not_found_grace
    )
    gave_up = last.status == "pending" and done.wasted == policy.max_attempts
    gave_up |= last.status is None and (in_a_row > policy.errors.max_consecutive or not mended)
    assert (done.outcome == "gave_up") is (gave_up and done.outcome != "timeout")
    assert in_a_row <= policy.errors.max_consecutive + 1
    if policy.max_attempts is not None:
        assert done.wasted <= policy.max_attempts


@LENIENT
@given(traces())
def test_every_wait_is_what_the_laws_say(case: tuple[PollingPolicy, float, Trace]) -> None:
    """Each wait is its policy's delay, lengthened by the hint and clamped to the edge, and nothing else."""
    policy, start, trace = case
    assert policy.deadline is not None
    edge = start + policy.deadline
    cadence: list[float] = []
    errors: list[float] = []
    events = [(start, Answer(0, "pending")), *trace.heard]
    immediate = policy.first_poll == "immediately"
    for n, ((now, wait), (_, answer)) in enumerate(zip(trace.waits, events, strict=False), start=1):
        if n == 1 and immediate:
            assert wait == Wait(start)
            continue
        u = ((n - immediate) * 0.618) % 1
        if answer.status == "pending":
            chain_, law = cadence, policy.cadence
            errors.clear()
        else:
            chain_, law = errors, policy.errors.backoff
        chain_.append(law.delay(len(chain_) + 1, chain_[-1] if chain_ else None, u))
        own = now + chain_[-1]
        lengthened = now + policy.hints.lengthen(chain_[-1], answer.hint, u)
        assert lengthened >= own
        expected = max(now, edge) if lengthened > edge - 1e-6 else lengthened
        assert wait.until == pytest.approx(expected, abs=1e-9)
