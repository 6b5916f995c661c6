"""The event engine gives what shipped clients get from the shipped simulator, whatever they share.

The vector engine is no judge where jobs touch each other. Here the judge is ``simulated_live``: the
simulator's own waiting and the shipped poller in greenlets, under a clock that jumps.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated_live import live
from virtual_scenarios import scenario
from virtual_strategies import LAWS, STEPS, TOUCHING_ARRIVALS, out_of_step, policies, touching_services

from client import PollingPolicy
from harness.measure import OUTCOMES
from harness.virtual import Overhead
from harness.virtual._events import EventVisit


@settings(max_examples=100)
@given(
    policies().filter(out_of_step),
    LAWS,
    touching_services(),
    TOUCHING_ARRIVALS,
    st.integers(0, 2**64 - 1),
    STEPS,
)
def test_the_event_engine_does_what_simulator_and_clients_do(
    policy: PollingPolicy,
    law: Any,
    service: tuple[dict[str, Any], int | None],
    arrivals: Any,
    seed: int,
    steps: int,
) -> None:
    """Limits, slots, workers in line or shared, with jobs or without: the same outcomes, polls and times."""
    answers, slots = service
    made = scenario(
        policy,
        duration=law,
        error_rate=0.2,
        service=answers,
        slots=slots,
        arrivals=arrivals,
        jobs=15,
        seed=seed,
        steps=steps,
    )
    seen = live(made, "only")
    jobs = EventVisit(made, "only", 0, Overhead()).run().jobs
    assert [each.key for each in seen] == jobs.key.tolist()
    assert [each.outcome for each in seen] == [OUTCOMES[code] for code in jobs.outcome.tolist()]
    assert [(each.polls, each.wasted) for each in seen] == list(
        zip(jobs.polls.tolist(), jobs.wasted.tolist(), strict=True)
    )
    for column in ("submitted_at", "detected_at", "lag"):
        theirs = np.array([getattr(each, column) for each in seen])
        assert theirs == pytest.approx(getattr(jobs, column), abs=1e-6, nan_ok=True)
