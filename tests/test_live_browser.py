"""The harness in Locust's page as a user meets it: a real browser, real runs."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from browser_parts import Open, overflow, unfit
from live_parts import ROOT
from playwright.sync_api import expect

from harness._refusal import INTERRUPTED

SCENARIO = """
name: tiny
question: Does <b>the page</b> show it?
job: {duration: {type: uniform, lower: 200ms, upper: 400ms}}
workload: {lanes: 2, arrivals: {type: constant, rate: 20}, duration: 500ms}
settings:
  fast: {curve: constant, initial: 100ms}
  slow: {curve: constant, initial: 300ms}
baseline: fast
"""
PATIENCE_S = 180.0  # a report is made by a process of its own, on whatever machine this is


class Locust:
    """A Locust with a page; ``url`` is where its page is."""

    def __init__(
        self, folder: Path, *options: str, base_path: str = "", locustfiles: str = "harness"
    ) -> None:
        self.session = requests.Session()
        scenario = folder / "tiny.yaml"
        scenario.write_text(SCENARIO)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{base_path}"
        self._log = (folder / "log").open("wb")
        command = [sys.executable, "-m", "locust", "-f", locustfiles, "--web-port", str(port), "--scenario"]
        command += [str(scenario), "--simulator-port", "0", "--reports", str(folder / "reports"), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self._log, stderr=subprocess.STDOUT)

    def live(self) -> dict[str, Any]:
        """What the page's own script asks for."""
        told: dict[str, Any] = self.session.get(f"{self.url}/backoff/live", timeout=10).json()
        return told

    def until_up(self, path: str = "/") -> None:
        """Wait until there is a page."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up and self.process.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                if self.session.get(f"{self.url}{path}", timeout=10).ok:
                    return
            time.sleep(0.1)
        raise AssertionError(f"there is no page: {Path(self._log.name).read_text()[-3000:]}")

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for an event of a run."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up and self.process.poll() is None:
            if happened(at := self.live()):
                return at
            time.sleep(0.1)
        raise AssertionError(f"it did not happen: {Path(self._log.name).read_text()[-3000:]}")

    def swarm(self, *settings: str, **headers: str) -> int:
        """Press Start, as the page does with its class picker on."""
        fields = {"user_count": 1, "spawn_rate": 1, "host": "", "shape_class": "Default"}
        data = {**fields, "user_classes": list(settings)}
        return self.session.post(f"{self.url}/swarm", data=data, headers=headers, timeout=10).status_code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.process.wait(PATIENCE_S)
        self._log.close()


@pytest.fixture
def locust(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Locust]:
    """A Locust with the options that the test asks for."""
    options, base_path = request.param
    running = Locust(tmp_path, *options, base_path=base_path)
    running.until_up()
    yield running
    running.close()


def finished(at: dict[str, Any]) -> bool:
    return at["state"] == "ended"


@pytest.mark.parametrize(
    "locust", [(("--class-picker", "--web-base-path", "/load"), "/load")], indirect=True, ids=["picker"]
)
def test_the_page_leads_from_start_to_the_verdict(locust: Locust, open_page: Open) -> None:
    """What will run is named, the picker starts it, it is followed, and the report is a click away.

    A second run is interrupted, with the status that docs/commands.md promises; other pages are refused.
    """
    opened = open_page(f"{locust.url}/")
    page = opened.page
    strip = page.locator("backoff-live")
    expect(strip).to_contain_text("Does <b>the page</b> show it?")
    expect(strip).to_contain_text("Ready: 2 settings, 2 visits of 2 lanes")
    expect(page.locator("[name=userCount]")).to_be_hidden()
    expect(page.locator("[name=shapeClass]")).to_be_hidden()
    foreign = {"Origin": "http://evil.example"}
    assert requests.get(f"{locust.url}/backoff/live", headers=foreign, timeout=10).status_code == 403
    assert locust.swarm(**foreign) == 403
    assert locust.live()["state"] == "ready"

    page.get_by_role("row", name="slow").get_by_role("checkbox").click()
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("tab", name="Backoff").click()
    report = strip.get_by_role("link", name="Open the report")
    expect(report).to_be_visible(timeout=PATIENCE_S * 1000)
    at = locust.live()
    assert [(visit["setting"], visit["state"]) for visit in at["visits"]] == [("fast", "ended")]
    (visit,) = at["visits"]
    assert (visit["submitted"], visit["ended"], visit["lost"]) == (10, 10, 0)
    assert (at["progress"], at["eta_s"], at["incomplete"]) == (1.0, 0.0, None)
    assert {check["check"] for check in at["trust"]} >= {"run complete", "generator CPU"}
    expect(page.get_by_role("cell", name="fast")).to_be_visible()
    expect(strip.get_by_role("img")).to_have_attribute("aria-label", re.compile("fast: .* polls"))
    jobs = requests.get(f"{locust.url}/backoff/report/latest/jobs.csv", timeout=10).text.splitlines()
    assert len(jobs) == 1 + visit["ended"]
    report.click()
    expect(page).to_have_title(re.compile("tiny"))
    assert opened.errors == []

    locust.swarm("slow")
    locust.until(lambda at: at["state"] == "running" and at["current"] == 0)
    locust.process.send_signal(signal.SIGINT)
    assert locust.process.wait(PATIENCE_S) == INTERRUPTED


@pytest.mark.slow
@pytest.mark.parametrize("locust", [(("--processes", "2", "--autostart"), "")], indirect=True, ids=["two"])
def test_two_processes_fill_the_page_of_our_own(locust: Locust, open_page: Open) -> None:
    """It starts by itself, has every figure, and is legible on a dark telephone, by eye and by axe."""
    opened = open_page(f"{locust.url}/backoff/", width=400, dark=True)
    page = opened.page
    expect(page.get_by_role("link", name="Open the report")).to_be_visible(timeout=PATIENCE_S * 1000)
    at = locust.until(finished)
    assert [(visit["ended"], visit["lost"]) for visit in at["visits"]] == [(10, 0), (10, 0)]
    assert None not in at["visits"][1].values()
    expect(page.get_by_role("row")).to_have_count(3)
    expect(page.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "100")
    assert unfit(page) == []
    assert overflow(page) == 0
    assert opened.errors == []
    assert {address.split("/backoff/")[0] for address in opened.requests if "data:" not in address} == {
        locust.url
    }


LOGIN = """
from flask import redirect, request
from flask_login import UserMixin, login_user
from locust import events


class Anybody(UserMixin):
    id = "anybody"


@events.init.add_listener
def let_in(environment, **_):
    environment.web_ui.app.secret_key = "of a test"
    environment.web_ui.login_manager.user_loader(lambda _id: Anybody())
    environment.web_ui.auth_args = {"username_password_callback": "/enter"}
    environment.web_ui.app.add_url_rule("/enter", "enter", lambda: (login_user(Anybody()), redirect("/"))[1])
"""


@pytest.mark.slow
def test_stop_and_start_again_behind_a_login(tmp_path: Path) -> None:
    """Nothing is told to who has not logged in; a stopped run has its report, and another may follow."""
    (tmp_path / "login.py").write_text(LOGIN)
    locust = Locust(tmp_path, "--web-login", "--class-picker", locustfiles=f"harness,{tmp_path}/login.py")
    try:
        locust.until_up("/login")
        for path in ("", "live", "live.js", "metrics", "report/latest/report.html"):
            reply = locust.session.get(f"{locust.url}/backoff/{path}", timeout=10, allow_redirects=False)
            assert (reply.status_code, reply.headers["Location"].split("?")[0]) == (302, "/login"), path
        locust.session.get(f"{locust.url}/enter", timeout=10)
        locust.swarm("fast", "slow")
        locust.until(lambda at: at["state"] == "running" and at["current"] == 1)
        assert locust.session.post(f"{locust.url}/stop", timeout=30).ok
        at = locust.until(finished)
        assert at["visits"][0]["state"] == "ended"
        assert at["visits"][1]["state"] in ("cut short", "left out")
        assert (at["incomplete"], at["verdict"]["setting"]) == ("stopped before the end", None)
        locust.swarm("fast")
        at = locust.until(lambda at: at["state"] == "running")
        assert [visit["setting"] for visit in at["visits"]] == ["fast"]
        assert (at["report"], at["verdict"], at["incomplete"]) == (None, None, None)
    finally:
        locust.close()
