"""Lags on a service that does not say when its jobs finished, judged by the twin, which knows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from measure_records import results_of, statuses
from own_runs import own_run
from virtual_scenarios import every, scenario

from client import Backoff, PollingPolicy
from harness.measure import RunUnusable, analyse, compare_runs, render_report, render_table
from harness.measure._lags import Looks, lags_of
from harness.measure._rows import Held
from harness.virtual import simulate
from scenarios import Scenario

LAWS: dict[str, Any] = {
    "lognormal": {"type": "lognormal", "median": "4s", "sigma": 0.6},
    "exponential": {"type": "exponential", "mean": "3s"},
    "bimodal": {
        "type": "mixture",
        "of": [
            {"weight": 0.7, "type": "normal", "mean": "2s", "sd": "300ms"},
            {"weight": 0.3, "type": "lognormal", "median": "12s", "sigma": 0.2},
        ],
    },
    "fixed": "4s",
}
DELAY = {"delay": {"type": "lognormal", "median": "15ms", "sigma": 0.4}}
JITTERED = PollingPolicy(Backoff("exponential", 0.5, multiplier=2, maximum=5, jitter="full"))
SETTINGS = {"constant-1s": every(1.0), "constant-2s": every(2.0), "jittered": JITTERED}
LATTICE = {"constant-1s": every(1.0), "constant-2s": every(2.0)}


def made(law: str, settings: dict[str, PollingPolicy], jobs: int = 150, **changes: Any) -> Scenario:
    arrivals = {"type": "poisson", "rate": 10}
    return scenario(settings, duration=LAWS[law], service=DELAY, arrivals=arrivals, jobs=jobs, **changes)


@pytest.mark.parametrize("law", LAWS)
def test_the_estimate_meets_the_twin_s_exact_lag(law: str, tmp_path: Path) -> None:
    """Several laws, steady and jittered settings: within the interval, and near; bounds hold."""
    run, truth = own_run(made(law, SETTINGS), tmp_path / "run")
    results = analyse(run)
    assert results.target == "own"
    for name, figures in results.settings.items():
        lag = figures.detection_lag_s
        assert lag.basis == "interval"
        assert lag.bounds_mean is not None
        assert lag.bounds_mean[0] <= truth[name] <= lag.bounds_mean[1]
        assert lag.ci95 is not None
        assert lag.ci95[0] <= truth[name] <= lag.ci95[1]
        assert lag.mean == pytest.approx(truth[name], abs=0.12 + 0.05 * truth[name])
        assert lag.max is None
        assert lag.quantiles_ci95 == {}


def test_polls_on_one_lattice_leave_the_lag_open_and_say_so(tmp_path: Path) -> None:
    """A fixed duration looked at each second: nobody can tell where in the second it ends."""
    run, truth = own_run(made("fixed", LATTICE), tmp_path / "run")
    lag = analyse(run).settings["constant-1s"].detection_lag_s
    assert truth["constant-1s"] < 0.1
    assert lag.mean == pytest.approx(0.5, abs=0.1)
    assert lag.unresolved_s == pytest.approx(0.47, abs=0.05)
    assert lag.ci95 is not None
    assert lag.ci95[0] <= truth["constant-1s"]
    assert lag.ci95[1] > 0.9
    recommendation = analyse(run).recommendation
    assert recommendation.setting is None
    assert "looked at so alike in time" in recommendation.why


@pytest.mark.slow
def test_nine_in_ten_intervals_hold_what_other_runs_give(tmp_path: Path) -> None:
    """The mean of a run of 10,000 jobs lies in the intervals of small runs: in 14 of 16, and not idly."""
    settings = {"jittered": JITTERED, "constant-2s": every(2.0)}
    _, truth = own_run(made("lognormal", settings, 10_000, seed=99), tmp_path / "large")
    held, widths = [], []
    for seed in range(8):
        run, _ = own_run(made("lognormal", settings, 60, seed=seed), tmp_path / str(seed))
        for name, figures in analyse(run).settings.items():
            low, high = figures.detection_lag_s.ci95 or (0.0, 0.0)
            held.append(low <= truth[name] <= high)
            widths.append((high - low) / truth[name])
    assert sum(held) >= 14
    assert np.mean(widths) < 0.6


def test_lost_jobs_are_longer_than_their_last_look(tmp_path: Path) -> None:
    """Left-out slow jobs would make the law too short; they count as right-censored."""
    settings = {"short": every(1.0, deadline=6.0), "jittered": JITTERED}
    run, truth = own_run(made("lognormal", settings, 300), tmp_path / "run")
    looks = Looks.of(run.jobs, 0.0)
    lost = (run.jobs["outcome"] == "timeout").to_numpy()
    assert lost.sum() > 30
    assert np.isinf(looks.likely.upper[lost]).all()
    assert (looks.likely.lower[lost] > 4.9).all()
    lag = analyse(run).settings["short"].detection_lag_s
    assert lag.mean == pytest.approx(truth["short"], abs=0.1)


def test_a_named_finish_is_used_as_exactly_as_it_is_known(tmp_path: Path) -> None:
    """Exact times give exact lags; times known to a second narrow the intervals, and no more."""
    plan = made("lognormal", SETTINGS)
    run, truth = own_run(plan, tmp_path / "run")
    known = simulate(plan).run.jobs.select("setting", "repeat", "key", "finished_at_s", "detection_lag_s")
    jobs = run.jobs.drop("finished_at_s", "detection_lag_s").join(known, on=("setting", "repeat", "key"))
    exact = analyse(replace(run, jobs=jobs))
    for name, figures in exact.settings.items():
        assert figures.detection_lag_s.basis == "exact"
        assert figures.detection_lag_s.mean == pytest.approx(truth[name], abs=1e-5)
    dated = analyse(replace(run, jobs=jobs, info=replace(run.info, finish_resolution_s=1.0)))
    for name, figures in dated.settings.items():
        assert figures.detection_lag_s.basis == "interval"
        assert figures.detection_lag_s.mean == pytest.approx(truth[name], abs=0.12)
    assert {check.check: check.status for check in exact.trust}["finish times"] == "pass"
    assert {check.check: check.status for check in dated.trust}["finish times"] == "warn"


def test_what_only_the_simulator_knows_is_a_warning_and_never_invalid(tmp_path: Path) -> None:
    """Counts of the server, finishes, its processor: cannot know. What rows can tell is checked as ever."""
    run, _ = own_run(made("lognormal", SETTINGS, 60), tmp_path / "run")
    trust = {check.check: check for check in analyse(run).trust}
    for name in ("jobs conserved", "polls counted alike", "finish times", "server CPU"):
        assert trust[name].status == "warn", name
        assert "cannot know" in trust[name].detail, name
    assert not [check for check in trust.values() if check.status == "invalid"]
    missing = replace(run, jobs=run.jobs.with_columns(polls=run.jobs["polls"] + 1))
    assert statuses(results_of(missing))["polls counted alike"] == "invalid"


@pytest.mark.parametrize(
    ("objective", "bound", "met", "estimated"),
    [
        ("lag_p95", 2.5, True, False),  # no two polls are further apart
        ("lag_p95", 1.99, True, True),
        ("lag_p95", 1.0, False, True),
        ("lag_mean", 1.5, True, True),
        ("lag_max", 3.0, True, False),
        ("lag_max", 0.5, None, False),
    ],
)
def test_objectives_are_judged_for_certain_by_estimate_or_not_at_all(
    tmp_path: Path, objective: str, bound: float, met: bool | None, estimated: bool
) -> None:
    """Bounds decide where they can; the estimate is said to be one; what polls leave open is not judged."""
    settings = {"constant-2s": every(2.0), "jittered": JITTERED}
    plan = replace(made("lognormal", settings, 200), objectives={objective: bound})
    run, _ = own_run(plan, tmp_path / "run")
    judged = analyse(run).settings["constant-2s"].objectives[objective]
    assert (judged.met, judged.estimated) == (met, estimated), judged


def test_an_open_limit_is_not_judged_on_a_lattice(tmp_path: Path) -> None:
    """A limit within what the polls cannot tell is neither met nor missed, and nothing is recommended."""
    plan = replace(made("fixed", LATTICE), objectives={"lag_mean": 0.4})
    run, _ = own_run(plan, tmp_path / "run")
    results = analyse(run)
    judged = results.settings["constant-1s"].objectives["lag_mean"]
    assert judged.met is None
    assert "the polls leave open" in str(judged.note)
    assert results.recommendation.setting is None


def test_settings_are_compared_by_their_estimates_and_not_in_pairs(tmp_path: Path) -> None:
    """Half the interval is told from the whole one, like from like is not, and no row claims pairs."""
    settings = {
        "constant-2s": every(2.0),
        "again": every(2.0),
        "jittered": JITTERED,
        "constant-1s": every(1.0),
    }
    plan = replace(made("lognormal", settings, 200), baseline="constant-2s")
    run, _ = own_run(plan, tmp_path / "run")
    rows = {row.setting: row for row in analyse(run).comparison if row.metric == "detection_lag_s"}
    assert {row.pairs for row in rows.values()} == {0}
    assert rows["constant-1s"].verdict == "better"
    assert rows["again"].verdict == "indistinguishable"
    assert rows["constant-1s"].difference == pytest.approx(-0.5, abs=0.15)


def test_runs_on_a_service_are_compared_as_independent_samples(tmp_path: Path) -> None:
    """Equal seed and scenario do not make the same jobs of a foreign service."""
    for name, seed in (("one", 1), ("two", 2)):
        own_run(made("lognormal", SETTINGS, 80, seed=seed), tmp_path / name)
    found = compare_runs(tmp_path / "one", tmp_path / "two")
    assert "independent samples" in found.note
    assert found.exit_code == 0
    assert {row.verdict for row in found.rows if row.metric == "detection_lag_s"} == {"indistinguishable"}
    with pytest.raises(RunUnusable):
        compare_runs(tmp_path / "one", tmp_path / "three")


def test_what_the_run_s_own_limits_held_back_is_said(tmp_path: Path) -> None:
    """Lateness that comes of target.limits is told apart from the machine's, with the remedy."""
    run, _ = own_run(made("lognormal", SETTINGS, 40), tmp_path / "run")
    first, *others = run.visits
    held = replace(first, held_polls=Held(7, 2.0, 0.5))
    trust = {check.check: check.detail for check in analyse(replace(run, visits=(held, *others))).trust}
    said = "(7 held back by target.limits, 500 ms at most: raise them or submit more slowly)"
    assert said in trust["poll lateness"]
    assert "held back" not in trust["arrival lateness"]


def test_table_and_page_mark_estimates_and_show_the_bounds(tmp_path: Path) -> None:
    """An estimate is never printed as if it had been measured."""
    run, _ = own_run(made("lognormal", SETTINGS, 80), tmp_path / "run")
    results = analyse(run)
    low, high = results.settings["constant-2s"].detection_lag_s.bounds_mean or (1.0, 0.0)
    assert (low, round(high)) == (0.0, 2)
    text = render_table(results, 100)
    assert "~ an estimate: the service does not say when jobs finish" in text
    assert "constant-2s: certainly 0 to 2.0" in text
    page = render_report(results, run)
    assert "in [0, 2.0" in page
    assert "~ marks estimates" in page
    assert "on your own service" in page


def test_nothing_is_estimated_where_no_end_was_learnt(tmp_path: Path) -> None:
    """A run in which every job was lost has no lag, and says so by nulls."""
    run, _ = own_run(made("fixed", {"impatient": every(1.0, deadline=2.0)}, 30), tmp_path / "run")
    assert lags_of(run) is None
    lag = analyse(run).settings["impatient"].detection_lag_s
    assert (lag.n, lag.mean) == (0, None)
