"""The limit is a limit: a hunt for settings below it, over laws, services and ways to poll and to leave."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from client import Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from harness.measure import Limit, Limits
from harness.plan import Effort, limits, optimum
from harness.plan.limit import grid_of
from harness.virtual import simulate
from scenarios import Scenario, load_scenario
from scenarios.draws import Capped, Durations, quantiles

COARSE, FINE = Effort(points=2**11), Effort(points=2**13)
TEXT = """\
name: hunt
seed: {seed}
job: {{duration: {law}}}
service: {service}
workload: {{lanes: 1, arrivals: {{type: poisson, rate: 1}}, jobs: {jobs}}}
settings:
  constant: {{curve: constant, initial: 1s}}
"""
LAWS = {
    "exponential": "{type: exponential, mean: 4s}",
    "lognormal": "{type: lognormal, median: 4s, sigma: 0.6}",
    "heavy": "{type: lognormal, median: 1s, sigma: 2}",
    "uniform": "{type: uniform, lower: 1s, upper: 6s}",
    "fixed": "4s",
    "bimodal": "{type: mixture, of: [{weight: 9, type: lognormal, median: 2s, sigma: 0.2},"
    " {weight: 1, type: lognormal, median: 20s, sigma: 0.2}]}",
    "weibull": "{type: weibull, shape: 0.7, scale: 5s}",
}
SERVICES = {
    "plain": "{}",
    "delay": "{delay: 15ms}",
    "slow": "{delay: 900ms}",
    "faults": "{delay: 15ms, faults: [{status: 503, rate: 0.2, retry_after: 1s}]}",
    "resets": "{delay: 15ms, faults: [{fault: CONNECTION_RESET_BY_PEER, rate: 0.1}]}",
    "hints": "{delay: 15ms, retry_after: 2s, faults: [{status: 503, rate: 0.01}]}",
    "timeouts": "{delay: {type: lognormal, median: 100ms, sigma: 1.5}}",
}


def policies(law: Durations) -> dict[str, PollingPolicy]:
    """Settings in the scale of the law: every curve, jitter and anchor, and every way of leaving a job."""
    q50, q90, q993 = (float(quantiles(law, 1_000)[rank]) for rank in (500, 900, 993))
    constant = Backoff("constant", q50 / 4)
    doubling = Backoff("exponential", q50 / 8, multiplier=2.0, maximum=q50 * 4)
    # The best schedule there is for finding all but the longest, and no poll more.
    tailored = np.diff(optimum(grid_of(Capped(law, q993), points=2**10), q50 / 2).schedule_s, prepend=0.0)
    last = [each for each in tailored.tolist() if each > 0.0]
    return {
        "constant": PollingPolicy(constant),
        "constant, full": PollingPolicy(replace(constant, jitter="full")),
        "linear, equal": PollingPolicy(Backoff("linear", q50 / 8, increment=q50 / 8, jitter="equal")),
        "exponential": PollingPolicy(doubling),
        "decorrelated": PollingPolicy(replace(doubling, jitter="decorrelated")),
        "wait, then constant": PollingPolicy(Backoff("schedule", delays=[q50 * 0.8, q50 / 3])),
        "from the start": PollingPolicy(constant, anchor="start", first_poll="immediately"),
        "on the clock": PollingPolicy(constant, anchor="clock"),
        "deadline": PollingPolicy(doubling, deadline=q90),
        "one poll at the deadline": PollingPolicy(Backoff("schedule", delays=[q90]), deadline=q90),
        "deadline, deaf": PollingPolicy(constant, deadline=q993, hints=HintPolicy(honour=False)),
        "attempts": PollingPolicy(constant, max_attempts=math.ceil(q993 / (q50 / 4))),
        "attempts, tailored": PollingPolicy(Backoff("schedule", delays=last), max_attempts=len(last)),
        "error budget": PollingPolicy(
            constant, errors=ErrorPolicy(Backoff("constant", q50 / 4), max_consecutive=3)
        ),
    }


def scenario(folder: Path, law: str, service: str, jobs: int, seed: int = 5) -> Scenario:
    path = folder / "hunt.yaml"
    path.write_text(TEXT.format(seed=seed, law=LAWS[law], service=service, jobs=jobs))
    return load_scenario(path)


def held(example: Scenario, settings: dict[str, PollingPolicy], effort: Effort = FINE) -> dict[str, Limit]:
    example = replace(example, settings=settings, baseline=None)
    found: Limits = limits(example, simulate(example).run, effort)
    return dict(found.settings)


def below(limit: Limit) -> float:
    """By how many standard errors the ratio is below 1; negative where it is above."""
    assert limit.ratio is not None
    assert limit.ratio_ci95 is not None
    error = (limit.ratio_ci95[1] - limit.ratio_ci95[0]) / 2.0 / 1.96
    # Nobody measures a ratio to more than this, and where durations do not vary there is no error at all.
    return (1.0 - limit.ratio) / max(error, 1e-4)


def hunt(
    folder: Path, combinations: list[tuple[str, str]], jobs: int, effort: Effort
) -> dict[tuple[str, str, str], float]:
    seen = {}
    for law, service in combinations:
        example = scenario(folder, law, SERVICES[service], jobs)
        for name, limit in held(example, policies(example.simulation.job.duration), effort).items():
            seen[law, service, name] = below(limit)
    return seen


@pytest.mark.slow
def test_a_hunt_over_laws_services_and_settings_finds_nothing_below_the_limit(tmp_path: Path) -> None:
    """A tenth of the combinations: no ratio is below 1 by more than 3.5 of its own standard errors."""
    laws, services = list(LAWS), list(SERVICES)
    few = [(laws[k], services[(3 * k + 1) % len(services)]) for k in range(len(laws))]
    seen = hunt(tmp_path, few, 2_000, COARSE)
    assert len(seen) > 60
    assert {cell: z for cell, z in seen.items() if z > 3.5} == {}


@pytest.mark.slow
def test_the_whole_hunt_finds_nothing_below_the_limit(tmp_path: Path) -> None:
    """All of some 600 combinations with 30,000 jobs each, at the level that so many looks ask for."""
    seen = hunt(tmp_path, list(product(LAWS, SERVICES)), 30_000, FINE)
    assert len(seen) > 550
    assert {cell: z for cell, z in seen.items() if z > 4.0} == {}


@pytest.mark.parametrize("faults", ["faults: [{status: 503, rate: 0.2, retry_after: 1s}]", "faults: []"])
@pytest.mark.parametrize("deadline", [3.0, 5.0, 5.9])
def test_a_deadline_whose_last_poll_fails_is_no_way_below_the_limit(
    tmp_path: Path, deadline: float, faults: str
) -> None:
    """A job that had finished, and was lost because the poll at the edge failed, owes the time until then."""
    example = scenario(tmp_path, "uniform", f"{{delay: 15ms, {faults}}}", jobs=20_000)
    once = PollingPolicy(Backoff("schedule", delays=[deadline]), deadline=deadline)
    limit = held(example, {"once": once})["once"]
    assert limit.ratio == pytest.approx(1.0, abs=0.002)


def test_giving_up_on_the_longest_is_no_way_below_the_limit(tmp_path: Path) -> None:
    """A schedule made for all but the longest 0.95 % of a heavy tail, and given up after its last poll."""
    example = scenario(tmp_path, "heavy", "{}", jobs=20_000)
    law = example.simulation.job.duration
    cut = Capped(law, float(law.ppf(0.9905)))
    times = optimum(grid_of(cut), 5.0).schedule_s
    delays = np.diff(times, prepend=0.0).tolist()
    limit = held(example, {"it": PollingPolicy(Backoff("schedule", delays=delays), max_attempts=len(delays))})
    assert limit["it"].ratio == pytest.approx(1.0, abs=0.01)
    assert below(limit["it"]) < 3.5


def test_the_same_client_has_one_ratio_whatever_ends_it(tmp_path: Path) -> None:
    """Each second for 110 s: by 110 attempts or by a deadline of 110 s it is the same client."""
    example = scenario(tmp_path, "heavy", "{}", jobs=20_000)
    every = Backoff("constant", 1.0)
    settings = {
        "attempts": PollingPolicy(every, max_attempts=110),
        "deadline": PollingPolicy(every, deadline=110.0),
    }
    limit = held(example, settings)
    assert limit["attempts"].ratio == pytest.approx(limit["deadline"].ratio, rel=0.005)


def test_jobs_left_early_by_chance_do_not_void_the_limit(tmp_path: Path) -> None:
    """Four failed reads in a row end one job in a thousand soon: the bound of the others still counts."""
    example = scenario(tmp_path, "lognormal", "{faults: [{status: 503, rate: 0.1}]}", jobs=20_000)
    cadence = Backoff("constant", 1.0)
    settings = {
        "patient": PollingPolicy(cadence, errors=ErrorPolicy(cadence, max_consecutive=100)),
        "budget": PollingPolicy(cadence, errors=ErrorPolicy(cadence, max_consecutive=3)),
    }
    limit = held(example, settings)
    assert limit["budget"].ratio == pytest.approx(limit["patient"].ratio, rel=0.01)
