"""What a run shows of a service from outside: how long jobs take, how fast and how well it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.measure._figures import detected
from harness.measure._folder import RunUnusable, folder_of, load_run
from harness.measure._frames import read_frame, schema_of
from harness.measure._intervals import Floats
from harness.measure._lags import lags_of
from harness.measure._rows import TRANSPORT_ERROR, PollRow, Run


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
    latencies, responses, failed = _polls(folder, run)
    total = max(sum(responses.values()), 1)
    return Observed(
        run=run,
        durations_s=np.asarray(np.maximum(durations, 0.0)),
        estimated=lags is not None,
        longer=longer,
        latencies_s=np.quantile(latencies, at) if latencies.size else latencies,
        error_rate=float((learnt["outcome"] == "error").to_numpy().mean()),
        failures={name: count / total for name, count in sorted(failed.items())},
    )


def _polls(folder: Path, run: Run) -> tuple[Floats, Counter[str], Counter[str]]:
    """Return the latencies of replies, the polls by response, and those of them that failed."""
    responses: Counter[str] = Counter()
    for each in run.polls:
        responses.update(each.responses)
    if run.info.target == "own" and (folder / "polls.csv").exists():
        kinds = schema_of(PollRow)
        rows = read_frame(
            folder / "polls.csv", {name: kinds[name] for name in ("latency_s", "response", "state")}
        )
        replied = rows.filter(rows["response"] != TRANSPORT_ERROR)["latency_s"].drop_nulls().to_numpy()
        failed = rows.filter(rows["state"] == "failed")["response"].value_counts()
        return replied, responses, Counter(dict(failed.iter_rows()))
    latencies = np.concatenate([np.repeat(each.latency_s, each.latency_count) for each in run.polls])
    failing = {name: count for name, count in responses.items() if not name.startswith("2") and count}
    return latencies, responses, Counter(failing)
