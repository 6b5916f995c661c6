"""The wire contract, through Flask's test client and a clock that moves only when somebody sleeps."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from scenarios import Simulation
from server.app import create_app


class Clock:
    """Seconds that pass only in `sleep`, which may oversleep."""

    def __init__(self, now: float = 1000.0, late: float = 0.0) -> None:
        self.now = now
        self.late = late
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds + self.late


@pytest.fixture
def clock() -> Clock:
    return Clock()


def client(clock: Clock, *, secret: str | None = None, job: Any = None, **service: Any) -> FlaskClient:
    simulation = Simulation.model_validate(
        {"seed": 3, "job": {"duration": 4.0, **(job or {})}, "service": service}
    )
    app = create_app(simulation, clock=clock, sleep=clock.sleep, secret=secret, admin_token="token")
    app.testing = True
    return app.test_client()


def submit(service: FlaskClient, key: int | None = None) -> str:
    reply = service.post("/jobs", json={} if key is None else {"key": key})
    assert reply.status_code == 202
    return str(reply.get_json()["id"])


def assert_problem(reply: TestResponse, status: int, *words: str) -> None:
    """The reply is a problem document (RFC 9457) with this status, and says these words."""
    assert reply.status_code == status
    assert reply.content_type == "application/problem+json"
    document = json.loads(reply.data)
    assert document["status"] == status
    assert document["type"] == "about:blank"
    assert document["instance"] == reply.request.path
    assert document["title"]
    for word in words:
        assert word in document["detail"]


# --- jobs -----------------------------------------------------------------------------------------------


def test_submitting_a_job(clock: Clock) -> None:
    """202, a Location that can be followed, and a body that says pending; nothing may be cached."""
    service = client(clock)
    reply = service.post("/jobs", json={"key": 17})
    assert reply.status_code == 202
    body = reply.get_json()
    assert body == {"id": body["id"], "status": "pending"}
    assert reply.headers["Location"] == f"/jobs/{body['id']}"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.data.startswith(b'{"id":"')
    assert service.get(reply.headers["Location"]).get_json()["id"] == body["id"]


def test_a_job_from_submission_to_its_end(clock: Clock) -> None:
    """Pending with growing progress, then completed, with the seconds since the finish."""
    service = client(clock)
    job_id = submit(service)
    seen = []
    for now in (1000.0, 1003.0, 1004.0, 1004.75):
        clock.now = now
        seen.append(service.get(f"/jobs/{job_id}").get_json())
    assert seen == [
        {"id": job_id, "status": "pending", "progress": 0.0},
        {"id": job_id, "status": "pending", "progress": 0.75},
        {"id": job_id, "status": "completed", "progress": 1.0, "finished_ago": 0.0},
        {"id": job_id, "status": "completed", "progress": 1.0, "finished_ago": 0.75},
    ]


def test_status_with_an_id_equals_the_jobs_own_address(clock: Clock) -> None:
    """`GET /status?id=` and `GET /jobs/<id>` answer alike, failed jobs included."""
    service = client(clock, job={"error_rate": 1.0})
    job_id = submit(service)
    clock.now += 5
    reply = service.get("/status", query_string={"id": job_id})
    assert reply.get_json() == {"id": job_id, "status": "error", "progress": 1.0, "finished_ago": 1.0}
    assert reply.get_json() == service.get(f"/jobs/{job_id}").get_json()


def test_the_implicit_job_starts_with_the_server(clock: Clock) -> None:
    """`GET /status` is about one job that nobody submitted; its id works like any other."""
    service = client(clock)
    clock.now += 1
    body = service.get("/status").get_json()
    assert (body["status"], body["progress"]) == ("pending", 0.25)
    clock.now += 4
    assert service.get("/status").get_json()["finished_ago"] == 1.0
    assert service.get(f"/jobs/{body['id']}").get_json()["status"] == "completed"


def test_without_a_scenario_a_job_takes_ten_seconds(clock: Clock) -> None:
    """The demo: the implicit job completes ten seconds after the start."""
    service = create_app(clock=clock, sleep=clock.sleep).test_client()
    clock.now += 9.999
    assert service.get("/status").get_json()["status"] == "pending"
    clock.now = 1010.0
    assert service.get("/status").get_json()["status"] == "completed"


@pytest.mark.parametrize(("body", "kind"), [("", None), ("  \n", "text/plain"), ("{}", "application/json")])
def test_the_key_is_optional(clock: Clock, body: str, kind: str | None) -> None:
    """A submission may come without a body, or with an empty object."""
    assert client(clock).post("/jobs", data=body, content_type=kind).status_code == 202


def test_the_same_key_is_the_same_job(clock: Clock) -> None:
    """Key and time decide everything, so two services give the same job the same id."""
    assert submit(client(clock), 5) == submit(client(clock), 5) != submit(client(clock), 6)


# --- time -----------------------------------------------------------------------------------------------


def test_replies_are_sent_when_they_are_due(clock: Clock) -> None:
    """The delay is slept through, and the status is that of the moment the reply leaves."""
    service = client(clock, delay=0.5)
    job_id = submit(service)
    clock.now = 1003.5
    assert service.get(f"/jobs/{job_id}").get_json()["finished_ago"] == 0.0
    assert clock.slept == [0.5, 0.5]


def test_a_late_reply_admits_it(clock: Clock) -> None:
    """Where the server wakes up 0.3 s late, finished_ago counts that too, for it is the truth."""
    service = client(clock, delay=0.5)
    job_id = submit(service)
    clock.now, clock.late = 1004.0, 0.3
    assert service.get(f"/jobs/{job_id}").get_json()["finished_ago"] == 0.8


def test_an_undelayed_reply_does_not_sleep(clock: Clock) -> None:
    """Without a delay the host's sleep is not called at all."""
    client(clock).get("/status")
    assert clock.slept == []


# --- trouble on demand ----------------------------------------------------------------------------------


def test_failures_are_problem_documents_with_their_hint(clock: Clock) -> None:
    """A simulated failure has the scenario's status and its Retry-After in whole seconds."""
    service = client(clock, faults=[{"status": 503, "rate": 1.0, "retry_after": "1500ms"}])
    reply = service.get(f"/jobs/{submit(service)}")
    assert_problem(reply, 503)
    assert reply.headers["Retry-After"] == "2"


def test_unregistered_status_codes_can_be_simulated(clock: Clock) -> None:
    """A scenario may ask for a code that no standard names."""
    for status in (499, 599):
        assert_problem(client(clock, faults=[{"status": status, "rate": 1.0}]).get("/status"), status)


def test_the_rate_limit_says_when_to_come_back(clock: Clock) -> None:
    """The second request at once is answered 429 with the time until the next token."""
    service = client(clock, rate_limit={"rate": 0.25, "burst": 1})
    assert service.get("/status").status_code == 200
    reply = service.get("/status")
    assert_problem(reply, 429, "Retry-After")
    assert reply.headers["Retry-After"] == "4"


def test_pending_replies_carry_the_hint(clock: Clock) -> None:
    """With `retry_after: eta` a pending reply says how long the job will take; the last one does not."""
    service = client(clock, retry_after="eta")
    clock.now += 0.5
    assert service.get("/status").headers["Retry-After"] == "4"
    clock.now += 4
    assert "Retry-After" not in service.get("/status").headers


def test_a_reset_connection_raises_in_the_test_client(clock: Clock) -> None:
    """Without a real connection to reset, the client sees the error, also outside of Flask's test mode."""
    service = client(clock, faults=[{"fault": "CONNECTION_RESET_BY_PEER", "rate": 1.0}])
    service.application.testing = False
    with pytest.raises(ConnectionResetError):
        service.get("/status")


def test_the_number_of_the_poll_keys_its_fate(clock: Clock) -> None:
    """With Poll-Attempt a reply depends on job and number alone, not on what was asked before."""
    faults = [{"status": 503, "rate": 0.5}]

    def codes(service: FlaskClient, numbers: list[int]) -> dict[int, int]:
        path = f"/jobs/{submit(service, 9)}"
        return {n: service.get(path, headers={"Poll-Attempt": str(n)}).status_code for n in numbers}

    forwards = codes(client(clock, faults=faults), list(range(1, 21)))
    backwards = codes(client(clock, faults=faults), list(range(20, 0, -1)))
    assert forwards == backwards
    assert set(forwards.values()) == {200, 503}


# --- ids ------------------------------------------------------------------------------------------------


def test_a_restarted_server_knows_the_jobs_of_its_predecessor(clock: Clock) -> None:
    """The same simulation understands its own ids after a restart: nothing is stored."""
    job_id = submit(client(clock))
    clock.now += 3
    assert client(clock).get(f"/jobs/{job_id}").get_json()["progress"] == 0.75


def test_another_simulation_or_secret_does_not(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids are bound to the simulation unless a secret is given, by argument or by the environment."""
    job_id = submit(client(clock))
    assert_problem(client(clock, delay=0.5).get(f"/jobs/{job_id}"), 404)
    assert_problem(client(clock, secret="x").get(f"/jobs/{job_id}"), 404)
    theirs = submit(client(clock, secret="x"))
    monkeypatch.setenv("BACKOFF_SECRET", "x")
    assert client(clock, delay=0.5).get(f"/jobs/{theirs}").status_code == 200
    assert_problem(client(clock).get(f"/jobs/{job_id}"), 404)


@pytest.mark.parametrize("job_id", ["nope", "%00", "%F0%9F%92%A9", "a" * 5000, "x.y", "%FF%FE"])
def test_an_unknown_job_is_not_found(clock: Clock, job_id: str) -> None:
    """A forged or mistyped id is a 404 that says where ids come from, at once and counted."""
    service = client(clock, delay=9.0)
    assert_problem(service.get(f"/jobs/{job_id}"), 404, "POST /jobs")
    assert_problem(service.get(f"/status?id={job_id}"), 404, "POST /jobs")
    assert clock.slept == []
    assert 'simulator_status_replies_total{code="404"} 2.0' in service.get("/metrics").text


# --- bad requests ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ("{", 400, "not valid JSON"),
        ("\xff", 400, "not valid JSON"),
        ("[" * 60000, 400, "not valid JSON"),
        ('{"key": ' + "1" * 5000 + "}", 400, "not valid JSON"),
        ("[1]", 422, "must be a JSON object"),
        ("null", 422, "must be a JSON object"),
        ('{"kye": 1}', 422, "unknown member 'kye'"),
        ('{"key": "1"}', 422, "whole number"),
        ('{"key": 1.0}', 422, "whole number"),
        ('{"key": true}', 422, "whole number"),
        ('{"key": -1}', 422, "whole number"),
        ('{"key": 9223372036854775808}', 422, "whole number"),
        ('{"key": NaN}', 422, "whole number"),
        ('{"key": []}', 422, "whole number"),
    ],
)
def test_a_bad_submission_is_told_what_would_be_right(
    clock: Clock, body: str, status: int, words: str
) -> None:
    """Malformed JSON is a 400, a body with the wrong content a 422; neither submits a job."""
    service = client(clock)
    reply = service.post("/jobs", data=body.encode("latin-1"), content_type="application/json")
    assert_problem(reply, status, words)
    assert "simulator_submissions_total 0.0" in service.get("/metrics").text


def test_the_largest_key_is_accepted(clock: Clock) -> None:
    """Keys go up to 2**63 - 1."""
    submit(client(clock), 2**63 - 1)


def test_a_body_is_json_whatever_it_is_declared(clock: Clock) -> None:
    """`curl -d` declares every body a form; what counts is what it says."""
    service = client(clock)
    for declared in ("text/plain", "application/x-www-form-urlencoded", "application/vnd.x+json"):
        assert service.post("/jobs", data='{"key":1}', content_type=declared).status_code == 202
    assert_problem(service.post("/jobs", data={"key": 1}), 400, "not valid JSON")


def test_a_simulation_may_be_given_as_a_mapping() -> None:
    """`create_app` takes what Flask users would try first, and says what it wants otherwise."""
    app = create_app({"seed": 1, "job": {"duration": "250ms"}})
    assert app.test_client().post("/jobs").status_code == 202
    with pytest.raises(ValueError, match="duration"):
        create_app({"job": {}})
    with pytest.raises(TypeError, match=r"takes a scenarios\.Simulation"):
        create_app("scenarios/outage.yaml")  # type: ignore[arg-type]


def test_a_large_body_is_refused(clock: Clock) -> None:
    """More than 64 KiB is a 413, declared or not."""
    service = client(clock)
    assert_problem(service.post("/jobs", data=b"x" * 65537, content_type="application/json"), 413)
    undeclared = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    reply = service.post(
        "/jobs",
        input_stream=BytesIO(b"x" * 65537),
        content_type="application/json",
        environ_overrides=undeclared,
    )
    assert_problem(reply, 413)
    assert service.post("/jobs", data=b" " * 65536).status_code == 202


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "one", "", "1" * 19, "١"])
def test_a_bad_poll_number_is_refused(clock: Clock, number: str) -> None:
    """A Poll-Attempt that is no number from 1 is a 400, since draws keyed wrongly would go unnoticed."""
    service = client(clock)
    reply = service.get("/status", environ_overrides={"HTTP_POLL_ATTEMPT": number})
    assert_problem(reply, 400, "Poll-Attempt")
    assert "simulator_status_requests_total 0.0" in service.get("/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/jobs", {"POST", "OPTIONS"}),
        ("DELETE", "/jobs/x", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/status", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/admin/reset", {"POST", "OPTIONS"}),
    ],
)
def test_the_wrong_method_is_told_the_right_ones(
    clock: Clock, method: str, path: str, allowed: set[str]
) -> None:
    """405 with Allow."""
    reply = client(clock).open(path, method=method)
    assert_problem(reply, 405)
    assert set(reply.headers["Allow"].split(", ")) == allowed


@pytest.mark.parametrize("path", ["/", "/job", "/jobs/", "/jobs/a/b", "/static/x", "/admin", "/Status"])
def test_an_unknown_path_is_not_found(clock: Clock, path: str) -> None:
    """Neither a redirect to a guess nor an HTML page."""
    assert_problem(client(clock).get(path), 404)


def test_an_error_of_ours_is_a_problem_document_too(clock: Clock) -> None:
    """Should a view fail after all, the client gets a 500 in the same format, without a traceback."""
    service = client(clock)
    service.application.testing = False
    service.application.extensions["simulator"] = None
    reply = service.get("/healthz")
    assert_problem(reply, 500)
    assert b"NoneType" not in reply.data


PATHS = st.sampled_from(
    [
        "/jobs",
        "/jobs/x",
        "/status",
        "/healthz",
        "/metrics",
        "/admin/reset",
        "/admin/scenario",
        "/admin/counters",
        "/admin/jobs/x",
    ]
) | st.binary(max_size=40).map(lambda raw: "/" + quote(raw, safe=""))
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
BODIES = st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(["Poll-Attempt", "Content-Type", "Authorization", "Accept", "Host", "If-None-Match"]),
    st.sampled_from(["application/json", "application/yaml", "Bearer token", "1", "text/html"])
    | st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")),
)


@settings(max_examples=400, deadline=None)
@given(PATHS, METHODS, BODIES, HEADERS, st.binary(max_size=20))
def test_no_request_is_an_error_of_ours(
    path: str, method: str, body: bytes, headers: dict[str, str], query: bytes
) -> None:
    """Whatever comes, nothing raises, and every error is the client's and a problem document."""
    service = client(Clock())
    reply = service.open(
        path, method=method, data=body, headers=headers, query_string=quote(query, safe="=&")
    )
    assert reply.status_code < 500
    assert reply.headers["Cache-Control"] == "no-store"
    if reply.status_code >= 400 and method != "HEAD":
        assert_problem(reply, reply.status_code)


# --- health and metrics ---------------------------------------------------------------------------------


def test_health_says_what_is_served(clock: Clock) -> None:
    """Name, version, uptime and a fingerprint that tells simulations apart; no secrets."""
    service = client(clock, secret="hush")
    clock.now += 2.5
    body = service.get("/healthz").get_json()
    assert set(body) == {"status", "name", "version", "simulation", "uptime"}
    assert (body["status"], body["name"], body["uptime"]) == ("ok", "backoff-harness", 2.5)
    assert body["simulation"] == client(clock).get("/healthz").get_json()["simulation"]
    assert body["simulation"] != client(clock, delay=1).get("/healthz").get_json()["simulation"]
    assert len(body["simulation"]) == 64
