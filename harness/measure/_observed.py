"""What a run shows of a service from outside: how long jobs take, how fast and how well it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.measure._figures import detected
from harness.measure._folder import folder_of, load_polls, load_run
from harness.measure._intervals import Floats, Integers
from harness.measure._kept import RunUnusable
from harness.measure._lags import lags_of
from harness.measure._rows import TRANSPORT_ERROR, Run


@dataclass(frozen=True, eq=False)
class Observed:
    """What a run shows of the service that it polled; times are seconds.

    ``durations_s`` and ``latencies_s`` are quantiles at evenly spaced levels, ascending. ``estimated``:
    finishes were not named, and the durations are the estimate that the lags rest on. ``longer`` is the share
    of jobs that took longer than was watched; their durations are cut there. ``failures`` are the shares of
    status requests that failed, by response.
    """

    run: Run
    durations_s: Floats
    estimated: bool
    longer: float
    latencies_s: Floats
    error_rate: float
    failures: Mapping[str, float]


def observe(folder: str | Path, quantiles: int) -> Observed:
    """Return what the run in the folder shows; raises RunUnusable when it cannot be read or shows no end."""
    folder = folder_of(folder)
    run = load_run(folder)
    learnt = run.jobs.filter(detected(run.jobs))
    if learnt.is_empty():
        raise RunUnusable(f"{folder}: no job's end was learnt in it, so it does not show how long jobs take")
    at = (np.arange(quantiles) + 0.5) / quantiles
    lags = lags_of(run)
    if lags is not None:
        durations, longer = lags.law.ppf(at), float(1 - lags.law.cumulative[-1])
    else:
        took = (run.jobs["finished_at_s"] - run.jobs["sent_at_s"]).fill_null(run.jobs["duration_s"])
        known = took.drop_nulls().to_numpy()
        durations, longer = np.quantile(known, at), 1 - known.size / len(run.jobs)
    latencies, counts, responses, failed = _polls(folder, run)
    total = max(sum(responses.values()), 1)
    return Observed(
        run=run,
        durations_s=np.asarray(np.maximum(durations, 0.0)),
        estimated=lags is not None,
        longer=longer,
        latencies_s=_quantiles(latencies, counts, at),
        error_rate=float((learnt["outcome"] == "error").to_numpy().mean()),
        failures={name: count / total for name, count in sorted(failed.items())},
    )


def _quantiles(values: Floats, counts: Integers, at: Floats) -> Floats:
    """Return the quantiles of a sample in which each value stands so many times, as ``np.quantile`` has them.

    The sample itself is not laid out: a simulated run may have a thousand million polls.
    """
    if not counts.sum():
        return np.empty(0)
    order = np.argsort(values)
    ends = np.cumsum(counts[order])
    place = at * (ends[-1] - 1)
    low, high = (
        values[order][np.searchsorted(ends, each, "right")] for each in (np.floor(place), np.ceil(place))
    )
    return np.asarray(low + (high - low) * (place - np.floor(place)))


def _polls(folder: Path, run: Run) -> tuple[Floats, Integers, Counter[str], Counter[str]]:
    """Return the latencies of replies and how often each was seen, the polls by response, and the failed."""
    responses: Counter[str] = Counter()
    for each in run.polls:
        responses.update(each.responses)
    rows = load_polls(folder) if run.info.target == "own" else None
    if rows is not None:
        replied = rows.filter(rows["response"] != TRANSPORT_ERROR)["latency_s"].drop_nulls().to_numpy()
        failed = rows.filter(rows["state"] == "failed")["response"].value_counts()
        return replied, np.ones(replied.size, np.int64), responses, Counter(dict(failed.iter_rows()))
    latencies = np.concatenate([np.empty(0), *(each.latency_s for each in run.polls)])
    counts = np.concatenate([np.empty(0, np.int64), *(each.latency_count for each in run.polls)])
    failing = {name: count for name, count in responses.items() if not name.startswith("2") and count}
    return latencies, counts, responses, Counter(failing)
