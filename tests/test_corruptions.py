"""Runs that are wrong in every way we could think of: the trust checks see it, and nothing where nothing is.

The scenario has no queues, so that each job can be told from what was drawn for it; those with queues are
among the runs that are well.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from itertools import count
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from corruptions import CORRUPTIONS, QUEUED_WRONG, Corruption
from live_like import LiveLike, Machine, live_like, scenario_of
from live_parts import ROOT
from scipy import special

from benchmarks.aa import verdicts_between
from harness.measure import Results, RunFolder, RunUnusable, analyse, load_run
from harness.virtual import calibrate, twin_of
from harness.virtual._replay import replayed
from scenarios import load_scenario

PLAIN = """
name: corrupt
seed: 1
job: {duration: {type: lognormal, median: 4s, sigma: 0.6}, error_rate: 0.03}
service:
  delay: {type: lognormal, median: 15ms, sigma: 0.4}
  faults: [{status: 503, rate: 0.01, retry_after: 1s}]
workload: {lanes: 20, arrivals: {type: poisson, rate: 15}, jobs: 120}
settings:
  constant-2s: {curve: constant, initial: 2s}
  constant-1s: {curve: constant, initial: 1s}
  exponential: {curve: exponential, initial: 500ms, multiplier: 2, maximum: 5s}
baseline: constant-1s
"""
FAST = PLAIN.replace("constant-2s: {curve: constant, initial: 2s}", "fast: {curve: constant, initial: 125ms}")
QUEUED = """
name: queued
seed: 1
job: {duration: {type: lognormal, median: 4s, sigma: 0.6}, slots: 10}
service: {delay: {type: lognormal, median: 15ms, sigma: 0.4}}
workload: {lanes: 20, arrivals: {type: poisson, rate: 1.9}, jobs: 80}
settings:
  constant-1s: {curve: constant, initial: 1s}
  exponential: {curve: exponential, initial: 500ms, multiplier: 2, maximum: 5s, jitter: full}
baseline: constant-1s
"""
WORKERS = QUEUED.replace(", slots: 10", "").replace(
    "delay: {", "capacity: {workers: 2, service_time: 50ms}, delay: {"
)
WORKERS = WORKERS.replace("rate: 1.9}, jobs: 80", "rate: 10}, jobs: 200")
SHARED = QUEUED.replace(", slots: 10", "").replace(
    "delay: {", "capacity: {workers: 12, service_time: 20ms, shared: true}, delay: {"
)
DIVIDED = SHARED.replace("shared: true", "shared: true, discipline: ps")
METASTABLE = load_scenario(ROOT / "scenarios" / "metastable.yaml").text
CLOSED = QUEUED.replace("slots: 10", "slots: 6").replace(
    "{lanes: 20, arrivals: {type: poisson, rate: 1.9}, jobs: 80}",
    "{lanes: 8, arrivals: {type: closed, think: 500ms}, duration: 30s}",
)
DEADLINES = FAST.replace("initial: 125ms", "initial: 300ms, deadline: 5s").replace(
    "maximum: 5s", "maximum: 5s, max_attempts: 5"
)
WAITING = {
    "queued": QUEUED,
    "closed": CLOSED,
    "workers": WORKERS,
    "shared": SHARED,
    "divided": DIVIDED,
    "metastable": METASTABLE,
}
"""Where jobs or polls wait for each other."""
CLEAN = {"plain": PLAIN, "fast": FAST, "deadlines": DEADLINES, **WAITING}
SOME_TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SHIPPED = ("video-translation", "rate-limited", "outage", "long-tail", "thundering-herd")


def results_of(run: LiveLike, twins: pl.DataFrame | None = None) -> Results:
    """What the harness says of a run."""
    records = run.run
    return analyse(records, None, twin_of(run.scenario, records, run.polls, twins))


def worst(results: Results) -> dict[str, str]:
    """The checks that do not pass."""
    return {each.check: f"{each.status}: {each.detail}" for each in results.trust if each.status != "pass"}


@cache
def twins_of(text: str, seed: int, folder: Path) -> pl.DataFrame:
    """The twins of a scenario, which no corruption of a run changes."""
    run = live_like(scenario_of(folder, text, seed), 0)
    return twin_of(run.scenario, run.run, run.polls).jobs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corruptions")


def assert_is_seen(
    corruption: Corruption, text: str, seed: int, folder: Path, *, harmless: bool = False
) -> None:
    """See that the run is invalid, or refused, or what it says of mean lags is right.

    harmless: whether the latter will do where the corruption does not say so itself.
    """
    scenario = scenario_of(folder, text, seed)
    run = corruption.run(scenario, seed)
    if corruption.refused:
        records = run.run
        there = RunFolder.create(folder, "refused", SOME_TIME)
        there.write(records.info, records.visits, run.jobs, run.polls)
        with pytest.raises(RunUnusable):
            load_run(there.path)
        return
    twins = twins_of(text, seed, folder)
    results = results_of(run, twins)
    if results.worst_status == "invalid":
        assert results.recommendation.setting is None
        return
    assert corruption.harmless or harmless, worst(results)
    for name, figures in results.settings.items():
        mine = twins.filter(pl.col("setting") == name).group_by("twin")
        means = mine.agg(pl.col("detection_lag_s").mean())["detection_lag_s"].to_numpy()
        # What a hair decides differs from one healthy machine to the next, most where polls are close.
        sure = 3.0
        if harmless:  # as the twin residual has it: of one more twin, at three standard errors
            sure = special.stdtrit(means.size - 1, 0.99865) * np.sqrt(1 + 1 / means.size)
        allowed = max(0.10 * means.mean(), 0.010) + sure * means.std(ddof=1)
        assert figures.detection_lag_s.mean == pytest.approx(means.mean(), abs=allowed)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_what_is_wrong_with_a_run_is_seen(name: str, folder: Path) -> None:
    """The run is invalid and nothing is recommended, or no mean lag is off by a tenth more than by chance."""
    assert_is_seen(CORRUPTIONS[name], PLAIN, 300, folder)


WHERE_THEY_WAIT = {
    name: CORRUPTIONS[name]
    for name in (
        "finished_ago x 0.8",
        "finished_ago + 100 ms",
        "replies read 150 ms late",
        "replies read 150 ms late in the baseline",
        "jobs of a stretch lost with every trace",
        "replies 60 ms slower than they were",
        "replies faster than the service",
        "failures in other places",
    )
}


@pytest.mark.parametrize("text", WAITING)
@pytest.mark.parametrize("name", WHERE_THEY_WAIT)
def test_it_is_seen_where_they_wait_for_each_other(name: str, text: str, folder: Path) -> None:
    """Each finish is held against those that freed a slot, and each reply against the service asked again."""
    assert_is_seen(WHERE_THEY_WAIT[name], WAITING[text], 41, folder)


@pytest.mark.parametrize("text", ["queued", "closed"])
@pytest.mark.parametrize("name", [*QUEUED_WRONG, "finishes off by 50 ms to either side"])
def test_other_slots_are_seen(name: str, text: str, folder: Path) -> None:
    """A service with one slot more, or none to wait for, is another one."""
    assert_is_seen((CORRUPTIONS | QUEUED_WRONG)[name], WAITING[text], 41, folder)


@pytest.mark.slow
@pytest.mark.parametrize("text", WAITING)
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_is_seen_or_harmless_where_they_wait_for_each_other(name: str, text: str, folder: Path) -> None:
    """A stall while all replies are errors anyway is none, say; then the figures are a healthy run's."""
    for seed in (320, 321):
        assert_is_seen(CORRUPTIONS[name], WAITING[text], seed, folder, harmless=True)


@pytest.mark.slow
@pytest.mark.parametrize("text", [PLAIN, FAST], ids=["plain", "fast"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_is_seen_whatever_the_seed(name: str, text: str, folder: Path) -> None:
    """The same for ten seeds, and where polls are so close that the machine scrambles them."""
    for seed in range(310, 320):
        assert_is_seen(CORRUPTIONS[name], text, seed, folder)


@pytest.mark.parametrize("name", CLEAN)
def test_a_run_on_a_machine_that_is_well_passes_every_check(name: str, folder: Path) -> None:
    """No false alarm, also where jobs wait for each other, lanes for their jobs, or clients give up."""
    for seed in (701, 702):
        run = live_like(scenario_of(folder, CLEAN[name], seed), seed)
        assert worst(results_of(run)) == {}


@pytest.mark.slow
def test_there_is_no_false_alarm_in_a_hundred_runs(folder: Path) -> None:
    """Ten seeds of ten scenarios, shipped ones among them: at most one warning in all, and no invalid run."""
    texts = {**CLEAN, **{name: load_scenario(ROOT / "scenarios" / f"{name}.yaml").text for name in SHIPPED}}
    found = {}
    for name, text in texts.items():
        for seed in range(800, 810):
            run = live_like(scenario_of(folder, text, seed), seed)
            if bad := worst(results_of(run)):
                found[name, seed] = bad
    assert not [bad for bad in found.values() if any(each.startswith("invalid") for each in bad.values())], (
        found
    )
    assert len(found) <= 1, found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["plain", "queued"])
def test_two_runs_of_one_seed_are_hardly_ever_told_apart(name: str, folder: Path) -> None:
    """Of a hundred pairs whose machines differ by a third, five at most have any verdict but "the same"."""
    made = scenario_of(folder, CLEAN[name], 1)
    calibration, told = calibrate(made, 1), []
    for seed in range(900, 1000):
        scenario, rng = scenario_of(folder, CLEAN[name], seed), np.random.default_rng(seed)
        machines = [Machine(speed=float(np.exp(0.3 * rng.standard_normal()))) for _ in range(2)]
        pair = [
            live_like(scenario, 2 * seed + k, lambda _, each=each: each).run  # type: ignore[misc]
            for k, each in enumerate(machines)
        ]
        told.append(verdicts_between(scenario, pair, calibration))
    false, without_noise = np.mean(told, axis=0)
    print(f"{name}: {false:.0%} of pairs are told apart, {without_noise:.0%} without s_AA in the margin")
    assert false <= 0.05


def test_a_machine_twice_as_slow_is_no_error_where_that_changes_nothing(folder: Path) -> None:
    """Some milliseconds more on every request leave the mean lag of a poll each second what it is."""
    run = live_like(scenario_of(folder, PLAIN, 703), 703, lambda _: Machine(speed=2.0))
    assert worst(results_of(run)) == {}


@pytest.mark.parametrize("name", ["workers", "shared", "divided", "metastable"])
def test_a_service_that_is_asked_again_says_the_same(name: str, folder: Path) -> None:
    """On a machine that takes no time a reply leaves when it is heard, and a job ends when that is told."""
    run = live_like(scenario_of(folder, WAITING[name], 5), 5, lambda _: Machine(speed=0.0))
    asked = 0
    for setting in run.scenario.settings:
        jobs, polls = (rows.filter(pl.col("setting") == setting) for rows in (run.jobs, run.polls))
        again = replayed(run.scenario.simulation, jobs, polls)
        assert again is not None
        heard = (polls["sent_at_s"] + polls["latency_s"]).to_numpy()
        known = (polls["response"] != "transport_error").to_numpy()
        assert again.left_at[known] == pytest.approx(heard[known], abs=1e-6)
        finished = jobs["finished_at_s"].to_numpy()
        ended = ~np.isnan(finished)
        assert again.finished_at[ended] == pytest.approx(finished[ended], abs=1e-6)
        asked += int(known.sum())
    assert asked > 200


@pytest.mark.parametrize("name", ["replies read 150 ms late in the baseline", "requests 150 ms on the way"])
def test_late_replies_are_seen_where_twins_differ_by_more(name: str, folder: Path) -> None:
    """The mean lag of a metastable service may be anything; what its replies took is still known."""
    scenario = scenario_of(folder, METASTABLE, 300)
    run = CORRUPTIONS[name].run(scenario, 300)
    assert worst(results_of(run, twins_of(METASTABLE, 300, folder)))["poll overhead"].startswith("invalid")


@pytest.mark.parametrize("seed", [320, 321])
def test_a_few_polls_that_tell_of_ends_late_are_seen(seed: int, folder: Path) -> None:
    """All polls together are hardly late, but those that tell of ends are, and so is the mean lag."""
    scenario = scenario_of(folder, QUEUED, seed)
    run = CORRUPTIONS["the generator stalls for 3 s in the baseline"].run(scenario, seed)
    results = results_of(run, twins_of(QUEUED, seed, folder))
    assert worst(results)["poll lateness"].startswith("invalid")
    late = run.polls.filter(pl.col("setting") == "constant-1s")
    assert (late["sent_at_s"] - late["planned_at_s"]).mean() < 0.03


def test_the_queue_of_a_burst_is_no_drift_along_the_run(folder: Path) -> None:
    """Of 300 jobs submitted at one moment the reply to each is read a millisecond after another one."""

    def queueing(_: str) -> Machine:
        places = count()
        return Machine(speed=0.0, back=lambda at, _: 0.001 * next(places) if at < 0.1 else 0.0)

    text = load_scenario(ROOT / "scenarios" / "thundering-herd.yaml").text
    run = live_like(scenario_of(folder, text, 12), 12, queueing)
    assert "steady conditions" not in worst(results_of(run))


def test_overhead_is_the_latency_less_the_delay_that_was_drawn(folder: Path) -> None:
    """A machine whose ways take 10 ms each has an overhead of 20 ms, whatever the service's delay."""
    slow = Machine(speed=0.0, out=lambda *_: 0.01, back=lambda *_: 0.01)
    results = results_of(live_like(scenario_of(folder, FAST, 1), 1, lambda _: slow))
    for figures in results.settings.values():
        overhead = figures.overhead_s
        assert overhead.n > 200
        assert overhead.p50 == pytest.approx(0.02, abs=1e-6)
        assert overhead.max == pytest.approx(0.02, abs=1e-6)


def test_the_recorded_lag_lasts_until_the_client_has_read_the_reply(folder: Path) -> None:
    """The service says how long ago a job had finished when the reply left; its way back is added."""
    slow = Machine(speed=0.0, out=lambda *_: 0.03, back=lambda *_: 0.03)
    run = live_like(scenario_of(folder, PLAIN, 1), 1, lambda _: slow)
    known = run.jobs.drop_nulls("detection_lag_s")
    finished = known["sent_at_s"] + 0.03 + known["duration_s"]
    assert (known["detected_at_s"] - finished - known["detection_lag_s"]).abs().max() < 2e-6
    assert (known["finished_at_s"] - finished).abs().max() < 2e-6
