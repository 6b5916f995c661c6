"""The two engines give the same records, whatever the scenario, the pool or the size of parts."""

from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from virtual_scenarios import every, scenario
from virtual_strategies import ARRIVALS, LAWS, OVERHEADS, PLAIN, SERVICES, STEPS, policies

from client import ANCHORS, Backoff, ErrorPolicy, PollingPolicy
from harness.measure import Run, aggregate_polls, job_frame, load_run
from harness.measure import RunFolder as Folder
from harness.virtual import (
    EngineChoice,
    EventVisit,
    Overhead,
    VisitTooLong,
    choose_engine,
    resized,
    simulate,
    simulate_visit,
)
from harness.virtual._anchors import ARRAY_ANCHORS
from scenarios import Scenario, load_scenario, planned
from scenarios.draws import draws_of, subjects, uniforms


def assert_equal(one: Run, other: Run) -> None:
    """The same records, to the last bit."""
    assert_frame_equal(one.jobs, other.jobs, check_exact=True)
    assert one.visits == other.visits
    for these, those in zip(one.polls, other.polls, strict=True):
        assert (these.setting, these.repeat) == (those.setting, those.repeat)
        assert these.per_second.tolist() == those.per_second.tolist()
        assert these.peak_per_second == those.peak_per_second
        assert these.responses == those.responses
        assert int(these.latency_count.sum()) == int(those.latency_count.sum())
        total = (these.latency_s * these.latency_count).sum()
        # Rounded to whole microseconds each: a sum of polls may differ by their number of half microseconds.
        assert total == pytest.approx((those.latency_s * those.latency_count).sum(), abs=1e-6 * these.total)


def both(made: Scenario, overhead: Overhead | None = None) -> Run:
    """Simulate with both engines, and return the records once they have been found equal."""
    fast = simulate(made, engine="vector", overhead=overhead).run
    assert_equal(fast, simulate(made, engine="event", overhead=overhead).run)
    return fast


@settings(max_examples=150)
@given(policies(), LAWS, SERVICES, ARRIVALS, OVERHEADS, st.integers(0, 2**64 - 1), STEPS)
@example(
    every(0.5, request_timeout=0.3, errors=ErrorPolicy(Backoff("constant", 0.5), max_consecutive=4)),
    {"type": "fixed", "value": "4s"},
    {
        "delay": {"type": "exponential", "mean": 0.15},
        "outages": [{"start": 0, "length": "3s", "retry_after": "2s"}],
    },
    {"type": "burst", "size": 30},
    Overhead(),
    0,
    1000,
)
def test_both_engines_send_the_same_polls_job_by_job(
    policy: PollingPolicy,
    law: Any,
    service: dict[str, Any],
    arrivals: Any,
    overhead: Overhead,
    seed: int,
    steps: int,
) -> None:
    """Whatever the setting and the service: equal outcomes, equal polls, equal times for every job."""
    made = scenario(
        policy,
        duration=law,
        error_rate=0.2,
        service=service,
        arrivals=arrivals,
        jobs=30,
        seed=seed,
        steps=steps,
    )
    both(made, overhead)


@settings(max_examples=150)
@given(policies(), LAWS, PLAIN, ARRIVALS, OVERHEADS, st.integers(0, 2**64 - 1))
@example(every(1.0), {"type": "fixed", "value": "4s"}, {}, {"type": "burst", "size": 30}, Overhead(), 0)
def test_constant_replies_make_no_difference(
    policy: PollingPolicy, law: Any, service: dict[str, Any], arrivals: Any, overhead: Overhead, seed: int
) -> None:
    """The same where replies are constant and nothing fails, so that draws are left out."""
    made = scenario(policy, duration=law, service=service, arrivals=arrivals, jobs=30, seed=seed)
    both(made, overhead)


@pytest.mark.parametrize("drawn", [False, True], ids=["constant delay", "drawn delay"])
def test_ties_of_decimal_fractions_are_decided_alike(drawn: bool) -> None:
    """Polls that by the decimals meet the end of the job exactly fall on the same side in both engines."""
    made = scenario(
        {
            f"every {x:g} s, at most {deadline:g} s": every(x, deadline=deadline)
            for x in (0.1, 0.2, 0.3, 0.7)
            for deadline in (1.8, 1.9, 6.3)
        },
        duration="2.1s",
        service={"delay": {"type": "uniform", "lower": 0.1, "upper": 0.1 + 1e-15} if drawn else 0.1},
        arrivals={"type": "poisson", "rate": 5.0},
        jobs=200,
    )
    assert set(both(made).jobs["outcome"]) == {"completed", "timeout"}


def test_both_engines_know_the_clients_anchors() -> None:
    """A new anchor is a row here, too."""
    assert list(ARRAY_ANCHORS) == list(ANCHORS)


@pytest.mark.parametrize("anchor", ["start", "clock"])
@pytest.mark.parametrize("missed", ["skip", "catch_up"])
def test_beats_that_are_far_apart_are_found_alike(anchor: str, missed: Any) -> None:
    """Hints of many intervals, tiers, a capped curve: the engines count the same beats, at any distance."""
    curves = [
        Backoff("constant", 0.1),
        Backoff("exponential", 0.01, maximum=0.3),
        Backoff("schedule", delays=[0, 0.2, 0.1, 0.7], until=[1.5]),
        Backoff("linear", 0.05, increment=0.0),
    ]
    made = scenario(
        {
            f"{number} {limit}": PollingPolicy(curve, anchor=anchor, missed=missed, deadline=limit)
            for number, curve in enumerate(curves)
            for limit in (None, 37.3)
        },
        duration={"type": "uniform", "lower": 1, "upper": 90},
        service={"delay": {"type": "exponential", "mean": 0.3}, "retry_after": "eta"},
        arrivals={"type": "poisson", "rate": 5.0},
        jobs=100,
    )
    both(made)


def cut_small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make parts of 7 jobs in chunks of 3, instead of 131,072 and 32,768."""
    monkeypatch.setattr("harness.virtual._vector.CHUNK", 3)
    monkeypatch.setattr("harness.virtual._run.BLOCK", 7)


MIXED = scenario(
    {
        "plain": every(1.0, deadline=5.0),
        "jittered": PollingPolicy(Backoff("exponential", 0.5, maximum=4.0, jitter="full")),
    },
    duration={"type": "exponential", "mean": 3.0},
    service={"delay": "20ms"},
    arrivals={"type": "poisson", "rate": 10.0},
    jobs=100,
    repeats=2,
)
FAILING = scenario(
    {"plain": every(1.0), "eager": every(0.3, max_attempts=5)},
    duration={"type": "exponential", "mean": 3.0},
    service={"delay": {"type": "exponential", "mean": 0.1}, "faults": [{"status": 503, "rate": 0.1}]},
    arrivals={"type": "poisson", "rate": 10.0},
    jobs=100,
)
SHARED = scenario(
    {"plain": every(1.0), "eager": every(0.3)},
    service={"rate_limit": {"rate": 20, "burst": 5}},
    arrivals={"type": "poisson", "rate": 10.0},
    jobs=60,
)


@pytest.mark.parametrize("made", [MIXED, FAILING], ids=["constant delay", "failing"])
def test_records_do_not_depend_on_the_size_of_parts(made: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the work is cut is nobody's business."""
    whole = simulate(made).run
    cut_small(monkeypatch)
    assert_equal(simulate(made).run, whole)


@pytest.mark.parametrize("made", [MIXED, FAILING, SHARED], ids=["constant delay", "failing", "events"])
@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ProcessPoolExecutor])
def test_records_do_not_depend_on_the_executor(made: Scenario, pool: type[Executor]) -> None:
    """One process or several: the same rows in the same order."""
    with pool(2) as executor:  # type: ignore[call-arg]
        assert_equal(simulate(made, executor=executor).run, simulate(made).run)


@pytest.mark.parametrize("name", ["video-translation", "rate-limited"])
def test_scenarios_from_files_travel_to_other_processes(name: str) -> None:
    """A scenario as it is loaded can be simulated in a pool, with either engine."""
    made = load_scenario(Path(__file__).parent.parent / "scenarios" / f"{name}.yaml")
    with ProcessPoolExecutor(2) as executor:
        assert_equal(simulate(made, jobs=20, executor=executor).run, simulate(made, jobs=20).run)


@given(
    st.integers(0, 2**64 - 1),
    st.sampled_from(["jitter", "delay"]),
    st.lists(st.integers(0, 10**13), min_size=1),
)
def test_draws_of_subjects_are_the_draws_of_arrays(seed: int, stream: str, keys: list[int]) -> None:
    """Subjects mixed once give the very numbers of ``uniforms``, whatever is drawn of them."""
    index = np.array(keys, dtype=np.int64)
    subject = subjects(seed, stream, index)
    assert (draws_of(subject, 3) == uniforms(seed, stream, index, 3)).all()
    numbers = np.arange(index.size)
    assert (draws_of(subject, numbers) == uniforms(seed, stream, index, numbers)).all()


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    ("arrivals", "jobs", "until"),
    [
        ({"type": "poisson", "rate": 10.0}, 50, None),
        ({"type": "poisson", "rate": 10.0}, None, 5.0),
        ({"type": "constant", "rate": 4.0}, 30, 5.0),
        ({"type": "constant", "rate": 4.0}, None, 5.0),
        ({"type": "burst", "size": 6, "every": 2.0}, 30, None),
        ({"type": "burst", "size": 6}, None, 5.0),
    ],
)
def test_the_plan_in_blocks_is_the_plan(
    size: int, arrivals: Any, jobs: int | None, until: float | None
) -> None:
    """Keys, lanes and times are those of ``scenarios.planned``, in repeats too."""
    made = scenario(every(1.0), arrivals=arrivals, jobs=jobs, until=until)
    for repeat in (0, 1):
        blocks = list(made.planned_blocks(repeat, size))
        assert all(0 < block.keys.size <= size for block in blocks)
        columns = (np.concatenate(column).tolist() for column in zip(*blocks, strict=True))
        assert list(zip(*columns, strict=True)) == list(planned(made, repeat))


def test_rows_mean_what_a_live_run_means_by_them() -> None:
    """The twin's frame has the columns and types of rows from disk, and its server counts add up."""
    made = scenario(
        every(1.0, deadline=3.0),
        duration={"type": "uniform", "lower": 1, "upper": 6},
        error_rate=0.3,
        service={"delay": "20ms"},
        arrivals={"type": "constant", "rate": 10.0},
        until=4.0,
    )
    run = both(made)
    assert run.jobs.schema == job_frame([]).schema
    assert set(run.jobs["outcome"]) == {"completed", "error", "timeout"}
    unknown = run.jobs["outcome"] == "timeout"
    for column in ("finished_at_s", "detected_at_s", "detection_lag_s", "completion_latency_s"):
        assert (run.jobs[column].is_null() == unknown).all()
    (visit,), (polls,) = run.visits, run.polls
    assert visit.planned_jobs == len(run.jobs) == 40
    assert visit.server is not None
    assert visit.server.polls == polls.total == run.jobs["polls"].sum()
    assert visit.submit_window_s == 4.0
    last_given_up = run.jobs["submitted_at_s"].filter(unknown).max() + 3.0 + 0.02
    assert visit.duration_s == pytest.approx(max(run.jobs["detected_at_s"].max(), last_given_up))


def test_a_simulated_run_can_be_written_and_read_back(tmp_path: Any) -> None:
    """What is on disk is the run, to the microsecond."""
    run = simulate(MIXED).run
    folder = Folder.create(tmp_path, "made-up", datetime(2030, 1, 1, tzinfo=UTC))
    folder.write(run.info, run.visits, run.jobs, run.polls)
    back = load_run(folder.path)
    assert_frame_equal(back.jobs, run.jobs, abs_tol=1e-6, rel_tol=0)
    assert [polls.total for polls in back.polls] == [polls.total for polls in run.polls]


def test_polls_per_second_are_those_of_the_polls_themselves() -> None:
    """Counts per second, responses and the busiest second agree with what ``measure`` makes of every poll."""
    made = scenario(
        every(0.75),
        duration={"type": "exponential", "mean": 5.0},
        service={"delay": "125ms"},
        arrivals={"type": "burst", "size": 40},
        jobs=40,
    )
    rows: list[Any] = []
    EventVisit(made, "only", 0, Overhead(), on_poll=rows.append).run()
    expected = aggregate_polls(
        "only", 0, [row.sent_at_s for row in rows], {"200": len(rows)}, [row.latency_s for row in rows]
    )
    (polls,) = both(made).polls
    assert polls.per_second.tolist() == expected.per_second.tolist()
    assert polls.peak_per_second == expected.peak_per_second  # all times are multiples of 1/128 s
    assert polls.responses == expected.responses
    assert (polls.latency_s.tolist(), polls.latency_count.tolist()) == ([0.125], [len(rows)])


def test_jobs_replaces_the_workloads_end() -> None:
    """More jobs than the workload's duration holds: same keys, same times as far as they go."""
    short = scenario(every(1.0), arrivals={"type": "poisson", "rate": 10.0}, until=2.0)
    long = simulate(short, jobs=100).run.jobs
    assert long["key"].to_list() == list(range(100))
    usual = simulate(short).run.jobs
    assert 0 < len(usual) < 100
    assert_frame_equal(usual, long[: len(usual)])


OUTAGE = {"outages": [{"start": 1.0, "length": 2.0}]}


@pytest.mark.parametrize(
    ("arrivals", "service", "end", "jobs", "repeats", "in_each"),
    [
        ({"type": "constant", "rate": 10.0}, OUTAGE, {"until": 2.0}, 90, 5, 20),
        ({"type": "burst", "size": 20}, {}, {"jobs": 20}, 100, 5, 20),
        ({"type": "burst", "size": 20}, {}, {"jobs": 8}, 20, 1, 20),
        ({"type": "burst", "size": 20}, {}, {"jobs": 8}, 39, 2, 20),
        ({"type": "constant", "rate": 10.0}, OUTAGE, {"until": 2.0}, 12, 1, 12),
        ({"type": "constant", "rate": 10.0}, {}, {"until": 2.0}, 90, 1, 90),
        ({"type": "closed"}, OUTAGE, {"jobs": 30}, 60, 2, 30),
    ],
)
def test_a_visit_that_cannot_be_longer_is_repeated(
    arrivals: dict[str, Any],
    service: dict[str, Any],
    end: dict[str, Any],
    jobs: int,
    repeats: int,
    in_each: int,
) -> None:
    """With outages set in its time, or arrivals that end, more jobs are more visits."""
    made = scenario(every(1.0), arrivals=arrivals, service=service, **end)
    run = simulate(made, jobs=jobs).run
    assert [visit.repeat for visit in run.visits] == list(range(repeats))
    assert len(run.jobs) == repeats * in_each >= jobs
    assert (resized(made, jobs).note is None) == (repeats == 1)


def test_a_closed_loop_of_unknown_size_in_an_outage_is_not_lengthened() -> None:
    """Nobody knows how many of its visits would do."""
    made = scenario(every(1.0), arrivals={"type": "closed"}, service=OUTAGE, until=5.0)
    with pytest.raises(ValueError, match="give the scenario more repeats instead"):
        simulate(made, jobs=10)


def test_only_some_settings_and_repeats_are_visited_in_the_scenarios_order() -> None:
    """Visits keep the counterbalanced order, their repeats have keys of their own."""
    run = simulate(MIXED, only=["jittered"]).run
    assert [(visit.setting, visit.repeat, visit.index) for visit in run.visits] == [
        ("jittered", 0, 0),
        ("jittered", 1, 1),
    ]
    assert list(run.info.settings) == ["jittered"]
    assert run.jobs["key"].to_list() == [*range(100), *range(10**9, 10**9 + 100)]
    with pytest.raises(ValueError, match="jittered"):
        simulate(MIXED, only=["jitered"])


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (scenario(every(1.0), slots=2), "slots"),
        (SHARED, "rate limit"),
        (scenario(every(1.0), service={"capacity": {"workers": 1, "service_time": "1ms"}}), "workers"),
        (scenario(every(1.0), arrivals={"type": "closed"}), "closed loop"),
    ],
)
def test_jobs_that_touch_each_other_need_the_event_engine(made: Scenario, reason: str) -> None:
    """The choice says why, and the vector engine is refused with that reason."""
    assert choose_engine(made).engine == "event"
    assert reason in choose_engine(made).reason
    with pytest.raises(ValueError, match=reason):
        simulate(made, engine="vector")


def test_the_engine_is_said() -> None:
    """A run names its engine, with the reason, and an unknown one is refused."""
    result = simulate(MIXED, jobs=1)
    assert isinstance(result.choice, EngineChoice)
    assert result.run.info.environment["engine"].startswith("vector: ")
    with pytest.raises(ValueError, match="'auto', 'vector' or 'event'"):
        simulate(MIXED, engine="fast")  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["vector", "event"])
def test_progress_is_told(engine: Any) -> None:
    """Each visit is named in turn, with its jobs and polls so far."""
    told: list[Any] = []
    run = simulate(MIXED, engine=engine, on_progress=told.append).run
    assert [each.visit for each in told] == sorted(each.visit for each in told)
    assert {each.visits for each in told} == {4}
    last = {each.visit: each for each in told}
    assert [each.setting for each in last.values()] == [visit.setting for visit in run.visits]
    assert [each.polls for each in last.values()] == [polls.total for polls in run.polls]
    assert [each.jobs for each in last.values()] == [100] * 4


@pytest.mark.parametrize("jobs", [0, -1, 10**9 + 1])
def test_a_number_of_jobs_that_cannot_be_is_refused(jobs: int) -> None:
    """From one job to as many as a repeat has keys."""
    with pytest.raises(ValueError, match="jobs="):
        simulate(MIXED, jobs=jobs)


def test_more_rows_than_can_be_kept_are_refused_before_any_work() -> None:
    """The message names the way that needs no memory."""
    with pytest.raises(ValueError, match="simulate_visit"):
        simulate(MIXED, jobs=10**7)


def test_a_visit_can_be_taken_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts follow each other in order of the jobs, so that nothing needs to be kept."""
    cut_small(monkeypatch)
    parts = list(islice(simulate_visit(MIXED, "plain", jobs=10**9), 3))
    assert np.concatenate([part.jobs.key for part in parts]).tolist() == list(range(21))


@pytest.mark.parametrize("engine", ["vector", "event"])
def test_a_visit_of_more_than_a_year_is_refused(engine: Any) -> None:
    """A cadence that doubles without a cap outlives any memory for counts per second; the error says so."""
    made = scenario(PollingPolicy(Backoff("exponential", 1.0, multiplier=10.0)), duration="360d")
    with pytest.raises(VisitTooLong, match="maximum"):
        simulate(made, engine=engine)


def test_a_plan_of_a_short_workload_draws_only_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten jobs do not cost the draws of a whole block."""
    asked: list[int] = []

    def counting(seed: int, stream: str, keys: Any, n: Any = 0) -> Any:
        asked.append(keys.size)
        return uniforms(seed, stream, keys, n)

    monkeypatch.setattr("scenarios._scenario.uniforms", counting)
    list(scenario(every(1.0), arrivals={"type": "poisson", "rate": 1.0}, jobs=10).planned_blocks(0, 2**17))
    assert sum(asked) < 1000
