"""Recorded times are not exact: the grid that they lie on is found, said and spread; exact ties never win."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.measure import analyse
from harness.plan import make_plan
from harness.plan._effort import Effort
from harness.plan.limit import grid_of
from harness.virtual import simulate, visit_costs
from scenarios import Scenario, describe, load_scenario
from scenarios.draws import Sample, Trace, describe_steps
from scenarios.draws._resolution import steps_of

U = st.integers(0, 2**53 - 1).map(lambda i: i * 2.0**-53)
DRAWN = np.random.default_rng(5)
LOGNORMAL = DRAWN.lognormal(3.0, 0.8, 8_000)
HALF = DRAWN.random(8_000) < 0.5


def to(step: float, values: Any = LOGNORMAL) -> Any:
    """The values rounded to a step, as a file would have them."""
    return np.array([float(f"{each:.9f}") for each in np.round(values / step) * step])


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (to(1), "1 s"),
        (to(1e-3), "1 ms"),
        (to(1e-2), "10 ms"),
        (to(0.5), "500 ms"),
        (to(5), "5 s"),
        (to(15), "15 s"),
        (to(60, 10 * LOGNORMAL), "60 s"),
        (to(0.015625), "15.625 ms"),  # the tick of an old clock
        (to(0.004), "4 ms"),
        (np.where(HALF, to(1), to(1e-3)), "1 s (50% of them) and 1 ms (50% of them)"),
        (np.where(LOGNORMAL > 30, to(1), to(1e-3)), "1 s (32% of them) and 1 ms (68% of them)"),
        (DRAWN.integers(10, 61, 2_000), "1 s"),
        (np.append(np.zeros(50), to(1)), "1 s"),
        ([12, 47, 31, 8, 22], "1 s"),
        (np.where(HALF, 60.0, to(1e-3)), "1 ms"),  # a time-out of half of the jobs is no grid
        (LOGNORMAL, None),
        ([12, 47, 31, 8], None),  # too few to tell
        (np.full(100, 5.0), None),  # no more than a constant
        ([0.25, 1, 3, 60], None),
        ([1e300, 2e300, 3e300, 4e300, 5e300], None),
    ],
)
def test_the_grid_is_found_in_the_values(values: Any, found: str | None) -> None:
    """Whole seconds, milliseconds, odd ticks, several at once; neither chance nor a constant makes a grid."""
    steps = steps_of(np.asarray(values, dtype=np.float64))
    assert (None if steps is None else describe_steps(steps)) == found


def test_three_significant_digits_are_a_grid_for_each_magnitude() -> None:
    """1.23 is known to 10 ms, 12.3 to 100 ms, 123 to 1 s."""
    values = np.array([float(f"{each:.3g}") for each in np.random.default_rng(1).lognormal(1, 2, 5_000)])
    steps = steps_of(values)
    assert steps is not None
    for low, high, step in ((1, 10, 0.01), (10, 100, 0.1), (100, 1000, 1)):
        mine = steps[(values >= low) & (values < high)]
        assert np.mean(mine == step) > 0.85


SAMPLES = {
    "whole seconds": (to(1), "nearest"),
    "whole seconds, cut": (to(1), "floor"),
    "whole seconds, raised": (to(1), "ceil"),
    "mixed": (np.where(LOGNORMAL > 30, to(1), to(1e-3)), "nearest"),
    "off the grid": (np.array([1.3, 2.0, 2.2, 5, 5, 5]), "nearest"),
}


def sample(name: str) -> Sample:
    values, rounding = SAMPLES[name]
    steps = np.ones(values.size) if name == "off the grid" else steps_of(values)
    return Sample(values, steps, rounding)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_spread_law_is_a_law(name: str) -> None:
    """Draws ascend strictly, cdf undoes ppf, and the mean is that of the draws."""
    ours, u = sample(name), (np.arange(100_000) + 0.5) / 100_000
    drawn = ours.ppf(u)
    assert (np.diff(drawn) > 0).all()
    assert drawn[0] >= 0
    np.testing.assert_allclose(ours.cdf(drawn), u, atol=1e-9)
    assert drawn.mean() == pytest.approx(ours.mean(), rel=1e-4)


@pytest.mark.parametrize("name", SAMPLES)
@given(us=st.lists(U, min_size=1, max_size=20))
def test_one_draw_and_many_agree_to_the_last_bit(name: str, us: list[float]) -> None:
    """A live run draws one by one, its twin in bulk."""
    ours = sample(name)
    assert ours.ppf(np.array(us)).tolist() == [ours.ppf(u) for u in us]


@pytest.mark.parametrize(
    ("rounding", "low", "high"), [("nearest", 1.5, 2.5), ("floor", 2, 3), ("ceil", 1, 2)]
)
def test_a_value_is_anywhere_in_its_cell(rounding: Any, low: float, high: float) -> None:
    """Within the cell that rounding left open, all places are equally likely; none is below zero."""
    ours = Sample(np.array([2.0, 9.0]), np.ones(2), rounding)
    u = np.random.default_rng(2).random(20_000) / 2
    assert stats.kstest(ours.ppf(u), stats.uniform(low, high - low).cdf).pvalue > 1e-3
    zero = Sample(np.zeros(1), np.ones(1), rounding)
    assert 0 <= zero.ppf(0.0) <= zero.ppf(0.999) <= max(high - 2, 0)


def test_each_row_keeps_its_share_where_cells_overlap() -> None:
    """Half the rows are known to 1 s, half to 10 ms: each has the same weight in the whole."""
    ours = Sample(np.array([2.0, 2.2]), np.array([1.0, 0.01]))
    times = np.array([1.5, 2.0, 2.195, 2.205, 2.5])
    np.testing.assert_allclose(ours.cdf(times), [0, 0.25, 0.3475, 0.8525, 1], atol=1e-12)


SCENARIO = """\
name: example
job: {{duration: {duration}}}
workload: {{lanes: 10, arrivals: {{type: constant, rate: 10}}, jobs: 20000}}
settings:
  every-1s: {{curve: constant, initial: 1s}}
  every-1100ms: {{curve: constant, initial: 1100ms}}
  every-2s: {{curve: constant, initial: 2s}}
  every-5s: {{curve: constant, initial: 5s}}
"""
TRACE = "{type: trace, file: t.csv, column: seconds}"


def scenario(folder: Path, duration: str, values: Any = ()) -> Scenario:
    (folder / "t.csv").write_text("id,seconds\n" + "".join(f"{i},{v:.1f}\n" for i, v in enumerate(values)))
    path = folder / "example.yaml"
    path.write_text(SCENARIO.format(duration=duration))
    return load_scenario(path)


def test_the_lag_of_an_interval_is_half_of_it_on_a_trace_of_whole_seconds(tmp_path: Path) -> None:
    """Polling each x seconds finds jobs x/2 late, however the durations were written down."""
    results = analyse(simulate(scenario(tmp_path, TRACE, to(1))).run)
    for name, interval in (("every-1s", 1.0), ("every-1100ms", 1.1), ("every-2s", 2.0), ("every-5s", 5.0)):
        lag = results.settings[name].detection_lag_s.mean
        assert lag == pytest.approx(interval / 2, rel=0.03)


def test_both_engines_spread_alike(tmp_path: Path) -> None:
    """The rows are the same, whichever engine makes them."""
    example = scenario(tmp_path, TRACE, to(1))
    vector, event = (
        simulate(example, only=["every-5s"], jobs=500, engine=engine).run.jobs
        for engine in ("vector", "event")
    )
    assert vector.equals(event)


def test_the_limit_sees_the_spread_law(tmp_path: Path) -> None:
    """A schedule that polls each second of whole seconds has half a second of lag, and not none."""
    durations = scenario(tmp_path, TRACE, to(1)).simulation.job.duration
    grid = grid_of(durations)
    assert not grid.exact
    assert grid.mean == pytest.approx(to(1).mean(), rel=1e-6)
    assert float(grid.survival(np.array([20.0]))[0]) == pytest.approx(
        np.mean(to(1) > 20) + np.mean(to(1) == 20) / 2
    )


@pytest.mark.parametrize("duration", ["20s", f"{TRACE[:-1]}, resolution: exact}}", "trace of three"])
def test_exact_ties_are_named_and_never_win(tmp_path: Path, duration: str) -> None:
    """Where a schedule and the durations lie on one grid, the figures are no ground for a recommendation."""
    values = [10, 20, 30] * 10 if duration == "trace of three" else to(1)
    example = scenario(tmp_path, TRACE if duration == "trace of three" else duration, values)
    notes = [
        line for line in describe(example, visit_costs(example)) if "polls fall exactly on the end" in line
    ]
    assert notes[0].startswith(
        "  note: every-1s: polls fall exactly on the end: add spread to the durations; "
    )
    results = analyse(simulate(example, jobs=200).run)
    assert results.recommendation.setting in ("every-1100ms", None)
    assert "every-1s (100 %)" in results.recommendation.why


def test_a_plan_recommends_no_exact_tie(tmp_path: Path) -> None:
    """For jobs of exactly 20 s, a poll at 20 s is best on paper; the plan's waits a little longer."""
    example = scenario(tmp_path, "20s")
    policy = make_plan(example, jobs=1_000, effort=Effort(points=2**10, coarse=2**10)).recommendation.policy
    assert policy is not None
    found = simulate(_with(example, policy), jobs=100).run.jobs["detection_lag_s"].to_numpy()
    assert (found > 1e-3).all()


def _with(example: Scenario, policy: Any) -> Scenario:
    from dataclasses import replace

    return replace(example, settings={"it": policy}, baseline=None)


@pytest.mark.parametrize(
    ("resolution", "said"),
    [
        ("auto", "rounded to 1 s"),
        ("exact", None),
        ("2s", "rounded to 2 s"),
    ],
)
def test_what_was_found_is_said(tmp_path: Path, resolution: str, said: str | None) -> None:
    """`check` says the resolution in the line of the jobs and what is made of it in a line of its own."""
    example = scenario(tmp_path, f"{TRACE[:-1]}, resolution: {resolution}}}", to(1))
    lines = describe(example, visit_costs(example))
    assert ("rounded to" in lines[1]) == (said is not None)
    if said is not None:
        assert said in lines[1]
        assert any(line.startswith("  data: job.duration: ") and said in line for line in lines)


def test_a_trace_compares_by_value(tmp_path: Path) -> None:
    """Two readings of one file are equal, those of another resolution are not."""
    (tmp_path / "t.csv").write_text("s\n1\n2\n3\n4\n5\n")
    file = str(tmp_path / "t.csv")
    assert Trace(file=file, column="s") == Trace(file=file, column="s")
    assert Trace(file=file, column="s") != Trace(file=file, column="s", resolution="exact")


ARRIVALS = """\
name: example
job: {{duration: 2030ms}}
workload: {{lanes: 10, arrivals: {{type: trace, file: a.csv, column: ts}}, jobs: {jobs}}}
settings: {{every-1s: {{curve: constant, initial: 1s}}}}
"""


def arriving(folder: Path, cells: list[str]) -> Scenario:
    (folder / "a.csv").write_text("ts\n" + "\n".join(cells) + "\n")
    (folder / "a.yaml").write_text(ARRIVALS.format(jobs=len(cells)))
    return load_scenario(folder / "a.yaml")


def test_arrivals_count_from_the_first_and_that_is_said(tmp_path: Path) -> None:
    """Epoch seconds make a visit of seconds, not of 54 years."""
    example = arriving(tmp_path, ["1700000000.0", "1700000000.5", "1700000002"])
    assert [arrival.at for arrival in example.planned(0)] == [0.0, 0.5, 2.0]
    lines = "\n".join(describe(example, visit_costs(example)))
    assert "the first time is 1700000000 s (2023-11-14 22:13:20 UTC); arrivals are counted from it" in lines
    assert "about 5 s" in lines


def test_arrivals_in_whole_seconds_are_spread_over_them(tmp_path: Path) -> None:
    """No two come at one moment, each repeat spreads by draws of its own, and blocks give the same times."""
    example = arriving(tmp_path, [str(1700000000 + second) for second in range(8) for _ in range(50)])
    times = np.array([arrival.at for arrival in example.planned(0)])
    assert times[0] == 0.0
    assert (np.diff(times) > 0).all()
    assert stats.kstest(times, stats.uniform(0, 8).cdf).pvalue > 1e-3
    assert np.concatenate([block.times for block in example.planned_blocks(0, 64)]).tolist() == times.tolist()
    assert [arrival.at for arrival in example.planned(1)] != times.tolist()
