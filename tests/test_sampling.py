"""How visits of the twin scatter, and the intervals and the confidence that are made of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner
from scipy import stats

from benchmarks.coverage import ROWS, coverage, pool_of, verdicts_of_equals
from harness._cli import main
from harness.measure import (
    Calibration,
    Results,
    Run,
    RunFolder,
    Twin,
    TwinRow,
    analyse,
    compare_runs,
    read_calibration,
    write_report,
)
from harness.measure import _analysis as analysis
from harness.measure._results import Check
from harness.virtual import Overhead, calibrate, simulate
from scenarios import Scenario, load_scenario

TEXT = """\
name: sample
job: {duration: {type: lognormal, median: 4s, sigma: 0.6}, slots: %s}
workload: {lanes: 10, arrivals: {type: poisson, rate: 2}, jobs: 80, repeats: %d}
settings:
  every-1s: {curve: constant, initial: 1s}
  every-2s: {curve: constant, initial: 2s}
  hasty: {curve: constant, initial: 1s, deadline: 3s}
objectives: {lag_p95: 1500ms}
baseline: every-1s
"""


def scenario(folder: Path, slots: str = "10", repeats: int = 1) -> Scenario:
    """Jobs that wait for slots, 95 % of which are busy."""
    path = folder / "sample.yaml"
    path.write_text(TEXT % (slots, repeats))
    return load_scenario(path)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, Run, Calibration]:
    """A run of the scenario, and its calibration."""
    made = scenario(tmp_path_factory.mktemp("sampled"))
    return made, simulate(made).run, calibrate(made, 1_000)


def figures(results: Results, setting: str) -> Mapping[str, float | None]:
    """The figures that the calibration of a visit holds, from the results of a run of one repeat."""
    each = results.settings[setting]
    return {
        "polls_per_job": each.polls_per_job.mean,
        "wasted_polls_per_job": each.wasted_polls_per_job,
        "detection_lag_s": each.detection_lag_s.mean,
        "detection_lag_s.p95": each.detection_lag_s.p95,
        "completion_latency_s.p50": each.completion_latency_s.p50,
        "lost_share": each.lost_jobs.share,
        "lag_p95": each.objectives["lag_p95"].value,
    }


def test_each_visit_is_the_run_of_another_seed(sampled: tuple[Scenario, Run, Calibration]) -> None:
    """Visit i has the figures of a run with the seed i + 1 further on."""
    made, _, found = sampled
    assert (found.k, found.note) == (48, None)
    runs = {seed: simulate(replace(made, seed=made.seed + seed)).run for seed in (1, 48)}
    for setting in made.settings:
        for seed, each in runs.items():
            for figure, expected in figures(analyse(each), setting).items():
                sample = found.sample(setting, figure)
                assert sample is not None
                value = sample[seed - 1]
                if expected is not None:  # or there are too few jobs to show it
                    assert value == pytest.approx(expected, rel=1e-5, abs=1e-5), (setting, figure)
    lost = found.sample("hasty", "lag_p95")
    assert lost is not None
    assert np.isnan(lost).all(), "lost jobs reach the quantile, which is infinite"


def test_an_interval_is_students_over_the_visits_of_the_twin(
    sampled: tuple[Scenario, Run, Calibration],
) -> None:
    """A mean or a difference is given ± t s, with s of the 48 visits, or of their differences."""
    _, run, found = sampled
    results = analyse(run, calibration=found)
    polls = results.settings["every-1s"].polls_per_job
    sample = found.sample("every-1s", "polls_per_job")
    assert sample is not None
    half = stats.t.ppf(0.975, 47) * sample.std(ddof=1)
    assert polls.mean is not None
    assert polls.ci95 == pytest.approx((polls.mean - half, polls.mean + half))
    assert results.intervals.basis == "twin"
    other = found.sample("every-2s", "polls_per_job")
    assert other is not None
    (row,) = [
        each for each in results.comparison if (each.setting, each.metric) == ("every-2s", "polls_per_job")
    ]
    rows = sum(each.ci95 is not None and each.difference != 0 for each in results.comparison)
    half = stats.t.ppf(1 - 0.025 / rows, 47) * (other - sample).std(ddof=1)
    assert row.ci95 is not None
    assert row.ci95[1] - row.ci95[0] == pytest.approx(2 * half)


def test_what_is_expected_is_the_visits_mean_and_how_far_the_run_is_from_its_twin(
    sampled: tuple[Scenario, Run, Calibration],
) -> None:
    """The twin as control variate: where jobs wait, polls are known several times as well."""
    made, ideal, found = sampled
    slow = simulate(made, overhead=Overhead(request_s=0.02, reply_s=0.02)).run
    names = [name for name in TwinRow._fields if name != "twin"]
    twin = Twin(ideal.jobs.select(pl.lit(0, dtype=pl.Int64).alias("twin"), *names))
    results, plain = analyse(slow, twin=twin, calibration=found), analyse(ideal)
    for setting in made.settings:
        polls, of_twin = (each.settings[setting].polls_per_job for each in (results, plain))
        mean = found.mean(setting, "polls_per_job")
        assert polls.expected is not None
        off = (polls.mean or 0.0) - (of_twin.mean or 0.0)
        assert polls.expected.mean == pytest.approx((mean or 0.0) + off, rel=1e-5)
        (low, high), (lowest, highest) = polls.expected.ci95, polls.ci95 or (0.0, 0.0)
        assert high - low < (highest - lowest) / 2


def test_without_a_twin_jobs_that_wait_have_no_interval_until_there_are_four_repeats(tmp_path: Path) -> None:
    """One visit is one observation, and the results say so; of four, the visit is the unit."""
    alone = analyse(simulate(scenario(tmp_path)).run)
    assert alone.intervals.basis == "none"
    assert (
        "jobs wait for slots, so one visit is one observation; use repeats: 4 or more" in alone.intervals.note
    )
    assert alone.settings["every-1s"].polls_per_job.ci95 is None
    assert {row.verdict for row in alone.comparison} == {"indistinguishable"}
    assert all(row.reason for row in alone.comparison)
    run = simulate(scenario(tmp_path, repeats=4)).run
    four = analyse(run)
    assert four.intervals.basis == "repeats"
    visits = run.jobs.filter(run.jobs["setting"] == "every-1s").group_by("repeat").agg(mean_polls())
    means = visits["polls"].to_numpy()
    expected = stats.t.interval(0.95, 3, means.mean(), stats.sem(means))
    assert four.settings["every-1s"].polls_per_job.ci95 == pytest.approx(expected)


def mean_polls() -> Any:
    """The mean of a column, for polars."""
    import polars as pl

    return pl.col("polls").mean()


def test_independent_jobs_need_no_twin(tmp_path: Path) -> None:
    """Without anything shared each job stands for itself."""
    results = analyse(simulate(scenario(tmp_path, slots="null")).run)
    assert results.intervals.basis == "jobs"
    assert results.settings["every-1s"].polls_per_job.ci95 is not None


def test_a_run_that_is_not_the_twins_drops_it(
    sampled: tuple[Scenario, Run, Calibration], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the trust check finds that run and twin agree, the intervals rest on the run, and say why."""
    _, run, found = sampled
    for status, basis in (("pass", "twin"), ("warn", "none"), ("invalid", "none")):
        check = Check(check="twin residual", status=status, detail="lags differ by 40 %")
        monkeypatch.setattr(analysis, "trust_checks", lambda *_, check=check: [check])
        results = analyse(run, calibration=found)
        assert results.intervals.basis == basis
        assert ("lags differ by 40 %" in results.intervals.note) == (status != "pass")


def test_costly_visits_are_fewer_and_the_note_says_so(tmp_path: Path) -> None:
    """What is affordable is counted in polls; rather than fewer than eight visits there are none."""
    made = scenario(tmp_path)
    fewer = calibrate(made, 30_000, ["every-2s"])
    assert (fewer.k, fewer.note) == (10, "10 visits instead of 48, for each takes 30,000 polls")
    none = calibrate(made, 10**6, ["every-2s"])
    assert (none.k, none.note) == (0, "a visit of every setting takes 1,000,000 polls, too many to repeat it")
    assert "too many to repeat it" in analyse(simulate(made).run, calibration=none).intervals.note


def test_the_report_is_made_again_from_the_folder(
    sampled: tuple[Scenario, Run, Calibration], tmp_path: Path
) -> None:
    """calibration.json is kept beside the rows; a report made without the twin is the same, byte for byte."""
    _, run, found = sampled
    folder = RunFolder(tmp_path)
    folder.write(run.info, run.visits, run.jobs, run.polls)
    write_report(tmp_path, calibration=found)
    first = (tmp_path / "results.json").read_bytes()
    assert read_calibration(tmp_path) == found
    write_report(tmp_path)
    assert (tmp_path / "results.json").read_bytes() == first
    assert json.loads(first)["intervals"]["visits"] == 48


def test_the_recommendation_says_how_sure_it_is(tmp_path: Path) -> None:
    """Its confidence is the share of simulated repeats that name it; below 80 % it has a rival."""
    path = tmp_path / "close.yaml"
    path.write_text(
        "name: close\njob: {duration: {type: lognormal, median: 4s, sigma: 0.6}}\n"
        "workload: {lanes: 20, arrivals: {type: poisson, rate: 15}, jobs: 80}\n"
        "settings:\n  every-1s: {curve: constant, initial: 1s}\n  every-2s: {curve: constant, initial: 2s}\n"
        "  every-2580ms: {curve: constant, initial: 2580ms}\nobjectives: {lag_p95: 2450ms}\n"
    )
    made = load_scenario(path)
    found = calibrate(made, 400)
    close = [
        analyse(simulate(replace(made, seed=seed)).run, calibration=found).recommendation
        for seed in range(100, 106)
    ]
    sample = found.sample("every-2580ms", "lag_p95")
    assert sample is not None
    share = float((sample <= 2.45).mean())
    assert 0.2 < share < 0.8, "the limit lies near the figure, or this test shows nothing"
    for each in close:
        expected = share if each.setting == "every-2580ms" else 1 - share
        assert each.confidence == pytest.approx(expected)
        assert each.rival in {"every-2s", "every-2580ms"} - {each.setting}
        assert "simulated repeats of this run" in each.why
    clear = replace(made, objectives={"lag_p95": 2.1})
    sure = analyse(simulate(clear).run, calibration=calibrate(clear, 400)).recommendation
    assert (sure.setting, sure.confidence, sure.rival) == ("every-2s", 1.0, None)
    assert "On average over visits of the twin: p95 lag 1.89 s" in sure.why
    assert analyse(simulate(clear).run).recommendation.confidence is None


def test_visits_without_a_partner_say_nothing_of_a_difference(tmp_path: Path) -> None:
    """Four repeats against one are compared as one against one: only visits of the same jobs are paired."""

    def saved(name: str, initial: str, repeats: int) -> Path:
        (tmp_path / name).mkdir()
        path = tmp_path / name / "sample.yaml"
        path.write_text((TEXT % ("10", repeats)).replace("initial: 1s}", f"initial: {initial}}}", 1))
        made = load_scenario(path)
        folder, run = (
            RunFolder.create(path.parent, name, datetime(2026, 1, 2, tzinfo=UTC)),
            simulate(made).run,
        )
        assert run.polls is not None
        folder.write(run.info, run.visits, run.jobs, run.polls)
        write_report(folder.path, calibration=calibrate(made, 30))
        return folder.path

    before = saved("before", "1s", 1)
    one, four = (compare_runs(before, saved(f"x{n}", "1200ms", n)).rows for n in (1, 4))
    assert next(row.ci95 for row in one if row.metric == "lag_p95")
    for a, b in zip(one, four, strict=True):
        assert (b.difference, b.ci95) == (pytest.approx(a.difference), a.ci95 and pytest.approx(a.ci95))


@pytest.mark.parametrize("name", ["independent, 50 jobs", "slots 10, 90 %"])
def test_intervals_hold_wherever_jobs_wait(name: str) -> None:
    """Of 144 runs 95 % hold the truth, within what chance does (three standard errors), at the true width."""
    row = replace(ROWS[name], jobs=50)
    pool = pool_of(row, 144)
    for settings in (["constant-1s"], ["exponential"], ["constant-1s", "exponential"]):
        for figure in ("polls_per_job", "detection_lag_s", "completion_latency_s", "detection_lag_s.p95"):
            found = coverage(pool, figure, settings, 1)
            assert 0.895 <= found.held <= 1.0, (settings, figure, found)
            assert 0.9 <= found.width <= 1.15, (settings, figure, found)


def test_runs_of_two_seeds_are_rarely_told_apart() -> None:
    """At 90 % load of the slots, hardly more than 5 % of pairs have a verdict, as chance has it."""
    false, _ = verdicts_of_equals(replace(ROWS["slots 10, 90 %"], jobs=50), 24)
    assert false <= stats.binom.ppf(0.999, 24, 0.05) / 24


@pytest.mark.parametrize(("bound", "status"), [("1500ms", 0), ("900ms", 3), (None, 2)])
def test_objectives_can_be_required(tmp_path: Path, bound: str | None, status: int) -> None:
    """Status 3 where the figures can be trusted and no setting meets them; 2 where there are none to meet."""
    path = tmp_path / "required.yaml"
    path.write_text(
        "name: required\njob: {duration: {type: uniform, lower: 2s, upper: 6s}}\n"
        "workload: {lanes: 4, arrivals: {type: poisson, rate: 5}, jobs: 100}\n"
        "settings: {every-1s: {curve: constant, initial: 1s}}\n"
        + (f"objectives: {{lag_p95: {bound}}}\n" if bound else "")
    )
    words = [
        "simulate",
        str(path),
        "--out",
        str(tmp_path / "run"),
        "--require-objectives",
        "--margin",
        "0.05",
    ]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == status, done.output
    assert (tmp_path / "run" / "calibration.json").exists() == (status != 2)
    if status != 2:
        assert json.loads((tmp_path / "run" / "results.json").read_text())["margin"] == 0.05
