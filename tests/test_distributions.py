"""Distributions: scipy.stats is the judge of every law, and one draw gives one value, bit for bit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from scenarios import Job, Simulation
from scenarios.draws import Distribution, Fixed, Lognormal, Mixture, Trace, uniform

LAW: TypeAdapter[Any] = TypeAdapter(Distribution)
U = st.integers(0, 2**53 - 1).map(lambda i: i * 2.0**-53)
GRID = np.linspace(0.0, 1.0, 2001)[:-1]

JUDGED = {
    "uniform": ({"type": "uniform", "lower": "500ms", "upper": 2}, stats.uniform(0.5, 1.5)),
    "exponential": ({"type": "exponential", "mean": 3}, stats.expon(scale=3)),
    "normal": ({"type": "normal", "mean": 2, "sd": 1.5}, stats.truncnorm(-2 / 1.5, np.inf, 2, 1.5)),
    "normal far from 0": ({"type": "normal", "mean": 60, "sd": 1}, stats.truncnorm(-60, np.inf, 60, 1)),
    "normal at 0": ({"type": "normal", "mean": 0, "sd": 1}, stats.halfnorm()),
    "gamma": ({"type": "gamma", "shape": 2.5, "scale": 1.2}, stats.gamma(2.5, scale=1.2)),
    "weibull": ({"type": "weibull", "shape": 0.7, "scale": 4}, stats.weibull_min(0.7, scale=4)),
    "lognormal sigma": ({"type": "lognormal", "median": "4s", "sigma": 0.6}, stats.lognorm(0.6, scale=4)),
    "lognormal p99": (
        {"type": "lognormal", "median": 1, "p99": 30},
        stats.lognorm(math.log(30) / stats.norm.ppf(0.99)),
    ),
}
MIXTURE = {
    "type": "mixture",
    "of": [
        {"weight": 3, "type": "exponential", "mean": 1},
        {"weight": 1, "type": "lognormal", "median": 8, "sigma": 0.2},
        {"weight": 1, "type": "fixed", "value": 0.5},
    ],
}
ALL = {name: law for name, (law, _) in JUDGED.items()} | {
    "fixed": {"type": "fixed", "value": 4},
    "mixture": MIXTURE,
}


@pytest.mark.parametrize(("law", "judge"), JUDGED.values(), ids=JUDGED)
def test_a_law_is_what_its_name_says(law: dict[str, Any], judge: Any) -> None:
    """Quantiles, shares and mean are those of the textbook law."""
    ours = LAW.validate_python(law)
    np.testing.assert_allclose(ours.ppf(GRID), judge.ppf(GRID), rtol=1e-9, atol=1e-12)
    times = np.concatenate([[-1.0, 0.0], judge.ppf([0.001, 0.3, 0.9, 0.9999]), [1e9]])
    np.testing.assert_allclose(ours.cdf(times), judge.cdf(times), rtol=1e-9, atol=1e-12)
    assert ours.mean() == pytest.approx(judge.mean(), rel=1e-9)


@pytest.mark.parametrize("law", [law for law, _ in JUDGED.values()], ids=JUDGED)
def test_cdf_undoes_ppf(law: dict[str, Any]) -> None:
    """The share of durations up to the u-quantile is u."""
    ours = LAW.validate_python(law)
    np.testing.assert_allclose(ours.cdf(ours.ppf(GRID)), GRID, atol=1e-9)


@pytest.mark.parametrize("law", ALL.values(), ids=ALL)
@given(us=st.lists(U, min_size=1, max_size=20))
def test_one_value_and_an_array_agree_to_the_last_bit(law: dict[str, Any], us: list[float]) -> None:
    """A live run draws one by one, its twin in bulk; both see the same jobs. No duration is negative."""
    ours = LAW.validate_python(law)
    singles = [ours.ppf(u) for u in us]
    assert all(type(single) is float and single >= 0 for single in singles)
    assert ours.ppf(np.array(us)).tolist() == singles
    assert ours.ppf(np.array([us, us]).T[::-1, 0]).tolist() == singles[::-1]  # strided, not contiguous


@pytest.mark.parametrize(
    "law", [law for name, law in ALL.items() if name != "mixture"], ids=sorted(ALL.keys() - {"mixture"})
)
@given(u=U, v=U)
def test_durations_grow_with_the_draw(law: dict[str, Any], u: float, v: float) -> None:
    """A larger draw never gives a shorter duration, and the largest draw still gives a finite one."""
    ours = LAW.validate_python(law)
    assert ours.ppf(min(u, v)) <= ours.ppf(max(u, v)) <= ours.ppf(1 - 2.0**-53) < math.inf


def test_shapes_are_kept() -> None:
    """Ppf and cdf answer in the shape of the question."""
    ours = LAW.validate_python(MIXTURE)
    table = GRID.reshape(50, 40)
    assert ours.ppf(table).shape == ours.cdf(table).shape == (50, 40)
    assert ours.ppf(np.array([])).shape == (0,)


def test_a_mixture_draws_each_component_by_its_weight() -> None:
    """A draw in a component's share is stretched to the component's own draw; an edge belongs to the next."""
    mixture = Mixture.model_validate(
        {
            "type": "mixture",
            "of": [
                {"weight": 1, "type": "uniform", "lower": 10, "upper": 20},
                {"weight": 3, "type": "fixed", "value": 1},
            ],
        }
    )
    assert mixture.ppf(0.0) == 10
    assert mixture.ppf(0.125) == 15
    assert mixture.ppf(0.25) == mixture.ppf(0.999) == 1
    assert mixture.mean() == pytest.approx(0.25 * 15 + 0.75)
    assert mixture.cdf(np.array([0.5, 1, 15, 20])).tolist() == [0, 0.75, 0.875, 1]


def test_the_draws_of_a_mixture_follow_its_cdf() -> None:
    """Equidistant draws reproduce the true distribution of the mixture within their own resolution."""
    mixture = LAW.validate_python(MIXTURE)
    drawn = np.sort(mixture.ppf((np.arange(5000) + 0.5) / 5000))
    times = np.array([0.2, 0.49, 0.5, 1.0, 3.0, 7.0, 8.0, 12.0])
    np.testing.assert_allclose(
        np.searchsorted(drawn, times, side="right") / 5000, mixture.cdf(times), atol=1e-3
    )


def test_a_trace_draws_its_rows_evenly(tmp_path: Path) -> None:
    """Each row of a trace has an equal share of the draws, in order of size."""
    file = tmp_path / "measured.csv"
    file.write_text("video,seconds\na,3\n\nb,250ms\nc, 1e0\nd,1m\n")
    trace = Trace(file=str(file), column="seconds")
    assert [trace.ppf(u) for u in (0.0, 0.2499, 0.25, 0.5, 0.75, 1 - 2.0**-53)] == [0.25, 0.25, 1, 3, 60, 60]
    assert trace.ppf(np.array([0.0, 0.5])).tolist() == [0.25, 3]
    assert trace.cdf(np.array([0.2, 0.25, 59, 60])).tolist() == [0, 0.25, 0.75, 1]
    assert trace.mean() == 16.0625
    assert trace.describe() == "4 measured values, column 'seconds' of measured.csv"
    assert trace == Trace(file=str(file), column="seconds")


@pytest.mark.parametrize("law", [*ALL.values(), "250ms"])
def test_a_simulation_survives_json(law: Any) -> None:
    """What is sent to another process is the same simulation there, defaults and all."""
    simulation = Simulation.model_validate({"seed": 2**64 - 1, "job": {"duration": law}})
    assert Simulation.model_validate_json(simulation.model_dump_json()) == simulation


def test_a_jobs_duration_is_keyed() -> None:
    """Job 17 takes as long under every setting: its duration is a function of the seed and its key alone."""
    simulation = Simulation(seed=3, job=Job(duration=Lognormal(median=4, sigma=0.6)))
    assert simulation.duration(17) == simulation.job.duration.ppf(uniform(3, "duration", 17))


@pytest.mark.parametrize(
    ("law", "words"),
    [
        (4, "fixed, 4 s"),
        ({"type": "uniform", "lower": 0, "upper": "2m"}, "uniform, 0 s to 2 min"),
        ({"type": "lognormal", "median": "15ms", "sigma": 0.4}, "lognormal, median 15 ms, sigma 0.4"),
        ({"type": "lognormal", "median": 4, "p99": "2h"}, "lognormal, median 4 s, p99 2 h"),
        (
            {"type": "mixture", "of": [{"weight": 2, "type": "fixed", "value": 1}]},
            "mixture of 1 x (fixed, 1 s)",
        ),
    ],
)
def test_a_law_describes_itself(law: Any, words: str) -> None:
    """Descriptions are short English with units."""
    assert LAW.validate_python(law).describe() == words


@pytest.mark.parametrize(
    "law",
    [
        {"type": "weibull", "shape": 1e-4, "scale": 1},
        {"type": "lognormal", "median": 1, "sigma": 100},
        {"type": "weibull", "shape": 1e-3, "scale": 1},
    ],
)
def test_a_tail_beyond_all_numbers_is_refused(law: dict[str, Any]) -> None:
    """No draw may give an infinite duration: such a job would never end."""
    with pytest.raises(ValidationError, match="lighter tail"):
        LAW.validate_python(law)


def test_laws_are_values() -> None:
    """Equal parameters make equal laws, whatever was computed meanwhile; laws cannot be changed."""
    one, other = Lognormal(median=4, p99=20), Lognormal(median=4, p99=20)
    one.ppf(0.5)
    assert one == other
    assert one != Lognormal(median=4, p99=21)
    with pytest.raises(ValidationError):
        one.median = 5.0
    assert Job(duration=one).duration == Job.model_validate({"duration": other.model_dump()}).duration
    assert Job.model_validate({"duration": "4s"}).duration == Fixed(value=4)
