"""Secrets go to the service alone and are shown nowhere; a bare id keeps what its submission was told."""

from __future__ import annotations

import asyncio
import json
import pickle
from typing import Any

import pytest
from test_client_between import Call, Service, call, plain  # noqa: F401 - fixtures
from test_client_submissions import COMPLETED, Reply, client_of, submitted

from client import NATIVE, ClientError, Dialect, InvalidSetting, StatusReadFailed, SubmitFailed
from client.asynchronous import AsyncVideoTranslationClient
from client.blocking import VideoTranslationClient

TOKEN = "s3cret/token+value"
OWN = Dialect.of(
    {
        "submit": {
            "headers": {"Authorization": "Bearer ${API_TOKEN}"},
            "query": {"key": "${API_TOKEN}", "v": "1"},
            "json": {"auth": {"token": "${API_TOKEN}"}},
        },
        "status": {"headers": {"X-Key": "${API_TOKEN}"}, "query": {"key": "${API_TOKEN}"}},
    }
)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", TOKEN)


@pytest.mark.usefixtures("token")
def test_a_secret_is_filled_in_when_a_request_leaves() -> None:
    """In headers, in the query (escaped there) and deep in the body; the records have its name alone."""
    submission, result, session = submitted(OWN, Reply(202, {"id": 7}), COMPLETED)
    (_, asked, options), (_, polled, read) = session.asked
    assert asked == "https://sim/v1/jobs?key=s3cret%2Ftoken%2Bvalue&v=1"
    assert options["headers"]["Authorization"] == f"Bearer {TOKEN}"
    assert options["json"] == {"auth": {"token": TOKEN}}
    assert polled == "https://sim/v1/jobs/7?key=s3cret%2Ftoken%2Bvalue"
    assert read["headers"]["X-Key"] == TOKEN
    for thing in (OWN, submission, result, OWN.submission(1), pickle.dumps(OWN)):
        assert "s3cret" not in repr(thing)


@pytest.mark.usefixtures("token")
def test_a_secret_is_taken_anew_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is renewed while a job runs is the one that is sent."""
    client, session = client_of(OWN, COMPLETED, COMPLETED)
    client.status("7")
    monkeypatch.setenv("API_TOKEN", "another")
    client.status("7")
    assert [options["headers"]["X-Key"] for _, _, options in session.asked] == [TOKEN, "another"]


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize(("place", "home"), [("https://sim/7?key=given", True), ("https://evil/7", False)])
def test_no_secret_goes_to_another_origin(place: str, home: bool) -> None:
    """Neither in headers nor in the query; a parameter that an address has already is not sent twice."""
    _, _, session = submitted(OWN, Reply(202, {"id": 7}, Location=place), COMPLETED)
    _, url, options = session.asked[1]
    assert url == place
    assert ("X-Key" in options["headers"]) == home
    assert home or "s3cret" not in json.dumps(session.asked[1], default=str)


@pytest.mark.usefixtures("token")
def test_a_server_cannot_ask_for_other_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reply names is an address, not a template."""
    monkeypatch.setenv("OTHER_SECRET", "hidden-treasure")
    _, _, session = submitted(OWN, Reply(202, {"id": "${OTHER_SECRET}"}), COMPLETED)
    assert "treasure" not in str(session.asked)
    _, _, session = submitted(OWN, Reply(202, {}, Location="/x/${OTHER_SECRET}"), COMPLETED)
    assert "treasure" not in str(session.asked)


@pytest.mark.parametrize(
    "how",
    [
        {"dialect": OWN},
        {"dialect": Dialect.of({"status": {"query": {"k": "${API_TOKEN}"}}})},
        {"dialect": Dialect.of({"submit": {"json": {"a": [{"b": "${API_TOKEN}"}]}}})},
        {"headers": {"X-Key": "${API_TOKEN}"}},
    ],
)
@pytest.mark.parametrize("kind", [VideoTranslationClient, AsyncVideoTranslationClient])
def test_a_secret_that_is_not_set_is_told_before_anything_is_sent(
    kind: Any, how: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the client is made, with what to do."""
    monkeypatch.delenv("API_TOKEN", raising=False)
    with pytest.raises(InvalidSetting, match="the environment has no API_TOKEN: export API_TOKEN="):
        kind(**how)


@pytest.mark.parametrize("value", ["two\nlines", "snow\u2603man"])
def test_a_secret_that_no_header_can_carry_is_refused_without_showing_it(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file read with its line break, say."""
    monkeypatch.setenv("API_TOKEN", value)
    with pytest.raises(InvalidSetting) as refused:
        VideoTranslationClient(dialect=OWN)
    assert value not in str(refused.value) + repr(refused.value)


@pytest.mark.parametrize("value", ["${lower case}", "${API_TOKEN", "${}", "${1A}"])
def test_what_begins_like_a_secret_and_is_none_is_refused(value: str) -> None:
    """Rather than sent as it stands."""
    for field in ("headers", "query"):
        with pytest.raises(InvalidSetting, match=r"write a secret as \$\{NAME\}"):
            Dialect.of({"submit": {field: {"x": value}}})


@pytest.mark.usefixtures("token")
@pytest.mark.parametrize("code", [200, 403])
def test_a_service_that_repeats_a_secret_does_not_get_it_shown(code: int) -> None:
    """In failed reads, refused submissions, and what is quoted of them."""
    echo = {"message": f"invalid key {TOKEN}", "status": f"odd {TOKEN}"}
    client, _ = client_of(OWN, Reply(code, echo), Reply(code, echo))
    failures: list[ClientError] = []
    for ask in (client.submit, lambda: client.status("7")):
        with pytest.raises((SubmitFailed, StatusReadFailed)) as failed:
            ask()
        failures.append(failed.value)
    assert "s3cret" not in str(failures) + "".join(map(str, failures))
    assert "${API_TOKEN}" in str(failures[1])


@pytest.mark.usefixtures("token")
def test_nothing_that_breaks_shows_a_secret() -> None:
    """Libraries put addresses into their messages."""
    client, _ = client_of(OWN)
    client._session.request = lambda *_, **__: (_ for _ in ()).throw(  # type: ignore[assignment,method-assign]
        __import__("requests").ConnectionError(f"no route to https://sim/jobs/7?key={TOKEN}")
    )
    with pytest.raises(StatusReadFailed) as failed:
        client.status("7")
    assert "s3cret" not in str(failed.value)


# What a bare id remembers


def test_a_bare_id_is_polled_where_and_when_its_submission_said() -> None:
    """Its address, and what is left of its hint."""
    client, session = client_of(
        Dialect.of({}), Reply(202, {"id": "7"}, Location="/op/7", Retry_After="10"), COMPLETED
    )
    submission = client.submit()
    client._clock.now += 4  # type: ignore[union-attr] # the virtual clock
    result = client.poll("7")
    assert session.asked[1][1] == "https://sim/op/7"
    assert result.detected_at == submission.replied_at + 10


def test_a_bare_id_of_a_job_that_had_ended_is_not_polled() -> None:
    """As when the submission itself is polled; another id is, by the template and at once."""
    client, session = client_of(NATIVE, Reply(202, {"id": "7", "status": "completed"}), COMPLETED, COMPLETED)
    client.submit()
    assert client.poll("8").attempts == 1
    assert client.poll("7").attempts == 0
    assert client.poll("7").attempts == 1  # it is asked for again: then it is looked at again
    assert session.asked[2][1] == "https://sim/v1/jobs/7"


def test_what_is_remembered_is_bounded() -> None:
    """A client that submits for weeks does not grow."""
    client, _ = client_of(
        Dialect.of({}), *(Reply(202, {"id": k}, Location=f"/op/{k}") for k in range(10_050))
    )
    for _ in range(10_050):
        client.submit()
    assert len(client._submitted) == 10_000
    assert "10049" in client._submitted
    assert "0" not in client._submitted


def test_members_of_the_body_may_be_given_for_each_job(call: Call, plain: Service) -> None:  # noqa: F811
    """Besides the dialect's own, over them where they have one name."""
    dialect = Dialect.of({"submit": {"json": {"language": "de", "url": "x"}}})
    client, session = client_of(dialect, Reply(202, {"id": 7}))
    client.submit(json={"url": "y"})
    assert session.asked[0][2]["json"] == {"language": "de", "url": "y"}

    async def run() -> str:
        async with AsyncVideoTranslationClient(f"http://{plain.at}", dialect=dialect) as other:
            return (await other.submit(json={"url": "y"})).id

    assert asyncio.run(run()) == "7"
    assert call("submit", url=f"http://{plain.at}").id == "7"
