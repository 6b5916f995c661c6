"""The shipped scenario on metastability teaches its lesson, and not by the luck of its seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from harness.virtual import simulate
from scenarios import Scenario, load_scenario

SHIPPED = load_scenario(Path(__file__).resolve().parent.parent / "scenarios" / "metastable.yaml")
LAST_S = 12.0
"""The outage has been over for a second."""


def detected(scenario: Scenario) -> dict[str, tuple[float, float]]:
    """For each setting: the share of its jobs that were detected, and the share of those sent since 12 s."""
    jobs = simulate(scenario).run.jobs.with_columns(found=pl.col("detected_at_s").is_not_null())
    late = jobs.filter(pl.col("sent_at_s") >= LAST_S)
    return {
        name: tuple(
            float(each.filter(pl.col("setting") == name)["found"].mean())  # type: ignore[arg-type, misc]
            for each in (jobs, late)
        )
        for name in scenario.settings
    }


@pytest.mark.parametrize("seed", [SHIPPED.seed, 1, 2])
def test_eager_clients_keep_the_service_down_and_backoff_lets_it_recover(seed: int) -> None:
    """Of the jobs submitted after the outage eager clients find hardly any, jitter or not; backoff all."""
    found = detected(replace(SHIPPED, seed=seed))
    for name in ("eager", "eager-jitter"):
        assert found[name][0] < 0.4
        assert found[name][1] < 0.2
    assert found["backoff"] == (1.0, 1.0)


@pytest.mark.parametrize("seed", [SHIPPED.seed, 1, 2])
def test_without_an_outage_the_same_load_is_served(seed: int) -> None:
    """That is what makes it metastable: the load is fit for the service until something knocks it over."""
    service = SHIPPED.service.model_copy(update={"outages": ()})
    found = detected(replace(SHIPPED, seed=seed, service=service))
    assert set(found.values()) == {(1.0, 1.0)}
