"""The recommendation holds on other jobs, is honest about backoff, and says when it cannot tell."""

from __future__ import annotations

import json
import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from client import ANCHORS, Backoff, PollingPolicy
from harness.measure import analyse, estimate_mean
from harness.plan import Effort, Plan, limits, make_plan, render_plan
from harness.plan._candidates import KINDS
from harness.plan._task import task_for
from harness.virtual import simulate
from scenarios import Scenario, load_scenario
from scenarios.documents import DocumentError

# Enough where a test asks what is found and not how finely: coarser cells, fewer candidates, fewer steps.
LIGHT = Effort(
    jobs=1_000,
    sharpened=2,
    most_polls=500_000,
    screened_jobs=1_000,
    refined_families=1,
    steps=(1.2,),
    scales=6,
    multipliers=(1.25, 2.0),
    caps=(8.0, 64.0),
    increments=(0.3,),
    slower=(4.0,),
    switches=(0.75,),
    waits=(0.01, 0.06, 0.1, 0.3, 0.5, 0.75),
    lengths=(3, 8),
    prices=5,
    points=2**13,
    coarse=2**11,
    nodes=2**15,
    late_cells=200,
)

SCENARIO = """\
name: example
seed: 5
job:
  duration: {duration}
workload:
  lanes: 2
  arrivals: {{type: poisson, rate: 5}}
  jobs: 300
settings:
  constant-1s: {{curve: constant, initial: 1s, on_error: {{max_consecutive: 4}}}}
  exponential: {{curve: exponential, initial: 500ms, multiplier: 2, maximum: 5s, jitter: full}}
{rest}
"""


def scenario(folder: Path, duration: str, rest: str = "") -> Scenario:
    path = folder / "example.yaml"
    path.write_text(SCENARIO.format(duration=duration, rest=rest))
    return load_scenario(path)


@pytest.fixture(scope="module")
def peaked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, Plan]:
    """Durations with a typical scale, an objective on the 95th percentile, and a service that takes time."""
    example = scenario(
        tmp_path_factory.mktemp("peaked"),
        "{type: lognormal, median: 4s, sigma: 0.5}",
        "service: {delay: 20ms}\nobjectives: {lag_p95: 2s}\nbaseline: constant-1s",
    )
    return example, make_plan(example, jobs=6_000, cpu_per_poll_s=0.002)


def test_the_recommended_setting_meets_the_objectives_on_jobs_of_another_seed(
    peaked: tuple[Scenario, Plan],
) -> None:
    """An independent run of the twin judges the setting that its YAML means."""
    example, plan = peaked
    policy = plan.recommendation.policy
    assert policy is not None
    judge = replace(example, seed=987, settings={"it": policy}, baseline=None)
    figures = analyse(simulate(judge, jobs=20_000).run).settings["it"]
    assert figures.objectives["lag_p95"].met
    assert figures.polls_per_job.mean == pytest.approx(plan.robustness[0].polls, rel=0.03)


def test_the_yaml_can_be_pasted_under_settings(peaked: tuple[Scenario, Plan], tmp_path: Path) -> None:
    """A scenario with the recommended lines added loads, and the setting is the recommended policy."""
    example, plan = peaked
    yaml, name = plan.recommendation.yaml, plan.recommendation.setting
    assert yaml is not None
    assert name is not None
    pasted = tmp_path / "pasted.yaml"
    pasted.write_text(example.text.replace("settings:\n", f"settings:\n  {yaml}\n"))
    assert load_scenario(pasted).settings[name] == plan.recommendation.policy


def test_the_recommendation_inherits_what_is_not_cadence(peaked: tuple[Scenario, Plan]) -> None:
    """Errors and limits are the baseline's, so that only the cadence is compared."""
    example, plan = peaked
    assert plan.recommendation.policy is not None
    assert plan.recommendation.policy.errors == example.settings["constant-1s"].errors


def test_the_recommendation_is_cheaper_than_what_it_replaces_and_close_to_the_limit(
    peaked: tuple[Scenario, Plan],
) -> None:
    """A typical duration is worth waiting for: that saves polls which no constant interval can."""
    _, plan = peaked
    own = plan.robustness[0]
    assert own.setting == plan.recommendation.setting
    assert own.polls < 0.9 * plan.alternatives["constant"].polls
    assert own.ratio < 1.15


def test_the_plan_says_that_backoff_and_jitter_do_not_help_one_client(peaked: tuple[Scenario, Plan]) -> None:
    """For a known, peaked law the notes name both, with figures that bear them out."""
    _, plan = peaked
    said = " ".join(plan.notes)
    assert "Exponential backoff does not help here" in said
    assert "Jitter does not help one client" in said
    best = plan.alternatives
    assert best["wait, then constant"].polls < best["exponential"].polls
    assert best["constant"].polls < best["constant, jittered"].polls


def test_robustness_shows_what_a_schedule_costs_when_jobs_take_twice_as_long(
    peaked: tuple[Scenario, Plan],
) -> None:
    """Four laws for the recommendation, the baseline and the best backoff; longer jobs cost more polls."""
    _, plan = peaked
    laws = ["as assumed", "twice as long", "half as long", "exponential, same median"]
    settings = [plan.recommendation.setting, "constant-1s", "best exponential"]
    assert [(each.durations, each.setting) for each in plan.robustness] == [
        (law, setting) for law in laws for setting in settings
    ]
    usual, doubled = plan.robustness[0], plan.robustness[3]
    assert doubled.polls > 1.5 * usual.polls
    assert any("twice as long" in note for note in plan.notes)


def test_no_setting_is_below_the_limit(peaked: tuple[Scenario, Plan]) -> None:
    """Delays and failed reads only add, so every ratio is at least 1, up to the twin's noise."""
    _, plan = peaked
    for each in [*plan.settings.values(), *plan.alternatives.values(), *plan.robustness]:
        assert each.ratio >= 0.985


def test_the_json_has_the_contract_and_no_infinities(peaked: tuple[Scenario, Plan]) -> None:
    """Every name that the command promises is there, and the text is strict JSON."""
    _, plan = peaked
    data = json.loads(json.dumps(plan.to_json(), allow_nan=False))
    point = {"cost_per_poll_s", "polls", "lag_s", "objective_s", "schedule_s"}
    assert point <= set(data["optimum"])
    assert all(point <= set(each) for each in data["frontier"])
    for each in data["settings"].values():
        assert {"polls", "lag_s", "polls_at_same_lag", "ratio"} <= set(each)
        assert each["ratio"] == pytest.approx(each["polls"] / each["polls_at_same_lag"])
    assert set(data["recommendation"]) == {"setting", "yaml", "why"}
    assert set(data["sizing"]["settings"]) >= {"constant-1s", "exponential"}
    best = data["optimum"]
    assert best["objective_s"] == pytest.approx(best["cost_per_poll_s"] * best["polls"] + best["lag_s"])


def test_the_default_price_of_a_poll_is_what_the_baseline_implies(peaked: tuple[Scenario, Plan]) -> None:
    """At that price the best schedule is as late as the baseline, on average."""
    _, plan = peaked
    assert plan.optimum.lag_s == pytest.approx(plan.settings["constant-1s"].lag_s, rel=0.05)
    assert "constant-1s" in plan.cost_reason


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_text_fits_its_width(peaked: tuple[Scenario, Plan], width: int) -> None:
    """No line is wider than asked, but for the YAML and the command, which are there to be pasted."""
    _, plan = peaked
    text = render_plan(plan, width)
    assert plan.recommendation.yaml is not None
    yaml = f"  {plan.recommendation.yaml}"
    command = f"  python -m harness export {shlex.quote(plan.recommendation.yaml)} --to python"
    assert f"{yaml}\n{command}\n" in text
    assert {line for line in text.splitlines() if len(line) > width} <= {yaml, command}
    assert "\x1b" not in text


def test_a_fixed_duration_is_met_with_one_poll(tmp_path: Path) -> None:
    """When every job takes the same time, one poll right after it is all that is needed."""
    example = scenario(tmp_path, "12.34s", "objectives: {lag_mean: 1s}")
    plan = make_plan(example, jobs=500, effort=LIGHT)
    assert plan.robustness[0].polls == pytest.approx(1.0)
    assert plan.alternatives["exponential"].polls > 1.5
    policy = plan.recommendation.policy
    assert policy is not None
    assert policy.cadence.curve in ("constant", "schedule")


@pytest.mark.slow
def test_backoff_beats_a_constant_interval_when_the_scale_is_unknown(tmp_path: Path) -> None:
    """Durations over more than two decades: growing waits need far fewer polls for the same objective."""
    parts = ", ".join(f"{{weight: 1, type: exponential, mean: {mean}s}}" for mean in (1, 15, 200))
    example = scenario(
        tmp_path, f"{{type: mixture, of: [{parts}]}}", "objectives: {lag_p50: 1s, lag_mean: 5s}"
    )
    plan = make_plan(example, jobs=1_500, effort=LIGHT)
    assert plan.alternatives["exponential"].polls < 0.7 * plan.alternatives["constant"].polls
    assert any("earns its keep" in note for note in plan.notes)


def test_without_objectives_polls_and_lag_are_weighed(tmp_path: Path) -> None:
    """For memoryless jobs the constant interval is the optimum; an existing one that good is kept."""
    example = scenario(tmp_path, "{type: exponential, mean: 4s}")
    plan = make_plan(example, jobs=2_000, effort=LIGHT)
    assert plan.recommendation.setting == "constant-1s"
    assert plan.recommendation.yaml == (
        "constant-1s: {curve: constant, initial: 1s, on_error: {max_consecutive: 4}}"
    )
    assert plan.settings["constant-1s"].ratio == pytest.approx(1.0, abs=0.02)


def test_a_price_that_an_objective_overrules_is_said_to_be(tmp_path: Path) -> None:
    """A bound on the lag leaves the price of a poll nothing to decide: text and JSON say so."""
    example = scenario(tmp_path, "{type: exponential, mean: 4s}", "objectives: {lag_p95: 1s}")
    example.path.write_text(example.text.replace(", jitter: full", ""))
    example = load_scenario(example.path)
    plan = make_plan(example, cost_per_poll_s=5.0, jobs=500, effort=LIGHT)
    (overruled,) = (note for note in plan.to_json()["notes"] if "does not decide what to ship" in note)
    assert "5.00 s of lag per poll" in overruled
    assert "lag_p95" in overruled
    assert "By the price alone exponential would be better" in overruled
    assert "does not decide what to ship" in " ".join(render_plan(plan, 80).split())
    unpriced = make_plan(example, jobs=500, effort=LIGHT)
    assert not any("price" in note for note in unpriced.notes)


def test_it_says_when_no_setting_meets_the_objectives(tmp_path: Path) -> None:
    """Half of the reads fail, so no cadence finds all jobs that fast; the nearest setting is named."""
    faulty = "service: {faults: [{status: 503, rate: 0.5}]}\nobjectives: {lag_p95: 50ms}"
    plan = make_plan(
        scenario(tmp_path, "{type: uniform, lower: 1s, upper: 3s}", faulty), jobs=500, effort=LIGHT
    )
    assert plan.recommendation.setting is None
    assert plan.recommendation.yaml is None
    assert "No setting was found" in plan.recommendation.why
    assert "lag_p95" in plan.recommendation.why


@pytest.mark.parametrize(("rows", "setting"), [(40, None), (100, "constant-1s")])
def test_a_thin_trace_supports_no_more_than_it_can(tmp_path: Path, rows: int, setting: str | None) -> None:
    """p95 takes 72 rows; up to twice that only the scenario's own settings are considered, unfitted."""
    values = np.random.default_rng(4).lognormal(1.4, 0.5, rows)
    (tmp_path / "t.csv").write_text("s\n" + "\n".join(f"{value:.3f}" for value in values) + "\n")
    example = scenario(tmp_path, "{type: trace, file: t.csv, column: s}", "objectives: {lag_p95: 1050ms}")
    plan = make_plan(example, jobs=2_000, effort=LIGHT)
    assert plan.recommendation.setting == setting
    assert plan.alternatives == {}
    said = " ".join([plan.recommendation.why, *plan.notes])
    assert "72" in said if setting is None else "144" in said


@pytest.mark.slow
def test_a_trace_is_fitted_to_one_half_and_judged_by_the_other(tmp_path: Path) -> None:
    """With enough rows there is a recommendation, and the plan says what it rests on."""
    values = np.random.default_rng(4).lognormal(1.4, 0.5, 400)
    (tmp_path / "t.csv").write_text("s\n" + "\n".join(f"{value:.3f}" for value in values) + "\n")
    example = scenario(tmp_path, "{type: trace, file: t.csv, column: s}", "objectives: {lag_p90: 1500ms}")
    plan = make_plan(example, jobs=1_000, effort=LIGHT)
    assert plan.recommendation.setting is not None
    assert any("one half of the trace" in note for note in plan.notes)
    held_out = limits(example, simulate(example, jobs=2_000).run)
    ratio = plan.settings["constant-1s"].ratio
    assert held_out.settings["constant-1s"].ratio < ratio


def test_hints_that_tell_the_time_left_are_exempt_from_the_limit(tmp_path: Path) -> None:
    """A server's estimate is more than a schedule knows: no limit in reports, a note in plans."""
    example = scenario(tmp_path, "{type: exponential, mean: 4s}", "service: {retry_after: eta}")
    held = limits(example, simulate(example, jobs=500).run, LIGHT)
    assert held.settings == {}
    assert len(held.curve) > 5


def test_settings_that_give_up_are_exempt_from_the_limit(tmp_path: Path) -> None:
    """Giving up for want of attempts saves polls and finds nothing: no limit is claimed for it."""
    example = scenario(tmp_path, "{type: exponential, mean: 4s}")
    quitter = PollingPolicy(Backoff("constant", 1.0), max_attempts=2)
    example = replace(example, settings={**example.settings, "quitter": quitter})
    assert set(limits(example, simulate(example, jobs=500).run, LIGHT).settings) == {
        "constant-1s",
        "exponential",
    }


def test_jobs_whose_submission_was_never_answered_in_time_are_lost(tmp_path: Path) -> None:
    """A request timeout that loses submissions must not make a setting look good: the plan counts them."""
    example = scenario(tmp_path, "4s", "service: {delay: {type: exponential, mean: 200ms}}")
    hasty = PollingPolicy(Backoff("constant", 1.0), request_timeout=0.2)
    example = replace(example, settings={"hasty": hasty}, baseline=None)
    assert make_plan(example, jobs=2_000, effort=LIGHT).settings["hasty"].lost_share == pytest.approx(
        math.exp(-1), abs=0.05
    )


def test_a_plan_withholds_the_ratio_of_a_setting_that_gives_up_and_says_why(tmp_path: Path) -> None:
    """Two attempts leave most of the jobs unfound: null, with the reason, and a dash in the table."""
    example = scenario(tmp_path, "{type: exponential, mean: 4s}")
    quitter = PollingPolicy(Backoff("constant", 1.0), max_attempts=2)
    example = replace(example, settings={"quitter": quitter}, baseline=None)
    plan = make_plan(example, jobs=500, effort=LIGHT)
    data = plan.to_json()["settings"]["quitter"]
    assert data["ratio"] is data["polls_at_same_lag"] is data["ratio_ci95"] is None
    assert "gives up on 6" in data["ratio_withheld"]


def test_where_jobs_wait_for_each_other_a_plan_rests_on_twenty_visits(tmp_path: Path) -> None:
    """One visit is one stretch of a queue's life: the interval is that of visit means, at its true width."""
    queue = "{type: exponential, mean: 1s}"
    text = SCENARIO.format(duration=queue, rest="").replace("jobs: 300", "jobs: 100")
    path = tmp_path / "queue.yaml"
    path.write_text(text.replace(f"duration: {queue}", f"duration: {queue}\n  slots: 6"))
    example = load_scenario(path)
    task = task_for(example, LIGHT, None, None, lambda _: None)
    seen = task.predict(example.settings["constant-1s"])
    assert seen.visit is not None
    assert len(np.unique(seen.visit)) >= 20
    means = [seen.polls[seen.visit == each].mean() for each in np.unique(seen.visit)]
    interval = seen.mean_polls.interval()
    assert interval is not None
    spread = float(np.std(means, ddof=1)) / math.sqrt(len(means))
    assert (interval[1] - interval[0]) / 2 == pytest.approx(
        stats.t.ppf(0.975, len(means) - 1) * spread, rel=0.5
    )


LAWS = [
    "4s",
    "{type: exponential, mean: 4s}",
    "{type: lognormal, median: 2s, sigma: 1}",
    "{type: uniform, lower: 1s, upper: 6s}",
]
seconds = st.floats(0.2, 8.0)
policies = st.one_of(
    seconds.map(lambda s: Backoff("constant", s)),
    st.builds(
        lambda s, m, j: Backoff("exponential", s, multiplier=m, maximum=20.0, jitter=j),
        seconds,
        st.floats(1.1, 3.0),
        st.sampled_from(["none", "full", "equal", "decorrelated"]),
    ),
    st.lists(seconds, min_size=1, max_size=4).map(lambda delays: Backoff("schedule", delays=delays)),
    st.builds(lambda x, y, u: Backoff("schedule", delays=[x, y], until=[u]), seconds, seconds, seconds),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("laws")


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    cadence=policies, anchor=st.sampled_from(list(ANCHORS)), law=st.sampled_from(LAWS), faulty=st.booleans()
)
def test_no_policy_whatever_beats_the_limit(
    folder: Path, cadence: Backoff, anchor: str, law: str, faulty: bool
) -> None:
    """The bound is a theorem: jitter, anchors, delays, failed reads and schedules only add polls or lag."""
    policy = PollingPolicy(cadence, anchor="reply" if cadence.grows_by_itself else anchor)
    service = "service: {delay: 30ms, faults: [{status: 503, rate: 0.1}]}" if faulty else ""
    example = replace(scenario(folder, law, service), settings={"it": policy}, baseline=None)
    run = simulate(example, jobs=2_000).run
    ratio = limits(example, run, LIGHT).settings["it"].ratio
    estimate = estimate_mean(run.jobs["polls"].to_numpy().astype(np.float64))
    assert estimate is not None
    noise = 4.0 * (estimate.standard_error or 0.0) / estimate.mean
    assert ratio >= 1.0 - noise - 0.03
    assert math.isfinite(ratio)


def test_among_equal_polls_the_shorter_lag_is_recommended(tmp_path: Path) -> None:
    """Jobs of about 5 s: a poll after 5.6 s finds them as one after 7.2 s does, but sooner."""
    example = scenario(tmp_path, "{type: normal, mean: 5s, sd: 150ms}", "objectives: {lag_p95: 2.5s}")
    plan = make_plan(example, jobs=2_000, effort=LIGHT)
    policy = plan.recommendation.policy
    assert policy is not None
    assert policy.cadence.curve == "constant"
    assert policy.cadence.initial is not None
    assert 5.3 <= policy.cadence.initial <= 6.0
    assert plan.robustness[0].polls == pytest.approx(1.0, abs=0.01)
    assert plan.robustness[0].lag_s < 1.0


def test_a_baseline_on_beats_is_planned_for_on_beats(tmp_path: Path) -> None:
    """Candidates keep the anchor, so those whose jitter has no beats are left out; the rest are there."""
    beats = "{curve: constant, initial: 1s, anchor: start}"
    example = scenario(tmp_path, "{type: lognormal, median: 4s, sigma: 0.6}", "objectives: {lag_p95: 2s}")
    example = load_scenario(_with(example, tmp_path, f"  beats: {beats}"))
    plan = make_plan(example, jobs=500, effort=LIGHT)
    assert set(plan.alternatives) == {kind.name for kind in KINDS} - {"decorrelated"}
    assert plan.recommendation.policy is not None
    assert plan.recommendation.policy.anchor == "start"


def _with(example: Scenario, folder: Path, setting: str) -> Path:
    """The same scenario with another setting, which is the baseline."""
    path = folder / "with.yaml"
    name = setting.strip().partition(":")[0]
    text = example.text.replace("settings:\n", f"settings:\n{setting}\n")
    path.write_text(f"{text}\nbaseline: {name}\n")
    return path


@pytest.mark.slow
def test_heavy_tails_have_a_kind_of_their_own(tmp_path: Path) -> None:
    """Constant, then slower: a better price than any interval where few jobs take most of the time."""
    example = scenario(tmp_path, "{type: weibull, shape: 0.5, scale: 30s}")
    light = replace(LIGHT, most_polls=100_000, screened_jobs=300, waits=(0.1,), lengths=(3,), prices=2)
    plan = make_plan(example, cost_per_poll_s=2.5, jobs=500, effort=light)

    def price(kind: str) -> float:
        return 2.5 * plan.alternatives[kind].polls + plan.alternatives[kind].lag_s

    assert price("constant, then slower") < 0.95 * price("constant")
    assert {"linear, jittered", "decorrelated"} <= set(plan.alternatives)


def test_settings_that_start_again_on_progress_have_no_limit(tmp_path: Path) -> None:
    """Progress tells of the end: the bound is for schedules that know nothing of it."""
    example = scenario(tmp_path, "{type: lognormal, median: 4s, sigma: 0.6}")
    informed = PollingPolicy(Backoff("exponential", 1), restart_on="progress")
    example = replace(
        example, settings={"informed": informed, "plain": PollingPolicy(Backoff("constant", 1))}
    )
    assert set(limits(example, simulate(example).run, LIGHT).settings) == {"plain"}


def test_where_nothing_is_accepted_there_is_nothing_to_plan(tmp_path: Path) -> None:
    """A service that answers no submission in time is one line, at the line of the service."""
    path = tmp_path / "silent.yaml"
    path.write_text(
        "name: silent\njob: {duration: 2s}\nservice: {delay: 1h, rate_limit: {rate: 40, burst: 40}}\n"
        "workload: {lanes: 2, arrivals: {type: constant, rate: 2}, jobs: 20}\n"
        "settings:\n  every-1s: {curve: constant, initial: 1s}\n"
    )
    with pytest.raises(DocumentError, match=r"silent.yaml:3: service: no submission is answered in time"):
        make_plan(load_scenario(path))
