"""Locust's page answers its own user, and no other page that the same browser shows."""

from __future__ import annotations

import pytest
from flask import Flask

from harness.live._page import guard


def code(web_host: str, method: str = "POST", **headers: str) -> int:
    """Return how a page that listens there answers a request with these headers."""
    app = Flask("page")
    app.add_url_rule("/swarm", view_func=lambda: "started", methods=["GET", "POST"])
    guard(app, web_host)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.test_client().open("/swarm", method=method, headers=sent).status_code


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8089", "localhost:8089", "LOCALHOST", "[::1]:8089", "127.8.9.1", "localhost.:8089"]
)
def test_this_machines_names_are_answered(host: str) -> None:
    """With and without the origin that a browser sends along."""
    assert code("127.0.0.1", Host=host) == 200
    assert code("127.0.0.1", Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin") == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "host",
    [
        "evil.example:8089",
        "127.0.0.1.evil.example",
        "evil.example.",
        "localhost.evil.example",
        "[",
        "10.0.0.1",
    ],
)
def test_other_names_are_refused_where_the_page_is_this_machines_alone(host: str, method: str) -> None:
    """A name of the attacker's may point here."""
    assert code("127.0.0.1", method, Host=host) == 403
    assert code("localhost", method, Host=host) == 403


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://localhost:3000", "https://localhost.evil.example", "http://["],
)
@pytest.mark.parametrize("web_host", ["127.0.0.1", "::", "", "10.0.0.7"])
def test_other_pages_are_refused_wherever_the_page_listens(web_host: str, origin: str, method: str) -> None:
    """They may neither start runs nor read results."""
    assert code(web_host, method, Host="localhost:8089", Origin=origin) == 403


def test_a_form_of_another_page_is_refused_without_an_origin_too() -> None:
    """Browsers say where a request comes from in two ways."""
    assert code("127.0.0.1", Host="localhost:8089", Sec_Fetch_Site="cross-site") == 403
    assert code("127.0.0.1", "GET", Host="localhost:8089", Sec_Fetch_Site="cross-site") == 200


@pytest.mark.parametrize("web_host", ["::", "", "10.0.0.7"])
def test_a_page_for_others_goes_by_any_name(web_host: str) -> None:
    """Whoever lets it listen for others knows by which names they reach it."""
    assert code(web_host, Host="bench.example:8089", Origin="http://bench.example:8089") == 200
