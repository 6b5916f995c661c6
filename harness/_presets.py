"""The page of presets: what each client's cadence costs, and how late it hears, by the twin.

``presets_page`` gives ``docs/presets.md``; ``make presets`` writes it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from client import ORIGINS, PRESETS, PollingPolicy
from harness.virtual import simulate
from scenarios import Job, Scenario, Service, Workload

_LENGTHS_S: Final = (5.0, 60.0, 600.0)
_JOBS: Final = 10_000
_SPREAD: Final = 0.1  # job lengths are uniform within 10 % to either side
_SEED: Final = 1

_HEAD: Final = f"""\
# Presets

What well-known clients ship, step for step, by the names that `preset:` of a scenario, `--preset` of
`python -m client` and `client.PRESETS` take. `make presets` writes this page.

**Polls** and **lag** (seconds from a job's end until the client knows; means) are those of the cadence alone:
no deadline, no limit of polls, a server that answers at once. {_JOBS:,} jobs of 5, 60 and 600 s (uniform
within 10 % to either side), from the twin. **Period** is the mean time between polls during a job of 600 s:
what is configured is a ceiling, or grows.
"""

_FOOT: Final = """\
## What they do and presets do not

- At a deadline theirs stop without looking again (most when the next sleep would pass it); ours polls once
  more when it falls due.
- Where theirs put a hint in place of their own wait (azure-core, ARM, openai), ours only lengthens that wait:
  never shorter. Theirs poll at once even where the submission's reply hints; ours waits as long as it says.
- What to do about failed reads is not part of a preset: it stays at the client's defaults.
- openai's `poll` takes `openai-poll-after-ms` from the first reply and keeps it; ours reads it anew. openai
  gives up where Retry-After is more than 120 s; ours waits that long at most.
- Clients in Go cut each delay to whole nanoseconds.

## Proof

`tests/test_presets.py` drives google-api-core, azure-core, tenacity, backoff and stamina themselves, with
sleep and random numbers replaced, and compares 200 delays at several seeds and at both ends of the random
numbers. botocore's waiters run with their own files, openai's client over a transport that is replaced,
replicate's with reads that are. ansible-core, resilience4j, Polly and ARM wait constant times, and are held
to their published numbers; clients in Go and the texts of Smithy and AWS to their formulas, written a second
time.
"""

_RETRIES: Final = 'retries of failed requests: a reply that says "pending" is none'
_LEFT_OUT: Final = (
    ("botocore legacy, standard, adaptive; aws-sdk-go-v2", f"{_RETRIES}; token buckets besides"),
    ("openai-retry, Stripe, azure-core's RetryPolicy, gRPC A6", _RETRIES),
    ("k8s-default-retry", "retries of conflicts, five within 50 ms: no cadence"),
    ("urllib3, tenacity's bare `@retry`, failsafe", "the first or every wait is 0: a loop without sleep"),
    (
        "polling2",
        "has no default: step and limit must be given; its steps are `constant` and `exponential`",
    ),
    ("Temporal", "the server decides about jitter, and its source was not read"),
    (
        "Polly's DecorrelatedJitterV2",
        "x = 2^t tanh(√(4t)) at t = i + u, and each delay is x minus the x before it: the state is the sum "
        "of all delays so far, before the cap. A row of `JITTERS` sees the one delay before; the time since "
        "the start is another sum (requests, hints and cuts by the cap are in it)",
    ),
)


@dataclass(frozen=True, slots=True)
class PresetFigures:
    """Means of one cadence over many jobs: polls a job, lag in seconds, seconds between polls."""

    polls: float
    lag_s: float
    period_s: float


def preset_figures(length_s: float, names: Collection[str] = PRESETS) -> dict[str, PresetFigures]:
    """Return what each preset's cadence does to jobs of about this many seconds; without its limits."""
    policies = {
        name: PollingPolicy(preset.cadence, first_poll=preset.first_poll)
        for name, preset in PRESETS.items()
        if name in names
    }
    jobs = simulate(_scenario(policies, length_s)).run.jobs
    found = {}
    for name, policy in policies.items():
        own = jobs.filter(jobs["setting"] == name)
        polls = own["polls"].to_numpy()
        waited = (own["detected_at_s"] - own["submitted_at_s"]).to_numpy()
        waits = polls.sum() - own.height * (policy.first_poll == "immediately")
        found[name] = PresetFigures(
            float(polls.mean()),
            float(own["detection_lag_s"].to_numpy().mean()),
            float(waited.sum() / waits),
        )
    return found


def presets_used(scenario: Scenario) -> list[str]:
    """Return the presets that the scenario's settings start from, each once, in their order."""
    written = yaml.safe_load(scenario.text)["settings"].values()
    return list(dict.fromkeys(each["preset"] for each in written if each.get("preset") is not None))


def preset_lines(names: Collection[str]) -> Iterator[str]:
    """Yield a line of English for each of these presets, as it ships: what ``check`` says of it."""
    figures = [preset_figures(length, names) for length in _LENGTHS_S] if names else []
    for name in names:
        lengths = "; ".join(
            f"{length:g} s: {each[name].polls:.1f} polls, mean lag {_short(each[name].lag_s)} s"
            for length, each in zip(_LENGTHS_S, figures, strict=True)
        )
        period = _short(figures[-1][name].period_s)
        yield f"preset {name}, as it ships: polls every {period} s on average; jobs of {lengths}"


def render_presets() -> str:
    """Return the figures of all presets as a table of text."""
    from harness.measure import Page, grid

    figures = [preset_figures(length) for length in _LENGTHS_S]
    table = grid("Polls per job and mean lag, by the cadence alone", gap=1)
    for heading in ("preset", "period", *(f"jobs of {length:g} s" for length in _LENGTHS_S)):
        table.add_column(heading, justify="left" if heading == "preset" else "right", no_wrap=True)
    for name in sorted(PRESETS):
        cells = (f"{each[name].polls:.1f}, {_short(each[name].lag_s)} s" for each in figures)
        table.add_row(name, f"{_short(figures[-1][name].period_s)} s", *cells)
    page = Page()
    page.print(table)
    return page.text()


def presets_page() -> str:
    """Return ``docs/presets.md``."""
    return "\n".join([_HEAD, *_table(), "", _FOOT, *_left_out(), "", *_sources(), ""])


def _table() -> Iterator[str]:
    figures = [preset_figures(length) for length in _LENGTHS_S]
    lengths = " | ".join(f"{length:g} s: polls, lag" for length in _LENGTHS_S)
    yield f"| preset | schedule | period | {lengths} |"
    yield "|---|---|--:|" + "--:|" * len(_LENGTHS_S)
    for name, policy in sorted(PRESETS.items()):
        cells = [f"{each[name].polls:.1f}, {_short(each[name].lag_s)} s" for each in figures]
        period = f"{_short(figures[-1][name].period_s)} s"
        yield " | ".join([f"| `{name}`", policy.describe(), period, *cells]) + " |"


def _left_out() -> Iterator[str]:
    yield from ("## Left out", "", "| client | why |", "|---|---|")
    for client, why in _LEFT_OUT:
        yield f"| {client} | {why} |"


def _sources() -> Iterator[str]:
    yield from ("## Sources", "", "| preset | source | note |", "|---|---|---|")
    for name, origin in sorted(ORIGINS.items()):
        yield f"| `{name}` | {origin.source} | {origin.note} |".replace("  |", " |")


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:.0f}"


def _scenario(policies: dict[str, PollingPolicy], length_s: float) -> Scenario:
    duration = {"type": "uniform", "lower": length_s * (1 - _SPREAD), "upper": length_s * (1 + _SPREAD)}
    return Scenario(
        name="presets",
        question="What do clients ship?",
        seed=_SEED,
        job=Job.model_validate({"duration": duration}),
        service=Service.model_validate({}),
        workload=Workload.model_validate(
            {"lanes": 1, "arrivals": {"type": "burst", "size": _JOBS}, "jobs": _JOBS}
        ),
        settings=policies,
        objectives={},
        baseline=None,
        path=Path("presets.yaml"),
        text="",
    )
