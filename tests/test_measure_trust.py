"""The harness confesses: each check passes on a sound run and catches its own fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from measure_records import job, polls_of, results_of, run_of, statuses, twin_of_rows, visits_of

from harness.measure import Run, ServerCounts, Visit, analyse, render_table

SOUND = [job(name, key) for name in ("a", "b") for key in range(100)]
TWICE = [job(name, key, repeat=repeat) for repeat in (0, 1) for name in ("a", "b") for key in range(100)]
BY_TWIN = {"finish residual", "poll overhead", "twin residual"}
REAL_TIME = BY_TWIN | {
    "steady conditions", "poll lateness", "arrival lateness", "generator CPU", "server CPU", "workers",
}  # fmt: skip
LIVE_CHECKS = REAL_TIME | {
    "run complete", "jobs conserved", "rows consistent", "missed arrivals", "censored jobs",
    "polls counted alike", "finish times",
}  # fmt: skip


def test_a_sound_run_passes_every_check() -> None:
    """Records that agree leave nothing to confess."""
    results = results_of(run_of(SOUND), twin=twin_of_rows(SOUND))
    assert statuses(results) == dict.fromkeys(LIVE_CHECKS, "pass")


def test_what_cannot_be_held_against_virtual_time_is_a_warning() -> None:
    """A live run without a twin says which checks it has not passed."""
    found = statuses(results_of(run_of(SOUND)))
    assert found == dict.fromkeys(LIVE_CHECKS - BY_TWIN, "pass") | dict.fromkeys(BY_TWIN, "warn")


def test_virtual_time_has_no_real_time_checks() -> None:
    """A simulated run cannot be late and needs no server's count."""
    visits = [replace(each, server=None, generator_cpu=()) for each in visits_of(SOUND)]
    found = statuses(results_of(run_of(SOUND, visits=visits, engine="virtual")))
    assert found == dict.fromkeys(LIVE_CHECKS - REAL_TIME, "pass")


def test_lateness_is_not_judged_where_nothing_was_learnt() -> None:
    """A run that was cut short has no lag to hold lateness against: a warning, not a verdict."""
    unknown = {
        "finished_at_s": None,
        "detected_at_s": None,
        "detection_lag_s": None,
        "completion_latency_s": None,
    }
    cut = [each._replace(outcome="censored", **unknown) for each in SOUND]
    found = statuses(results_of(run_of(cut)))
    assert (found["poll lateness"], found["arrival lateness"]) == ("warn", "warn")


def one_visit(**changes: Any) -> Run:
    """The sound run with its first visit changed."""
    first, *rest = visits_of(SOUND)
    return run_of(SOUND, visits=[replace(first, **changes), *rest])


def counts(**changes: Any) -> ServerCounts:
    """The first visit's server counts, changed."""
    return replace(ServerCounts(100, 300, {}, 5.0, 1.0), **changes)


def first_jobs(n: int, **changes: Any) -> Run:
    """The sound run with its first jobs changed, and everything else in agreement."""
    return run_of([job(row.setting, row.key, **changes) if i < n else row for i, row in enumerate(SOUND)])


def sent_late(seconds: float) -> Run:
    """The sound run with every job submitted this late."""
    times = [row.planned_at_s + seconds for row in SOUND]
    late = [row._replace(sent_at_s=at, submitted_at_s=at) for row, at in zip(SOUND, times, strict=True)]
    return run_of(late)


def changed(**changes: Any) -> Run:
    """The sound run with its first row changed."""
    return run_of([SOUND[0]._replace(**changes), *SOUND[1:]])


def drifting() -> Run:
    """A run whose lag grows from job to job."""
    return run_of([job(row.setting, row.key, lag=0.1 + row.key / 100) for row in SOUND])


def late(seconds: float) -> Run:
    """The sound run with every poll sent this late."""
    return run_of(SOUND, polls=polls_of(SOUND, late=seconds))


def transport_error() -> Run:
    """One poll of the first visit never reached the server."""
    rows = polls_of(SOUND)
    rows[0] = rows[0]._replace(response="transport_error", latency_s=None)
    first, *rest = visits_of(SOUND)
    return run_of(SOUND, polls=rows, visits=[replace(first, server=counts(polls=299)), *rest])


FAULTS = [
    ("run complete", "invalid", "interrupted", run_of(SOUND, incomplete="interrupted")),
    ("run complete", "invalid", "a (repeat 0)", one_visit(complete=False)),
    ("run complete", "invalid", "never visited: c", run_of(SOUND, settings={"a": "", "b": "", "c": ""})),
    ("jobs conserved", "invalid", "100 jobs recorded, 101", one_visit(server=counts(submissions=101))),
    ("jobs conserved", "invalid", "1 visit", run_of([*SOUND, job(repeat=1)], visits=visits_of(SOUND))),
    ("missed arrivals", "warn", "1 of 101", one_visit(planned_jobs=101)),
    ("missed arrivals", "invalid", "2 of 102", one_visit(planned_jobs=102)),
    ("polls counted alike", "invalid", "the server counted 299", one_visit(server=counts(polls=299))),
    ("polls counted alike", "invalid", "counted 301", one_visit(server=counts(polls=301))),
    ("polls counted alike", "invalid", "missing", one_visit(server=None)),
    ("polls counted alike", "invalid", "jobs count 300", run_of(SOUND, polls=polls_of(SOUND)[1:])),
    ("polls counted alike", "warn", "1 of 300", transport_error()),
    ("poll lateness", "pass", "4.00 ms (p99)", late(0.004)),
    ("poll lateness", "warn", "30.0 ms (mean)", late(0.03)),
    ("poll lateness", "invalid", "500 ms", late(0.06)),
    ("arrival lateness", "warn", "200 ms", sent_late(0.2)),
    ("arrival lateness", "invalid", "300 ms", sent_late(0.3)),
    ("generator CPU", "warn", "80 %", one_visit(generator_cpu=(0.1, 0.8))),
    ("generator CPU", "warn", "polls/s)", one_visit(generator_cpu=(0.8,))),
    ("generator CPU", "warn", "was late by 300 ms", one_visit(generator_cpu=(0.8,), conductor_late_s=0.3)),
    ("generator CPU", "invalid", "95 %", one_visit(generator_cpu=(0.95,))),
    ("generator CPU", "invalid", "96 %", one_visit(generator_cpu=(0.4,), generator_cpu_peak=0.96)),
    ("server CPU", "warn", "75 %", one_visit(server=counts(cpu_seconds=75.0))),
    ("server CPU", "invalid", "95 %", one_visit(server=counts(cpu_seconds=95.0))),
    ("server CPU", "invalid", "97 %", one_visit(server=counts(cpu_peak=0.97))),
    ("server CPU", "pass", "48 %", one_visit(server=counts(cpu_seconds=95.0, processes=2))),
    ("workers", "invalid", "1 of 4", one_visit(workers_expected=4, workers_lost=1)),
    ("censored jobs", "warn", "2.0 %", first_jobs(2, outcome="censored")),
    ("censored jobs", "invalid", "6.0 %", first_jobs(6, outcome="censored")),
    ("finish times", "pass", "no job", first_jobs(1, lag=-0.004)),
    ("finish times", "invalid", "-20.0 ms", first_jobs(1, lag=-0.02)),
    ("finish times", "invalid", "1 jobs", changed(finished_at_s=-0.1, detection_lag_s=2.6)),
    ("run complete", "invalid", "b (repeat 1)", run_of([row for row in TWICE if row[:2] != ("b", 1)])),
    ("rows consistent", "invalid", "without a lag", changed(detection_lag_s=None)),
    ("rows consistent", "invalid", "detection less finish", changed(detection_lag_s=0.05)),
    ("rows consistent", "invalid", "detection less plan", changed(completion_latency_s=1.0)),
    ("rows consistent", "invalid", "more wasted polls", changed(wasted_polls=4)),
    ("rows consistent", "invalid", "submitted before", changed(submitted_at_s=-1.0)),
    ("rows consistent", "invalid", "another duration", changed(duration_s=1.0)),
    ("steady conditions", "warn", "standard errors", drifting()),
]  # fmt: skip


@pytest.mark.parametrize(("check", "status", "figure", "run"), FAULTS)
def test_each_fault_is_caught_with_its_figure(check: str, status: str, figure: str, run: Run) -> None:
    """One fault in otherwise sound records changes its own check, and the detail holds the figure."""
    trust = results_of(run)["trust"]
    (found,) = [each for each in trust if each["check"] == check]
    assert found["status"] == status
    assert figure in found["detail"]
    others = {each["check"]: each["status"] for each in trust if each["check"] != check}
    assert "invalid" not in others.values()


def test_an_invalid_check_withholds_the_recommendation() -> None:
    """A verdict is refused when the run's own numbers cannot be trusted; a warning does not refuse it."""
    refused = results_of(one_visit(workers_expected=4, workers_lost=1))["recommendation"]
    assert refused["setting"] is None
    assert refused["why"].startswith("withheld: workers:")
    assert results_of(one_visit(generator_cpu=(0.8,)))["recommendation"]["setting"] is not None


def test_a_run_without_jobs_is_invalid() -> None:
    """Nothing measured is nothing proved."""
    visit = Visit("a", 0, 0, 1.0, 1.0, 1, server=ServerCounts(0, 0))
    results = results_of(run_of([], visits=[visit], settings={"a": "x"}))
    assert statuses(results)["jobs conserved"] == "invalid"
    assert results["recommendation"]["setting"] is None


def test_headroom_is_that_of_the_side_nearest_to_its_ceiling() -> None:
    """The busiest second's polls over the share of a core that they took, of generator and simulator."""
    run = one_visit(generator_cpu=(0.2,), generator_cpu_peak=0.5, server=counts(cpu_peak=0.8))
    found = analyse(run).headroom
    assert found is not None
    peak = found.polls_per_second
    assert peak == next(each for each in run.polls if each.setting == found.setting).peak_per_second
    assert found.generator_per_second == float(f"{peak / 0.5:.2g}")
    assert found.simulator_per_second == found.capacity_per_second == float(f"{peak / 0.8:.2g}")
    assert (found.limited_by, found.share) == ("simulator", peak / found.capacity_per_second)
    assert found.words() in render_table(analyse(run), width=500)


def test_there_is_no_headroom_where_too_little_was_done_to_tell() -> None:
    """Below a twentieth of a core a straight line through one point says nothing; nor does virtual time."""
    idle = {"generator_cpu": (0.01,), "generator_cpu_peak": 0.02}
    run = run_of(SOUND, visits=[replace(each, **idle) for each in visits_of(SOUND)])
    assert analyse(run).headroom is None
    visits = [
        replace(each, generator_cpu=(), generator_cpu_peak=None, server=None) for each in visits_of(SOUND)
    ]
    assert analyse(run_of(SOUND, visits=visits)).headroom is None
