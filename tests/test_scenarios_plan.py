"""What a scenario plans: arrivals, keys, think times, the order of visits, and its price in English."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.virtual import visit_costs
from scenarios import Scenario, Visit, closed_key, describe, load_scenario, planned, think_time
from scenarios.draws import uniform

BASE: dict[str, Any] = {
    "name": "plan",
    "seed": 5,
    "job": {"duration": "4s"},
    "workload": {"lanes": 3, "arrivals": {"type": "constant", "rate": 4}, "jobs": 5},
    "settings": {"one": {"curve": "constant", "initial": "1s"}},
}


def scenario_of(folder: Path, **changes: Any) -> Scenario:
    """Load the base scenario with some of its top-level keys changed."""
    file = folder / "x.yaml"
    file.write_text(yaml.safe_dump(BASE | changes, sort_keys=False))
    return load_scenario(file)


def workload(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (BASE["workload"] | changes).items() if value is not None}


def times(scenario: Scenario, repeat: int = 0) -> list[float]:
    return [arrival.at for arrival in planned(scenario, repeat)]


def test_constant_arrivals_are_evenly_spaced_and_dealt_to_lanes(tmp_path: Path) -> None:
    """Keys count from repeat * 10^9, lanes take turns, and `jobs` ends the plan."""
    plan = list(planned(scenario_of(tmp_path), 2))
    assert [arrival.at for arrival in plan] == [0, 0.25, 0.5, 0.75, 1.0]
    assert [arrival.key for arrival in plan] == [2 * 10**9 + index for index in range(5)]
    assert [arrival.lane for arrival in plan] == [0, 1, 2, 0, 1]


def test_a_job_planned_for_the_very_end_is_not_in_the_plan(tmp_path: Path) -> None:
    """`duration` is exclusive; with `jobs` too, whichever comes first ends the plan."""
    assert times(scenario_of(tmp_path, workload=workload(jobs=None, duration=1))) == [0, 0.25, 0.5, 0.75]
    assert times(scenario_of(tmp_path, workload=workload(jobs=2, duration=1))) == [0, 0.25]
    assert times(scenario_of(tmp_path, workload=workload(jobs=9, duration="500ms"))) == [0, 0.25]


def test_bursts_come_at_once_and_again(tmp_path: Path) -> None:
    """A burst without `every` is all there is; with it, bursts follow until the end."""
    once = {"type": "burst", "size": 3}
    assert times(scenario_of(tmp_path, workload=workload(arrivals=once, jobs=None, duration=9))) == [0, 0, 0]
    again = once | {"every": "2s"}
    assert times(scenario_of(tmp_path, workload=workload(arrivals=again, jobs=7))) == [0, 0, 0, 2, 2, 2, 4]
    assert times(scenario_of(tmp_path, workload=workload(arrivals=again, jobs=None, duration=2))) == [0, 0, 0]


def test_recorded_arrivals_are_replayed_in_order_of_time(tmp_path: Path) -> None:
    """A trace is replayed as it was measured, counted from its first, until it or the workload ends."""
    (tmp_path / "log.csv").write_text("id,at\n1,2.5\n2,500ms\n3,1\n4,30\n")
    arrivals = {"type": "trace", "file": "log.csv", "column": "at"}
    replayed = scenario_of(tmp_path, workload=workload(arrivals=arrivals, jobs=None, duration=10))
    assert times(replayed) == [0, 0.5, 2]
    assert times(scenario_of(tmp_path, workload=workload(arrivals=arrivals, jobs=4))) == [0, 0.5, 2, 29.5]


def test_poisson_gaps_are_the_jobs_own_exponential_draws(tmp_path: Path) -> None:
    """The gap before a job comes from its key alone; all gaps together are exponential with mean 1/rate."""
    poisson = {"type": "poisson", "rate": 4}
    scenario = scenario_of(tmp_path, workload=workload(arrivals=poisson, jobs=4000))
    at = np.array(times(scenario, 1))
    assert at[0] == -math.log1p(-uniform(5, "arrival", 10**9)) / 4
    assert stats.kstest(np.diff(at, prepend=0), stats.expon(scale=1 / 4).cdf).pvalue > 1e-3
    assert times(scenario, 1) == at.tolist()
    assert times(scenario, 0)[0] != at[0]


def test_a_longer_run_begins_like_a_shorter_one(tmp_path: Path) -> None:
    """The plan is a prefix of every longer plan: more jobs or more time change none of the first jobs."""
    poisson = {"type": "poisson", "rate": 4}
    short = scenario_of(tmp_path, workload=workload(arrivals=poisson, jobs=20))
    long = scenario_of(tmp_path, workload=workload(arrivals=poisson, jobs=None, duration="1h", lanes=3))
    assert list(planned(short, 0)) == list(islice(planned(long, 0), 20))


@given(lanes=st.integers(1, 50), repeat=st.integers(0, 1000), data=st.data())
def test_closed_keys_never_collide(lanes: int, repeat: int, data: st.DataObject) -> None:
    """Two jobs of a closed loop have two keys, unless they are the same job; each key tells its lane."""
    jobs = st.tuples(st.integers(0, lanes - 1), st.integers(0, 10_000))
    one, other = data.draw(jobs), data.draw(jobs)
    keys = [closed_key(repeat, lane, iteration, lanes) for lane, iteration in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    assert (keys[0] - repeat * 10**9) % lanes == one[0]


def test_open_and_closed_loops_do_not_answer_for_each_other(tmp_path: Path) -> None:
    """A closed loop has think times and no plan, an open one a plan and no think times."""
    think = {"type": "closed", "think": {"type": "exponential", "mean": 2}}
    closed, opened = scenario_of(tmp_path, workload=workload(arrivals=think)), scenario_of(tmp_path)
    assert think_time(closed, 17) == -2 * math.log1p(-uniform(5, "think", 17))
    assert think_time(scenario_of(tmp_path, workload=workload(arrivals={"type": "closed"})), 17) == 0
    assert (closed.workload.arrivals.is_open, opened.workload.arrivals.is_open) == (False, True)
    with pytest.raises(ValueError, match="no plan"):
        next(planned(closed, 0))
    with pytest.raises(ValueError, match="think"):
        think_time(opened, 17)


def settings(count: int) -> dict[str, Any]:
    return {f"s{index}": {"curve": "constant", "initial": index + 1} for index in range(count)}


def test_visits_are_counterbalanced(tmp_path: Path) -> None:
    """Repeats come in pairs, forth and back; each pair starts one setting later."""
    scenario = scenario_of(tmp_path, settings=settings(3), workload=workload(repeats=6))
    visits = scenario.visits()
    orders = ["".join(visit.setting[1] for visit in visits if visit.repeat == r) for r in range(6)]
    assert orders == ["012", "210", "120", "021", "201", "102"]
    assert [visit.index for visit in visits] == list(range(18))
    assert visits[4] == Visit(index=4, repeat=1, setting="s1")


@given(count=st.integers(1, 6), pairs=st.integers(1, 7))
def test_a_steady_drift_meets_every_setting_alike(
    tmp_path_factory: pytest.TempPathFactory, count: int, pairs: int
) -> None:
    """Over an even number of repeats every setting has the same mean place in the order."""
    scenario = scenario_of(
        tmp_path_factory.getbasetemp(), settings=settings(count), workload=workload(repeats=2 * pairs)
    )
    places: dict[str, int] = dict.fromkeys(scenario.settings, 0)
    for visit in scenario.visits():
        places[visit.setting] += visit.index
    assert len(set(places.values())) == 1


def test_a_selection_keeps_the_order(tmp_path: Path) -> None:
    """`only` leaves out the other settings, however it is ordered itself, and refuses unknown names."""
    scenario = scenario_of(tmp_path, settings=settings(3), workload=workload(repeats=2))
    chosen = scenario.visits(only=["s2", "s0"])
    assert [(visit.index, visit.repeat, visit.setting) for visit in chosen] == [
        (0, 0, "s0"),
        (1, 0, "s2"),
        (2, 1, "s2"),
        (3, 1, "s0"),
    ]
    with pytest.raises(ValueError, match="'S2' is not among the settings of plan; did you mean 's2'"):
        scenario.visits(only=["S2"])


def english(scenario: Scenario) -> list[str]:
    """What `check` prints."""
    return describe(scenario, visit_costs(scenario))


def test_the_price_is_exact_where_nothing_is_random(tmp_path: Path) -> None:
    """Five 4-second jobs a quarter of a second apart: four polls each at 1 s, the last one found at 5 s."""
    lines = english(scenario_of(tmp_path))
    assert lines == [
        "plan: no question given",
        "  jobs: fixed, 4 s",
        "  service: replies at once",
        "  workload: 3 lanes, 4 jobs/s, evenly spaced, until 5 jobs: 5 jobs a visit",
        "  setting one: constant: every 1 s, no jitter, first poll after the first delay, no deadline "
        "(about 4 polls per job, 4 polls/s over 5 s)",
        "  wanted: no objectives",
        "  cost: 1 visit, about 5 s and 20 polls in all",
        "  note: one: polls fall exactly on the end: add spread to the durations; 100% of the jobs are found "
        "without any lag, which no clock measures",
    ]


@pytest.mark.parametrize(
    ("setting", "polls", "seconds"),
    [
        ({"curve": "constant", "initial": 1, "first_poll": "immediately"}, 5, 5),
        ({"curve": "constant", "initial": 3}, 2, 7),
        ({"curve": "constant", "initial": 1, "deadline": "3s"}, 3, 4),
        ({"curve": "constant", "initial": 1, "max_attempts": 2}, 2, 3),
        ({"curve": "exponential", "initial": 1}, 3, 8),
        ({"curve": "schedule", "delays": [4]}, 1, 5),
    ],
)
def test_the_price_follows_the_policy(
    tmp_path: Path, setting: dict[str, Any], polls: int, seconds: int
) -> None:
    """First poll, curve, deadline and budget all count."""
    lines = english(scenario_of(tmp_path, settings={"one": setting}))
    assert f"(about {polls} polls per job, {5 * polls / seconds:.3g} polls/s over {seconds} s)" in lines[4]


@pytest.mark.parametrize(
    ("dialect", "words"),
    [
        ("native", "replies at once"),
        ("google-lro", "speaks google-lro; replies at once"),
        ({"status": {"state": "data.state"}}, "speaks a dialect of its own; replies at once"),
    ],
)
def test_the_dialect_is_named(tmp_path: Path, dialect: Any, words: str) -> None:
    """A service that does not speak as ours does says so first; nothing else changes."""
    native = english(scenario_of(tmp_path))
    lines = english(scenario_of(tmp_path, service={"dialect": dialect}))
    assert lines[2] == f"  service: {words}"
    assert lines[:2] + lines[3:] == native[:2] + native[3:]


def test_a_slow_reply_slows_the_polls(tmp_path: Path) -> None:
    """The next delay starts when a reply arrives: with replies of 1 s, polls are 2 s apart."""
    lines = english(scenario_of(tmp_path, service={"delay": "1s"}))
    assert "(about 2 polls per job, 1.67 polls/s over 6 s)" in lines[4]


def test_a_closed_loop_is_priced_lane_by_lane(tmp_path: Path) -> None:
    """Two lanes with jobs of 4 s and 1 s of thought submit at 0, 5 and 10 s of 11."""
    closed = {"lanes": 2, "arrivals": {"type": "closed", "think": 1}, "duration": 11}
    lines = english(scenario_of(tmp_path, workload=closed))
    assert lines[3].endswith(
        "closed loop, one job per lane at a time, think time fixed, 1 s, for 11 s: 6 jobs a visit"
    )
    assert "(about 4 polls per job, 1.71 polls/s over 14 s)" in lines[4]


def test_more_jobs_than_anyone_wants_to_count_are_not_counted(tmp_path: Path) -> None:
    """`describe` stays quick for a run of days."""
    lines = english(scenario_of(tmp_path, workload=workload(jobs=10**7)))
    assert "more than 1,000 jobs a visit" in lines[3]
    assert lines[6] == "  cost: 1 visit; too many jobs to say how long"


def test_the_wait_for_a_slot_is_counted(tmp_path: Path) -> None:
    """One slot: the jobs end at 4, 8, 12, 16 and 20 s and are polled 4, 8, 12, 16 and 19 times."""
    lines = english(scenario_of(tmp_path, job={"duration": 4, "slots": 1}))
    assert "(about 11.8 polls per job, 2.95 polls/s over 20 s)" in lines[4]


@pytest.mark.parametrize(
    ("setting", "duration", "cost"),
    [
        ({"initial": 0.25}, "15m", "about 3,600 polls per job, 4 polls/s over 900 s, by its first 1 job"),
        ({"initial": "1ms"}, "8s", "about 8,000 polls per job, 970 polls/s over 8 s, by its first 1 job"),
        ({"initial": "1ms"}, "20h", "more than 20000 polls for its first job"),
        ({"initial": "200h"}, "8700h", "still polling its first job after a year"),
    ],
)
def test_many_polls_per_job_are_told_and_never_cut(
    tmp_path: Path, setting: dict[str, Any], duration: str, cost: str
) -> None:
    """What takes too long to follow is said to do so; no figure is a ceiling in disguise."""
    lines = english(
        scenario_of(tmp_path, settings={"one": {"curve": "constant"} | setting}, job={"duration": duration})
    )
    assert f"({cost})" in lines[4]


def test_budgets_that_end_before_the_jobs_do_are_noted(tmp_path: Path) -> None:
    """Jobs of 6.4 h polled each 2 s: 2,700 polls last 90 minutes. The figures are the twin's own, uncut."""
    lines = english(
        scenario_of(
            tmp_path,
            job={"duration": "6.4h"},
            workload={"lanes": 1, "arrivals": {"type": "constant", "rate": 10}, "jobs": 1},
            settings={
                "patient": {"curve": "constant", "initial": "2s"},
                "capped": {"curve": "constant", "initial": "2s", "max_attempts": 2700},
            },
            baseline="patient",
        )
    )
    assert "(about 11,520 polls per job, 0.5 polls/s over 23,040 s)" in lines[4]
    assert "(about 2,700 polls per job, 0.5 polls/s over 5,400 s)" in lines[5]
    assert lines[7:] == [
        "  cost: 2 visits, about 28,440 s and 14,220 polls in all",
        "  note: patient: polls fall exactly on the end: add spread to the durations; 100% of the jobs are "
        "found without any lag, which no clock measures",
        "  note: capped: max_attempts runs out before the end of 100.0% of its jobs",
    ]


def test_an_error_budget_that_ends_before_the_jobs_do_is_noted(tmp_path: Path) -> None:
    """Jobs arrive at 0, 0.25, ... 1 s: the polls of an outage from 1 s on fail, all of them."""
    impatient = {"curve": "constant", "initial": 1, "on_error": {"max_consecutive": 1}}
    lines = english(
        scenario_of(
            tmp_path, settings={"one": impatient}, service={"outages": [{"start": 1, "length": "1h"}]}
        )
    )
    assert "  note: one: it gives up on failed reads before the end of 100.0% of its jobs" in lines


def test_the_start_of_many_lanes_is_in_the_cost(tmp_path: Path) -> None:
    """A live run starts its lanes before each visit; where that takes long, it is told."""
    scenario = scenario_of(tmp_path)
    few = describe(scenario, visit_costs(scenario), before_visit_s=0.25)
    assert few[6] == "  cost: 1 visit, about 5 s and 20 polls in all"
    many = describe(scenario, visit_costs(scenario), before_visit_s=51.0)
    assert many[6] == "  cost: 1 visit, about 56 s (51 s of it to start lanes) and 20 polls in all"


def test_everything_that_is_set_is_said(tmp_path: Path) -> None:
    """Each part of the service and each objective has its phrase."""
    text = "\n".join(
        english(
            scenario_of(
                tmp_path,
                question="Why?",
                job={"duration": 4, "error_rate": 0.03, "slots": 2},
                service={
                    "faults": [
                        {"status": 503, "rate": 0.01},
                        {"fault": "CONNECTION_RESET_BY_PEER", "rate": 0.002},
                    ],
                    "rate_limit": {"rate": 200, "burst": 50},
                    "capacity": {"workers": 1, "service_time": "2ms"},
                    "outages": [{"start": 1, "length": "5s"}],
                    "retry_after": "eta",
                },
                objectives={"lag_p95": "2s", "polls_per_job": 3},
            )
        )
    )
    for phrase in (
        "plan: Why?",
        "0.03 of them fail, 2 at a time",
        "0.01 of the status requests get 503",
        "0.002 of the status requests get a reset connection",
        "at most 200 status requests/s (bursts of 50)",
        "1 worker, each request taking one for fixed, 2 ms",
        "outage with 503 for 5 s from 1 s on",
        "pending replies tell the time left",
        "lag_p95 at most 2 s, polls_per_job at most 3",
    ):
        assert phrase in text


def test_what_may_not_be_meant_is_noted(tmp_path: Path) -> None:
    """Twins, short deadlines, demand above the limit, late outages and a missing baseline are told."""
    lines = english(
        scenario_of(
            tmp_path,
            settings={
                "one": {"curve": "constant", "initial": "1s"},
                "two": {"curve": "constant", "initial": 1},
                "hasty": {"curve": "constant", "initial": 1, "deadline": 3},
            },
            service={"rate_limit": {"rate": 3.9, "burst": 1}, "outages": [{"start": "1h", "length": 1}]},
        )
    )
    assert [line for line in lines if line.startswith("  note: ")] == [
        "  note: one: polls fall exactly on the end: add spread to the durations; 20% of the jobs are found "
        "without any lag, which no clock measures",
        "  note: two is the same as one",
        "  note: two: polls fall exactly on the end: add spread to the durations; 20% of the jobs are found "
        "without any lag, which no clock measures",
        "  note: hasty: the deadline comes before the end of 100.0% of the jobs",
        "  note: one asks for more than the rate limit of 3.9 polls/s: 40% of its polls are refused",
        "  note: two asks for more than the rate limit of 3.9 polls/s: 40% of its polls are refused",
        "  note: hasty asks for more than the rate limit of 3.9 polls/s: 53% of its polls are refused",
        "  note: the outage at 1 h begins when every visit is over",
        "  note: there is no baseline, so no setting is compared with another",
    ]
