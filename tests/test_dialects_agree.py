"""The two halves of every dialect understand each other: the client's tables read what the simulator's say.

They were written apart, from the services' documentation; here they meet. The client is the one that ships,
over requests, its session calling the application in this process; one virtual clock serves both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sdk_parts import Clock, in_process

from client import DIALECTS, NATIVE, Backoff, Dialect, PollingPolicy, StatusReadFailed
from client.blocking import VideoTranslationClient
from harness.virtual import simulate
from scenarios import Scenario, Simulation, client_dialect, load_scenario
from server import _dialects
from server.app import create_app

OWN: Mapping[str, Any] = {
    "nested": {
        "submit": {
            "path": "/v1/tasks",
            "accepted": [201],
            "id": "data.tasks[0].id",
            "location": {"body": "data.links.poll"},
        },
        "status": {
            "path": "/v1/tasks/{id}",
            "state": 'data."the state"',
            "pending": ["IN_QUEUE", "RUNNING"],
            "completed": ["DONE"],
            "error": ["BROKEN"],
            "hints": [{"body": "data.poll_after_ms", "unit": "ms"}],
            "progress": "data.progress",
            "finished_at": "data.ended",
            "finished_ago": None,
        },
    },
    "by code": {  # as FHIR's bulk data: 202 without a word while it runs
        "submit": {"method": "PUT", "path": "/render?v=2", "location": {"header": "Content-Location"}},
        "status": {
            "method": "POST",
            "path": "/render/status?v=2&job={id}",
            "pending": [],
            "not_ready": [202],
            "hints": [{"header": "X-Minutes", "unit": "m"}],
        },
    },
    "silent": {  # 204 while it runs; what the scenario's faults answer has meanings of its own
        "submit": {"path": "/a/b", "key": "seed", "accepted": [200, 202]},
        "status": {
            "path": "/a/{+id}/state",
            "pending": [],
            "not_ready": [204, 409],
            "retryable": [410],
            "hints": [{"body": "wait"}],
        },
    },
}
EVERY = {**dict.fromkeys(DIALECTS), **OWN}
FAST = PollingPolicy(Backoff("constant", 1.0), deadline=60.0)

each = pytest.mark.parametrize("name", EVERY)


def spoken(name: str) -> Any:
    """What a scenario's `service.dialect` says for it."""
    return OWN.get(name, name)


class Pair:
    """A simulator that speaks, and the client that reads."""

    def __init__(self, name: str, *, job: Any = None, truth: bool = True, **service: Any) -> None:
        self.clock = Clock()
        jobs = {"duration": 4.0, **(job or {})}
        data = {"seed": 3, "job": jobs, "service": {"dialect": spoken(name), **service}}
        self.simulation = Simulation.model_validate(data)
        self.app = create_app(self.simulation, clock=self.clock, sleep=self.clock.sleep)
        dialect = client_dialect(self.simulation.service.dialect)
        self.client = VideoTranslationClient(
            "http://127.0.0.1",
            FAST,
            dialect=dialect.with_truth() if truth else dialect,
            session=in_process(self.app),
            clock=self.clock,
            sleep=self.clock.sleep,
        )


def test_both_tables_have_the_same_names() -> None:
    """What a scenario may name can be spoken and read."""
    assert list(DIALECTS) == list(_dialects.DIALECTS)


@each
@pytest.mark.parametrize(("error_rate", "end"), [(0, "completed"), (1, "error")])
@pytest.mark.parametrize("truth", [True, False])
def test_a_job_from_its_submission_to_its_end(name: str, error_rate: float, end: str, truth: bool) -> None:
    """Pending while it runs, then its end; with the simulator's truth also how long ago that was."""
    pair = Pair(name, job={"error_rate": error_rate}, truth=truth)
    job = pair.client.submit(17 if truth else None)
    assert job.ended is None
    pair.clock.now = 1003.9
    assert pair.client.status(job).status == "pending"
    pair.clock.now = 1004.75
    status = pair.client.status(job)
    assert status.status == end
    if truth:
        assert status.finished_ago == pytest.approx(0.75, abs=1e-6)


@each
def test_a_whole_wait(name: str) -> None:
    """Poll by poll until the end, as `wait_for_completion` does it."""
    pair = Pair(name)
    result = pair.client.wait_for_completion(pair.client.submit(17))
    assert (result.attempts, result.wasted, result.failures, result.finished_ago) == (4, 3, 0, 0.0)


@each
def test_a_job_in_the_queue_is_pending(name: str) -> None:
    """The word for a job that has not begun is read as pending, like that for one that has."""
    pair = Pair(name, job={"slots": 1})
    pair.client.submit(1)
    waiting = pair.client.submit(2)
    pair.clock.now += 3
    assert pair.client.status(waiting).status == "pending"
    pair.clock.now += 2
    assert pair.client.status(waiting).status == "pending"


@each
@pytest.mark.parametrize(("retry_after", "seconds"), [(2, 2.0), ("eta", 3.0), ("none", None)])
def test_a_hint_is_heard(name: str, retry_after: object, seconds: float | None) -> None:
    """Wherever and in whichever unit a dialect puts it, a pending reply's hint is the scenario's."""
    pair = Pair(name, retry_after=retry_after)
    job = pair.client.submit(17)
    pair.clock.now += 1
    assert pair.client.status(job).retry_after == pytest.approx(seconds) if seconds else True
    pair.clock.now += 9
    assert pair.client.status(job).retry_after is None


@each
def test_a_hint_on_the_submission_is_heard(name: str) -> None:
    """The reply that accepts a job has the same place for it, and keeps the first poll back."""
    pair = Pair(name, retry_after_submit=3)
    job = pair.client.submit(17)
    assert job.retry_after == pytest.approx(3)
    assert pair.client.poll(job).attempts == 2


@each
def test_a_job_that_cannot_be_seen_yet_is_found_later(name: str) -> None:
    """404 soon after the submission is forgiven, whatever it looks like."""
    pair = Pair(name, visible_after=1.5)
    result = pair.client.wait_for_completion(pair.client.submit(17), uniform=lambda _n: 0.9)
    assert (result.outcome, result.failures) == ("completed", 1)


@each
@pytest.mark.parametrize(("status", "retry_after"), [(503, None), (503, 2.0), (429, 2.0), (400, None)])
def test_a_failed_read_is_no_word_about_the_job(name: str, status: int, retry_after: float | None) -> None:
    """A simulated fault is a failed read with its code and its hint; the body's shape makes it no state."""
    pair = Pair(name, faults=[{"status": status, "rate": 1, "retry_after": retry_after}])
    with pytest.raises(StatusReadFailed) as failed:
        pair.client.status(pair.client.submit(17))
    assert failed.value.failure.status_code == status
    assert failed.value.retry_after == retry_after


@each
def test_a_reset_connection_is_a_failed_read(name: str) -> None:
    """Faults without a reply reach every client."""
    pair = Pair(name, faults=[{"fault": "CONNECTION_RESET_BY_PEER", "rate": 1}])
    with pytest.raises(StatusReadFailed, match="transport"):
        pair.client.status(pair.client.submit(17))


@each
def test_an_unknown_job_is_not_found(name: str) -> None:
    """404 with a reason, not a job in some state."""
    pair = Pair(name)
    with pytest.raises(StatusReadFailed) as failed:
        pair.client.status("operations/nope" if name == "google-lro" else "nope")
    assert failed.value.failure.status_code == 404


@each
def test_the_key_decides_the_job(name: str) -> None:
    """The same key has the same duration under every dialect; without one the simulator counts."""
    pair = Pair(name, job={"duration": {"type": "uniform", "lower": 1, "upper": 9}})
    truth = pair.simulation.duration(17)
    job = pair.client.submit(17)
    pair.clock.now = 1000.0 + truth - 0.01
    assert pair.client.status(job).status == "pending"
    pair.clock.now = 1000.0 + truth + 0.01
    assert pair.client.status(job).status == "completed"


@pytest.mark.parametrize("name", OWN)
def test_a_key_may_come_in_the_body_where_the_dialect_says_so(name: str) -> None:
    """`submit.key` names the member; a client that knows no header of ours is understood."""
    pair = Pair(name, truth=False, job={"duration": {"type": "uniform", "lower": 1, "upper": 9}})
    job = pair.client.submit(17)
    key = 17 if name == "silent" else 1
    pair.clock.now = 1000.0 + pair.simulation.duration(key) - 0.001
    assert pair.client.status(job).status == "pending"
    pair.clock.now += 0.002
    assert pair.client.status(job).status == "completed"


@pytest.mark.parametrize("name", ["native", "take-home", *OWN])
def test_the_implicit_job_can_be_read_where_there_is_a_way(name: str) -> None:
    """`python -m client` without a submission polls the job that started with the server."""
    pair = Pair(name)
    assert pair.client.status().status == "pending"
    pair.clock.now += 5
    assert pair.client.status().status == "completed"


# --- the same jobs under every dialect, and in the twin ----------------------------------------------------

SCENARIO = """\
name: agree
seed: 11
job: {{duration: {{type: uniform, lower: 500ms, upper: 20s}}, error_rate: 0.2, slots: 1}}
service:
  dialect: {dialect}
  delay: {{type: uniform, lower: 5ms, upper: 90ms}}
  faults:
    - {{status: 503, rate: 0.1, retry_after: 1s}}
    - {{status: 409, rate: 0.1}}
    - {{status: 410, rate: 0.01}}
    - {{fault: CONNECTION_RESET_BY_PEER, rate: 0.05}}
    - {{fault: MALFORMED_JSON, rate: 0.03}}
    - {{fault: TRUNCATED_JSON, rate: 0.03}}
    - {{fault: WRONG_CONTENT_TYPE, rate: 0.05}}
    - {{fault: STALE_READ, age: 2s, rate: 0.05}}
  outages: [{{start: 60s, length: 4s, status: 429, retry_after: 3s}}]
  retry_after: eta
workload: {{lanes: 1, arrivals: {{type: closed, think: 500ms}}, jobs: 40}}
settings:
  jittered: {{curve: exponential, initial: 700ms, maximum: 3s, jitter: equal, deadline: 15s}}
"""


def scenario(folder: Path, name: str) -> Scenario:
    file = folder / "agree.yaml"
    file.write_text(SCENARIO.format(dialect=spoken(name)))  # a dict's repr is YAML, as these are
    return load_scenario(file)


def lived(scenario: Scenario) -> list[tuple[int, str, int, int, float | None]]:
    """Run the scenario's jobs one after the other, as its only lane would, by the client that ships."""
    clock = Clock()
    clock.now = 0.0
    app = create_app(scenario.simulation, clock=clock, sleep=clock.sleep)
    client = VideoTranslationClient(
        "http://127.0.0.1",
        scenario.settings["jittered"],
        dialect=scenario.dialect,
        session=in_process(app),
        clock=clock,
        sleep=clock.sleep,
    )
    jobs = []
    for iteration in range(40):
        key = scenario.closed_key(0, 0, iteration)
        result = client.poll(client.submit(key), uniform=jitter(scenario, key))
        lag = result.finished_ago if result.outcome in ("completed", "error") else None
        jobs.append((key, result.outcome, result.attempts, result.wasted, lag))
        clock.sleep(scenario.think_time(key))
    return jobs


def jitter(scenario: Scenario, key: int) -> Callable[[int], float]:
    return lambda n: scenario.jitter(key, n)


@each
def test_a_run_and_its_twin_agree_job_by_job_under_every_dialect(tmp_path: Path, name: str) -> None:
    """Outcomes, polls and lags are those of the twin, which knows nothing of words, from the same draws."""
    here = scenario(tmp_path, name)
    twin = simulate(here).run.jobs.sort("key")
    jobs = lived(here)
    columns = ["key", "outcome", "polls", "wasted_polls"]
    assert [job[:4] for job in jobs] == twin.select(columns).rows()
    for (*_, lag), expected in zip(jobs, twin["detection_lag_s"], strict=True):
        assert lag == (None if expected is None else pytest.approx(expected, abs=2e-6))
    outcomes = {job[1] for job in jobs}
    assert {"completed", "error", "timeout"} <= outcomes


def test_the_dialect_changes_nothing_but_the_words(tmp_path: Path) -> None:
    """Where no code has a meaning of its own, the jobs are those of the native run to the last poll."""
    native = lived(scenario(tmp_path, "native"))
    for name in (*DIALECTS, "nested", "by code"):
        assert lived(scenario(tmp_path, name)) == native, name


def test_the_lanes_read_what_the_service_speaks(tmp_path: Path) -> None:
    """A scenario's dialect is the reading half of its service's, with the simulator's truth."""
    assert scenario(tmp_path, "native").dialect == NATIVE
    azure = scenario(tmp_path, "azure").dialect
    assert azure == DIALECTS["azure"].with_truth() != DIALECTS["azure"]
    assert isinstance(azure, Dialect)


@each
def test_what_is_refused_has_the_dialects_shape(name: str) -> None:
    """An unknown path, too, is told in the form of the API; the simulator's own paths keep theirs."""
    pair = Pair(name)
    service = pair.app.test_client()
    here, ours = service.get("/no/such/path"), service.get("/admin/counters")
    assert (here.status_code, ours.status_code) == (404, 401)
    assert ours.content_type == "application/problem+json"
    document = here.get_json(force=True)
    if name in ("heygen-v2", "azure", "google-lro", "openai-video"):
        assert here.content_type == "application/json"
        assert document["error"]["message"]
    else:
        assert here.content_type == "application/problem+json"
        assert document["status"] == 404
