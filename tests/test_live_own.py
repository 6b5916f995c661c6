"""One process's lanes on a foreign service over real sockets: what they send, record, and when they stop."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from flask import Response, request
from foreign_service import DIALECT, Foreign, foreign_service, served

from client import DIALECTS
from harness.live._budget import Share
from harness.live._lanes import LoadGenerator
from harness.live._messages import Halted, Message, Rows, ShareDone, StartVisit
from harness.live._transport import CLIENTS
from harness.measure import JobRow, PollRow
from scenarios import Scenario, Simulation, load_scenario
from server.app import create_app

SCENARIO = """\
name: own
target:
  base_url: URL
  dialect:
DIALECT
  headers: {X-Api-Key: "${OWN_API_KEY}"}
  inputs: [{url: "https://a", lang: fr}, {url: "https://b", tags: [1, 2]}]
  limits: {jobs: 20, rate: 100, in_flight: 10}
workload: {lanes: 1, arrivals: {type: burst, size: 3}, jobs: 3}
settings:
  quick: {curve: constant, initial: 50ms, on_error: {curve: constant, initial: 50ms, max_consecutive: 2}}
""".replace("DIALECT", DIALECT.rstrip())
SECRET = "open-sesame-1001"
SHARE = Share(jobs=20, rate=100.0, in_flight=10)


class Played:
    """What a process tells the conductor of a visit."""

    def __init__(self, messages: list[Message]) -> None:
        rows = [each for each in messages if isinstance(each, Rows)]
        self.jobs: list[JobRow] = sorted((job for each in rows for job in each.jobs), key=lambda job: job.key)
        self.polls: list[PollRow] = [poll for each in rows for poll in each.polls]
        self.halts = [each.reason for each in messages if isinstance(each, Halted)]
        (self.done,) = [each for each in messages if isinstance(each, ShareDone)]


Play = Callable[..., Played]


@pytest.fixture
def service() -> Iterator[Foreign]:
    with foreign_service(duration_s=0.12) as service:
        yield service


@pytest.fixture
def play(service: Foreign, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Play:
    """Run a visit of the scenario, edited, to its end."""
    monkeypatch.setenv("OWN_API_KEY", SECRET)

    def play(
        *edits: tuple[str, str],
        share: Share = SHARE,
        url: str | None = None,
        hosts: frozenset[str] = frozenset(),
    ) -> Played:
        text = SCENARIO.replace("URL", url or service.url)
        for old, new in edits:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "own.yaml"
        path.write_text(text)
        return played(load_scenario(path), share, hosts)

    return play


def played(scenario: Scenario, share: Share, hosts: frozenset[str]) -> Played:
    messages: list[Message] = []
    generator = LoadGenerator(scenario, messages.append, lambda **_: None, hosts)
    start = StartVisit(
        visit=1,
        setting="quick",
        repeat=0,
        host="",
        lanes=[0],
        starts_in=0.0,
        run="20260102T030405Z",
        limits=share,
    )
    generator.start(start)
    with gevent.Timeout(20):
        while not any(isinstance(each, ShareDone) for each in messages):
            gevent.sleep(0.01)
    return Played(messages)


def answer(status_code: int, body: Any = "", **headers: str) -> Callable[[], Response]:
    """A reply that is always the same."""
    text = body if isinstance(body, str) else json.dumps(body)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: Response(text, status_code, names)


def test_jobs_are_submitted_with_their_inputs_and_polled_where_the_reply_says(
    service: Foreign, play: Play
) -> None:
    """Inputs in turn, in their places or as members; secrets filled in; nothing of ours in the requests."""
    result = play()
    assert result.halts == []
    assert sorted(service.bodies, key=str) == [
        {"input": {"url": "https://a"}, "lang": "fr"},
        {"input": {"url": "https://a"}, "lang": "fr"},
        {"input": {"url": "https://b"}, "tags": [1, 2]},
    ]
    assert {each["X-Api-Key"] for each in service.headers} == {SECRET}
    sent = {name for each in service.headers for name in each}
    assert not {name for name in sent if name.startswith("Backoff") or name == "Poll-Attempt"}
    assert set(service.polls) == {"/v2/tasks/1", "/v2/tasks/2", "/v2/tasks/3"}


@pytest.mark.parametrize("transport", CLIENTS)
def test_rows_hold_what_can_be_known_of_a_job_without_the_servers_truth(play: Play, transport: str) -> None:
    """No duration, finish or lag; the end is known, and each poll says what its reply meant."""
    result = play(("lanes: 1,", f"lanes: 1, transport: {transport},"))
    assert [job.outcome for job in result.jobs] == ["completed"] * 3
    for job in result.jobs:
        assert (job.duration_s, job.finished_at_s, job.detection_lag_s) == (None, None, None)
        assert job.detected_at_s is not None
        assert job.completion_latency_s == job.detected_at_s - job.planned_at_s
        own = [poll for poll in result.polls if poll.key == job.key]
        assert [poll.state for poll in own] == ["pending"] * (len(own) - 1) + ["completed"]
        assert (job.polls, job.wasted_polls) == (len(own), len(own) - 1)
    assert (result.done.submissions, result.done.left, result.done.failed_submissions) == (3, 0, {})


def test_a_finish_that_the_reply_names_gives_the_lag(service: Foreign, play: Play) -> None:
    """Where the dialect declares it: here the seconds since the end."""
    done = {"task": {"number": 1, "phase": "finished", "since": 0.04}}
    service.answer_poll = answer(200, done)
    result = play(("state: task.phase", "state: task.phase\n      finished_ago: task.since"))
    for job in result.jobs:
        assert job.detection_lag_s == 0.04
        assert job.detected_at_s is not None
        assert job.finished_at_s == job.detected_at_s - 0.04


def test_every_submission_can_be_told_apart(service: Foreign, play: Play) -> None:
    """By the run, the setting and the job's key, in the body or in a header such as Idempotency-Key."""
    name = '"{run}-{setting}-{key}"'
    play(("json: {", f"headers: {{Idempotency-Key: {name}}}, json: {{n: '{{index}}', "))
    keys = [each.get("Idempotency-Key") for each in service.headers]
    assert sorted(key for key in keys if key) == [f"20260102T030405Z-quick-{key}" for key in range(3)]
    assert sorted(body["n"] for body in service.bodies) == [0, 1, 2]


def test_no_more_jobs_are_open_at_once_than_the_share_allows(service: Foreign, play: Play) -> None:
    """Those that wait for room are submitted late, and counted."""
    result = play(("size: 3}, jobs: 3", "size: 6}, jobs: 6"), share=SHARE._replace(in_flight=2))
    assert service.most_open <= 2
    assert [job.outcome for job in result.jobs] == ["completed"] * 6
    assert result.done.held_jobs.requests >= 4
    assert result.done.held_jobs.max_s >= 0.12


def test_no_more_jobs_are_submitted_than_the_share_allows(service: Foreign, play: Play) -> None:
    """The rest of the plan is not carried out."""
    result = play(share=SHARE._replace(jobs=2))
    assert (len(service.bodies), len(result.jobs), result.done.submissions) == (2, 2, 2)


def test_a_closed_loop_ends_when_its_submissions_are_spent(service: Foreign, play: Play) -> None:
    """Its jobs are followed to their ends, and the visit is known to be shorter than it was meant."""
    closed = ("{type: burst, size: 3}, jobs: 3", "{type: closed}, duration: 60s")
    result = play(closed, share=SHARE._replace(jobs=2))
    assert [job.outcome for job in result.jobs] == ["completed"] * 2
    assert (len(service.bodies), result.done.submissions, result.done.spent) == (2, 2, True)


def test_an_input_that_cannot_be_sent_stops_the_visit(service: Foreign, play: Play) -> None:
    """A header of more than one line, say: it would be the same under every setting."""
    edits = (
        ("json: {", 'headers: {X-Lang: "{lang}"}, json: {'),
        ("lang: fr", 'lang: "f\\nr"'),
        ("tags:", "lang: de, tags:"),
    )
    result = play(*edits)
    (reason,) = result.halts
    assert reason.startswith("job 0 cannot be submitted: ")
    assert "X-Lang" in reason
    assert len(service.bodies) <= 1


def test_requests_are_spaced_and_what_that_costs_is_on_record(service: Foreign, play: Play) -> None:
    """A poll that had to wait for its turn was planned earlier than it was sent."""
    result = play(share=SHARE._replace(rate=20.0))
    sent = sorted([job.sent_at_s or 0.0 for job in result.jobs] + [poll.sent_at_s for poll in result.polls])
    assert len(sent) == len(service.arrivals)
    assert max(sum(t <= u < t + 1 for u in sent) for t in sent) <= 20
    late = [poll.sent_at_s - poll.planned_at_s for poll in result.polls]
    assert result.done.held_polls.requests > 0
    assert max(late) >= result.done.held_polls.max_s > 0.0
    assert 1 <= result.done.held_jobs.requests <= 2  # not the first of the burst


UNDECLARED = [
    pytest.param(
        {"answer_poll": answer(200, {"task": {"phase": "Zombie"}})},
        r"""^a poll got 'HTTP 200: \{"task": \{"phase": "Zombie"\}\}', which the dialect does not declare: """
        r"see target\.dialect\.status\.pending or .*status\.completed or .*status\.error$",
        id="a word",
    ),
    pytest.param(
        {"answer_poll": answer(200, {"state": "done"})},
        r"^a poll got 'HTTP 200: .*see target\.dialect\.status\.state$",
        id="no state",
    ),
    pytest.param(
        {"answer_poll": answer(200, "<html>\x1b]0;x\x07 welcome")},
        r"^a poll got 'HTTP 200: <html>\\x1b\]0;x\\x07 welcome', .*status\.path$",
        id="no JSON",
    ),
    pytest.param(
        {"answer_poll": answer(302, "", Location="https://login.example/?next=x")},
        r"^a poll got 'HTTP 302: it leads to https://login\.example/\?\.\.\., which is not.*status\.path$",
        id="a redirect",
    ),
    pytest.param(
        {"answer_submission": answer(200, {"task": {"number": 1}})},
        r"""^a submission got 'HTTP 200: \{"task": \{"number": 1\}\}', .*target.*\.submit\.accepted$""",
        id="a code",
    ),
    pytest.param(
        {"answer_submission": answer(201, {"job": 1})},
        r"""^a submission got 'HTTP 201: \{"job": 1\}', .*\.submit\.id or .*\.submit\.location$""",
        id="no id",
    ),
    pytest.param(
        {"answer_submission": answer(308, "", Location="https://127.0.0.1/v2/tasks")},
        r"^a submission got 'HTTP 308: it leads to https://127\.0\.0\.1/v2/tasks, .*submit\.accepted$",
        id="a redirected submission",
    ),
    pytest.param(
        {"answer_submission": answer(401, {"error": f"bad key {SECRET}"})},
        r"^the target does not accept these credentials: .*HTTP 401: bad key \$\{OWN_API_KEY\}",
        id="bad credentials",
    ),
    pytest.param(
        {"answer_poll": answer(403, "no")},
        r"^the target does not accept these credentials: a poll got http 403 \(no\)$",
        id="no right to poll",
    ),
    pytest.param(
        {"answer_submission": answer(201, {"task": {"number": 1}}, Location="http://b.example/v2/tasks/1")},
        r"^a job is to be polled at another origin, 'http://b\.example': .*--allow-host 'b\.example'",
        id="another origin",
    ),
]


@pytest.mark.parametrize(("behaviour", "said"), UNDECLARED)
def test_a_reply_that_makes_no_sense_stops_the_visit(
    service: Foreign, play: Play, behaviour: dict[str, Any], said: str
) -> None:
    """Once, with the reply in quotes, escaped and without secrets, and with the key that would declare it."""
    vars(service).update(behaviour)
    result = play()
    (reason,) = result.halts
    assert re.search(said, reason), reason
    assert SECRET not in reason
    assert len(service.arrivals) <= 6  # the burst of three, and their first polls, at most
    assert {job.outcome for job in result.jobs} <= {"censored", "gave_up"}


def test_a_long_reply_is_cut(service: Foreign, play: Play) -> None:
    """200 characters are enough to see what it is; a secret is not left in half."""
    service.answer_poll = answer(200, "x" * 195 + SECRET + "y" * 10_000)
    (reason,) = play().halts
    assert "x" * 195 + "${OWN" in reason
    assert len(reason) < 400
    assert SECRET[:4] not in reason


def test_a_page_between_good_replies_is_a_failed_read(service: Foreign, play: Play) -> None:
    """Once a status was read the dialect is known to be right: a proxy's page passes."""
    replies = iter([None, *[Response("<html>", 200)] * 2])
    service.answer_poll = lambda: next(replies, None)
    result = play(("size: 3}, jobs: 3", "size: 1}, jobs: 1"))
    assert result.halts == []
    assert [poll.state for poll in result.polls][:3] == ["pending", "failed", "failed"]
    assert [job.outcome for job in result.jobs] == ["completed"]


def test_an_allowed_host_may_be_polled_but_gets_no_headers_of_the_targets(
    service: Foreign, play: Play
) -> None:
    """The same machine by another name is another origin."""
    port = service.url.rpartition(":")[2]
    service.answer_submission = answer(
        201, {"task": {"number": 1}}, Location=f"http://localhost:{port}/v2/tasks/1"
    )
    service.answer_poll = answer(200, {"task": {"phase": "finished"}})
    result = play(("size: 3}, jobs: 3", "size: 1}, jobs: 1"), hosts=frozenset({"localhost"}))
    assert [job.outcome for job in result.jobs] == ["completed"]
    submission, poll = service.headers
    assert submission["X-Api-Key"] == SECRET
    assert "X-Api-Key" not in poll


def test_failed_submissions_are_counted_by_their_reply(service: Foreign, play: Play) -> None:
    """They leave no row, their room is free again, and a service that says "too many" is not given up."""
    replies = iter([*[Response("slow down", 429)] * 2])
    service.answer_submission = lambda: next(replies, None)
    result = play(share=SHARE._replace(in_flight=1))
    assert result.halts == []
    assert result.done.failed_submissions == {"429": 2}
    assert [job.outcome for job in result.jobs] == ["completed"]
    assert (result.done.submissions, result.done.left) == (3, 0)


def test_a_target_that_accepts_nothing_is_given_up(service: Foreign, play: Play) -> None:
    """Five submissions that fail before one is accepted are enough to see that the rest will too."""
    service.answer_submission = answer(422, {"detail": "no such model"})
    result = play(("size: 3}, jobs: 3", "size: 8}, jobs: 8"))
    (reason,) = result.halts
    assert reason.startswith("5 submissions failed and none was accepted, the last: ")
    assert "HTTP 422: no such model" in reason
    assert 5 <= result.done.failed_submissions["422"] <= 8


@pytest.mark.parametrize("transport", CLIENTS)
def test_a_target_that_is_down_is_given_up(play: Play, transport: str) -> None:
    """With the operating system's words; and no job of it can be at work."""
    carried = ("lanes: 1,", f"lanes: 1, transport: {transport},")
    result = play(("size: 3}, jobs: 3", "size: 8}, jobs: 8"), carried, url="http://127.0.0.1:9")
    (reason,) = result.halts
    assert "ConnectionRefusedError" in reason
    assert reason.endswith(" (base_url http://127.0.0.1:9)")
    assert result.done.left == 0


def test_jobs_whose_end_nobody_learns_keep_their_room(service: Foreign, play: Play) -> None:
    """A client that times out leaves a job at work: when all the room is taken so, no more is submitted."""
    service.duration_s = 60.0
    edits = (
        ("initial: 50ms, on", "initial: 50ms, deadline: 100ms, on"),
        ("size: 3}, jobs: 3", "size: 6}, jobs: 6"),
    )
    result = play(*edits, share=SHARE._replace(in_flight=2))
    (reason,) = result.halts
    assert reason.startswith("2 jobs were left before their clients learnt of their end and may still be")
    assert (service.most_open, result.done.left) == (2, 2)
    assert [job.outcome for job in result.jobs] == ["timeout"] * 2


def test_a_job_is_followed_no_longer_than_the_target_says(service: Foreign, play: Play) -> None:
    """A patient setting would poll a job for ever that its service has lost."""
    service.duration_s = 60.0
    result = play(("in_flight: 10}", "in_flight: 10, job_time: 200ms}"))
    assert [job.outcome for job in result.jobs] == ["censored"] * 3
    assert all(job.detected_at_s is None and job.polls > 0 for job in result.jobs)
    assert (result.halts, result.done.left) == ([], 3)


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "native"])
def test_our_simulator_is_an_api_like_any_other(play: Play, dialect: str) -> None:
    """Under each dialect of a real service; its truth is neither asked for nor read."""
    simulation = Simulation.model_validate({"job": {"duration": "120ms"}, "service": {"dialect": dialect}})
    app = create_app(simulation)
    seen: list[str] = []
    app.before_request(lambda: seen.extend(name for name, _ in request.headers))
    with served(app) as url:
        own = f"  dialect:\n{DIALECT.rstrip()}\n"
        result = play((own, f"  dialect: {dialect}\n"), ('{url: "https://a", lang: fr}', "{}"), url=url)
    assert result.halts == []
    assert [job.outcome for job in result.jobs] == ["completed"] * 3
    assert {poll.state for poll in result.polls} == {"pending", "completed"}
    names_a_finish = DIALECTS[dialect].status.finished_at is not None
    assert all((job.detection_lag_s is not None) == names_a_finish for job in result.jobs)
    assert not {name for name in seen if name.lower().startswith("backoff") or name == "Poll-Attempt"}
