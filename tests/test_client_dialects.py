"""The dialects of well-known services, reply by reply as their documentation has them; secrets and truth."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client import DIALECTS, NATIVE, Dialect, JobRef, Response, StatusReadFailed, SubmitFailed
from client.blocking import VideoTranslationClient

NAMES = ("native", "take-home", "heygen-v2", "azure", "google-lro", "openai-video", "replicate")
STAMP = {"Date": "Wed, 25 Nov 2026 10:00:05 GMT"}


def reply(body: object, code: int = 200, **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(code, {**STAMP, **named}, json.dumps(body).encode(), "http://sim/base/asked")


def test_the_table_has_the_dialects_by_name_each_with_its_source() -> None:
    """``DIALECTS[name]``; its name and where it is documented are in the row."""
    assert tuple(DIALECTS) == NAMES
    assert DIALECTS["native"] is NATIVE
    for name, dialect in DIALECTS.items():
        assert dialect.name == name
        assert dialect.source
    with pytest.raises(KeyError):
        DIALECTS["nobody"]


@pytest.mark.parametrize(
    ("name", "code", "body", "headers", "job", "polled"),
    [
        ("native", 202, {"id": "7", "status": "pending"}, {"Location": "/jobs/7"}, "7", "/jobs/7"),
        ("take-home", 202, {"id": "7", "result": "pending"}, {}, "7", "/status?id=7"),
        (
            "heygen-v2", 200, {"error": None, "data": {"video_translate_id": "7a"}}, {},
            "7a", "/v2/video_translate/7a",
        ),
        (
            "azure", 202, {"id": "op/1", "status": "NotStarted"},
            {"Operation-Location": "http://sim/operations/op1?api-version=2024"},
            "op/1", "http://sim/operations/op1?api-version=2024",
        ),
        ("azure", 202, {}, {"Operation-Location": "/operations/1"}, None, "http://sim/operations/1"),
        ("google-lro", 200, {"name": "operations/a b"}, {}, "operations/a b", "/v1/operations/a%20b"),
        ("openai-video", 200, {"id": "video_1", "status": "queued"}, {}, "video_1", "/v1/videos/video_1"),
        (
            "replicate", 201,
            {"id": "p1", "status": "starting", "urls": {"get": "http://sim/v1/predictions/p1"}},
            {}, "p1", "http://sim/v1/predictions/p1",
        ),
    ],
)  # fmt: skip
def test_what_a_submission_is_answered_and_where_its_job_is_polled(
    name: str, code: int, body: object, headers: dict[str, str], job: str | None, polled: str
) -> None:
    """The id and the address, as each service gives them; such a job is not finished yet."""
    dialect = DIALECTS[name]
    answered = Response(code, headers, json.dumps(body).encode(), "http://sim" + dialect.submit.path)
    ref = dialect.accepted(answered)
    assert ref.id == job
    assert dialect.poll(ref, 1).path == polled
    assert dialect.ended(answered) is None


WORDS: list[tuple[str, dict[str, Any], str]] = [
    *(("take-home", {"result": word}, word) for word in ("pending", "completed", "error")),
    *(
        ("heygen-v2", {"error": None, "data": {"video_translate_id": "7", "status": word}}, state)
        for word, state in [
            ("pending", "pending"), ("running", "pending"), ("success", "completed"), ("failed", "error")
        ]
    ),
    *(
        ("azure", {"id": "1", "status": word}, state)
        for word, state in [
            ("NotStarted", "pending"), ("Running", "pending"), ("Succeeded", "completed"),
            ("Failed", "error"), ("Canceled", "error"),
        ]
    ),
    ("google-lro", {"name": "operations/1"}, "pending"),
    ("google-lro", {"name": "operations/1", "done": False}, "pending"),
    ("google-lro", {"done": False}, "pending"),
    ("google-lro", {"name": "operations/1", "metadata": {"done": True}}, "pending"),
    ("google-lro", {"name": "operations/1", "done": True, "response": {}}, "completed"),
    ("google-lro", {"name": "operations/1", "done": True, "error": {"code": 1}}, "error"),
    ("google-lro", {"name": "", "done": True}, "completed"),
    *(
        ("openai-video", {"id": "1", "status": word, "error": None, "progress": 40}, state)
        for word, state in [
            ("queued", "pending"), ("in_progress", "pending"), ("completed", "completed"), ("failed", "error")
        ]
    ),
    *(
        ("replicate", {"id": "1", "status": word, "error": None}, state)
        for word, state in [
            ("starting", "pending"), ("processing", "pending"), ("succeeded", "completed"),
            ("failed", "error"), ("canceled", "error"), ("aborted", "error"),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize(("name", "body", "state"), WORDS)
def test_what_each_word_of_a_service_means(name: str, body: dict[str, Any], state: str) -> None:
    """In replies to status requests, and in one to a submission that has ended by then."""
    dialect = DIALECTS[name]
    status = dialect.read(reply(body))
    assert status.status == state
    assert status.progress is None  # 40 would be a percentage
    ended = dialect.ended(reply(body))
    assert (ended and ended.status) == (None if state == "pending" else state)


@pytest.mark.parametrize(
    "body", [{}, {"error": {"code": 5, "message": "no such operation"}}, [], 7, None, "x"]
)
def test_what_is_no_operation_tells_no_state(body: object) -> None:
    """``done`` may be absent; so may not everything else."""
    with pytest.raises(StatusReadFailed) as failed:
        DIALECTS["google-lro"].read(reply(body))
    assert failed.value.failure.kind == "malformed"


def test_an_operation_that_is_done_at_once_may_have_no_name() -> None:
    """As AIP-151 has it for requests that only validate: nothing is polled. One that failed is refused."""
    google = DIALECTS["google-lro"]
    done = reply({"name": "", "done": True, "response": {}})
    assert google.accepted(done) == JobRef()
    ended = google.ended(done)
    assert ended is not None
    assert ended.status == "completed"
    for body in ({"name": "", "done": True, "error": {"code": 3}}, {"name": ""}, {"done": True}):
        with pytest.raises(SubmitFailed, match="names no job id"):
            google.accepted(reply(body))


def test_the_moment_of_the_end_is_read_where_a_service_tells_it() -> None:
    """Openai's seconds since 1970, replicate's ISO 8601, against the reply's own Date."""
    seconds = {"id": "1", "status": "completed", "completed_at": 1795600802}
    assert DIALECTS["openai-video"].read(reply(seconds)).finished_ago == 3
    moment = {"id": "1", "status": "succeeded", "completed_at": "2026-11-25T10:00:01.5Z"}
    assert DIALECTS["replicate"].read(reply(moment)).finished_ago == 3.5


# The simulator's truth


@pytest.mark.parametrize("name", NAMES[1:])
def test_with_truth_the_key_the_number_and_the_lag_travel_in_headers(name: str) -> None:
    """Backoff-Job-Key, Poll-Attempt and Backoff-Finished-Ago; without it none is sent or read."""
    plain, told = DIALECTS[name], DIALECTS[name].with_truth()
    assert (told.name, told.with_truth()) == (name, told)
    assert told.submission(17).private["Backoff-Job-Key"] == "17"
    assert "Backoff-Job-Key" not in told.submission().private
    assert plain.submission(17) == plain.submission()
    assert told.poll(JobRef("1"), 3).headers["Poll-Attempt"] == "3"
    assert "Poll-Attempt" not in plain.poll(JobRef("1"), 3).headers
    ended = next(body for of, body, state in WORDS if (of, state) == (name, "completed"))
    assert told.read(reply(ended, Backoff_Finished_Ago="0.125")).finished_ago == 0.125
    assert told.read(reply(ended, Backoff_Finished_Ago="3e-05")).finished_ago == 3e-05
    for odd in ("soon", "nan", "inf", ""):
        assert told.read(reply(ended, Backoff_Finished_Ago=odd)).finished_ago is None
    assert plain.read(reply(ended, Backoff_Finished_Ago="0.125")).finished_ago is None


def test_the_native_dialect_has_members_for_the_truth() -> None:
    """It stays as it is."""
    assert NATIVE.with_truth() is NATIVE
    assert NATIVE.submission(17).json == {"key": 17}


def test_a_simulator_is_sent_no_secret() -> None:
    """What holds one is left out; all else stays."""
    dialect = Dialect.of(
        {
            "submit": {
                "headers": {"Authorization": "Bearer ${TOKEN}", "X-A": "1"},
                "query": {"key": "${TOKEN}", "v": "2"},
                "json": {"deep": [{"token": "${TOKEN}", "b": 1}], "c": "x"},
            },
            "status": {"headers": {"Authorization": "${TOKEN}"}},
        }
    )
    told = dialect.with_truth()
    sent = told.submission(1)
    assert sent.private == {"X-A": "1", "Backoff-Job-Key": "1"}
    assert sent.query == {"v": "2"}
    assert sent.json == {"deep": [{"b": 1}], "c": "x"}
    assert told.poll(JobRef("1")).private == {}
    VideoTranslationClient(dialect=told).close()  # nothing is missing in the environment


def test_a_refusal_inside_a_200_is_no_job() -> None:
    """HeyGen's errors come so."""
    with pytest.raises(SubmitFailed):
        DIALECTS["heygen-v2"].accepted(
            reply({"error": {"code": "bad", "message": "no credit"}, "data": None})
        )
