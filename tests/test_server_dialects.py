"""What the simulator says in each dialect, word for word, and what it cannot say in one of your own."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from sdk_parts import Clock
from test_server_app import BODIES, HEADERS, METHODS

from scenarios import Simulation, load_scenario
from scenarios.documents import DocumentError, parse_document
from server._dialects import DIALECTS
from server._scenario import simulation_in
from server.app import create_app

ROOT = Path(__file__).resolve().parent.parent
NOW = 1_800_000_000.25  # seconds since 1970, when the clock shows 1000
FAILED = "the job failed, as the scenario has it"


class Spoken:
    """A service in one dialect, at the clock's 1000 s, with jobs of 4 s, one at a time."""

    def __init__(self, dialect: object, *, error_rate: float = 0.0, **service: Any) -> None:
        self.clock = Clock()
        simulation = Simulation.model_validate(
            {
                "seed": 3,
                "job": {"duration": 4.0, "slots": 1, "error_rate": error_rate},
                "service": {"dialect": dialect, **service},
            }
        )
        app = create_app(
            simulation,
            clock=self.clock,
            wall_clock=lambda: NOW + self.clock.now - 1000.0,
            sleep=self.clock.sleep,
            secret="s",
            admin_token="token",
        )
        self.http: FlaskClient = app.test_client()


def known(document: Any, job_id: str) -> Any:
    """The document with ID for the job's id, wherever it stands."""
    return json.loads(json.dumps(document).replace(job_id, "ID"))


OPENAI = {"object": "video", "created_at": 1800000000, "model": "sora-2", "seconds": "4", "size": "720x1280"}
REPLICATE: dict[str, Any] = {
    "model": "simulated/video",
    "version": "simulated",
    "input": {},
    "logs": "",
    "created_at": "2027-01-15T08:00:00.250Z",
    "urls": {
        "get": "http://localhost/v1/predictions/ID",
        "cancel": "http://localhost/v1/predictions/ID/cancel",
    },
}
EMPTY = {"@type": "type.googleapis.com/google.protobuf.Empty"}
FILE = "https://files.example/ID.mp4"


def heygen(status: str, url: str | None = None, message: str | None = None) -> Any:
    data = {
        "video_translate_id": "ID",
        "title": "simulated",
        "status": status,
        "url": url,
        "message": message,
    }
    return {"error": None, "data": data}


def openai(status: str, progress: int, end: int | None = None, error: Any = None) -> Any:
    said = {"id": "ID", "completed_at": end, "status": status, "progress": progress, "error": error}
    return {**OPENAI, **said}


def replicate(
    status: str, end: str | None = None, output: str | None = None, error: str | None = None
) -> Any:
    return {**REPLICATE, "id": "ID", "status": status, "completed_at": end, "output": output, "error": error}


# For each: the submission's path, code and body; the path of a job; its body at 1, 5 and (another job) 6 s:
# running, completed, failed.
SAID: dict[str, tuple[str, int, Any, str, Any, Any, Any]] = {
    "native": (
        "/jobs",
        202,
        {"id": "ID", "status": "pending"},
        "/jobs/ID",
        {"id": "ID", "status": "pending", "progress": 0.25},
        {"id": "ID", "status": "completed", "progress": 1.0, "finished_ago": 1.0},
        {"id": "ID", "status": "error", "progress": 1.0, "finished_ago": 1.0},
    ),
    "take-home": (
        "/jobs",
        202,
        {"id": "ID", "result": "pending"},
        "/status?id=ID",
        {"result": "pending"},
        {"result": "completed"},
        {"result": "error"},
    ),
    "heygen-v2": (
        "/v2/video_translate",
        200,
        {"error": None, "data": {"video_translate_id": "ID"}},
        "/v2/video_translate/ID",
        heygen("running"),
        heygen("success", url=FILE),
        heygen("failed", message=FAILED),
    ),
    "azure": (
        "/operations",
        202,
        {"id": "ID", "status": "NotStarted"},
        "/operations/ID",
        {"id": "ID", "status": "Running"},
        {"id": "ID", "status": "Succeeded", "result": {}},
        {"id": "ID", "status": "Failed", "error": {"code": "JobFailed", "message": FAILED}},
    ),
    "google-lro": (
        "/v1/operations",
        200,
        {"name": "operations/ID"},
        "/v1/operations/ID",
        {"name": "operations/ID"},
        {"name": "operations/ID", "done": True, "response": EMPTY},
        {"name": "operations/ID", "done": True, "error": {"code": 13, "message": FAILED}},
    ),
    "openai-video": (
        "/v1/videos",
        200,
        openai("queued", 0),
        "/v1/videos/ID",
        openai("in_progress", 25),
        openai("completed", 100, 1800000004),
        openai("failed", 100, 1800000004, {"code": "job_failed", "message": FAILED}),
    ),
    "replicate": (
        "/v1/predictions",
        201,
        replicate("starting"),
        "/v1/predictions/ID",
        replicate("processing"),
        replicate("succeeded", "2027-01-15T08:00:04.250Z", FILE),
        replicate("failed", "2027-01-15T08:00:04.250Z", error=FAILED),
    ),
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("error_rate", [0.0, 1.0])
def test_what_is_said_of_a_job(name: str, error_rate: float) -> None:
    """Submission, running, end: codes and bodies to the last member, and the end's age where it belongs."""
    path, code, accepted, place, running, completed, failed = SAID[name]
    service = Spoken(name, error_rate=error_rate)
    reply = service.http.post(path, headers={"Backoff-Job-Key": "17"} if name != "native" else {})
    found = re.search(r"AAAAA[\w.-]{83}", reply.text)
    assert found is not None
    job_id = found[0]
    assert (reply.status_code, known(reply.get_json(), job_id)) == (code, accepted)
    said = []
    for now in (1001.0, 1005.0):
        service.clock.now = now
        reply = service.http.get(place.replace("ID", job_id))
        assert reply.status_code == 200
        assert reply.content_type == "application/json"
        said.append(known(reply.get_json(), job_id))
    assert said == [running, failed if error_rate else completed]
    expected = None if name == "native" else "1.000000"
    assert reply.headers.get("Backoff-Finished-Ago") == expected


def test_what_says_where_to_poll() -> None:
    """Azure's header holds a whole address, our own Location a path; both can be followed."""
    azure, native = Spoken("azure"), Spoken("native")
    where = azure.http.post("/operations", base_url="http://sim.test:81").headers["Operation-Location"]
    assert where.startswith("http://sim.test:81/operations/A")
    assert azure.http.get(where).get_json()["status"] == "Running"
    assert native.http.post("/jobs").headers["Location"].startswith("/jobs/A")


@pytest.mark.parametrize(
    ("name", "header", "value"),
    [
        (name, *{"openai-video": ("openai-poll-after-ms", "3000")}.get(name, ("Retry-After", "3")))
        for name in DIALECTS
    ],
)
def test_where_the_hint_is(name: str, header: str, value: str) -> None:
    """Pending replies carry the scenario's hint in the API's own header; the last one carries none."""
    path, _, _, place, *_ = SAID[name]
    service = Spoken(name, retry_after=2.5)
    found = re.search(r"AAAAA[\w.-]{83}", service.http.post(path).text)
    assert found is not None
    here = place.replace("ID", found[0])
    hints = ("Retry-After", "openai-poll-after-ms")
    said = {each: service.http.get(here).headers.get(each) for each in hints}
    assert said == {**dict.fromkeys(hints), header: value}
    service.clock.now += 5
    assert not any(service.http.get(here).headers.get(each) for each in hints)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("heygen-v2", {"data": None, "error": {"code": "service_unavailable", "message": "WHY"}}),
        ("azure", {"error": {"code": "ServiceUnavailable", "message": "WHY"}}),
        ("google-lro", {"error": {"code": 503, "message": "WHY", "status": "UNAVAILABLE"}}),
        (
            "openai-video",
            {"error": {"message": "WHY", "type": "server_error", "param": None, "code": None}},
        ),
    ],
)
def test_an_error_has_the_services_own_shape(name: str, body: Any) -> None:
    """A simulated 503 is told as the service tells its own, with Retry-After in seconds everywhere."""
    path, _, _, place, *_ = SAID[name]
    service = Spoken(name, faults=[{"status": 503, "rate": 1, "retry_after": 2}])
    found = re.search(r"AAAAA[\w.-]{83}", service.http.post(path).text)
    assert found is not None
    reply = service.http.get(place.replace("ID", found[0]))
    assert (reply.status_code, reply.headers["Retry-After"]) == (503, "2")
    assert json.loads(reply.text.replace("a failure that the scenario asks for", "WHY")) == body


@pytest.mark.parametrize("name", [name for name in DIALECTS if name != "native"])
def test_a_bad_key_or_number_is_refused_under_every_dialect(name: str) -> None:
    """Draws that are keyed wrongly would go unnoticed; the errors speak the dialect."""
    path, _, _, place, *_ = SAID[name]
    service = Spoken(name)
    for key in ("-1", "x", "1.5", "9223372036854775808", "1" * 30, ""):
        reply = service.http.post(path, headers={"Backoff-Job-Key": key})
        assert (reply.status_code, "Backoff-Job-Key" in reply.text) == (422, True), key
    reply = service.http.get(place, headers={"Poll-Attempt": "0"})
    assert (reply.status_code, "Poll-Attempt" in reply.text) == (400, True)


def test_a_body_of_the_apis_own_is_of_no_interest() -> None:
    """A form with a file, JSON with a prompt, nothing at all: each is a submission."""
    service = Spoken("openai-video")
    form, words = {"data": {"prompt": "x", "file": (b"", "x")}}, {"json": {"prompt": [1]}}
    for body in (form, words, {"data": b"\xff{"}, {}):
        assert service.http.post("/v1/videos", **body).status_code == 200
    assert service.http.post("/v1/videos", data=b"x" * (1 << 20)).status_code == 200
    assert service.http.post("/v1/videos", data=b"x" * ((1 << 24) + 1)).status_code == 413


def test_a_swapped_scenario_changes_the_language() -> None:
    """The routes follow the dialect; a job submitted before is told of in the new one."""
    service = Spoken("native")
    job_id = service.http.post("/jobs").get_json()["id"]
    swap = {"job": {"duration": 8}, "service": {"dialect": "azure"}}
    token = {"Authorization": "Bearer token"}
    assert service.http.put("/admin/scenario", json=swap, headers=token).status_code == 200
    assert service.http.get(f"/jobs/{job_id}").status_code == 404
    assert service.http.get(f"/operations/{job_id}").get_json() == {"id": job_id, "status": "Running"}
    assert service.http.get("/metrics").status_code == service.http.get("/healthz").status_code == 200
    assert (
        service.http.put("/admin/scenario", json={"job": {"duration": 8}}, headers=token).status_code == 200
    )
    assert service.http.get(f"/jobs/{job_id}").status_code == 200
    assert service.http.get(f"/operations/{job_id}").status_code == 404


@pytest.mark.parametrize(
    ("name", "method", "path", "allowed"),
    [
        ("azure", "GET", "/operations", {"POST", "OPTIONS"}),
        ("replicate", "DELETE", "/v1/predictions/x", {"GET", "HEAD", "OPTIONS"}),
        ("google-lro", "PUT", "/v1/operations", {"POST", "OPTIONS"}),
    ],
)
def test_the_wrong_method_is_told_the_right_ones(
    name: str, method: str, path: str, allowed: set[str]
) -> None:
    """405 with Allow, in the dialect's form."""
    reply = Spoken(name).http.open(path, method=method)
    assert reply.status_code == 405
    assert set(reply.headers["Allow"].split(", ")) == allowed


def test_other_ways_to_submit() -> None:
    """Replicate's forms for models and deployments, and any method of a Google service."""
    replicate, google = Spoken("replicate").http, Spoken("google-lro").http
    for kind in ("models", "deployments"):
        assert replicate.post(f"/v1/{kind}/owner/name/predictions", json={"input": {}}).status_code == 201
    assert google.post("/v1/videos:annotate", json={}).get_json()["name"].startswith("operations/")


PATHS = st.sampled_from([path for row in SAID.values() for path in (row[0], row[3])])


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(DIALECTS)), PATHS, METHODS, BODIES, HEADERS)
def test_no_request_is_an_error_of_ours(
    name: str, path: str, method: str, body: bytes, headers: dict[str, str]
) -> None:
    """Whatever comes, whatever is spoken, nothing raises and every error is the client's, told in JSON."""
    reply = Spoken(name).http.open(path, method=method, data=body, headers=headers)
    assert reply.status_code < 500
    assert reply.headers["Cache-Control"] == "no-store"
    if reply.status_code >= 400 and method != "HEAD":
        assert isinstance(json.loads(reply.data), dict)


@pytest.mark.parametrize("module", ["_speaking", "_dialects", "_own_dialect"])
def test_what_is_said_needs_no_web_framework(module: str) -> None:
    """Replies are made of values alone, so that any host can send them: no Flask, no clock."""
    tree = ast.parse((ROOT / "server" / f"{module}.py").read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & {"flask", "werkzeug", "gevent", "time", "socket"}


def table() -> str:
    """The table of dialects as docs/simulator.md has it."""
    words = "words: queued, running, completed, error"
    lines = [f"| dialect | a job is submitted by | and read by | {words} | hint | errors |"]
    lines += ["|---|---|---|---|---|---|"]
    for name, row in DIALECTS.items():
        submit = ", ".join(f"`{route.method} {route.rule}`" for route in row.submit)
        status = ", ".join(f"`{route.method} {route.path('{id}')}`" for route in row.status)
        words = "`done`: absent, absent, `response`, `error`"
        if all(row.words.values()):
            words = ", ".join(f"`{word}`" for word in row.words.values())
        hint = f"`{row.hint.name}`" if row.hint else ""
        errors = "problem+json" if "problem" in row.refusals else "its own JSON"
        lines.append(f"| `{name}` | {submit}: {row.accepted} | {status} | {words} | {hint} | {errors} |")
    return "\n".join(lines)


def test_the_table_of_dialects_in_the_docs_is_what_is_spoken() -> None:
    """docs/simulator.md shows each row: requests, codes, words, hint, errors."""
    assert table() in (ROOT / "docs" / "simulator.md").read_text(), table()


# --- what cannot be said --------------------------------------------------------------------------------


UNSPEAKABLE = """\
name: own
job: {duration: 4s, error_rate: 0.1}
service:
  dialect:
    submit:
      path: /admin/jobs
      id: jobs[?new].id | [0]
      accepted: [204]
      location: {body: 'links.poll || links.self'}
      problem: error
    status:
      path: https://api.example.com/jobs/{id}
      state: length(parts) && 'a' || 'b'
      pending: []
      completed: []
      progress: data
      finished_at: data.at
      hints: [{body: 'max(waits)', unit: ms}]
workload: {lanes: 1, arrivals: {type: constant, rate: 1}, jobs: 1}
settings: {a: {curve: constant, initial: 1s}}
"""


def faults(text: str, file: Path) -> list[str]:
    file.write_text(text)
    with pytest.raises(DocumentError) as refused:
        load_scenario(file)
    lines = [str(each).removeprefix(str(file)) for each in refused.value.diagnostics]
    with pytest.raises(DocumentError) as refused:
        simulation_in(parse_document(text, str(file)))
    assert [str(each).removeprefix(str(file)) for each in refused.value.diagnostics] == lines
    return lines


def test_what_cannot_be_said_is_told_all_at_once_with_line_and_remedy(tmp_path: Path) -> None:
    """`check`, `run` and the server read scenarios alike: every fault at its key, and what would be right."""
    plain = (
        "computes what it finds; the simulator speaks plain paths alone, such as data.jobs[0].status; "
        "write one, or run against a target"
    )
    assert faults(UNSPEAKABLE, tmp_path / "own.yaml") == [
        f":{line}: service.dialect.{key}: {message}"
        for line, key, message in (
            (6, "submit.path", "the simulator answers at /admin/jobs itself; take another path"),
            (7, "submit.id", f"'jobs[?new].id | [0]' {plain}"),
            (
                8,
                "submit.accepted",
                "a reply with 204 has no body to name the job in; put another code first",
            ),
            (9, "submit.location.body", f"'links.poll || links.self' {plain}"),
            (
                12,
                "status.path",
                "the simulator cannot answer at https://api.example.com/jobs/{id}; "
                "write what follows the host, from the slash on",
            ),
            (13, "status.state", f""" "length(parts) && 'a' || 'b'" {plain}""".strip()),
            (
                14,
                "status.pending",
                "the simulator has no word for a pending job; give one, or a code of 200 to 599 in not_ready",
            ),
            (15, "status.completed", "the simulator has no word for a completed job; give one"),
            (16, "status.progress", "'data' and 'data.at' are in each other's way; move one of them"),
            (18, "status.hints[0].body", f"'max(waits)' {plain}"),
        )
    ]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("{state: a.b, id: a}", "id: 'a' and 'a.b' are in each other's way; move one of them"),
        ("{state: 'a[0]', id: a.b}", "id: 'a.b' and 'a[0]' are in each other's way; move one of them"),
        ("{state: error.state, problem: error}", "state: 'error.state' lies in 'error', which says that"),
        ("{path: '/a/{id}/b/{id}'}", "path: the simulator finds {id} once"),
        ("{path: '/jobs/x?id=a-{id}'}", "path: the simulator finds {id} once"),
        ("{path: '/a<b>/{id}'}", "path: the simulator cannot serve a path with < or > in it"),
        ("{method: POST, path: '/jobs?id={id}'}", "path: it is where jobs are submitted, too"),
        ("{implicit: /healthz}", "implicit: the simulator answers at /healthz itself"),
        (
            "{error: []}",
            "error: the simulator has no word for a job that failed; give one, or let job.error_rate",
        ),
        ("{pending: [], not_ready: [102]}", "pending: the simulator has no word for a pending job"),
    ],
)
def test_each_thing_that_cannot_be_said(tmp_path: Path, status: str, message: str) -> None:
    """One fault, at its key."""
    text = re.sub(r"(?s)  dialect:.*?workload", f"  dialect: {{status: {status}}}\nworkload", UNSPEAKABLE)
    (fault,) = faults(text, tmp_path / "own.yaml")
    assert fault.startswith(f":4: service.dialect.status.{message}")


def test_what_was_left_away_is_in_nobodys_way(tmp_path: Path) -> None:
    """The defaults for progress and ids give way to what was written, and computing is fine for a target."""
    text = re.sub(
        r"(?s)  dialect:.*?workload", "  dialect: {status: {state: id.progress}}\nworkload", UNSPEAKABLE
    )
    (tmp_path / "own.yaml").write_text(text)
    service = Spoken({"status": {"state": "progress.id"}}).http
    job_id = service.post("/jobs").get_json()["id"]
    assert service.get(f"/jobs/{job_id}").get_json() == {"id": job_id, "progress": {"id": "pending"}}
    assert load_scenario(tmp_path / "own.yaml").dialect.status.state == "id.progress"
