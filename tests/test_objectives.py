"""The table of objectives, and that results have a figure for each."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from measure_records import job, results_of, run_of

from scenarios import OBJECTIVES


@pytest.mark.parametrize(
    ("name", "figure", "statistic", "p", "words", "bound"),
    [
        ("lag_mean", "lag", "mean", None, "mean lag", "500 ms"),
        ("lag_p95", "lag", "p95", 0.95, "p95 lag", "500 ms"),
        ("latency_max", "latency", "max", 1.0, "max latency", "500 ms"),
        ("polls_per_job", "polls_per_job", "mean", None, "polls per job", "0.5"),
        ("requests_per_second_peak", "requests_per_second_peak", "peak", None, "peak polls/s", "0.5"),
    ],
)
def test_an_objective_says_what_it_bounds(
    name: str, figure: str, statistic: str, p: float | None, words: str, bound: str
) -> None:
    """An objective knows its figure, its statistic, the level of its quantile and its spelling."""
    each = OBJECTIVES[name]
    assert (each.figure, each.statistic, each.p) == (figure, statistic, p)
    assert (each.words(), each.format(0.5)) == (words, bound)


def test_the_table_is_complete_and_fixed() -> None:
    """Lag and latency are bounded by six statistics each, the loads by one; nothing can be changed."""
    times = {f"{f}_{s}" for f in ("lag", "latency") for s in ("mean", "p50", "p90", "p95", "p99", "max")}
    assert set(OBJECTIVES) == times | {"polls_per_job", "requests_per_second_peak"}
    assert all(name == each.name for name, each in OBJECTIVES.items())
    with pytest.raises(FrozenInstanceError):
        OBJECTIVES["lag_p95"].name = "other"  # type: ignore[misc]


def test_each_objective_leads_to_a_figure_of_the_results() -> None:
    """What an objective calls its result is a number in every setting's part of the results."""
    settings = results_of(run_of([job(key=key) for key in range(1000)]))["settings"]
    for objective in OBJECTIVES.values():
        part, key = objective.result
        assert settings["a"][part][key] > 0
