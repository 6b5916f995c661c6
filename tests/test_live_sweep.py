"""What a sweep tells while it runs: counts, lags, the time left, and where its report is."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from live_parts import job_row, poll_row, rows
from virtual_scenarios import every, scenario

from harness.live._messages import Rows
from harness.live._so_far import overheads_of
from harness.live._sweep import SettingNow, Sweep, SweepNow, SweepState, VisitNow, VisitState
from harness.measure import Check, JobRow, Recommendation, Visit
from harness.virtual import visit_costs
from scenarios import Scenario, VisitCost


def two_settings(**changes: Any) -> Scenario:
    return scenario({"quick": every(1), "slow": every(5)}, **changes)


def closed(setting: str = "quick", *, complete: bool = True) -> Visit:
    return Visit(setting, 0, 0, duration_s=3.0, submit_window_s=2.0, lanes=3, complete=complete)


def states(at: SweepNow) -> list[str]:
    return [each.state.value for each in at.visits]


def begun(sweep: Sweep, number: int = 1, at: float = 0.0) -> Sweep:
    """The sweep in its first visit, whose time zero is ``at``."""
    plans = two_settings().visits()
    sweep.begin(at - 2.0, plans)
    sweep.start(at, number, plans[0])
    return sweep


def lost_row(key: int) -> JobRow:
    return job_row(key)._replace(
        outcome="timeout", detected_at_s=None, detection_lag_s=None, finished_at_s=None, polls=4
    )


def test_a_sweep_that_has_not_begun_says_what_will_run() -> None:
    """Every setting waits; the time left is that of the visits, and of starting their lanes."""
    play = two_settings()
    costs = visit_costs(play)
    at = Sweep(play, costs).look(99.0)
    assert (at.scenario, at.state, at.progress, at.elapsed_s) == ("made-up", SweepState.READY, 0.0, 0.0)
    assert states(at) == ["waiting", "waiting"]
    assert [each.jobs for each in at.visits] == [play.planned_jobs(0)] * 2
    seconds = [cost.seconds for cost in costs.values() if isinstance(cost, VisitCost)]
    assert at.eta_s == pytest.approx(sum(seconds) + 2 * 1.03)  # a second, and three lanes at 100/s


def test_the_visit_under_way_is_counted_by_its_rows() -> None:
    """Jobs submitted, ended and lost; polls per ended job, their rate and lateness; lags of ends learnt."""
    sweep = begun(Sweep(two_settings()))
    late = poll_row(2)._replace(sent_at_s=1.3)
    sweep.rows(rows(1, job_row(1), submitted=3))
    sweep.rows(Rows(visit=1, submitted=1, jobs=[lost_row(2)], polls=[late]))
    sweep.rows(rows(9, job_row(5), submitted=7))  # of a visit long gone
    at = sweep.look(4.0)
    assert at.current == 0
    assert at.visit == VisitNow(
        setting="quick",
        repeat=0,
        state=VisitState.RUNNING,
        elapsed_s=4.0,
        jobs=1,
        submitted=4,
        ended=2,
        lost=1,
        polls=2,
        polls_per_job=2.5,
        lag_mean_s=0.25,
        lag_p95_s=pytest.approx(0.25, rel=1e-3),
        requests_per_s=0.5,
        late_mean_s=pytest.approx(0.2),
    )


def test_overhead_is_what_replies_took_beyond_their_delays() -> None:
    """Of a sample of each message's polls; nobody knows it where requests share workers."""
    play = two_settings(service={"delay": {"type": "fixed", "value": "40ms"}})
    overheads = overheads_of(play)
    sweep = begun(Sweep(play, overheads=overheads))
    polls = [poll_row(key)._replace(latency_s=0.04 + 0.001 * (key % 7)) for key in range(980)]
    polls += [poll_row(key)._replace(latency_s=5.0, response="transport_error") for key in range(980, 990)]
    sweep.rows(Rows(visit=1, submitted=0, jobs=[], polls=polls))
    visit = sweep.look(1.0).visit
    assert visit is not None
    assert visit.overhead_p99_s == pytest.approx(0.006, rel=0.01)
    assert visit.polls == 990
    shared = {"capacity": {"workers": 1, "service_time": {"type": "fixed", "value": "1ms"}}}
    assert overheads_of(two_settings(service=shared)) is None


def test_nothing_is_claimed_before_the_first_row() -> None:
    """Neither means of nothing, nor rates over no time."""
    at = begun(Sweep(two_settings()), at=5.0).look(4.9)
    assert at.visit == VisitNow(setting="quick", repeat=0, state=VisitState.RUNNING, jobs=1)


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=200), st.integers(1, 5))
def test_the_lags_p95_is_numpys_to_a_thousandth(lags: list[float], messages: int) -> None:
    """However the rows come in: as one message, or as many."""
    sweep = begun(Sweep(two_settings()))
    jobs = [job_row(key)._replace(detection_lag_s=lag) for key, lag in enumerate(lags)]
    for start in range(messages):
        sweep.rows(rows(1, *jobs[start::messages]))
    visit = sweep.look(1.0).visit
    assert visit is not None
    assert visit.lag_p95_s == pytest.approx(np.quantile(lags, 0.95), rel=1e-3, abs=2e-6)
    assert visit.lag_mean_s == pytest.approx(np.mean(lags))


def test_a_visit_that_has_run_tells_how_long_its_repeats_take() -> None:
    """Its figures stay; the time left follows what it took, not what was thought."""
    play = two_settings(repeats=2)  # quick, slow, slow, quick
    sweep = Sweep(play, visit_costs(play))
    sweep.begin(0.0, play.visits())
    sweep.start(1.0, 1, play.visits()[0])
    sweep.rows(rows(1, job_row(1), submitted=1))
    before = sweep.look(1.0).eta_s
    sweep.close(101.0, closed())
    at = sweep.look(101.0)
    assert states(at) == ["ended", "waiting", "waiting", "waiting"]
    assert (at.current, at.visits[0].ended, at.visits[0].elapsed_s) == (None, 1, 100.0)
    thought = visit_costs(play)["quick"]
    assert isinstance(thought, VisitCost)
    assert before is not None
    assert at.eta_s == pytest.approx(before - thought.seconds + (100.0 - thought.seconds))


def test_progress_never_falls_and_ends_at_one() -> None:
    """Whatever the visits take; a sweep that was cut short stays where it was."""
    play = two_settings()
    for incomplete in (None, "stopped before the end"):
        sweep = Sweep(play, visit_costs(play))
        sweep.begin(0.0, play.visits())
        seen = []
        for place, plan in enumerate(play.visits()):
            sweep.start(60.0 * place, place, plan)
            seen += [sweep.look(60.0 * place + after).progress for after in (0.0, 3.0, 50.0)]
            sweep.close(60.0 * place + 50.0, closed(plan.setting))
        sweep.end(incomplete)
        at = sweep.look(math.inf)
        assert seen == sorted(seen)
        assert 0.0 <= seen[0] < seen[1] < seen[-1] <= 1.0
        assert at.progress == (1.0 if incomplete is None else seen[-1])
        assert (at.elapsed_s, at.eta_s) == (110.0, 0.0)


def test_without_a_cost_nobody_knows_the_time_left() -> None:
    """Of jobs on the user's own service, or of too many polls to count."""
    for costs in (None, {"quick": "more than 20000 polls for its first job"}):
        at = begun(Sweep(two_settings(), costs)).look(1.0)
        assert (at.eta_s, at.progress) == (None, 0.0)


def test_a_sweep_that_ends_early_names_what_was_cut_and_what_was_left_out() -> None:
    """And why, and where its report is, which comes later; the next sweep starts afresh."""
    sweep = begun(Sweep(two_settings()))
    sweep.close(4.0, closed(complete=False))
    sweep.end("stopped before the end")
    assert (sweep.look(50.0).state, sweep.look(50.0).report) == (SweepState.REPORTING, None)
    sweep.reporting("reports/made-up-1")
    at = sweep.look(50.0)
    assert states(at) == ["cut short", "left out"]
    assert (at.state, at.incomplete) == (SweepState.REPORTING, "stopped before the end")
    assert (at.report, at.elapsed_s) == ("reports/made-up-1", 6.0)
    verdict = Recommendation(setting=None, why="the run is incomplete")
    check = Check(check="run complete", status="invalid", detail="it ended early")
    said: Any = SimpleNamespace(recommendation=verdict, trust=[check], settings={}, objectives={})
    sweep.reported("reports/made-up-0", said)  # of the sweep before, whose report took long
    assert sweep.look(51.0).state is SweepState.REPORTING
    sweep.reported("reports/made-up-1", said)
    at = sweep.look(51.0)
    assert (at.state, at.verdict, at.trust) == (SweepState.ENDED, verdict, (check,))
    assert sweep.reports == ["reports/made-up-0", "reports/made-up-1"]
    at = begun(sweep, number=2).look(1.0)
    assert (at.report, at.verdict, at.trust) == (None, None, ())


def test_a_sweep_without_rows_or_visits_has_no_report_to_wait_for() -> None:
    """Nothing was visited, or what was could not be written."""
    sweep = Sweep(two_settings())
    sweep.begin(0.0, two_settings().visits())
    sweep.end("0 of 1 workers run this scenario")
    assert sweep.look(1.0).state is SweepState.ENDED
    begun(sweep).end("the disk is full")
    at = sweep.look(1.0)
    assert (at.state, states(at)) == (SweepState.REPORTING, ["cut short", "left out"])
    sweep.reported(None, None)
    assert (sweep.look(1.0).state, sweep.look(1.0).verdict) == (SweepState.ENDED, None)


def test_the_figures_of_a_setting_are_those_of_all_its_visits() -> None:
    """Of the one under way, too; a setting that was not visited has none."""
    play = two_settings(repeats=2)  # quick, slow, slow, quick
    sweep = Sweep(play)
    sweep.begin(0.0, play.visits())
    for place, (number, lag) in enumerate([(1, 0.25), (2, 4.0), (3, 4.0), (4, 0.75)]):
        sweep.start(10.0 * place, number, play.visits()[place])
        sweep.rows(rows(number, job_row(1)._replace(detection_lag_s=lag), submitted=1))
        at = sweep.look(10.0 * place + 2.0)
        if place == 0:
            assert at.settings[1] == SettingNow(setting="slow")
        if place < 3:
            sweep.close(10.0 * place + 2.0, closed(play.visits()[place].setting))
    quick, slow = at.settings
    assert (quick.setting, quick.visits, quick.ended, quick.lag_mean_s) == ("quick", 2, 2, 0.5)
    assert quick.lag_p95_s == pytest.approx(0.725, rel=1e-3)
    assert (slow.visits, slow.lag_mean_s, slow.requests_per_s) == (2, 4.0, 2 / 4)


def test_trust_so_far_is_what_the_checks_of_visits_find() -> None:
    """Processors and workers, as soon as a visit is over; whose checks need rows have to wait."""
    sweep = begun(Sweep(two_settings()))
    assert sweep.look(1.0).trust == ()
    sweep.close(4.0, replace(closed(), generator_cpu=(0.5,), generator_cpu_peak=0.95, workers_lost=1))
    assert [(each.check, each.status) for each in sweep.look(4.0).trust] == [
        ("generator CPU", "invalid"),
        ("server CPU", "warn"),
        ("workers", "invalid"),
    ]


def test_the_time_left_is_known_while_something_to_come_is_known() -> None:
    """A visit that is over took what it took: what nobody knew of it beforehand is no matter any more."""
    play = two_settings(repeats=2)  # quick, slow, slow, quick
    sweep = Sweep(play)
    sweep.begin(0.0, play.visits())
    for place, plan in enumerate(play.visits()[:2]):
        sweep.start(10.0 * place, place, plan)
        sweep.close(10.0 * place + 9.0, closed(plan.setting))
    sweep.start(20.0, 2, play.visits()[2])
    at = sweep.look(22.0)
    assert at.eta_s == pytest.approx(7.0 + 9.0 + 1.03)
    assert at.progress > 0.5
