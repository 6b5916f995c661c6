"""How often intervals hold and verdicts err, with the product's own code on visits of the twin.

    python -m benchmarks coverage
    python -m benchmarks.coverage --visits 960 --pairs 200 "slots 10, 90 %"

Truth is the mean over all visits of the pool: what a run of so many jobs from an empty service gives on
average. Each visit (or R of them) plays a run, and visits of another part of the pool its calibration. Of 480
runs chance moves a coverage of 95 % by 2 points to either side, and runs of 8 visits overlap.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from harness.measure import Calibration, Run, Twin, TwinRow
from harness.measure._basis import Basis, of_visits
from harness.measure._compare import compare_with_baseline
from harness.measure._compare_sides import Pair, Side
from harness.measure._expected import expected_polls
from harness.measure._figures import job_values
from harness.measure._intervals import Floats, Interval, estimate_mean
from harness.measure._metrics import job_order
from harness.measure._verdicts import Margins, judge
from harness.plan._effort import DEFAULT
from harness.virtual import Overhead, calibrate, simulate
from scenarios import Scenario, load_scenario

MEANS: Final = ("polls_per_job", "detection_lag_s", "completion_latency_s")
QUANTILES: Final = ("detection_lag_s.p95", "completion_latency_s.p50")
SETTINGS: Final = """\
settings:
  constant-1s: {curve: constant, initial: 1s}
  exponential: {curve: exponential, initial: 500ms, multiplier: 2, maximum: 5s, jitter: full}
baseline: constant-1s
"""
_MEAN_S: Final = 4.789  # of the lognormal durations below
_BLOCK: Final = 48
_HEALTHY_S: Final = {"request_s": 0.0016, "reply_s": 0.0021, "wake_s": 0.0007}  # medians of a live run
_SCATTER_S: Final = 0.002  # of submissions, which decide who comes first
_MACHINES_DIFFER: Final = 0.1  # the standard deviation of the logarithm of what runs' machines take


@dataclass(frozen=True)
class Row:
    """A scenario: its jobs, its service, its arrivals, and after how many visits to a run it is looked at."""

    job: str = "{duration: {type: lognormal, median: 4s, sigma: 0.6}}"
    service: str = "{}"
    arrivals: str = "{type: poisson, rate: 10}"
    jobs: int = 200
    lanes: int = 20
    repeats: tuple[int, ...] = (1,)

    def scenario(self, seed: int, settings: str = SETTINGS) -> Scenario:
        """Return the scenario as the product reads it."""
        text = (
            f"name: coverage\nseed: {seed}\njob: {self.job}\nservice: {self.service}\n"
            f"workload: {{lanes: {self.lanes}, arrivals: {self.arrivals}, jobs: {self.jobs}}}\n{settings}"
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "coverage.yaml"
            path.write_text(text, encoding="utf-8")
            return load_scenario(path)


def _slots(slots: int, load: float, jobs: int = 200, repeats: tuple[int, ...] = (1,)) -> Row:
    return Row(
        job=f"{{duration: {{type: lognormal, median: 4s, sigma: 0.6}}, slots: {slots}}}",
        arrivals=f"{{type: poisson, rate: {load * slots / _MEAN_S:.4f}}}",
        jobs=jobs,
        repeats=repeats,
    )


ROWS: Final[Mapping[str, Row]] = {
    "independent, 50 jobs": Row(jobs=50),
    "independent, 200 jobs": Row(),
    "independent, 1,000 jobs": Row(jobs=1000),
    "slots 10, 70 %": _slots(10, 0.7),
    "slots 10, 90 %": _slots(10, 0.9, repeats=(1, 4, 8)),
    "slots 10, 90 %, 1,000 jobs": _slots(10, 0.9, jobs=1000),
    "slots 1, 90 %": _slots(1, 0.9, repeats=(1, 8)),
    "capacity, 80 %": Row(
        service="{capacity: {workers: 1, service_time: 50ms}}", arrivals="{type: poisson, rate: 3}"
    ),
    "rate limit 40/s": Row(service="{rate_limit: {rate: 40, burst: 40}}", repeats=(1, 8)),
    "outage": Row(service="{outages: [{start: 5s, length: 8s, status: 503}]}"),
    "herd of 300": Row(arrivals="{type: burst, size: 300}", jobs=300),
    "bursts of 50": Row(arrivals="{type: burst, size: 50, every: 10s}"),
    "closed loop, 6 slots": Row(
        job="{duration: {type: lognormal, median: 4s, sigma: 0.6}, slots: 6}",
        arrivals="{type: closed, think: 1s}",
        lanes=10,
        repeats=(1, 8),
    ),
    "lognormal, sigma 2": Row(job="{duration: {type: lognormal, median: 1s, sigma: 2}}"),
}


def main(arguments: Sequence[str] = ()) -> None:
    """Print the tables: coverage, false verdicts between runs of other seeds, power."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage")
    parser.add_argument("--visits", type=int, default=10 * _BLOCK, help="in the pool of each row")
    parser.add_argument("--pairs", type=int, default=60, help="of runs that are compared")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}")
    asked = parser.parse_args(arguments)
    rows = {name: ROWS[name] for name in asked.rows or ROWS}
    with ProcessPoolExecutor(os.cpu_count(), get_context("forkserver")) as executor:
        print("coverage of nominal 95 % (width / true width) of polls / lag / latency; p95 lag / p50 latency")
        print("of constant-1s  |  of exponential  |  of their difference")
        for name, row in rows.items():
            print_coverage(name, row, asked.visits, executor)
        print(f"means of {DEFAULT.reported_visits} visits, as plan has them: polls / lag of each setting")
        for name, row in rows.items():
            print_planned(name, row, asked.visits, executor)
        print("expected polls of constant-1s, of exponential (times as sharp as the mean)")
        for name, row in rows.items():
            print_expected(name, row, asked.visits, asked.pairs, executor)
        print("runs of two seeds: share of pairs with any better or worse, and with any equivalent")
        for name, row in rows.items():
            false, equal = verdicts_of_equals(row, asked.pairs, executor)
            print(f"  {name:24s} {100 * false:5.1f} %  {100 * equal:5.1f} %", flush=True)
        print_power(asked.pairs, executor)


def pool_of(row: Row, visits: int, executor: Executor | None = None) -> list[Calibration]:
    """Return the figures of so many visits, block by block: each is what a run would be calibrated by."""
    return [
        calibrate(row.scenario(seed), 1, executor=executor)
        for seed in range(0, max(visits, 2 * _BLOCK), _BLOCK)
    ]


@dataclass(frozen=True)
class Coverage:
    """The share of runs whose interval holds the truth, and its mean width as a share of the true one's."""

    held: float
    width: float


def coverage(pool: Sequence[Calibration], figure: str, settings: Sequence[str], repeats: int) -> Coverage:
    """Return it for a figure of one setting, or of the difference of two, in runs of so many repeats."""
    blocks, every = [_values(each, figure, settings) for each in pool], _values_of(pool, figure, settings)
    truth, spread = float(every.mean()), float(every.std(ddof=1))
    held, widths = [], []
    for i in range(every.size):
        value = float(every[(i + np.arange(repeats)) % every.size].mean())
        # The block after next but one: no visit of a run is in its own calibration.
        block = blocks[(i // _BLOCK + 1 + -(-repeats // _BLOCK)) % len(blocks)]
        estimate = of_visits(value, block, repeats)
        interval = estimate.interval() if estimate else None
        if interval is not None:
            held.append(interval[0] <= truth <= interval[1])
            widths.append(interval[1] - interval[0])
    true = 2 * 1.96 * spread / np.sqrt(repeats)
    return Coverage(float(np.mean(held)), float(np.mean(widths)) / true if true else np.nan)


def _values_of(pool: Sequence[Calibration], figure: str, settings: Sequence[str]) -> Floats:
    return np.concatenate([_values(each, figure, settings) for each in pool])


def _values(calibration: Calibration, figure: str, settings: Sequence[str]) -> Floats:
    samples = [calibration.sample(name, figure) for name in settings]
    first = samples[0]
    assert first is not None
    if len(samples) == 1:
        return first
    assert samples[1] is not None
    return samples[1] - first


def print_coverage(name: str, row: Row, visits: int, executor: Executor) -> None:
    """Print a line for every number of repeats: each setting, then their difference."""
    pool = pool_of(row, visits, executor)
    names = list(pool[0].settings)
    for repeats in row.repeats:
        cells = []
        for settings in ([names[0]], [names[1]], names):
            found = [coverage(pool, figure, settings, repeats) for figure in (*MEANS, *QUANTILES)]
            held = "/".join(f"{100 * each.held:.0f}" for each in found[:3])
            more = "/".join(f"{100 * each.held:.0f}" for each in found[3:])
            width = "/".join(f"{each.width:.2f}" for each in found[:3])
            cells.append(f"{held} ({width}); {more}")
        print(f"  {name:24s} R={repeats}  {'  |  '.join(cells)}", flush=True)


def planned(values: Floats, visits: int, plans: int = 4_000) -> float:
    """Return the share of plans whose Student interval over so many visits holds the mean of the pool.

    A plan draws its visits from the pool, with replacement.
    """
    rng, known, held = np.random.default_rng(1), values[~np.isnan(values)], 0
    truth = float(known.mean())
    for _ in range(plans):
        estimate = estimate_mean(known[rng.integers(0, known.size, visits)])
        interval = estimate.interval() if estimate else None
        held += interval is not None and interval[0] <= truth <= interval[1]
    return held / plans


def print_planned(name: str, row: Row, visits: int, executor: Executor) -> None:
    """Print how often the intervals of plan hold: of polls and lag of each setting."""
    pool, n = pool_of(row, visits, executor), DEFAULT.reported_visits
    found = [
        [planned(_values_of(pool, figure, [each]), n) for figure in MEANS[:2]] for each in pool[0].settings
    ]
    print(f"  {name:24s} {'  '.join(f'{100 * a:.1f}/{100 * b:.1f}' for a, b in found)}", flush=True)


def machine_of(speed: float, number: int) -> Overhead:
    """Return a machine that takes so many times what a healthy one takes; each number scatters otherwise."""
    taken = {name: speed * seconds for name, seconds in _HEALTHY_S.items()}
    return Overhead(**taken, scatter_s=speed * _SCATTER_S, machine=number)


def expected_of(
    row: Row, pool: Sequence[Calibration], runs: int
) -> Mapping[str, Sequence[tuple[Interval, float]]]:
    """Return, by setting, of so many runs on machines of their own: the interval, and polls less the twin's.

    The interval is that of the expected polls, with the twin as control variate.
    """
    found: dict[str, list[tuple[Interval, float]]] = {}
    names = [name for name in TwinRow._fields if name != "twin"]
    rng = np.random.default_rng(0)
    for i in range(runs):
        scenario = row.scenario(2 * 10**6 + i)
        machine = machine_of(float(np.exp(_MACHINES_DIFFER * rng.standard_normal())), i + 1)
        jobs = job_order(simulate(scenario, overhead=machine).run.jobs)
        ideal = simulate(scenario, overhead=Overhead(scatter_s=machine.scatter_s)).run.jobs
        twin = Twin(ideal.select(pl.lit(0, dtype=pl.Int64).alias("twin"), *names))
        for setting, mine in jobs.items():
            estimate = expected_polls(setting, mine, twin, Basis("twin", "", pool[i % len(pool)]))
            interval = estimate.interval() if estimate else None
            if interval is not None:
                off = _mean_polls(mine) - _mean_polls(ideal.filter(pl.col("setting") == setting))
                found.setdefault(setting, []).append((interval, off))
    return found


def _mean_polls(jobs: pl.DataFrame) -> float:
    return float(job_values(jobs, "polls_per_job").mean())


def print_expected(name: str, row: Row, visits: int, runs: int, executor: Executor) -> None:
    """Print how often the twin as control variate holds what runs on such machines take on average."""
    pool = pool_of(row, visits, executor)
    cells = []
    for setting, told in expected_of(row, pool, runs).items():
        every = _values_of(pool, "polls_per_job", [setting])
        truth = float(every.mean()) + float(np.mean([off for _, off in told]))
        held = np.mean([low <= truth <= high for (low, high), _ in told])
        width = float(np.mean([high - low for (low, high), _ in told]))
        cells.append(f"{100 * held:.0f} ({2 * 1.96 * float(every.std(ddof=1)) / width:.1f})")
    print(f"  {name:24s} {'  '.join(cells) or 'run and twin have not the same jobs'}", flush=True)


def verdicts_of_equals(row: Row, pairs: int, executor: Executor | None = None) -> tuple[float, float]:
    """Return in which shares of pairs of runs of two seeds anything is better or worse, or equivalent."""
    false = equal = 0
    for first, second in _pairs(row, pairs, executor):
        differences = []
        for name in first.jobs:
            sides = (Side(name, each.jobs[name], each.basis, None) for each in (second, first))
            differences += Pair(name, *sides, residuals={}, shared=False).differences(())
        verdicts = {each.verdict for each in judge(differences, Margins(0.02, {}))}
        false += bool(verdicts & {"better", "worse"})
        equal += "equivalent" in verdicts
    return false / pairs, equal / pairs


@dataclass(frozen=True)
class _Measured:
    run: Run
    basis: Basis

    @property
    def jobs(self) -> Mapping[str, object]:
        return job_order(self.run.jobs)


def _pairs(row: Row, pairs: int, executor: Executor | None) -> Iterator[tuple[_Measured, _Measured]]:
    calibrations = pool_of(row, 4 * _BLOCK, executor)
    for i in range(pairs):
        measured = []
        for k in (0, 1):
            run = simulate(row.scenario(10**6 + 2 * i + k)).run
            calibration = calibrations[(i + k) % len(calibrations)]
            measured.append(_Measured(run, Basis("twin", "", calibration, run.info.waiting is None)))
        yield measured[0], measured[1]


def print_power(runs: int, executor: Executor) -> None:
    """Print how often a setting whose interval is a little longer is told from its baseline."""
    print("constant 1 s against 1 s * (1 + x), independent jobs: worse / better / equivalent in % of runs")
    for jobs in (120, 500, 2000):
        for longer in (0.0, 0.01, 0.05, 0.10, 0.20):
            row = Row(jobs=jobs)
            settings = (
                "settings:\n  a: {curve: constant, initial: 1s}\n"
                f"  b: {{curve: constant, initial: {1000 * (1 + longer):.0f}ms}}\nbaseline: a\n"
            )
            calibration = calibrate(row.scenario(1, settings), 1, executor=executor)
            seen: dict[str, list[str]] = {"detection_lag_s": [], "polls_per_job": []}
            for i in range(runs):
                run = simulate(replace(row.scenario(0, settings), seed=10**6 + i)).run
                basis = Basis("twin", "", calibration)
                for each in compare_with_baseline(job_order(run.jobs), "a", basis, Margins(0.02, {})):
                    if each.metric in seen:
                        seen[each.metric].append(each.verdict)
            words = {
                metric: "/".join(
                    f"{100 * found.count(verdict) / runs:.0f}"
                    for verdict in ("worse", "better", "equivalent")
                )
                for metric, found in seen.items()
            }
            lag, polls = words["detection_lag_s"], words["polls_per_job"]
            print(f"  {jobs:5d} jobs, x = {longer:.2f}: lag {lag}, polls {polls}", flush=True)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
