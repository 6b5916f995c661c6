"""The schedule of visits: its table, its timing, and whole runs as stories of events and commands."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from live_parts import job_row, record_of, rows, share_done
from virtual_scenarios import every, scenario

from harness.live._commands import (
    Abort,
    CheckWorkers,
    CloseVisit,
    Failed,
    Finished,
    Refuse,
    ResetTarget,
    StartShares,
    Users,
    Wait,
)
from harness.live._messages import ScenarioChecked
from harness.live._ramp import deal, users_for
from harness.live._record import Record
from harness.live._schedule import IllegalEvent, Schedule
from harness.live._states import TRANSITIONS, Event, State
from harness.measure import ServerCounts
from scenarios import Scenario

COUNTS = ServerCounts(submissions=2, polls=5)
ALONE = {"local": 3}
NOBODY = {"local": 0}
YES = ScenarioChecked(accepted=True, reason="")
NO = ScenarioChecked(accepted=False, reason="it runs another scenario")


def two_settings(**changes: Any) -> Scenario:
    """Three lanes, two settings, two jobs each."""
    arrivals = {"type": "burst", "size": 2}
    settings = {"quick": every(1), "slow": every(5)}
    return scenario(settings, **{"arrivals": arrivals, "jobs": 2, **changes})


class Run:
    """A run in the hands of a test: a schedule, its record, and the clock that both are told."""

    def __init__(self, experiment: Scenario | None = None, **how: Any) -> None:
        self.scenario = experiment or two_settings()
        self.schedule = Schedule(self.scenario, **(how or {"accepted": ["local"]}))
        self.now = 0.0
        self.begin()

    def begin(self) -> None:
        self.record = record_of(self.scenario)
        self.schedule.begin(self.now, self.record)

    def tick(self, lanes: Mapping[str, int], after: float = 0.0) -> Any:
        self.now += after
        return self.schedule.tick(self.now, lanes)

    def start(self, lanes: Mapping[str, int] = ALONE) -> StartShares:
        """Go from no users to a visit under way."""
        nobody = dict.fromkeys(lanes, 0)
        assert self.tick(nobody) == Wait()
        assert isinstance(self.tick(nobody), Users)
        assert isinstance(self.tick(lanes), ResetTarget)
        command = self.schedule.reset(self.now, lanes)
        assert isinstance(command, StartShares)
        return command

    def finish(self, visit: int, lanes: Mapping[str, int] = ALONE) -> Any:
        """Go from a visit under way to the command that follows its end."""
        for node in lanes:
            self.schedule.done(node, share_done(visit))
        assert self.tick(lanes) == CloseVisit()
        return self.schedule.closed(self.now, COUNTS)


def brought_to(state: State) -> Run:
    """A run in the state, by a short way."""
    run = Run()
    if state is State.IDLE:
        run.schedule.stop(0.0)
        run.schedule.take()
    elif state is State.CHECKING:
        run.tick(NOBODY)
    elif state in (State.SPAWNING, State.RESETTING):
        run.tick(NOBODY)
        run.tick(NOBODY)
        if state is State.RESETTING:
            run.tick(ALONE)
    elif state is not State.CLEARING:
        run.start()
        if state is State.CLOSING:
            run.schedule.done("local", share_done(1))
            run.tick(ALONE)
        elif state is State.ENDED:
            run.schedule.error("the simulator stopped")
        elif state in (State.COLLECTING, State.STOPPED):
            run.schedule.stop(0.0)
            if state is State.STOPPED:
                run.tick({})  # the only process is gone
                run.tick({})
    assert run.schedule.state is state
    return run


SEND: dict[Event, Callable[[Run], Any]] = {
    Event.BEGIN: lambda run: run.schedule.begin(run.now, record_of(run.scenario)),
    Event.TICK: lambda run: run.tick(NOBODY),
    Event.CHECKED: lambda run: run.schedule.checked("worker", NO),
    Event.RESET: lambda run: run.schedule.reset(run.now, ALONE),
    Event.ROWS: lambda run: run.schedule.rows(rows(1, job_row())),
    Event.DONE: lambda run: run.schedule.done("local", share_done(1)),
    Event.CLOSED: lambda run: run.schedule.closed(run.now, COUNTS),
    Event.ERROR: lambda run: run.schedule.error("the simulator stopped"),
    Event.STOP: lambda run: run.schedule.stop(run.now),
    Event.TAKE: lambda run: run.schedule.take(),
}


def memory(schedule: Schedule) -> dict[str, Any]:
    """Everything a schedule remembers, of the visit under way too."""
    current, sweep = schedule._current and vars(schedule._current), schedule._sweep.look(0.0)
    return copy.deepcopy({**vars(schedule), "_current": current, "_sweep": sweep})


# The table


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_state_and_event_pair_is_as_the_table_says(state: State, event: Event) -> None:
    """A pair in the table gives one of its answers and that answer's state; any other changes nothing."""
    run = brought_to(state)
    before = memory(run.schedule)
    if event in TRANSITIONS[state]:
        answer = SEND[event](run)
        assert (type(answer), run.schedule.state) in TRANSITIONS[state][event]
    else:
        with pytest.raises(IllegalEvent, match=rf"{event.value}\(\) is not allowed while {state.value}"):
            SEND[event](run)
        assert memory(run.schedule) == before


def test_every_move_of_the_table_can_happen() -> None:
    """No row promises what the machine never does."""
    seen: set[tuple[State, Event, type, State]] = set()
    original = Schedule._issue

    def spy(self: Schedule, event: Event, answer: Any, state: State) -> Any:
        seen.add((self.state, event, type(answer), state))
        return original(self, event, answer, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Schedule, "_issue", spy)
        for state in State:
            for event in TRANSITIONS[state]:
                SEND[event](brought_to(state))
            run = brought_to(state)
            run.schedule.checked("worker", YES)
        for story in STORIES:
            story()
    table = {
        (state, event, kind, after)
        for state, row in TRANSITIONS.items()
        for event, answers in row.items()
        for kind, after in answers
    }
    assert table - seen == set()


# Whole runs


def test_two_settings_one_after_another() -> None:
    """Users, a fresh target, the shares, the counts, no users; then the next setting, and the end."""
    run = Run()
    assert run.tick(NOBODY) == Wait()
    assert run.tick(NOBODY) == Users(3, 3.0, "quick")
    assert run.tick({"local": 2}) == Wait()
    assert run.tick(ALONE) == ResetTarget(0.3)
    assert run.schedule.reset(10.0, ALONE) == StartShares(1, "quick", 0, {"local": range(3)}, 0.3)
    run.schedule.rows(rows(1, job_row(0), job_row(1, 0.5), submitted=2))
    assert run.tick(ALONE) == Wait()
    run.schedule.done("local", share_done(1, ended_at_s=1.5))
    assert run.tick(ALONE) == CloseVisit()
    assert run.schedule.closed(12.0, COUNTS) == Users(0, 3.0, "quick")
    (visit,) = run.record.visits
    assert (visit.setting, visit.index, visit.repeat, visit.lanes) == ("quick", 0, 0, 3)
    assert (visit.duration_s, visit.submit_window_s, visit.planned_jobs) == (1.5, 0.5, 2)
    assert (visit.generator_cpu, visit.generator_cpu_peak) == ((0.25,), 0.5)
    assert (visit.workers_expected, visit.workers_lost, visit.complete) == (1, 0, True)
    assert visit.server == COUNTS
    assert run.tick(ALONE) == Wait()  # Locust stops users in the background
    assert run.start().setting == "slow"
    assert run.finish(2) == Users(0, 3.0, "slow")
    assert run.tick(NOBODY) == Finished(None, had_users=True)
    assert run.schedule.stop(run.now) == Abort((), cut_short=False)
    assert run.schedule.take() is run.record
    assert run.record.incomplete is None
    assert [visit.setting for visit in run.record.visits] == ["quick", "slow"]


def test_repeats_are_visits_of_their_own() -> None:
    """Each repeat visits every setting once more, in the scenario's order."""
    experiment = two_settings(repeats=2)
    run = Run(experiment)
    started = []
    for number, _ in enumerate(experiment.visits(), start=1):
        command = run.start()
        started.append((command.visit, command.setting, command.repeat))
        run.finish(number)
    assert run.tick(NOBODY) == Finished(None, had_users=True)
    assert started == [(n, each.setting, each.repeat) for n, each in enumerate(experiment.visits(), 1)]
    assert [visit.repeat for visit in run.record.visits] == [0, 0, 1, 1]


def test_lanes_are_dealt_out_once_each() -> None:
    """Every process gets the next lanes, as many as Locust gave it users; one without users gets no share."""
    run = Run(workers=1)
    for node in "abc":
        run.schedule.checked(node, YES)
    lanes = {"c": 1, "a": 2, "b": 0}
    assert run.start(lanes).lanes == {"a": range(2), "c": range(2, 3)}
    run.schedule.done("a", share_done(1))
    assert run.tick(lanes) == Wait()
    run.schedule.done("c", share_done(1))
    assert run.tick(lanes) == CloseVisit()


def test_a_closed_loop_plans_as_many_jobs_as_its_lanes_tried() -> None:
    """Submissions that the service did not take are missing jobs."""
    run = Run(two_settings(arrivals={"type": "closed", "think": "1s"}))
    run.start()
    run.schedule.rows(rows(1, job_row(0), job_row(1)))
    run.schedule.done("local", share_done(1, failed_submissions=3))
    run.tick(ALONE)
    run.schedule.closed(run.now, None)
    assert run.record.visits[0].planned_jobs == 5
    assert run.record.visits[0].server is None


def test_workers_are_asked_before_a_visit_and_again_until_they_answer() -> None:
    """A worker that has just connected may not listen yet; one that has answered is not asked twice."""
    run = Run(workers=2)
    run.tick({})
    assert run.tick({}) == Wait()  # nobody to ask
    assert run.tick({"b": 0, "a": 0}) == CheckWorkers(("a", "b"))
    run.schedule.checked("a", YES)
    assert run.tick({"b": 0, "a": 0}, after=0.1) == Wait()
    assert run.tick({"b": 0, "a": 0}, after=0.1) == CheckWorkers(("b",))
    run.schedule.checked("b", YES)
    assert run.tick({"b": 0, "a": 0}) == Users(3, 3.0, "quick")


def test_a_run_waits_for_as_many_workers_as_are_expected() -> None:
    """But not for ever: after 30 s it says how many there were."""
    run = Run(workers=2)
    run.schedule.checked("a", YES)
    run.tick({"a": 0})
    assert run.tick({"a": 0}, after=29.9) == Wait()
    assert run.tick({"a": 0}, after=0.2) == Failed("1 of 2 workers run this scenario")
    assert run.tick({"a": 0}) == Finished("1 of 2 workers run this scenario", had_users=False)
    assert run.schedule.take().visits == []


def test_a_worker_that_joins_late_is_checked_before_the_next_visit() -> None:
    """The visit under way is not its own; the next one counts it in, however many were expected."""
    run = Run(workers=1)
    run.schedule.checked("a", YES)
    run.start({"a": 3})
    both = {"a": 2, "b": 1}  # Locust moves its users about
    assert run.tick(both) == Wait()
    run.schedule.done("b", share_done(1))  # no share of its own: not counted
    run.schedule.done("a", share_done(1))
    assert run.tick(both) == CloseVisit()
    run.schedule.closed(run.now, COUNTS)
    assert len(run.record.visits[0].generator_cpu) == 1
    nobody = {"a": 0, "b": 0}
    run.tick(nobody)
    assert run.tick(nobody) == CheckWorkers(("b",))
    run.schedule.checked("b", YES)
    assert run.tick(nobody) == Users(3, 3.0, "slow")


def test_a_refused_worker_is_said_once_and_not_waited_for() -> None:
    """Before the first users it is forgotten, for Locust would end the test with its last worker."""
    run = Run(workers=1)
    run.tick({})
    run.tick({"stranger": 0})
    assert run.schedule.checked("stranger", NO) == Refuse("stranger", NO.reason, forget=True)
    assert run.schedule.checked("stranger", NO) == Wait()
    assert run.tick({"stranger": 0}, after=1.0) == Wait()  # still there, but not one of us
    run.schedule.checked("friend", YES)
    assert run.tick({"friend": 0}) == Users(3, 3.0, "quick")
    assert run.schedule.checked("late", NO) == Refuse("late", NO.reason, forget=False)


def test_too_few_users_end_the_run() -> None:
    """Locust gets 30 s and the time that the spawn rate takes."""
    run = Run()
    run.tick(NOBODY)
    run.tick(NOBODY)
    assert run.tick({"local": 1}, after=30.0) == Wait()
    assert run.tick({"local": 1}, after=0.1) == Failed("only 1 of 3 users of quick started")
    assert run.tick(NOBODY) == Finished("only 1 of 3 users of quick started", had_users=True)


def test_users_that_will_not_go_hold_the_run_up_for_30_seconds() -> None:
    """Then it goes on: too many users of the next setting would show, and end it."""
    run = Run()
    run.start()
    run.finish(1)
    assert run.tick(ALONE, after=29.9) == Wait()
    assert run.schedule.state is State.CLEARING
    run.tick(ALONE, after=0.2)
    assert run.schedule.state is State.CHECKING


def test_a_lost_worker_lets_the_others_finish_and_ends_the_run() -> None:
    """Its visit is incomplete, and no other visit follows."""
    run = Run(workers=2)
    for node in "ab":
        run.schedule.checked(node, YES)
    run.start({"a": 2, "b": 1})
    assert run.tick({"b": 1}) == Failed("1 of 2 workers lost during quick")
    assert run.tick({"b": 1}) == Wait()
    run.schedule.rows(rows(1, job_row()))
    run.schedule.done("a", share_done(1))  # it had been heard of too late
    run.schedule.done("b", share_done(1))
    assert run.tick({"b": 1}) == CloseVisit()
    assert run.schedule.closed(run.now, COUNTS) == Users(0, 3.0, "quick")
    (visit,) = run.record.visits
    assert (visit.workers_expected, visit.workers_lost, visit.complete) == (2, 1, False)
    assert (visit.server, len(visit.generator_cpu)) == (COUNTS, 1)
    assert run.tick({"b": 1}) == Finished("1 of 2 workers lost during quick", had_users=True)
    assert run.schedule.stop(run.now) == Abort((), cut_short=False)
    assert len(run.record.jobs) == 1


def test_a_second_run_starts_afresh() -> None:
    """As from the web page: records of their own, workers known, and late words of the first run dropped."""
    run = Run(workers=1)
    run.schedule.checked("a", YES)
    lanes = {"a": 3}
    run.start(lanes)
    assert run.schedule.stop(run.now) == Abort(("a",), cut_short=True)
    run.schedule.done("a", share_done(1))
    run.tick(lanes)
    first = run.schedule.take()
    run.begin()
    assert run.schedule.rows(rows(1, job_row())) == Wait()
    assert run.start(lanes).visit == 2
    run.schedule.done("a", share_done(1))  # of the first run's visit
    run.schedule.rows(rows(1, job_row()))
    assert run.tick(lanes) == Wait()
    run.finish(2, lanes)
    run.start(lanes)
    run.finish(3, lanes)
    assert run.tick({"a": 0}) == Finished(None, had_users=True)
    second = run.schedule.take()
    assert first is not second
    assert (first.incomplete, len(first.visits)) == ("stopped before the end", 1)
    assert (second.incomplete, len(second.visits), second.jobs) == (None, 2, [])


def test_stopping_a_visit_collects_what_is_still_out_there() -> None:
    """Every process at work is called in; the visit is closed as incomplete, with the rows it has."""
    run = Run(workers=2)
    for node in "ab":
        run.schedule.checked(node, YES)
    lanes = {"a": 2, "b": 1}
    run.start(lanes)
    run.schedule.done("a", share_done(1, ended_at_s=2.0))
    assert run.schedule.stop(run.now) == Abort(("b",), cut_short=True)
    assert run.schedule.stop(run.now) == Abort(("b",), cut_short=False)  # two may wait: one visit, one end
    assert run.tick(lanes) == Wait()
    run.schedule.rows(rows(1, job_row()))
    run.schedule.done("b", share_done(1, ended_at_s=2.5))
    assert run.schedule.state is State.COLLECTING
    run.tick(lanes)
    assert run.schedule.state is State.STOPPED
    (visit,) = run.record.visits
    assert (visit.duration_s, visit.complete, visit.server) == (2.5, False, None)
    assert run.record.incomplete == "stopped before the end"
    assert len(run.record.jobs) == 1
    assert run.tick(lanes) == Wait()  # Locust kills its shape, which must not end the run again


def test_a_visit_that_is_stopped_before_its_time_zero_lasts_no_time() -> None:
    """Its shares had been started, for a third of a second hence."""
    run = Run()
    run.start()
    run.schedule.stop(run.now)
    run.schedule.done("local", share_done(1, ended_at_s=-0.2))
    run.tick(ALONE)
    (visit,) = run.record.visits
    assert (visit.duration_s, visit.complete) == (0.0, False)


def test_a_worker_that_is_told_to_quit_is_lost_though_it_hands_over_its_rows() -> None:
    """It says that its share is done, but cut short: the visit lacks what it had under way."""
    run = Run(workers=2)
    for node in "ab":
        run.schedule.checked(node, YES)
    run.start({"a": 2, "b": 1})
    cut = share_done(1).model_copy(update={"cut_short": True})
    run.schedule.done("a", cut)
    run.schedule.done("a", cut)
    run.schedule.done("b", share_done(1))
    assert run.tick({"a": 2, "b": 1}) == Wait()  # until it is gone, or the run is stopped
    assert run.tick({"b": 1}) == Failed("1 of 2 workers lost during quick")
    assert run.tick({"b": 1}) == CloseVisit()
    run.schedule.closed(run.now, COUNTS)
    (visit,) = run.record.visits
    assert (visit.workers_lost, visit.complete, len(visit.generator_cpu)) == (1, False, 2)


def test_workers_that_a_terminal_stops_with_the_run_are_not_lost() -> None:
    """Ctrl-C reaches all processes, and some have cut their jobs short before the run is told."""
    run = Run(workers=2)
    for node in "ab":
        run.schedule.checked(node, YES)
    run.start({"a": 2, "b": 1})
    cut = share_done(1).model_copy(update={"cut_short": True})
    run.schedule.done("a", cut)
    assert run.schedule.stop(run.now) == Abort(("b",), cut_short=True)
    run.schedule.done("b", cut)
    assert run.tick({}) == Wait()
    assert run.record.incomplete == "stopped before the end"
    assert run.record.visits[0].workers_lost == 0


def test_a_process_that_is_lost_while_its_rows_are_collected_is_not_waited_for() -> None:
    """It is said, and the first reason stays."""
    run = Run()
    run.start()
    run.schedule.stop(run.now)
    assert run.tick({}) == Failed("1 of 1 workers lost during quick")
    run.tick({})
    assert run.schedule.state is State.STOPPED
    assert run.record.visits[0].workers_lost == 1
    assert run.record.incomplete == "stopped before the end"


def test_collecting_lasts_five_seconds_at_most() -> None:
    """However often the run is stopped meanwhile."""
    run = Run()
    run.start()
    run.schedule.stop(run.now)
    assert run.tick(ALONE, after=4.9) == Wait()
    run.schedule.stop(run.now)
    assert run.schedule.state is State.COLLECTING
    run.tick(ALONE, after=0.2)
    assert run.schedule.state is State.STOPPED
    assert run.record.visits[0].duration_s == pytest.approx(5.1 - 0.3)
    run.schedule.rows(rows(1, job_row()))  # late, but of this run
    assert len(run.schedule.take().jobs) == 1


@pytest.mark.parametrize("state", [State.CLEARING, State.CHECKING, State.SPAWNING, State.RESETTING])
def test_stopping_before_a_visit_leaves_nothing_to_collect(state: State) -> None:
    """While users are started, say: the run is incomplete and has no visit."""
    run = brought_to(state)
    assert run.schedule.stop(run.now) == Abort((), cut_short=True)
    if state is State.RESETTING:  # the target answers after all
        assert run.schedule.reset(run.now, ALONE) == Wait()
    record = run.schedule.take()
    assert (record.incomplete, record.visits) == ("stopped before the end", [])


def test_stopping_while_a_visit_is_closed_keeps_it_as_incomplete() -> None:
    """The counts that the target gives afterwards have no visit any more."""
    run = brought_to(State.CLOSING)
    assert run.schedule.stop(run.now) == Abort((), cut_short=True)
    assert run.schedule.closed(run.now, COUNTS) == Wait()
    run.tick(ALONE)
    assert run.schedule.state is State.STOPPED
    assert run.schedule.closed(run.now, COUNTS) == Wait()
    (visit,) = run.record.visits
    assert (visit.complete, visit.server, len(visit.generator_cpu)) == (False, None, 1)


def test_an_error_in_the_middle_of_a_visit_cuts_it_short() -> None:
    """The simulator died, say: the run ends now, and the rows of every process are still called in."""
    run = Run()
    run.start()
    assert run.schedule.error("the simulator stopped") == Failed("the simulator stopped")
    assert run.tick(ALONE) == Finished("the simulator stopped", had_users=True)
    assert run.schedule.stop(run.now) == Abort(("local",), cut_short=False)
    run.schedule.rows(rows(1, job_row()))
    run.schedule.done("local", share_done(1))
    run.tick(ALONE)
    record = run.schedule.take()
    assert record.incomplete == "the simulator stopped"
    assert [visit.complete for visit in record.visits] == [False]
    assert len(record.jobs) == 1


@pytest.mark.parametrize("state", [State.RESETTING, State.CLOSING])
def test_an_error_while_the_target_is_asked_makes_its_answer_late(state: State) -> None:
    """A bad message from a worker comes in between: the answer changes nothing."""
    run = brought_to(state)
    run.schedule.error("a bad message")
    if state is State.RESETTING:
        assert run.schedule.reset(run.now, ALONE) == Wait()
    else:
        assert run.schedule.closed(run.now, COUNTS) == Wait()
    assert run.tick(ALONE) == Finished("a bad message", had_users=True)
    assert run.record.visits == []


def test_errors_between_runs_leave_the_next_run_alone() -> None:
    """They are said, for somebody sent something that cannot be used."""
    run = brought_to(State.IDLE)
    assert run.schedule.error("a bad message") == Failed("a bad message")
    run.begin()
    assert run.record.incomplete is None


def test_a_visit_knows_how_late_its_driver_was() -> None:
    """At most, and by itself: each visit begins anew; between visits it is nobody's."""
    run = Run()
    run.schedule.overslept(9.0)
    run.start()
    for seconds in (0.001, 0.25, 0.002):
        run.schedule.overslept(seconds)
    run.finish(1)
    run.start()
    run.finish(2)
    assert [visit.conductor_late_s for visit in run.record.visits] == [0.25, 0.0]


def test_users_stay_where_locust_is_at_ease() -> None:
    """A hundred of them mark where any number of lanes live: they start within a second."""
    run = Run(two_settings(lanes=250))
    run.tick(NOBODY)
    assert run.tick(NOBODY) == Users(100, 100.0, "quick")
    assert run.tick({"local": 99}, after=30.9) == Wait()
    assert run.tick({"local": 99}, after=0.2) == Failed("only 99 of 100 users of quick started")


def test_lanes_are_dealt_in_proportion_to_users() -> None:
    """Every lane once, and a process whose users have not come gets none."""
    run = Run(two_settings(lanes=5000), accepted=["a", "b", "c"], workers=3)
    assert run.start({"c": 33, "a": 34, "b": 33}).lanes == {
        "a": range(1700),
        "b": range(1700, 3350),
        "c": range(3350, 5000),
    }
    assert deal(3, {"a": 1, "b": 0, "c": 2}) == {"a": range(1), "c": range(1, 3)}
    assert [users_for(lanes, 200) for lanes in (3, 150, 5000)] == [3, 150, 200]


STORIES = [
    test_two_settings_one_after_another,
    test_workers_are_asked_before_a_visit_and_again_until_they_answer,
    test_a_run_waits_for_as_many_workers_as_are_expected,
    test_a_refused_worker_is_said_once_and_not_waited_for,
    test_too_few_users_end_the_run,
    test_users_that_will_not_go_hold_the_run_up_for_30_seconds,
    test_a_lost_worker_lets_the_others_finish_and_ends_the_run,
    test_a_worker_that_is_told_to_quit_is_lost_though_it_hands_over_its_rows,
    test_workers_that_a_terminal_stops_with_the_run_are_not_lost,
    test_a_process_that_is_lost_while_its_rows_are_collected_is_not_waited_for,
    test_collecting_lasts_five_seconds_at_most,
    test_stopping_while_a_visit_is_closed_keeps_it_as_incomplete,
]


# Any order of events


@settings(deadline=None)  # a busy machine is no broken law
@given(
    st.lists(
        st.tuples(
            st.sampled_from(Event),
            st.dictionaries(st.sampled_from(["a", "b", "local"]), st.integers(0, 3)),
            st.floats(0, 40),
        ),
        max_size=60,
    )
)
def test_no_order_of_events_leaves_the_table_or_counts_a_visit_twice(
    events: list[tuple[Event, dict[str, int], float]],
) -> None:
    """Whatever comes in when, from three greenlets: an illegal event is refused, every other fits its row."""
    run = Run()
    for event, lanes, after in events:
        run.now += after
        before, record = run.schedule.state, run.schedule._record
        visits = len(record.visits) if record else 0
        try:
            answer = run.tick(lanes) if event is Event.TICK else SEND[event](run)
        except IllegalEvent:
            assert event not in TRANSITIONS[before]
            continue
        assert (type(answer), run.schedule.state) in TRANSITIONS[before][event]
        if isinstance(answer, Record):
            indexes = [visit.index for visit in answer.visits]
            assert indexes == sorted(set(indexes))
        if record and len(record.visits) > visits:
            assert event in (Event.TICK, Event.CLOSED)
