"""How far polls keep in step: closed forms of the Rayleigh periodogram, and random phases."""

from __future__ import annotations

import math

import numpy as np
import pytest
from measure_records import job, run_of

from harness.measure import PhaseCounter, phases_of
from harness.measure._phases import InStep, in_step
from harness.measure._pictures import styles_of
from harness.measure._shares import herd

JOBS, PERIOD_S, ROUNDS = 400, 2.0, 32


def step_of(starts_s: np.ndarray, period_s: float = PERIOD_S) -> InStep:
    """How far jobs are in step that were accepted at these moments and poll every ``period_s`` seconds."""
    sent = (starts_s + period_s * np.arange(1, ROUNDS + 1)[:, None]).ravel()
    polls = np.full(starts_s.size, ROUNDS)
    found = in_step(phases_of(sent), period_s, polls, math.ceil(sent.max()))
    assert found is not None
    return found


@pytest.mark.parametrize("period_s", [0.5, 2.0, 1 / 3, 60.0])
def test_polls_at_one_moment_of_each_interval_are_wholly_in_step(period_s: float) -> None:
    """R is 1 at the interval, to the width of a place and of a trial period."""
    found = step_of(np.zeros(JOBS), period_s)
    assert found.concentration == pytest.approx(1, abs=0.02)
    assert found.period_s == pytest.approx(period_s, rel=1 / ROUNDS)


def test_evenly_spread_polls_are_out_of_step() -> None:
    """An even load over a span T has R = |sin(pi T/P) / (n sin(pi T/nP))|, P / (pi T) at most, about."""
    step_s, n = 1 / 128, 64 * 128
    for phase in phases_of(np.arange(n) * step_s):
        turns = math.pi * step_s / phase.period_s
        kernel = abs(math.sin(n * turns) / (n * math.sin(turns)))
        assert phase.concentration == pytest.approx(kernel, abs=1e-9)
        assert phase.concentration <= 1.05 * phase.period_s / (math.pi * n * step_s)


def test_two_herds_half_an_interval_apart_cancel_and_show_at_half_of_it() -> None:
    """R is 0 at the interval and 1 at half of it, which is when the service is asked."""
    found = step_of(np.repeat([0.0, PERIOD_S / 2], JOBS // 2))
    assert found.period_s == pytest.approx(PERIOD_S / 2, rel=0.03)
    assert found.concentration == pytest.approx(1, abs=0.03)


def test_random_phases_are_told_from_a_herd() -> None:
    """At one period n random clients have sqrt(pi/4n) on average; the level of chance holds in 19 of 20."""
    random = np.random.default_rng(7)
    exceeded, at_the_period = 0, []
    for _ in range(60):
        starts = random.uniform(0, PERIOD_S, JOBS)
        found = step_of(starts)
        exceeded += found.concentration > found.by_chance
        at_the_period.append(abs(np.exp(2j * np.pi * starts / PERIOD_S).mean()))
    assert exceeded <= 7  # of 60 with a probability of 5 %: more in 2 of 100
    mean = math.sqrt(math.pi / 4 / JOBS)
    assert np.mean(at_the_period) == pytest.approx(mean, rel=0.25)  # its deviation is half of it, over 60
    assert step_of(np.zeros(JOBS)).by_chance < 0.2


def test_a_long_visit_is_counted_in_wider_places() -> None:
    """Memory stays bounded, nothing is lost, and the same period stands out; parts add up to the whole."""
    beats = np.arange(1, 3000) * 60.0  # 50 hours
    counter, at_once = PhaseCounter(), PhaseCounter()
    bins = (beats * 128).astype(np.int64)
    for part in np.array_split(bins, 7):
        counter.add(part, np.full(part.size, 300))
    at_once.add(bins, 300)
    assert counter.phases() == at_once.phases()
    near = max(counter.phases(), key=lambda each: each.concentration * (55 < each.period_s < 65))
    assert near.concentration == pytest.approx(1, abs=0.03)
    assert near.period_s == pytest.approx(60, rel=1e-3)


def test_a_visit_of_few_intervals_says_nothing() -> None:
    """Nor does one without polls: there is no figure then."""
    assert phases_of(np.zeros(0)) == phases_of(np.zeros(JOBS)) == ()
    assert in_step(phases_of(np.array([0.0, 3.0])), 2.0, np.ones(2), 4) is None


def test_the_report_tells_who_keeps_in_step() -> None:
    """A herd's row has R, chance and the interval; clients that start evenly are below chance, without."""
    rows = [
        job(setting, key, planned=start, polls=ROUNDS, duration=ROUNDS / 2 - 0.5)
        for setting, starts in (("herd", np.zeros(JOBS)), ("even", np.arange(JOBS) / JOBS))
        for key, start in enumerate(starts.tolist())
    ]
    picture = herd(run_of(rows), styles_of(["herd", "even"]))
    assert picture is not None
    (_, *herds), (_, *evens) = picture.rows
    assert float(herds[4]) > 0.98
    assert float(herds[4]) > float(herds[5])
    assert herds[6] == "500 ms"
    assert float(evens[4]) < float(evens[5]) < 0.3
    assert evens[6] == "–"
