"""Scenario files: the design's sketch loads as it stands, and every fault is found at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from client import PRESETS, Backoff, ErrorPolicy, HintPolicy, PollingPolicy
from scenarios import Fault, Outage, Scenario, Simulation, load_scenario
from scenarios.documents import DocumentError
from scenarios.draws import Lognormal

SKETCH = """\
name: video-translation
question: Which setting finds a 4-second job soonest for fewest polls?
seed: 42
job:                              # what the server does with a job
  duration: {type: lognormal, median: 4s, sigma: 0.6}   # the types are listed below
  error_rate: 0.03
  slots: null                     # jobs processed at once, others queue FIFO; null: no limit
service:                          # how it answers requests
  delay: {type: lognormal, median: 15ms, sigma: 0.4}
  faults: [{status: 503, rate: 0.01, retry_after: 2s}, {fault: CONNECTION_RESET_BY_PEER, rate: 0.002}]
  rate_limit: {rate: 200, burst: 50}
  capacity: {workers: 8, service_time: 2ms, discipline: fifo}
  outages: [{start: 20s, length: 5s, status: 503}]
  retry_after: none               # none | fixed seconds | eta
workload:
  lanes: 20
  arrivals: {type: poisson, rate: 10}    # total per second; also constant, burst, closed(think), trace(file)
  duration: 15s                   # submissions stop here (or at `jobs`); the run then drains every job
  jobs: null                      # or stop after N jobs
  repeats: 1                      # settings are visited in counterbalanced order
settings:
  constant-1s: {curve: constant, initial: 1s}
  exponential: {curve: exponential, initial: 500ms, multiplier: 2, maximum: 10s, jitter: full, deadline: 60s}
  google: {preset: google-api-core-lro}
objectives: {lag_p95: 2s}         # what "good enough" means; drives the recommendation
baseline: constant-1s
"""
LEAST = """\
name: least
job: {duration: 1s}
workload: {lanes: 1, arrivals: {type: constant, rate: 1}, jobs: 1}
settings:
  only: SETTING
"""

Load = Callable[[str], Scenario]
Refuse = Callable[[str], list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a scenario from its text."""

    def from_text(text: str) -> Scenario:
        file = tmp_path / "x.yaml"
        file.write_text(text)
        return load_scenario(file)

    return from_text


@pytest.fixture
def refused(load: Load, tmp_path: Path) -> Refuse:
    """Give the faults of a scenario's text, each as "line: path: message"."""

    def faults(text: str) -> list[str]:
        with pytest.raises(DocumentError) as caught:
            load(text)
        return [line.removeprefix(f"{tmp_path / 'x.yaml'}:") for line in str(caught.value).split("\n")]

    return faults


def test_the_designs_sketch_loads_as_it_stands(load: Load, tmp_path: Path) -> None:
    """Every key of the contract means what the contract says."""
    scenario = load(SKETCH)
    assert (scenario.name, scenario.seed, scenario.baseline) == ("video-translation", 42, "constant-1s")
    assert scenario.question == "Which setting finds a 4-second job soonest for fewest polls?"
    assert scenario.job.duration == Lognormal(median=4, sigma=0.6)
    assert (scenario.job.error_rate, scenario.job.slots) == (0.03, None)
    assert scenario.service.faults == (
        Fault(status=503, rate=0.01, retry_after=2.0),
        Fault(fault="CONNECTION_RESET_BY_PEER", rate=0.002),
    )
    assert scenario.service.outages == (Outage(start=20.0, length=5.0, status=503),)
    assert scenario.service.retry_after == "none"
    assert (scenario.workload.lanes, scenario.workload.duration, scenario.workload.jobs) == (20, 15.0, None)
    assert dict(scenario.objectives) == {"lag_p95": 2.0}
    assert scenario.settings == {
        "constant-1s": PollingPolicy(Backoff("constant", 1.0)),
        "exponential": PollingPolicy(
            Backoff("exponential", 0.5, multiplier=2, maximum=10, jitter="full"), deadline=60
        ),
        "google": PRESETS["google-api-core-lro"],
    }
    assert list(scenario.settings) == ["constant-1s", "exponential", "google"]
    assert scenario.simulation == Simulation(seed=42, job=scenario.job, service=scenario.service)
    assert scenario.path == tmp_path / "x.yaml"
    assert (scenario.text, scenario.sha256) == (SKETCH, hashlib.sha256(SKETCH.encode()).hexdigest())


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        (
            "{curve: schedule, delays: [1s, 2s, 4s], maximum: 3s}",
            PollingPolicy(Backoff("schedule", delays=(1, 2, 4), maximum=3)),
        ),
        (
            "{curve: linear, initial: 1, increment: 250ms}",
            PollingPolicy(Backoff("linear", 1, increment=0.25)),
        ),
        (
            "{curve: fibonacci, initial: 1s, first_poll: immediately, max_attempts: 5, request_timeout: 3s}",
            PollingPolicy(
                Backoff("fibonacci", 1), first_poll="immediately", max_attempts=5, request_timeout=3
            ),
        ),
        (
            "{curve: constant, initial: 1s, on_error: {max_consecutive: 0}, hints: {honour: false}}",
            PollingPolicy(
                Backoff("constant", 1), errors=ErrorPolicy(max_consecutive=0), hints=HintPolicy(honour=False)
            ),
        ),
        (
            "{curve: constant, initial: 1s, on_error: {initial: 2s}}",
            PollingPolicy(
                Backoff("constant", 1),
                errors=ErrorPolicy(Backoff("exponential", 2, maximum=20, jitter="full")),
            ),
        ),
        (
            "{curve: constant, initial: 1s, on_error: {curve: constant, initial: 2s, not_found_grace: 0}}",
            PollingPolicy(
                Backoff("constant", 1), errors=ErrorPolicy(Backoff("constant", 2), not_found_grace=0)
            ),
        ),
        (
            "{preset: google-api-core-lro, initial: 2s, deadline: null, hints: {maximum: 5s, spread: 0}}",
            PollingPolicy(
                Backoff("exponential", 2, multiplier=1.5, maximum=20, jitter="full"),
                first_poll="immediately",
                hints=HintPolicy(maximum=5, spread=0),
            ),
        ),
    ],
)
def test_a_setting_means_a_policy_of_the_client(load: Load, written: str, policy: PollingPolicy) -> None:
    """What is written is changed, what is not keeps the client's (or the preset's) default; null counts."""
    assert load(LEAST.replace("SETTING", written)).settings["only"] == policy


def test_the_defaults_that_the_schema_shows_are_the_clients(load: Load) -> None:
    """Writing out every default of a setting changes nothing."""
    written_out = (
        "{curve: exponential, initial: 1s, multiplier: 2, maximum: null, jitter: none, "
        "first_poll: after_delay, "
        "deadline: null, max_attempts: null, request_timeout: 10, last_poll_timeout: 1, "
        "on_error: {max_consecutive: 10, not_found_grace: 5}, hints: {honour: true, "
        "maximum: 60, spread: 0.1}}"
    )
    assert (
        load(LEAST.replace("SETTING", written_out)).settings
        == load(LEAST.replace("SETTING", "{curve: exponential, initial: 1s}")).settings
    )


@pytest.mark.parametrize(
    ("old", "new", "faults"),
    [
        (
            "multiplier",
            "multipler",
            ["23: settings.exponential.multipler: unknown key; did you mean 'multiplier'?"],
        ),
        (
            "jitter: full",
            "jitter: decorelated",
            ["23: settings.exponential.jitter: 'decorelated' is unknown; did you mean 'decorrelated'?"],
        ),
        (
            "maximum: 10s",
            "maximum: 100ms",
            ["23: settings.exponential.maximum: 0.1 cannot be used: give at least initial=0.5"],
        ),
        (
            "multiplier: 2,",
            "multiplier: 0.5,",
            ["23: settings.exponential.multiplier: must be at least 1, not 0.5"],
        ),
        (
            "constant, initial: 1s",
            "constant",
            ["22: settings.constant-1s: the curve needs its first delay, such as initial: 1s"],
        ),
        (
            "constant, initial: 1s",
            "constant, initial: 1s, multiplier: 2",
            [
                "22: settings.constant-1s.multiplier: has no effect on this curve, only "
                "on exponential; remove it"
            ],
        ),
        (
            "constant, initial: 1s",
            "constant, initial: 1s, jitter: decorrelated",
            [
                "22: settings.constant-1s.jitter: 'decorrelated' cannot be used: it grows by itself from the "
                "previous delay, so the constant curve would be ignored; give "
                "curve='exponential' or another jitter"
            ],
        ),
        (
            "curve: constant, initial: 1s",
            "curve: schedule",
            ["22: settings.constant-1s: the schedule needs its delays: [1s, 2s, 4s]"],
        ),
        (
            "curve: constant, initial: 1s",
            "curve: schedule, delays: [1s, -2s]",
            ["22: settings.constant-1s.delays[1]: '-2s' is not a duration; a duration must not be negative"],
        ),
        (
            "curve: constant, initial: 1s",
            "first_poll: immediately",
            ["22: settings.constant-1s: needs a curve, such as curve: exponential, or a preset"],
        ),
        (
            "{curve: constant, initial: 1s}",
            "null",
            ["22: settings.constant-1s: must be a mapping of 'key: value' lines, not null (nothing)"],
        ),
        (
            "google-api-core-lro",
            "google-api-core-lr",
            [
                "24: settings.google.preset: 'google-api-core-lr' is no preset; did you "
                "mean 'google-api-core-lro'?"
            ],
        ),
        (
            "google-api-core-lro",
            "aws",
            [f"24: settings.google.preset: 'aws' is no preset; there are {', '.join(sorted(PRESETS))}"],
        ),
        (
            "google-api-core-lro",
            "google-api-core-lro, curve: constant, initial: 1s",
            ["24: settings.google.curve: a preset has a curve of its own; keep either preset or curve"],
        ),
        (
            "google-api-core-lro",
            "google-api-core-lro, on_error: {max_consecutive: -1, initial: 30s}, hints: "
            "{honour: 1, spread: 2}",
            [
                "24: settings.google.hints.honour: must be true or false, not 1",
                "24: settings.google.hints.spread: must be at most 1, not 2",
                "24: settings.google.on_error.max_consecutive: must be at least 0, not -1",
            ],
        ),
        (
            "google-api-core-lro",
            "google-api-core-lro, maximum: 500ms, on_error: {initial: 30s}",
            [
                "24: settings.google.maximum: 0.5 cannot be used: give at least initial=1.0",
                "24: settings.google.on_error: 20.0 cannot be used: give at least initial=30.0",
            ],
        ),
        (
            "google:",
            "goo/gle:",
            [
                "24: settings.goo/gle: 'goo/gle' cannot be a name: use a letter, then "
                "letters, digits, '.', '_' "
                "or '-', 64 at most"
            ],
        ),
        (
            "google:",
            "exponential:",
            ["24: settings.exponential: duplicate key, first given on line 23; keep one"],
        ),
        (
            "baseline: constant-1s",
            "baseline: constant",
            ["26: baseline: 'constant' is not among the settings; did you mean 'constant-1s'?"],
        ),
        (
            "baseline: constant-1s",
            "baseline: xyz",
            [
                "26: baseline: 'xyz' is not among the settings; the settings are "
                "constant-1s, exponential, google"
            ],
        ),
        ("lag_p95", "lag_p96", ["25: objectives.lag_p96: unknown key; did you mean 'lag_p99'?"]),
        ("lag_p95: 2s", "polls_per_job: 2s", ["25: objectives.polls_per_job: must be a number, not '2s'"]),
        ("0.03", "3%", ["6: job.error_rate: must be a number, not '3%'; write 0.03"]),
        ("lag_p95: 2s", "lag_p95: 0", ["25: objectives.lag_p95: must be more than 0, not 0"]),
        (
            "name: video-translation",
            "name: ../x",
            [
                "1: name: '../x' cannot be a name: use a letter, then letters, digits, '.', '_' or '-', "
                "64 at most"
            ],
        ),
        ("name: video-translation", "name: 7", ["1: name: must be text, not 7; put it in quotes"]),
        ("name: video-translation\n", "", ["1: name: this key is required and missing"]),
        (
            "  duration: 15s ",
            "  # ",
            [
                "15: workload: needs an end: give duration (seconds of submissions) or "
                "jobs (how many), or both"
            ],
        ),
        ("  lanes: 20", "  # ", ["15: workload.lanes: this key is required and missing"]),
        ("lanes: 20", "lanes: 0", ["16: workload.lanes: must be at least 1, not 0"]),
        (
            "type: poisson, rate: 10",
            "rate: 10",
            ["17: workload.arrivals: needs a type: one of constant, poisson, burst, closed, trace"],
        ),
        (
            "type: poisson, rate: 10",
            "type: poison, rate: 10",
            ["17: workload.arrivals.type: 'poison' is unknown; did you mean 'poisson'?"],
        ),
        (
            "{type: poisson, rate: 10}",
            "10",
            ["17: workload.arrivals: must be a mapping of 'key: value' lines, not 10"],
        ),
        (
            "type: poisson, rate: 10",
            "type: closed, think: [1]",
            [
                "17: workload.arrivals.think: must be a duration, not a list; write a number of seconds, or "
                "250ms, 5s, 2m"
            ],
        ),
        (
            "type: poisson, rate: 10",
            "type: trace, file: no.csv, column: at",
            ["17: workload.arrivals.file: cannot read no.csv: No such file or directory"],
        ),
        ("jobs: null", "jobs: 1.5", ["19: workload.jobs: must be a whole number, not 1.5"]),
        (
            "jobs: null",
            "jobs: 1000000001",
            [
                "19: workload.jobs: must be at most 1,000,000,000, for nothing here goes beyond a thousand "
                "millions; not 1000000001"
            ],
        ),
    ],
)
def test_each_fault_has_its_line_its_path_and_its_remedy(
    refused: Refuse, old: str, new: str, faults: list[str]
) -> None:
    """One thing made wrong gives exactly the faults to expect, and no other."""
    assert old in SKETCH
    assert refused(SKETCH.replace(old, new, 1)) == faults


def test_a_burst_has_no_more_jobs_than_its_size(refused: Refuse) -> None:
    """Asking for more jobs than the arrivals can give is a fault, not a short run."""
    text = SKETCH.replace("type: poisson, rate: 10", "type: burst, size: 10").replace(
        "jobs: null", "jobs: 11"
    )
    assert refused(text) == ["19: workload.jobs: the arrivals give 10 jobs at most, not 11"]


def test_no_settings_are_a_fault(refused: Refuse) -> None:
    """An experiment without settings compares nothing; without the other sections it is not one."""
    assert refused("name: a\nsettings: {}\n") == [
        "1: job: this key is required and missing",
        "1: workload: this key is required and missing",
        "2: settings: needs at least one setting, such as constant-1s: {curve: constant, initial: 1s}",
    ]


def test_faults_all_over_the_file_come_at_once(refused: Refuse) -> None:
    """One run of `check` shows everything that is wrong, in the order of the lines."""
    text = (
        SKETCH.replace("seed: 42", "sead: 42")
        .replace("median: 4s", "median: 4 sec")
        .replace("status: 503, rate: 0.01", "status: 503, rate: 1.01")
        .replace("lanes: 20", "lanes: many")
        .replace("multiplier", "multipler")
        .replace("baseline: constant-1s", "baseline: constant-2s")
    )
    assert [fault.split(": ")[:2] for fault in refused(text)] == [
        ["3", "sead"],
        ["5", "job.duration.median"],
        ["10", "service.faults[0].rate"],
        ["16", "workload.lanes"],
        ["23", "settings.exponential.multipler"],
        ["26", "baseline"],
    ]


def test_a_scenario_cannot_be_changed(load: Load) -> None:
    """Validated once, frozen inside."""
    scenario = load(SKETCH)
    with pytest.raises(AttributeError):
        scenario.seed = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        scenario.settings["x"] = scenario.settings["google"]  # type: ignore[index]
