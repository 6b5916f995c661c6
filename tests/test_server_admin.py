"""Calls under /admin/: who may make them, and what they do."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families
from werkzeug.test import TestResponse

from scenarios import Simulation
from server.app import create_app

TOKEN = {"Authorization": "Bearer right"}
CALLS = [
    ("POST", "/admin/reset"),
    ("PUT", "/admin/scenario"),
    ("GET", "/admin/counters"),
    ("GET", "/admin/jobs/x"),
]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def service(clock: Clock) -> FlaskClient:
    return client(clock)


def client(clock: Clock, **service: Any) -> FlaskClient:
    simulation = Simulation.model_validate({"job": {"duration": 4.0}, "service": service})
    app = create_app(simulation, clock=clock, sleep=clock.sleep, admin_token="right")
    app.testing = True
    return app.test_client()


def assert_problem(reply: TestResponse, status: int) -> dict[str, Any]:
    assert reply.status_code == status
    assert reply.content_type == "application/problem+json"
    document: dict[str, Any] = reply.get_json()
    assert document["status"] == status
    return document


# --- who ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer right2",
        "Basic right",
        "right",
        "Bearer r\xefght",
    ],
)
def test_admin_calls_need_the_token(
    service: FlaskClient, method: str, path: str, authorization: str | None
) -> None:
    """Without the exact token every admin call is a 401 that asks for one."""
    headers = {} if authorization is None else {"Authorization": authorization}
    reply = service.open(path, method=method, headers=headers)
    assert_problem(reply, 401)
    assert reply.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize("peer", ["192.0.2.1", "10.0.0.1", "::2", "::ffff:192.0.2.1", "", "localhost", "1"])
def test_admin_calls_come_from_this_machine(service: FlaskClient, method: str, path: str, peer: str) -> None:
    """From another address even the right token is a 403, whatever a forwarding header claims."""
    headers = {**TOKEN, "X-Forwarded-For": "127.0.0.1", "Forwarded": "for=127.0.0.1"}
    reply = service.open(path, method=method, headers=headers, environ_overrides={"REMOTE_ADDR": peer})
    assert_problem(reply, 403)


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_every_spelling_of_this_machine_will_do(service: FlaskClient, peer: str) -> None:
    """IPv4, IPv6 and IPv4 within IPv6 loopback addresses are all this machine."""
    reply = service.get("/admin/counters", headers=TOKEN, environ_overrides={"REMOTE_ADDR": peer})
    assert reply.status_code == 200


@pytest.mark.parametrize("method_and_path", CALLS)
@pytest.mark.parametrize("host", ["evil.example:5000", "127.0.0.1.evil.example", "[::1", "10.0.0.1"])
def test_admin_calls_are_for_an_address_of_this_machine(
    service: FlaskClient, method_and_path: tuple[str, str], host: str
) -> None:
    """A name that a page lets point here (DNS rebinding) is a 403, whatever the token."""
    method, path = method_and_path
    reply = service.open(path, method=method, headers={**TOKEN, "Host": host})
    assert reply.status_code in (400, 403)


@pytest.mark.parametrize("host", ["localhost", "localhost:5000", "127.0.0.1:5000", "[::1]:5000", "0.0.0.0:1"])
def test_every_name_of_this_machine_will_do(service: FlaskClient, host: str) -> None:
    """With or without a port, by name and by number."""
    assert service.get("/admin/counters", headers={**TOKEN, "Host": host}).status_code == 200


@pytest.mark.parametrize(("method", "path"), [*CALLS[:2], ("POST", "/jobs")])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "",
        "http://localhost:1",
        "https://evil.example:5000",
        "http://[",
        "file://",
    ],
)
def test_pages_of_other_origins_change_nothing(
    service: FlaskClient, method: str, path: str, origin: str
) -> None:
    """A request that says it comes from another page is a 403 before anything is done."""
    reply = service.open(path, method=method, headers={**TOKEN, "Origin": origin})
    assert_problem(reply, 403)
    assert service.get("/admin/counters", headers=TOKEN).get_json()["submissions"] == 0


def test_a_page_that_was_rebound_changes_nothing_and_an_own_page_may(service: FlaskClient) -> None:
    """The same origin alone does not do: it must be this machine by a name that cannot mean another."""
    for host, status in (("evil.example:5000", 403), ("localhost:5000", 202)):
        headers = {"Origin": f"http://{host}", "Host": host}
        assert service.post("/jobs", headers=headers).status_code == status


def test_the_token_comes_from_the_argument_the_environment_or_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The argument wins over the environment; without both each application has a random one of its own."""
    monkeypatch.setenv("BACKOFF_ADMIN_TOKEN", "from the environment")
    assert create_app(admin_token="given").config["ADMIN_TOKEN"] == "given"
    assert create_app().config["ADMIN_TOKEN"] == "from the environment"
    monkeypatch.delenv("BACKOFF_ADMIN_TOKEN")
    tokens = {create_app().config["ADMIN_TOKEN"] for _ in range(3)}
    assert len(tokens) == 3
    assert min(map(len, tokens)) >= 32


# --- counters, reset and truth --------------------------------------------------------------------------


def test_counters_tell_what_was_done(clock: Clock) -> None:
    """Submissions, polls, replies by code, workers' and processor's time, and requests in flight."""
    service = client(clock, capacity={"workers": 1, "service_time": 0.25}, rate_limit={"rate": 1, "burst": 2})
    service.post("/jobs")
    for _ in range(3):
        service.get("/status")
    service.get("/jobs/unknown")
    counted = service.get("/admin/counters", headers=TOKEN).get_json()
    assert counted.pop("cpu_seconds") >= 0
    assert counted == {
        "submissions": 1,
        "polls": 4,
        "replies": {"200": 2, "404": 1, "429": 1},
        "busy_seconds": 0.5,
        "in_flight": 0,
    }


def test_a_request_is_in_flight_until_its_reply_leaves(clock: Clock) -> None:
    """While a delayed reply is waiting, and no longer, it counts as in flight."""
    seen = []
    service = client(clock, delay=1.0)

    def peek(seconds: float) -> None:
        clock.now += seconds
        inner = service.application.test_client()
        seen.append(inner.get("/admin/counters", headers=TOKEN).get_json()["in_flight"])

    service.application.extensions["simulator"]._sleep = peek
    service.get("/status")
    assert seen == [1]
    assert service.get("/admin/counters", headers=TOKEN).get_json()["in_flight"] == 0


def test_reset_starts_over(service: FlaskClient, clock: Clock) -> None:
    """Counters return to zero and the implicit job starts anew; ids handed out before stay good."""
    job_id = service.post("/jobs").get_json()["id"]
    clock.now += 2
    service.get("/status")
    reply = service.post("/admin/reset", headers=TOKEN)
    assert (reply.status_code, reply.data) == (204, b"")
    counted = service.get("/admin/counters", headers=TOKEN).get_json()
    assert (counted["submissions"], counted["polls"], counted["replies"]) == (0, 0, {})
    assert service.get("/status").get_json()["progress"] == 0.0
    assert service.get(f"/jobs/{job_id}").get_json()["progress"] == 0.5


def test_reset_can_place_time_zero_ahead(clock: Clock) -> None:
    """With `starts_in` the outages of the scenario are counted from that many seconds later."""
    service = client(clock, outages=[{"start": 1, "length": 1}])
    service.post("/admin/reset", headers=TOKEN, json={"starts_in": 0.5})
    codes = []
    for _ in range(6):
        codes.append(service.get("/status").status_code)
        clock.now += 0.5
    assert codes == [200, 200, 200, 503, 503, 200]


@pytest.mark.parametrize("body", [{"starts_in": -1}, {"starts_in": "1"}, {"starts_in": True}, {"start": 1}])
def test_a_bad_reset_changes_nothing(service: FlaskClient, body: dict[str, Any]) -> None:
    """A body that is not understood is a 422, and the counters go on."""
    service.post("/jobs")
    assert_problem(service.post("/admin/reset", headers=TOKEN, json=body), 422)
    assert service.get("/admin/counters", headers=TOKEN).get_json()["submissions"] == 1


def test_the_truth_about_a_job(service: FlaskClient, clock: Clock) -> None:
    """What was decided at the submission, and the time now, all on the server's clock."""
    job_id = service.post("/jobs", json={"key": 17}).get_json()["id"]
    clock.now += 1
    assert service.get(f"/admin/jobs/{job_id}", headers=TOKEN).get_json() == {
        "key": 17,
        "submitted_at": 1000.0,
        "started_at": 1000.0,
        "finished_at": 1004.0,
        "outcome": "completed",
        "duration": 4.0,
        "now": 1001.0,
    }
    assert service.get("/admin/counters", headers=TOKEN).get_json()["polls"] == 0
    assert_problem(service.get("/admin/jobs/unknown", headers=TOKEN), 404)


# --- another scenario -----------------------------------------------------------------------------------

YAML = """
name: other
seed: 9
job: {duration: 8s}
workload: {lanes: anything, as it is not ours to judge}
settings: [anything]
"""


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ('{"seed": 9, "job": {"duration": 8}}', "application/json"),
        (
            Simulation.model_validate({"seed": 9, "job": {"duration": 8}}).model_dump_json(),
            "application/json",
        ),
        (YAML, "application/yaml"),
        (YAML, "text/yaml; charset=utf-8"),
    ],
)
def test_the_scenario_can_be_swapped(service: FlaskClient, clock: Clock, body: str, kind: str) -> None:
    """From JSON of a simulation or YAML of a scenario; new jobs follow it, old ones keep their fate."""
    old = service.post("/jobs").get_json()["id"]
    reply = service.put("/admin/scenario", headers=TOKEN, data=body, content_type=kind)
    assert reply.status_code == 200
    assert reply.get_json() == {"simulation": service.get("/healthz").get_json()["simulation"]}
    new = service.post("/jobs").get_json()["id"]
    clock.now += 4
    assert service.get(f"/jobs/{old}").get_json()["status"] == "completed"
    assert service.get(f"/jobs/{new}").get_json()["progress"] == 0.5
    assert service.get("/status").get_json()["progress"] == 0.5
    assert service.get("/admin/counters", headers=TOKEN).get_json()["submissions"] == 1


@pytest.mark.parametrize(
    ("body", "kind", "problem"),
    [
        ('{"job": {"duration": "8 parsecs"}, "name": 1}', "application/json", "job.duration"),
        ("seed: 1\njob: {duraton: 8s}\n", "application/yaml", "request body:2: job.duraton"),
        ("job: {duration: 1s}\njob: {duration: 2s}\n", "application/yaml", "duplicate key"),
        ("job: [", "application/yaml", "request body:1"),
        ("", "application/yaml", "empty"),
        ("{}", "application/json", "job"),
    ],
)
def test_a_faulty_scenario_is_refused_with_its_faults(
    service: FlaskClient, body: str, kind: str, problem: str
) -> None:
    """422 with a list of everything that is wrong; the old scenario goes on."""
    before = service.get("/healthz").get_json()["simulation"]
    reply = service.put("/admin/scenario", headers=TOKEN, data=body, content_type=kind)
    problems = assert_problem(reply, 422)["problems"]
    assert any(problem in line for line in problems), problems
    assert service.get("/healthz").get_json()["simulation"] == before


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 422),
        (b"\xff\xfe", "application/yaml", 400),
        (b"job: {duration: 1s}", "text/plain", 415),
        (b"", None, 415),
        (b"x" * (2**20 + 1), "application/yaml", 413),
    ],
)
def test_an_unreadable_scenario_is_refused(
    service: FlaskClient, body: bytes, kind: str | None, status: int
) -> None:
    """What is no text of the declared kind gets the status that says so."""
    assert_problem(service.put("/admin/scenario", headers=TOKEN, data=body, content_type=kind), status)


def test_a_scenario_may_be_larger_than_a_submission(service: FlaskClient) -> None:
    """Up to 1 MiB, where other bodies end at 64 KiB."""
    body = "job: {duration: 8s}\n#" + "x" * 200_000
    reply = service.put("/admin/scenario", headers=TOKEN, data=body, content_type="application/yaml")
    assert reply.status_code == 200


# --- metrics --------------------------------------------------------------------------------------------


def test_metrics_are_what_prometheus_reads(service: FlaskClient) -> None:
    """The text parses, and its samples are the counters."""
    service.post("/jobs")
    service.get("/status")
    service.get("/jobs/unknown")
    reply = service.get("/metrics")
    assert reply.content_type == "text/plain; version=0.0.4; charset=utf-8"
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }
    assert samples.pop(("process_cpu_seconds_total",)) > 0
    assert samples == {
        ("simulator_submissions_total",): 1,
        ("simulator_status_requests_total",): 2,
        ("simulator_status_replies_total", "200"): 1,
        ("simulator_status_replies_total", "404"): 1,
        ("simulator_busy_seconds_total",): 0,
        ("simulator_requests_in_flight",): 0,
    }


def test_two_applications_do_not_share_their_metrics(clock: Clock) -> None:
    """Counters belong to the application, not to the process."""
    one, other = client(clock), client(clock)
    one.post("/jobs")
    assert "simulator_submissions_total 0.0" in other.get("/metrics").text
