"""Submissions of real services: which codes accept, what names the job, where to poll, and expressions."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from email.utils import formatdate
from typing import Any, cast

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st
from test_client_blocking import Clock, Reply, Session

from client import (
    NATIVE,
    Backoff,
    ClientError,
    Dialect,
    IllegalEvent,
    InvalidSetting,
    JobRef,
    PollingPolicy,
    Response,
    Result,
    Source,
    StatusCall,
    Submission,
    SubmitCall,
    SubmitFailed,
)
from client.blocking import VideoTranslationClient

COMPLETED = Reply(200, {"status": "completed"})


def client_of(dialect: Dialect, *script: Reply, **options: Any) -> tuple[VideoTranslationClient, Session]:
    clock = Clock()
    session = Session(clock, *script)
    client = VideoTranslationClient(
        "https://sim/v1",
        PollingPolicy(Backoff("constant", 1)),
        dialect=dialect,
        session=cast(requests.Session, session),
        uniform=lambda _n: 0.0,
        clock=clock,
        sleep=clock.sleep,
        **options,
    )
    return client, session


def submitted(dialect: Dialect, *script: Reply, **options: Any) -> tuple[Submission, Result, Session]:
    """A submission and its polling, whose requests get these replies."""
    client, session = client_of(dialect, *script, **options)
    submission = client.submit()
    return submission, client.poll(submission), session


@pytest.mark.parametrize("code", [200, 201, 202])
@pytest.mark.parametrize(
    ("name", "job_id"), [("7", "7"), (7, "7"), (0, "0"), (-3, "-3"), (7.0, "7"), ("a b", "a b")]
)
def test_a_custom_dialect_accepts_what_services_answer(code: int, name: object, job_id: str) -> None:
    """200, 201 and 202; an id that is a number is asked for by its digits."""
    submission, result, session = submitted(Dialect.of({}), Reply(code, {"id": name}), COMPLETED)
    assert (submission.id, result.outcome) == (job_id, "completed")
    assert session.asked[1][1] == f"https://sim/v1/jobs/{job_id.replace(' ', '%20')}"


@pytest.mark.parametrize("name", [None, "", True, 7.5, 1e300, [], {"id": 7}, "\ud800"])
def test_what_can_name_no_job_is_refused(name: object) -> None:
    """Half a character too, which JSON can spell and nothing can send."""
    client, _ = client_of(Dialect.of({}), Reply(202, {"id": name}))
    with pytest.raises(SubmitFailed, match="names no job id"):
        client.submit()


@pytest.mark.parametrize(
    ("path", "polled"), [("/jobs/{id}", "a%2Fb%3Fc%23d%C3%A9"), ("/jobs/{+id}", "a/b%3Fc%23d%C3%A9")]
)
def test_an_id_stays_in_its_place(path: str, polled: str) -> None:
    """Slashes are escaped, or kept where the dialect says so; what would end a path is escaped always."""
    dialect = Dialect.of({"submit": {"location": None}, "status": {"path": path}})
    _, _, session = submitted(dialect, Reply(202, {"id": "a/b?c#dé"}), COMPLETED)
    assert session.asked[1][1] == f"https://sim/v1/jobs/{polled}"


def test_an_empty_location_is_none() -> None:
    """The template serves."""
    _, _, session = submitted(Dialect.of({}), Reply(202, {"id": "7"}, Location=""), COMPLETED)
    assert session.asked[1][1] == "https://sim/v1/jobs/7"


@pytest.mark.parametrize(
    ("expression", "body"),
    [
        ("data.video_id", {"data": {"video_id": "7"}}),
        ("jobs[0].id", {"jobs": [{"id": 7}]}),
        ("not_null(id, task_id)", {"task_id": 7}),
    ],
)
def test_ids_may_lie_anywhere(expression: str, body: object) -> None:
    """A dotted name, or any expression of JMESPath."""
    submission, _, _ = submitted(Dialect.of({"submit": {"id": expression}}), Reply(202, body), COMPLETED)
    assert submission.id == "7"


@pytest.mark.parametrize(
    ("location", "reply", "polled"),
    [
        ({"header": "Location"}, Reply(202, {"id": "7"}, Location="/v1/tasks/7"), "https://sim/v1/tasks/7"),
        ({"header": "Location"}, Reply(202, {"id": "7"}, Location="tasks/7"), "https://sim/v1/tasks/7"),
        ({"header": "Location"}, Reply(202, None, Location="/tasks/7"), "https://sim/tasks/7"),
        ({"header": "Operation-Location"}, Reply(202, {}, Operation_Location="https://sim/op/7?v=1"),
         "https://sim/op/7?v=1"),
        ({"body": "urls.get"}, Reply(201, {"urls": {"get": "https://sim/p/7"}}), "https://sim/p/7"),
        ({"body": "urls.get"}, Reply(201, {"id": 7, "urls": None}), "https://sim/v1/jobs/7"),
        (None, Reply(201, {"id": 7}, Location="/elsewhere"), "https://sim/v1/jobs/7"),
    ],
)  # fmt: skip
def test_where_to_poll_is_what_the_reply_says_else_the_template(
    location: object, reply: Reply, polled: str
) -> None:
    """A header or a URL in the body, used as it is; a relative one from where the reply came."""
    _, result, session = submitted(Dialect.of({"submit": {"location": location}}), reply, COMPLETED)
    assert result.outcome == "completed"
    assert [url for _, url, _ in session.asked[1:]] == [polled]


@pytest.mark.parametrize(
    "place", ["ftp://sim/7", "javascript:alert(1)", "https://[::1", "file:///etc/passwd", "/\ud800"]
)
def test_a_place_that_cannot_be_polled_is_refused(place: str) -> None:
    """Before anything is sent there."""
    client, _ = client_of(Dialect.of({}), Reply(202, {"id": "7"}, Location=place))
    with pytest.raises(SubmitFailed, match="no place that can be polled"):
        client.submit()


@pytest.mark.parametrize(
    ("place", "sent"),
    [
        ("https://sim/7", True),
        ("https://SIM:443/7", True),
        ("http://sim/7", False),
        ("https://sim:8443/7", False),
        ("https://evil/7", False),
        ("//evil/7", False),
        ("https://sim@evil/7", False),
    ],
)
def test_credentials_go_to_no_other_origin(place: str, sent: bool) -> None:
    """Neither the client's headers, nor user info, nor the dialect's; the poll itself is sent."""
    dialect = Dialect.of({"status": {"headers": {"X-Key": "s3cret"}}})
    _, result, session = submitted(
        dialect, Reply(202, {"id": "7"}, Location=place), COMPLETED, headers={"Authorization": "s3cret"}
    )
    assert result.outcome == "completed"
    headers = session.asked[1][2]["headers"]
    assert ("Authorization" in headers, "X-Key" in headers) == (sent, sent)
    assert headers["Accept"] == "application/json"


@pytest.mark.parametrize(("word", "outcome"), [("Completed", "completed"), ("error", "error")])
def test_a_submission_that_is_already_done_is_not_polled(word: str, outcome: str) -> None:
    """The result is there at once, with no attempt; no event is in turn any more."""
    submission, result, session = submitted(NATIVE, Reply(202, {"id": "7", "status": word}))
    assert (result.outcome, result.status, result.attempts) == (outcome, outcome, 0)
    assert result.detected_at == submission.replied_at
    assert len(session.asked) == 1
    talk = client_of(NATIVE)[0].conversation(submission)
    assert talk.next(0.0) == talk.result
    with pytest.raises(IllegalEvent):
        talk.cancelled(0.0)


def test_where_a_submission_tells_its_state_may_be_said() -> None:
    """An envelope's own "status" is then not taken for the job's."""
    envelope = {"status": "completed", "id": 7, "job": {"state": "pending"}}
    dialect = Dialect.of({"submit": {"status": "job.state"}})
    assert submitted(dialect, Reply(200, envelope), COMPLETED)[1].attempts == 1


def test_a_303_leads_to_the_result() -> None:
    """The job is done; its result is where the Location says. Without one it is a failed read."""
    _, result, _ = submitted(
        Dialect.of({}), Reply(202, {"id": "7"}), Reply(303, None), Reply(303, None, Location="/results/7")
    )
    assert (result.outcome, result.attempts, result.failures) == ("completed", 2, 1)
    assert result.result_url == "https://sim/results/7"


def test_the_body_and_the_headers_are_the_dialects() -> None:
    """Its json with the key in its place, or without one; its headers."""
    dialect = Dialect.of({"submit": {"json": {"url": "u"}, "key": "seed", "headers": {"X-Key": "k"}}})
    client, session = client_of(dialect, Reply(202, {"id": "7"}), Reply(202, {"id": "8"}))
    client.submit(3)
    assert session.asked[0][2]["json"] == {"url": "u", "seed": 3}
    assert session.asked[0][2]["headers"]["X-Key"] == "k"
    assert "s3cret" not in repr(SubmitCall(headers={"A": "s3cret"}))
    assert Dialect(submit=SubmitCall(key=None)).submission(3).json == {}


# Reading, by expressions


def test_a_state_may_be_computed() -> None:
    """Operations that tell ``done`` and ``error`` have a state too."""
    dialect = Dialect.of(
        {"status": {"state": "!done && 'pending' || (error && 'error' || 'completed')", "path": "/{id}"}}
    )

    def state(body: object) -> str:
        return dialect.read(Response(200, {}, json.dumps(body).encode())).status

    assert state({"done": False}) == "pending"
    assert state({}) == "pending"
    assert state({"done": True, "response": {}}) == "completed"
    assert state({"done": True, "error": {"code": 1}}) == "error"


@pytest.mark.parametrize(
    "finished", ["2001-09-09T01:46:37Z", "2001-09-09T03:46:37+02:00", "2001-09-09T01:46:37", 999999997,
                 999999997000, formatdate(999999997, usegmt=True)]
)  # fmt: skip
def test_the_lag_may_come_from_the_moment_of_the_end(finished: object) -> None:
    """By the server's clock alone: that moment against the reply's own Date."""
    dialect = Dialect.of({"status": {"finished_at": "ended"}})
    body = json.dumps({"status": "completed", "ended": finished}).encode()
    date = formatdate(1e9, usegmt=True)
    assert dialect.read(Response(200, {"Date": date}, body, now_epoch=5.0)).finished_ago == 3
    odd = json.dumps({"status": "completed", "ended": "soon"}).encode()
    assert dialect.read(Response(200, {"Date": date}, odd)).finished_ago is None


@settings(deadline=None)  # a busy machine is no broken law
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["id", "status", "eta", "at", "jobs"]), inner, max_size=4)
        ),
        max_leaves=8,
    ),
    st.sampled_from([200, 202, 303, 404]),
    st.text(max_size=12),
)
def test_no_reply_can_break_a_dialect(body: object, code: int, location: str) -> None:
    """Whatever comes, it is a job or a status, or an error of ours."""
    dialect = Dialect.of(
        {
            "submit": {"id": "jobs[0].id", "location": {"body": "status"}},
            "status": {
                "state": "sum(jobs) > `3` && 'pending' || to_string(status)",
                "finished_at": "at",
                "hints": [{"body": "max(eta)", "unit": "ms"}],
            },
        }
    )
    response = Response(code, {"Location": location}, json.dumps(body).encode(), "https://sim/x")
    for read in (dialect.accepted, dialect.ended, dialect.read, dialect.hint):
        with suppress(ClientError):
            cast(Any, read)(response)


@pytest.mark.parametrize(
    ("data", "field", "value", "remedy"),
    [
        ({"submit": {"id": "a["}}, "id", "a[", "JMESPath"),
        ({"status": {"state": ""}}, "state", "", "give a member's name"),
        ({"status": {"state": "a && nope(@)"}}, "state", "a && nope(@)", "no function is called nope"),
        ({"status": {"path": "/jobs"}}, "path", "/jobs", "put {id} where"),
        ({"status": {"path": "jobs/{id}"}}, "path", "jobs/{id}", "begin it with a slash"),
        (
            {"submit": {"path": "/a/${TOKEN}"}},
            "path",
            "/a/${TOKEN}",
            "put secrets into headers, query or json",
        ),
        ({"submit": {"path": "/a#b"}}, "path", "/a#b", "leave away what no request can send"),
        ({"submit": {"method": "P T"}}, "method", "P T", "give a method of HTTP"),
        ({"submit": {"key": 7}}, "key", 7, "give the name of a member"),
        ({"submit": {"accepted": None}}, "accepted", None, "give a list of status codes"),
        ({"submit": {"json": [1]}}, "json", [1], "give names and their values"),
        ({"submit": {"location": 7}}, "location", 7, "give a Source or its fields"),
        ({"submit": {"location": {"header": "a b"}}}, "location.header", "a b", "give a name of letters"),
        ({"status": {"attempt": "a b"}}, "attempt", "a b", "give a name of letters"),
        ({"status": {"pending": [""]}}, "pending", "", "give words"),
        ({"status": {"pending": 5}}, "pending", 5, "give a list of words"),
        ({"status": {"hints": 5}}, "hints", 5, "give a list of headers and members"),
        ({"status": {"finished_ago": {"body": "a["}}}, "finished_ago", "a[", "JMESPath"),
        ({"status": {"query": {"v": 1}}}, "query", "v", "give it a text for a value"),
        ({"status": {"pending": ["a"], "error": ["A"]}}, "error", "A", "it is in pending too"),
        ({"status": {"pending": "queued"}}, "pending", "queued", "give a list of words"),
        ({"status": {"not_ready": [9]}}, "not_ready", 9, "give status codes"),
        ({"status": {"hints": [{"header": "A", "unit": "d"}]}}, "unit", "d", "give one of"),
        ({"status": {"hints": [{"body": "a["}]}}, "hints.body", "a[", "JMESPath"),
        ({"status": {"sate": "x"}}, "status", "sate", "did you mean state?"),
        ({"submit": {"location": {"headers": "A"}}}, "location", "headers", "did you mean header?"),
        ({"submit": {"location": {}}}, "location", None, "give a header or a body"),
        ({"submits": {}}, "dialect", "submits", "give submit and status"),
    ],
)
def test_a_fault_names_field_value_and_remedy(
    data: dict[str, Any], field: str, value: object, remedy: str
) -> None:
    """When the dialect is made, before anything is sent."""
    with pytest.raises(InvalidSetting) as refused:
        Dialect.of(data)
    assert (refused.value.field, refused.value.value) == (field, value)
    assert remedy in refused.value.remedy


def test_an_expression_without_jmespath_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dotted names need nothing."""
    monkeypatch.setitem(sys.modules, "jmespath", None)
    assert SubmitCall(id="somewhere.else").id == "somewhere.else"
    with pytest.raises(InvalidSetting, match="pip install jmespath"):
        SubmitCall(id="never[0].seen[1].before")


def test_data_and_classes_are_the_same() -> None:
    """``Dialect.of`` is the constructor for those who write YAML."""
    assert Dialect.of({"submit": {"location": {"body": "u"}}, "status": {"pending": ["queued"]}}) == Dialect(
        SubmitCall(location=Source(body="u")), StatusCall(pending=("queued",))
    )
    assert Dialect() == NATIVE
    assert JobRef("7") == JobRef("7", None)
