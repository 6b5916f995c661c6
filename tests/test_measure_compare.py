"""Comparisons on the same jobs, and the verdict of a comparison of runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measure_records import SCENARIO_TEXT, info_of, job, polls_of, results_of, run_of, visits_of
from scipy import stats

from harness.measure import (
    JobRow,
    Results,
    RunFolder,
    RunUnusable,
    ScenarioInfo,
    compare_runs,
    headline,
    job_frame,
    render_comparison,
    write_report,
)
from harness.measure._basis import Basis
from harness.measure._compare import compare_with_baseline
from harness.measure._metrics import job_order
from harness.measure._verdicts import Margins

NOW = datetime(2026, 1, 2, tzinfo=UTC)
DRAWS = np.random.default_rng(17)
LAGS = DRAWS.exponential(1.0, 200)
NOISE = DRAWS.normal(0, 0.05, 200)
BY_JOBS = Basis("jobs", "")


def jobs_of(setting: str, lags: Iterable[float], polls: int = 3, repeat: int = 0) -> list[JobRow]:
    """One job per lag."""
    return [job(setting, key, repeat=repeat, lag=float(lag), polls=polls) for key, lag in enumerate(lags)]


def row(results: dict[str, Any], metric: str, setting: str = "b") -> dict[str, Any]:
    """One entry of the comparison."""
    (found,) = [
        each for each in results["comparison"] if (each["setting"], each["metric"]) == (setting, metric)
    ]
    return dict(found)


def test_differences_are_taken_job_by_job() -> None:
    """A small shift shows through the jobs' own large spread, with the interval of the paired differences."""
    results = results_of(run_of(jobs_of("a", LAGS) + jobs_of("b", LAGS + 0.05 + NOISE)))
    found = row(results, "detection_lag_s")
    assert found["difference"] == pytest.approx(float((0.05 + NOISE).mean()))
    assert found["relative"] == pytest.approx(found["difference"] / LAGS.mean())
    assert (found["pairs"], found["unpaired"], found["verdict"]) == (200, 0, "worse")
    # Two of the four metrics have a spread, so each interval holds at 97.5 %.
    expected = stats.t.interval(0.975, 199, (0.05 + NOISE).mean(), stats.sem(0.05 + NOISE))
    assert found["ci95"] == pytest.approx(list(expected))


def test_less_is_better_and_noise_is_indistinguishable() -> None:
    """The verdict is where the interval lies against the margin, and on which side."""
    noisy = LAGS + 10 * NOISE
    jobs = jobs_of("a", LAGS) + jobs_of("b", LAGS + NOISE - 0.2) + jobs_of("c", noisy)
    results = results_of(run_of(jobs))
    assert row(results, "detection_lag_s")["verdict"] == "better"
    assert row(results, "detection_lag_s", "c")["verdict"] == "indistinguishable"
    for each in results["comparison"]:
        low, high = each["ci95"] or (0.0, 0.0)
        expected = "better" if high < -each["margin"] else "worse" if low > each["margin"] else None
        assert (each["verdict"] if each["verdict"] in ("better", "worse") else None) == expected


def test_a_difference_that_surely_does_not_matter_is_equivalent() -> None:
    """Both one-sided tests within the margin say so; it is 2 %, or the scenario's, and 5 ms at least."""
    jobs = jobs_of("a", LAGS + 1) + jobs_of("b", LAGS + 1 + NOISE / 5 + 0.02)
    found = row(results_of(run_of(jobs)), "detection_lag_s")
    assert (found["verdict"], found["margin"]) == ("equivalent", pytest.approx(0.02 * (LAGS + 1).mean()))
    strict = row(results_of(run_of(jobs, margin=0.001)), "detection_lag_s")
    assert (strict["verdict"], strict["margin"]) == ("worse", 0.005)


def test_without_spread_or_twenty_pairs_there_is_no_verdict() -> None:
    """Equal differences are shown without an interval, few with one; both say why nothing follows."""
    same = row(results_of(run_of(jobs_of("a", LAGS, polls=5) + jobs_of("b", LAGS, polls=6))), "polls_per_job")
    assert (same["difference"], same["ci95"], same["verdict"]) == (1.0, None, "indistinguishable")
    assert "same amount" in same["reason"]
    few = jobs_of("a", LAGS[:19]) + jobs_of("b", LAGS[:19] + 5 + NOISE[:19])
    found = row(results_of(run_of(few)), "detection_lag_s")
    assert (found["verdict"], found["reason"]) == ("indistinguishable", "19 pairs are too few; 20 are needed")
    enough = jobs_of("a", LAGS[:20]) + jobs_of("b", LAGS[:20] + 5 + NOISE[:20])
    assert row(results_of(run_of(enough)), "detection_lag_s")["verdict"] == "worse"


def test_losing_jobs_is_no_gain_in_anything_else() -> None:
    """A setting that gives up on nearly all jobs is not better for its polls or the lags of the rest."""
    quitters = [
        job("b", key, lag=float(lag) / 9, polls=1 + key % 2, outcome="gave_up" if key % 8 else "completed")
        for key, lag in enumerate(LAGS)
    ]
    results = results_of(run_of(jobs_of("a", LAGS, polls=5) + quitters))
    assert {each["verdict"] for each in results["comparison"]} == {"worse", "indistinguishable"}
    assert row(results, "lost_share")["verdict"] == "worse"
    assert "no gain" in row(results, "polls_per_job")["reason"]


def test_jobs_pair_by_repeat_and_key() -> None:
    """A job without its twin, or whose twin was lost, is left out and counted."""
    ours = [job("b", key, repeat=1, lag=2.0) for key in range(10)]
    theirs = [job("a", key, repeat=1, lag=1.0) for key in range(8)] + [job("a", 9, repeat=0, lag=50.0)]
    theirs[0] = job("a", 0, repeat=1, outcome="timeout")
    results = results_of(run_of(theirs + ours))
    lag = row(results, "detection_lag_s")
    assert (lag["pairs"], lag["unpaired"], lag["difference"]) == (7, 5, 1.0)
    assert row(results, "lost_share")["difference"] == -1 / 8


def test_identical_laws_are_rarely_told_apart() -> None:
    """Over all comparisons of a run together, chance makes a difference in at most about 5 % of runs."""
    draws = np.random.default_rng(23)
    false = 0
    for _ in range(120):
        jobs = [each for name in "abcd" for each in jobs_of(name, draws.exponential(1.0, 60).tolist())]
        rows = compare_with_baseline(job_order(job_frame(jobs)), "a", BY_JOBS, Margins(0.0, {}))
        false += any(each.verdict != "indistinguishable" for each in rows)
    assert false / 120 <= 0.11  # of 120 at 5 %, 13 or more in 1 of 100


def test_the_baseline_is_the_scenarios_or_the_first() -> None:
    """A named baseline is the reference; one that was not run gives way to the first setting."""
    jobs = jobs_of("a", LAGS) + jobs_of("b", LAGS)
    assert results_of(run_of(jobs))["baseline"] == "a"
    named = results_of(run_of(jobs, baseline="b"))
    assert {each["setting"] for each in named["comparison"]} == {"a"}
    assert results_of(run_of(jobs, baseline="z"))["baseline"] == "a"


def uneven(rows: Sequence[JobRow]) -> list[JobRow]:
    """The jobs with one or two polls instead."""
    return [replace_polls(each, 1 + each.key % 2) for each in rows]


def saved(root: Path, jobs: Sequence[JobRow], **changes: Any) -> Path:
    """A run's folder with these jobs."""
    folder = RunFolder.create(root, "sample", NOW)
    folder.write(info_of(jobs, **changes), visits_of(jobs), jobs, polls_of(jobs))
    return folder.path


def test_the_same_run_is_neither_better_nor_worse(tmp_path: Path) -> None:
    """A run against itself exits with 0 and says that it was compared job by job."""
    path = saved(tmp_path, jobs_of("a", LAGS))
    found = compare_runs(path, path)
    assert (found.exit_code, found.worse) == (0, [])
    assert "job by job" in found.note
    assert "Nothing is worse." in render_comparison(found, 80)


def test_a_slower_run_is_worse_and_a_faster_one_is_not(tmp_path: Path) -> None:
    """The first run is the reference: exit 1 when a setting got worse in anything, 0 when it got better."""
    before, after = saved(tmp_path, jobs_of("a", LAGS)), saved(tmp_path, jobs_of("a", LAGS + 0.2 + NOISE))
    slower = compare_runs(before, after)
    assert (slower.exit_code, slower.worse) == (1, ["a"])
    assert compare_runs(after, before).exit_code == 0
    assert "+" in render_comparison(slower, 80)
    assert slower.to_json()["comparison"][0]["run"] == after.name


def test_more_lost_jobs_are_worse(tmp_path: Path) -> None:
    """A run that gives up on its slow jobs does not pass for an improvement."""
    before = saved(tmp_path, jobs_of("a", LAGS))
    gave_up = [each if each.key % 4 else job("a", each.key, outcome="gave_up") for each in jobs_of("a", LAGS)]
    assert compare_runs(before, saved(tmp_path, gave_up)).exit_code == 1


def test_one_run_fails_only_where_a_setting_is_worse_without_a_gain(tmp_path: Path) -> None:
    """Within a run a trade of polls for lag is no failure; to be worse in one thing and better in none is."""
    trade = saved(tmp_path, jobs_of("a", LAGS) + uneven(jobs_of("b", LAGS + 0.2 + NOISE)))
    assert compare_runs(trade).exit_code == 0
    loss = compare_runs(saved(tmp_path, jobs_of("a", LAGS) + jobs_of("b", LAGS + 0.2 + NOISE)))
    assert (loss.exit_code, loss.worse) == (1, ["b"])


def test_giving_up_is_no_trade(tmp_path: Path) -> None:
    """Fewer polls do not excuse lost jobs."""
    quitters = [
        job("b", key, lag=float(lag), polls=2, outcome="gave_up" if key % 3 else "completed")
        for key, lag in enumerate(LAGS)
    ]
    compared = compare_runs(saved(tmp_path, jobs_of("a", LAGS) + quitters))
    assert (compared.exit_code, compared.worse) == (1, ["b"])


def test_files_of_a_run_stand_for_it(tmp_path: Path) -> None:
    """results.json and jobs.csv are accepted in place of the folder."""
    path = saved(tmp_path, jobs_of("a", LAGS))
    write_report(path)
    assert compare_runs(path / "results.json", path / "jobs.csv").exit_code == 0


def test_runs_with_other_jobs_are_compared_as_independent_samples(tmp_path: Path) -> None:
    """Another seed, or other durations, means other jobs: Welch instead of pairs, and the note says so."""
    path = saved(tmp_path, jobs_of("a", LAGS))
    other = compare_runs(path, saved(tmp_path, jobs_of("a", LAGS), seed=43))
    assert "independent samples" in other.note
    assert other.rows[0].pairs == 0
    text = ScenarioInfo("sample", SCENARIO_TEXT + "# edited\n")
    longer = [job("a", key, lag=float(lag), duration=3.0) for key, lag in enumerate(LAGS)]
    assert "independent samples" in compare_runs(path, saved(tmp_path, longer, scenario=text)).note
    edited = compare_runs(path, saved(tmp_path, jobs_of("a", LAGS), scenario=text))
    assert "job by job" in edited.note


def test_several_runs_are_each_held_against_the_first(tmp_path: Path) -> None:
    """Each later run has its own rows."""
    paths = [saved(tmp_path, jobs_of("a", LAGS + shift * (1 + NOISE))) for shift in (0.0, 0.0, 0.3)]
    found = compare_runs(*paths)
    assert set(found.runs) == {paths[1].name, paths[2].name}
    assert found.worse == [f"a in {paths[2].name}"]


def test_unusable_runs_are_refused(tmp_path: Path) -> None:
    """Nothing, nowhere, lone settings, strangers, and runs not to be trusted raise RunUnusable."""
    good = saved(tmp_path, jobs_of("a", LAGS))
    cases = {
        "give at least one": (),
        "no such run folder": (tmp_path / "nowhere",),
        "no run.json": (tmp_path,),
        "one setting alone": (good,),
        "no setting in common": (good, saved(tmp_path, jobs_of("z", LAGS))),
        "not to be trusted: run complete": (good, saved(tmp_path, jobs_of("a", LAGS), incomplete="stopped")),
    }
    for message, paths in cases.items():
        with pytest.raises(RunUnusable, match=message):
            compare_runs(*paths)


def test_untrusted_runs_can_be_compared_on_request(tmp_path: Path) -> None:
    """The refusal of incomplete runs can be waived."""
    path = saved(tmp_path, jobs_of("a", LAGS), incomplete="stopped")
    assert compare_runs(path, path, allow_untrusted=True).exit_code == 0


def recommended(jobs: Sequence[JobRow], **changes: Any) -> tuple[str | None, str]:
    """The recommendation for these jobs."""
    found = results_of(run_of(jobs, **changes))["recommendation"]
    return found["setting"], found["why"]


def test_the_fewest_polls_among_those_that_meet_the_objectives_win() -> None:
    """The setting named meets every objective, and the reason holds its figures and the next one's."""
    jobs = jobs_of("a", LAGS / 10, polls=9) + jobs_of("b", LAGS / 5, polls=4) + jobs_of("c", LAGS, polls=2)
    setting, why = recommended(jobs, objectives={"lag_p95": 1.0})
    assert setting == "b"
    assert "4.00 polls per job, the fewest" in why
    assert "a, needs 9.00" in why


def test_a_tie_in_polls_goes_to_the_lower_lag() -> None:
    """Polls that the sample cannot tell apart leave the choice to the lag."""
    counts = DRAWS.integers(2, 6, 200)
    a = [replace_polls(each, int(n)) for each, n in zip(jobs_of("a", LAGS / 5), counts, strict=True)]
    shuffled = DRAWS.permutation(counts)
    shuffled[0] -= 1
    b = [replace_polls(each, int(n)) for each, n in zip(jobs_of("b", LAGS / 4), shuffled, strict=True)]
    setting, why = recommended(a + b, objectives={"lag_p95": 1.0})
    assert setting == "a"
    assert "as far as this sample can tell" in why


def replace_polls(row: JobRow, polls: int) -> JobRow:
    """The job with another number of polls."""
    return row._replace(polls=polls, wasted_polls=polls - 1)


def test_without_a_setting_that_meets_them_the_nearest_is_named() -> None:
    """No setting is recommended, and the reason says which comes nearest and what it misses."""
    jobs = jobs_of("a", LAGS, polls=9) + jobs_of("b", LAGS / 2, polls=4)
    setting, why = recommended(jobs, objectives={"lag_mean": 0.2})
    assert setting is None
    assert "b comes nearest, but misses mean lag" in why


def test_without_objectives_the_product_of_polls_and_lag_decides() -> None:
    """Of settings within 10 % of the lowest product, the one with the fewest polls is named."""
    ones = np.ones(60)
    jobs = (
        jobs_of("a", ones * 0.5, polls=4)
        + jobs_of("b", ones * 1.05, polls=2)
        + jobs_of("c", ones * 3, polls=1)
    )
    setting, why = recommended(jobs)
    assert setting == "b"
    assert "No objectives are set" in why


def test_one_setting_without_objectives_is_no_choice() -> None:
    """It is named, and said to be the only one; how often repeats would name it is no news."""
    results = results_of(run_of(jobs_of("a", np.full(60, 0.5), polls=4)))
    found = results["recommendation"]
    assert (found["setting"], found["confidence"], found["rival"]) == ("a", None, None)
    assert found["why"].startswith("There is nothing to choose from")
    assert headline(Results.model_validate(results)) == "a is the only setting"


def test_without_objectives_a_setting_that_loses_jobs_is_not_named() -> None:
    """Giving up is cheap, and no merit."""
    lossy = [
        each if each.key % 10 else job("b", each.key, polls=1, outcome="timeout")
        for each in jobs_of("b", LAGS, 1)
    ]
    assert recommended(jobs_of("a", LAGS) + lossy)[0] == "a"
    setting, why = recommended(lossy)
    assert setting is None
    assert "at least 99 %" in why


def test_a_run_that_was_cut_short_has_no_recommendation() -> None:
    """An incomplete visit withholds the verdict."""
    jobs = jobs_of("a", LAGS)
    visits = [replace(each, complete=False) for each in visits_of(jobs)]
    results = results_of(run_of(jobs, visits=visits))
    assert results["complete"] is False
    assert results["recommendation"]["why"].startswith("withheld: run complete")


def of_scenario(text: str) -> ScenarioInfo:
    """The sample's scenario with other text."""
    return ScenarioInfo("sample", text)


PLAIN = (
    "name: sample\nseed: 1\njob: {duration: 4s}\n"
    "workload: {lanes: 4, arrivals: {type: poisson, rate: 2}, jobs: 9}\n"
)


def test_what_differs_between_runs_is_said(tmp_path: Path) -> None:
    """Keys of settings, versions and machine are listed; none of them makes another experiment."""
    before = saved(
        tmp_path, jobs_of("a", LAGS), scenario=of_scenario(PLAIN + "settings: {a: {initial: 1s}}\n")
    )
    after = saved(
        tmp_path,
        jobs_of("a", LAGS),
        scenario=of_scenario(PLAIN + "settings: {a: {initial: 2s}}\n"),
        environment={"python": "3.13.0", "packages": {"numpy": "2.0"}, "host_cores": 8},
    )
    found = compare_runs(before, after)
    assert found.differs == [
        "settings.a.initial: 2s, was 1s",
        "python: 3.13.0, was 3.12.0",
        "host_cores: 8, was 2",
    ]
    assert "differs: settings.a.initial: 2s, was 1s" in render_comparison(found, 80)
    assert found.to_json()["differs"] == found.differs


@pytest.mark.parametrize(
    "other",
    [PLAIN.replace("4s", "5s"), PLAIN.replace("rate: 2", "rate: 3"), PLAIN + "service: {delay: 1s}\n"],
)
def test_other_experiments_are_refused_unless_forced(tmp_path: Path, other: str) -> None:
    """Another job, workload or service is another question; the message names the key and the remedy."""
    before, after = (
        saved(tmp_path, jobs_of("a", LAGS), scenario=of_scenario(text)) for text in (PLAIN, other)
    )
    with pytest.raises(RunUnusable, match=r"another experiment .*(job|workload|service).* --force"):
        compare_runs(before, after)
    assert compare_runs(before, after, force=True).exit_code == 0


def test_more_repeats_and_another_transport_are_the_same_experiment(tmp_path: Path) -> None:
    """How much and with what is measured may differ."""
    more = PLAIN.replace("jobs: 9", "jobs: 9, repeats: 3, transport: requests")
    before, after = (
        saved(tmp_path, jobs_of("a", LAGS), scenario=of_scenario(text)) for text in (PLAIN, more)
    )
    assert len(compare_runs(before, after).differs) == 2


def test_another_spelling_of_the_same_value_is_no_difference(tmp_path: Path) -> None:
    """Durations and rates are compared by what they say, and null is as good as nothing."""
    other = (
        PLAIN.replace("4s", "4000ms").replace("rate: 2", "rate: 120/min").replace("lanes: 4", "lanes: 4.0")
    )
    before, after = (
        saved(tmp_path, jobs_of("a", LAGS), scenario=of_scenario(text))
        for text in (PLAIN, other + "target: null\n")
    )
    assert compare_runs(before, after).differs == []


def test_an_objective_that_was_met_and_is_missed_is_worse(tmp_path: Path) -> None:
    """Whatever the mean does: here it falls, and the tail crosses the line."""
    ordered = np.sort(LAGS)
    shifted = np.where(np.arange(200) < 180, ordered * 0.8, ordered + 0.5)
    bound = {"lag_p95": float(np.quantile(ordered, 0.95)) + 0.1}
    before = saved(tmp_path, jobs_of("a", ordered), objectives=bound)
    after = saved(tmp_path, jobs_of("a", shifted), objectives=bound)
    found = compare_runs(before, after)
    assert (found.exit_code, found.worse) == (1, ["a"])
    assert "p95 lag was within" in found.missed[0]
    assert {row.metric for row in found.rows} >= {"lag_p95", "detection_lag_s"}


def test_the_margin_can_be_given(tmp_path: Path) -> None:
    """A difference that matters by the scenario's margin may not by another."""
    before = saved(tmp_path, jobs_of("a", LAGS + 1))
    after = saved(tmp_path, jobs_of("a", LAGS + 1.1 + NOISE))
    assert compare_runs(before, after).exit_code == 1
    assert compare_runs(before, after, margin=0.2).exit_code == 0
