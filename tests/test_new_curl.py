"""`new --curl`: a command is read, its request sent once, a dialect guessed, and no secret written."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask, Response, jsonify, redirect, request
from foreign_service import foreign_service, served
from hypothesis import given, settings
from hypothesis import strategies as st
from terminal_parts import terminal

from client import DIALECTS, Backoff, PollingPolicy
from client import Response as Reply
from client.blocking import VideoTranslationClient
from harness._cli import main
from harness._refusal import FAILED, INTERRUPTED, UNUSABLE, Refusal
from harness.live import Consent
from harness.new import _target, from_curl, write_draft
from harness.new._curl import read_curl
from harness.new._guess import NoJob, guess
from scenarios import Target, load_scenario
from server.app import create_app

FAST = PollingPolicy(Backoff("constant", 0.05), deadline=10.0)
HERE = Consent(frozenset(), yes=True)


def harness(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(each) for each in arguments], catch_exceptions=False)


def target_of(path: Path) -> Target:
    target = load_scenario(path, secrets=False).target
    assert target is not None
    return target


def finished(path: Path) -> str:
    """How a job ends that is submitted and polled as the scenario says."""
    target = target_of(path)
    with VideoTranslationClient(target.base_url, FAST, dialect=target.spoken) as client:
        inputs = target.inputs[0] if target.inputs else {}
        return client.poll(client.submit(json=inputs)).outcome


@pytest.mark.parametrize("name", DIALECTS)
def test_the_dialects_of_the_simulator_are_known_by_their_replies(name: str, tmp_path: Path) -> None:
    """Each is guessed by name, below whatever the service is mounted at, and a job is polled to its end."""
    app = create_app({"job": {"duration": 0.1}, "service": {"dialect": name}})
    out = tmp_path / "own.yaml"
    with served(app) as url:
        path = DIALECTS[name].submit.path
        done = harness("new", "--curl", f"curl --json '{{}}' {url}{path}", "--yes", "--out", out)
        assert done.exit_code == 0, done.output
        assert f"  dialect: {name}   # " in out.read_text()
        assert target_of(out).base_url == url
        assert finished(out) == "completed"


def test_a_foreign_service_is_guessed_by_what_members_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its id, state, address and words are found, the request is sent once, and the result holds."""
    out = tmp_path / "own.yaml"
    with foreign_service(duration_s=0.1) as service:
        command = (
            f"curl {service.url}/v2/tasks -H 'X-Tag: a b' --json '{json.dumps({'url': 'x', 'n': [1.5]})}'"
        )
        done = harness("new", "--curl", command, "--yes", "--out", out)
        assert (done.exit_code, len(service.arrivals)) == (0, 1), done.output
        assert service.bodies == [{"url": "x", "n": [1.5]}]
        assert service.headers[0]["X-Tag"] == "a b"
        assert "so this job is read at: GET" in done.output
        assert finished(out) == "completed"
        assert service.bodies[1] == service.bodies[0]
    dialect = target_of(out).dialect
    assert (dialect.submit.id, dialect.status.state) == ("task.number", "task.phase")
    assert (dialect.status.path, dialect.submit.location is None) == ("/v2/tasks/{id}", False)
    monkeypatch.chdir(tmp_path)
    assert harness("check", out).exit_code == 0
    assert harness("simulate", out, "--jobs", 50, "--out", tmp_path / "run").exit_code == 0


def test_no_secret_is_written_or_shown(tmp_path: Path) -> None:
    """Authorization, keys in headers, address and body, and a Basic password: names stand for them."""
    out, secrets = tmp_path / "own.yaml", ["tok-1234567", "hdr-1234567", "prm-1234567", "mem-1234567"]
    app, heard = Flask("echo"), []

    @app.post("/jobs")
    def submit() -> Response:
        heard.append({**request.headers, **request.args, **request.get_json()})
        return jsonify(id=7, status="queued", echo=heard[0])

    with served(app) as url:
        body = json.dumps({"token": secrets[3], "max_tokens": 5})
        command = (
            f"curl '{url}/jobs?api_key={secrets[2]}' -H 'Authorization: Bearer {secrets[0]}' -H 'X-Api-Key: "
            f"{secrets[1]}' -H 'Accept: application/json' --data '{body}'"
        )
        done = harness("new", "--curl", command, "--yes", "--out", out)
    assert done.exit_code == 0, done.output
    assert [heard[0][name] for name in ("X-Api-Key", "api_key", "token")] == secrets[1:]
    assert heard[0]["Authorization"] == f"Bearer {secrets[0]}"
    for secret in secrets:
        assert secret not in out.read_text() + done.output
    target = target_of(out)
    assert target.headers == {"Authorization": "Bearer ${API_TOKEN}", "X-Api-Key": "${X_API_KEY}"}
    assert target.dialect.submit.query == {"api_key": "${API_KEY}"}
    assert target.inputs == ({"token": "${TOKEN}", "max_tokens": 5},)
    for name in ("API_TOKEN", "X_API_KEY", "API_KEY", "TOKEN"):
        assert f"export {name}=..." in done.output


def test_user_and_password_become_one_name() -> None:
    """-u and the address's own user info are an Authorization header whose value is a name."""
    for command in ("curl -u me:hush-hush -d '{}' h/x", "curl -d '{}' http://me:hush-hush@h/x"):
        call = read_curl(command)
        assert call.headers == {"Authorization": "Basic ${API_BASIC}"}
        assert call.secrets.values == {"API_BASIC": "bWU6aHVzaC1odXNo"}
        assert (call.base, call.path) == ("http://h", "/x")


def test_a_command_may_come_by_standard_input_and_its_notes_stay_in_the_file(tmp_path: Path) -> None:
    """Quotes within quotes are no matter there; what a run will not do as curl did is a comment."""
    out = tmp_path / "own.yaml"
    with foreign_service() as service:
        command = f"curl '{service.url}/v2/tasks?a=1&a=2' -d '{{}}'\n"
        arguments = ["new", "--curl", "-", "--yes", "--out", str(out)]
        done = CliRunner().invoke(main, arguments, input=command, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert target_of(out).dialect.submit.query == {"a": "2"}
    assert "  # a parameter that is in the address more than once" in out.read_text()


def test_a_kind_of_json_of_its_own_is_kept(tmp_path: Path) -> None:
    """The usual media type is sent anyway; another of JSON's must be."""
    for media, kept in (("application/json; charset=utf-8", {}), ("application/vnd.api+json", None)):
        call = read_curl(f"curl h -d '{{}}' -H 'content-type: {media}'")
        assert call.headers == ({"content-type": media} if kept is None else kept)
    with foreign_service() as service:
        command = f"curl {service.url}/v2/tasks -d '{{}}' -H 'content-type: application/vnd.api+json'"
        assert harness("new", "--curl", command, "--yes", "--out", tmp_path / "x.yaml").exit_code == 0
        assert service.headers[0]["Content-Type"] == "application/vnd.api+json"


def test_each_submission_keeps_a_key_of_its_own(tmp_path: Path) -> None:
    """An Idempotency-Key that stays the same would make all jobs one: it becomes a place."""
    with foreign_service(duration_s=0.1) as service:
        out = tmp_path / "own.yaml"
        command = f"curl {service.url}/v2/tasks -H 'Idempotency-Key: 1' -d '{{}}'"
        assert harness("new", "--curl", command, "--yes", "--out", out).exit_code == 0
        assert service.headers[0]["Idempotency-Key"].startswith("new-")
    assert target_of(out).dialect.submit.headers == {"Idempotency-Key": "{run}-{setting}-{key}"}


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("wget http://h", "give one command that begins with curl"),
        ("curl 'http://h", "cannot be taken apart: no closing quotation"),
        ("curl http://h -d '{}' | jq .", "leave away what comes after the command, from | on"),
        ("curl http://h -d '{}' --next http://i", "give one request"),
        ("curl -d '{}'", "give one address, not 0"),
        ("curl -d '{}' http://h http://i", "give one address, not 2"),
        ("curl -d '{}' ftp://h", "the address is none that can be polled"),
        ("curl http://h", "it reads (GET) rather than submits"),
        ("curl -X", "-X/--request: needs a value"),
        ("curl http://h -d a=b", "the body is no JSON object"),
        ("curl http://h -d '[1]'", "the body is no JSON object"),
        ("curl http://h -d '{\"a\": NaN}'", "the body is no JSON object"),
        ("curl http://h -d @/nowhere/body.json", "'/nowhere/body.json' cannot be read: No such file"),
        ("curl http://h -d '{}' -H 'Content-Type: text/xml'", "the Content-Type is none of JSON"),
        ("curl http://h -d '{}' -H 'X-Y: {who}'", "the header X-Y holds {...}"),
        ("curl http://h -d '{}' -H Oops", "-H: write it as 'Name: value'"),
        ("curl http://h -d '{}' -u me", "curl would ask for the password"),
        ("curl http://h -d '{}' -b jar.txt", "write cookies as 'name=value'"),
        ("curl http://h -F a=b", "-F cannot be had: a target's submissions are JSON"),
        ("curl http://h -d '{}' --proxy p", "--proxy cannot be had: no run goes through a proxy"),
        ("curl http://h -d '{}' --parallel --foo=1", "--parallel of curl is not known here"),
    ],
)
def test_what_cannot_be_had_is_named_before_anything_is_sent(command: str, said: str) -> None:
    """Each fault with its remedy, exit status 2."""
    with pytest.raises(Refusal) as refused:
        read_curl(command)
    assert refused.value.status == UNUSABLE
    assert said in str(refused.value)


def test_all_faults_of_a_command_are_told_at_once_without_its_secrets() -> None:
    """Several unknown options and a bad header; what was typed for a secret is not repeated."""
    with pytest.raises(Refusal) as refused:
        read_curl("curl h -d '{}' --foo --bar -F x=hush-hush -H hush-hush")
    for word in ("--foo", "--bar", "-F", "-H"):
        assert word in str(refused.value)
    assert "hush" not in str(refused.value)


def test_quoting_continuations_and_options_are_read_as_a_shell_and_curl_do(tmp_path: Path) -> None:
    """Line ends, $'...', clusters, -G, @files, --data-raw and repeated --json."""
    call = read_curl(
        "curl -sSL -XPUT \\\n 'https://h:8/a b?x=1' \\\n -A me --compressed "
        '--data-raw $\'{"k": "it\\\'s\\u00e4"}\''
    )
    assert (call.method, call.base, call.path) == ("PUT", "https://h:8", "/a%20b")
    assert (call.query, call.body, call.headers) == ({"x": "1"}, {"k": "it'sä"}, {"User-Agent": "me"})
    call = read_curl("curl -G -X POST h -d a=1 --data-urlencode 'b=x y'")
    assert (call.query, call.body) == ({"a": "1", "b": "x y"}, None)
    (tmp_path / "body.json").write_text('{"from": "a file"}')
    assert read_curl(f"curl h -d @{tmp_path}/body.json").body == {"from": "a file"}
    assert read_curl("curl h --json '{\"a\":' --json '1}'").body == {"a": 1}
    call = read_curl("curl https://h -k -d '{}' -H 'Authorization: Bearer $TOKEN' -H 'X-Key: ${KEY}'")
    assert call.headers == {"Authorization": "Bearer ${TOKEN}", "X-Key": "${KEY}"}
    assert (call.insecure, call.secrets.values) == (True, {})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=25)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_body_is_submitted_as_it_was_given(
    tmp_path_factory: pytest.TempPathFactory, body: dict[str, Any]
) -> None:
    """Quotes, places, YAML's own words, any script: shell to scenario to submission, the body is the same."""
    sent = {name: value for name, value in body.items() if name.isprintable()}
    call = read_curl(f"curl http://127.0.0.1:1/things -d {shlex.quote(json.dumps(sent))}")
    reply = Reply(200, {}, b'{"id": "a", "state": "queued"}', "http://127.0.0.1:1/things")
    guessed = guess(reply, call.method, call.path)
    draft = _target._draft(call, guessed, _target._target(call, guessed))
    path = write_draft(draft, str(tmp_path_factory.mktemp("new") / "own.yaml"))
    target = target_of(path)
    asked = target.submission(target.spoken.submission(3), 3, "s", "r").json
    expected = call.secrets.body(sent)
    assert asked == expected or (asked == {} and not expected)


@pytest.mark.parametrize("host", ["staging.example.com", "10.0.0.1"])
def test_another_machine_is_sent_nothing_unless_it_is_named(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--allow-host is needed, and --yes does not stand in for it."""
    monkeypatch.setattr(_target, "submit_once", lambda *_, **__: pytest.fail("sent"))
    done = harness("new", "--curl", f"curl https://{host}/x -d '{{}}'", "--yes")
    assert done.exit_code == UNUSABLE
    assert f"--allow-host {host}" in done.output
    done = harness("new", "--curl", "curl h -d '{}'", "--allow-host", "a/b", "--yes")
    assert "'a/b' is not a host" in done.output


def test_without_a_terminal_nothing_is_sent_unless_yes_is_said(tmp_path: Path) -> None:
    """Status 2 with what to do; the service hears nothing."""
    with foreign_service() as service:
        done = harness(
            "new", "--curl", f"curl {service.url}/v2/tasks -d '{{}}'", "--out", tmp_path / "x.yaml"
        )
        assert (done.exit_code, service.arrivals) == (UNUSABLE, [])
    assert "add --yes" in done.output


@pytest.mark.parametrize(("answer", "status"), [("n", UNUSABLE), ("", UNUSABLE), (None, INTERRUPTED)])
def test_a_person_is_shown_the_guess_and_may_refuse_it(answer: str | None, status: int) -> None:
    """Anything but a yes writes nothing; the end of input is an interruption."""

    def ask(question: str) -> str:
        assert question == "Write it? [y/N] "
        if answer is None:
            raise EOFError
        return answer

    said: list[str] = []
    with foreign_service() as service, pytest.raises(Refusal) as refused:
        from_curl(f"curl {service.url}/v2/tasks -d '{{}}'", Consent(frozenset(), yes=False), ask, said.append)
    assert (refused.value.status, str(refused.value)) == (status, "nothing is written")
    assert "        state: task.phase" in "\n".join(said)


def test_at_a_terminal_the_guess_is_shown_and_asked_about(tmp_path: Path) -> None:
    """With a real one: nothing is there before the answer, and the file after it."""
    with foreign_service() as service:
        command = f"curl {service.url}/v2/tasks -d '{{}}'"
        with terminal(tmp_path, "--curl", command, "--out", "own.yaml") as at:
            at.wait_for("state: task.phase")
            at.wait_for("Write it? [y/N] ")
            assert list(tmp_path.iterdir()) == []
            at.type("y\n")
            at.wait_for("own.yaml: check it with")
            assert at.process.wait(60) == 0
    assert target_of(tmp_path / "own.yaml").dialect.status.state == "task.phase"


def test_a_host_that_was_named_is_asked_about_before_it_is_sent_anything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a terminal, another machine is asked about twice: before the request, and about the guess."""
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return "yes"

    reply = Reply(202, {"Location": "/ops/17"}, b"", "https://h.example/x")
    monkeypatch.setattr(_target, "submit_once", lambda *_, **__: reply)
    draft = from_curl(
        "curl https://h.example/x -d '{}'", Consent(frozenset({"h.example"}), yes=False), ask, lambda _: None
    )
    assert asked == ["Go ahead? [y/N] ", "Write it? [y/N] "]
    assert "run FILE --allow-host h.example" in draft.found[-1]


@pytest.fixture
def odd() -> Iterator[str]:
    """A service with unhelpful answers."""
    app = Flask("odd")
    answers: dict[str, Callable[[], Any]] = {
        "refused": lambda: (jsonify(error={"message": "no such token"}), 401),
        "elsewhere": lambda: redirect("https://elsewhere.example/login"),
        "nameless": lambda: jsonify(message="ok", data={"count": 3}),
        "page": lambda: "<!doctype html>",
        "large": lambda: b"x" * (9 << 20),
    }
    app.add_url_rule("/<which>", view_func=lambda which: answers[which](), methods=["POST"])
    with served(app) as url:
        yield url


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("refused", "HTTP 401: "),
        ("elsewhere", "it leads to https://elsewhere.example/login, which is not followed"),
        ("nameless", "names no job and no address to poll: its members are data.count, message"),
        ("page", "it holds no JSON object"),
        ("large", "larger than 8388608 bytes"),
    ],
)
def test_a_reply_that_shows_no_job_is_quoted_and_nothing_is_written(
    odd: str, which: str, said: str, tmp_path: Path
) -> None:
    """Status 1: it was sent, and there is nothing to guess from."""
    out = tmp_path / "x.yaml"
    done = harness("new", "--curl", f"curl {odd}/{which} -d '{{}}'", "--yes", "--out", out)
    assert (done.exit_code, out.exists()) == (FAILED, False)
    assert said in done.output


def test_nobody_there_is_told_with_the_address() -> None:
    """No reply: the address and the system's word."""
    done = harness("new", "--curl", "curl http://127.0.0.1:1/x -d '{}'", "--yes")
    assert done.exit_code == FAILED
    assert "http://127.0.0.1:1: no reply: " in done.output


def reply(document: Any, code: int = 200, **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(code, named, json.dumps(document).encode(), "https://api.example.com/v1/things")


@pytest.mark.parametrize(
    ("document", "submit", "status"),
    [
        ({"job_id": "x", "ok": True}, {"id": "job_id"}, {"path": "/v1/things/{id}", "state": "status"}),
        ({"status": "ok", "job_id": "x"}, {"id": "job_id"}, {"state": "state"}),  # "ok" is the request
        (
            {"status": "success", "data": {"task_id": 5, "task_status": "submitted"}},
            {"id": "data.task_id"},
            {"state": "data.task_status"},
        ),
        (
            {
                "request_id": "r1",
                "status": "IN_QUEUE",
                "status_url": "https://q.example/m/requests/r1/status",
            },
            {"id": "request_id", "location": {"body": "status_url"}},
            {"path": "/m/requests/{id}/status", "state": "status"},
        ),
        ({"user_id": 7, "odd key": {"id": "z"}}, {"id": '"odd key".id'}, {"state": '"odd key".status'}),
        (
            {"jobs": [{"id": 5, "state": "weird", "retry_after_ms": 500, "finished_at": None}]},
            {"id": "jobs[0].id"},
            {
                "hints": [{"body": "jobs[0].retry_after_ms", "unit": "ms"}],
                "finished_at": "jobs[0].finished_at",
            },
        ),
    ],
)
def test_members_are_known_by_what_they_are_called(document: Any, submit: Any, status: Any) -> None:
    """Ids, states, addresses, hints and ends, in whatever nest; an envelope's state is not the job's."""
    data = guess(reply(document), "POST", "/v1/things").dialect
    assert isinstance(data, dict)
    assert submit.items() <= data["submit"].items()
    assert status.items() <= data["status"].items()


def test_a_job_that_is_done_or_not_has_a_state_too() -> None:
    """`done: false` becomes an expression that tells all three states."""
    dialect = guess(reply({"id": "x", "done": False}), "POST", "/v1/things").made
    said = [{"done": False}, {"done": True}, {"done": True, "error": {"code": 3}}]
    assert [dialect.read(reply(each)).status for each in said] == ["pending", "completed", "error"]


@pytest.mark.parametrize(
    ("answer", "path", "job"),
    [
        (
            reply({"name": "projects/p/operations/17"}),
            "/v1beta/models/x:run",
            "/v1beta/projects/p/operations/17",
        ),
        (
            reply({"id": "a", "status": "NotStarted"}, 202, Operation_Location="/ops/a?v=3"),
            "/text/analyze",
            "https://api.example.com/ops/a?v=3",
        ),
    ],
)
def test_a_known_dialect_is_known_at_other_paths(answer: Reply, path: str, job: str) -> None:
    """Google's and Azure's shapes are telling; paths are the command's and the reply's."""
    guessed = guess(answer, "POST", path)
    assert isinstance(guessed.dialect, dict)
    assert guessed.dialect["submit"]["path"] == path
    assert guessed.job.url == job
    assert guessed.made.read(answer).status == "pending"


def test_an_assumption_is_marked_as_one(tmp_path: Path) -> None:
    """What the reply does not show stands below a comment that says so."""
    app = Flask("brief")
    app.add_url_rule("/make", view_func=lambda: jsonify(uid="u-1"), methods=["POST"])
    out = tmp_path / "own.yaml"
    with served(app) as url:
        done = harness("new", "--curl", f"curl {url}/make -X POST", "--yes", "--out", out)
    assert done.exit_code == 0, done.output
    lines = [line.strip() for line in out.read_text().splitlines()]
    assert lines[lines.index("# Assumed: the reply names no address.") + 1] == "path: /make/{id}"
    assert lines[lines.index("# Assumed: the reply tells no state.") + 1] == "state: status"


@given(JSON, st.sampled_from([200, 201, 202]))
def test_no_reply_is_too_odd_to_guess_from(document: Any, code: int) -> None:
    """Any JSON gives a guess that reads it, or is refused in words."""
    answer = reply(document, code)
    try:
        guessed = guess(answer, "POST", "/v1/things")
    except NoJob:
        return
    assert guessed.made.accepted(answer) == guessed.job
