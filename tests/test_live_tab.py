"""What the harness adds to Locust's page: the sweep as a tab, as a page, as JSON and for other programs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.testing import FlaskClient
from live_parts import job_row, rows
from prometheus_client.parser import text_string_to_metric_families
from virtual_scenarios import every, scenario

from harness.live import _tab
from harness.live._so_far import LIVE_FIGURES, Figures
from harness.live._sweep import Sweep
from harness.live._tab import Tab
from harness.live._telemetry import send_by_opentelemetry
from harness.measure import Check, Recommendation

SAID: Any = SimpleNamespace(
    recommendation=Recommendation(setting="quick", why="the fewest polls", rival="slow", confidence=0.6),
    settings={},
    objectives={},
    trust=[Check(check="run complete", status="pass", detail="all")],
)


class Page:
    """Locust's page, as far as the harness touches it."""

    def __init__(self, base_path: str | None = None, *, logged_in: bool = True) -> None:
        self.logged_in = logged_in
        self.app = Flask("page")
        self.template_args: dict[str, Any] = {"kept": 1}
        self.shapes: list[str | None] = []
        blueprint = Blueprint("locust", "page", url_prefix=base_path)
        blueprint.add_url_rule("/", "index", lambda: "<html><body><div id=root></div></body></html>")
        blueprint.add_url_rule("/stats/requests", "request_stats", lambda: {"state": "running"})
        self.app.register_blueprint(blueprint)
        self.sweep = Sweep(scenario({"quick": every(1), "slow": every(5)}))
        web_ui: Any = self
        Tab(
            web_ui,
            self.sweep,
            about=["made-up: is <b>it</b>?"],
            lanes=3,
            target="http://127.0.0.1:5000",
            base_path=base_path,
        )

    def auth_required_if_enabled(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """What Locust's does: views are for those who have logged in."""

        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            return view(*args, **kwargs) if self.logged_in else ("log in", 401)

        return guarded

    def _update_shape_class(self, name: str | None) -> None:
        self.shapes.append(name)

    @property
    def client(self) -> FlaskClient:
        return self.app.test_client()


def reported(page: Page, folder: Path) -> None:
    """Have the page's sweep end with a report in the folder."""
    folder.mkdir()
    for name in ("report.html", "jobs.csv", "results.json"):
        (folder / name).write_text(f"this is {name}")
    page.sweep.begin(0.0, scenario({"quick": every(1)}).visits())
    page.sweep.end(None)
    page.sweep.reporting(str(folder))
    page.sweep.reported(str(folder), SAID)


def test_live_tells_the_sweep_and_what_its_figures_are() -> None:
    """All that the documentation lists, each visit with every figure."""
    at = Page().client.get("/backoff/live").json
    assert at is not None
    assert {
        "state",
        "scenario",
        "question",
        "progress",
        "eta_s",
        "elapsed_s",
        "current",
        "visits",
    } <= at.keys()
    assert (at["state"], at["scenario"], at["lanes"]) == ("ready", "made-up", 3)
    assert (at["report"], at["files"], at["verdict"]) == (None, {}, None)
    assert [visit["setting"] for visit in at["visits"]] == ["quick", "slow"]
    shown = [figure["key"] for figure in at["figures"]]
    assert shown == list(LIVE_FIGURES) == list(Figures.__dataclass_fields__)
    assert all(set(shown) <= each.keys() for each in [*at["visits"], *at["settings"]])


def test_live_follows_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A visit under way is told as far as it has come."""
    page = Page()
    plans = scenario({"quick": every(1), "slow": every(5)}).visits()
    page.sweep.begin(100.0, plans)
    page.sweep.start(101.0, 1, plans[0])
    page.sweep.rows(rows(1, job_row(1), submitted=1))
    monkeypatch.setattr(_tab, "time", SimpleNamespace(monotonic=lambda: 103.0))
    at = page.client.get("/backoff/live").json
    assert at is not None
    visit = at["visits"][at["current"]]
    assert (visit["state"], visit["elapsed_s"], visit["ended"], visit["polls"]) == ("running", 2.0, 1, 1)


def test_the_report_is_linked_once_it_is_there(tmp_path: Path) -> None:
    """By addresses that answer; those of the latest run can be had without its name."""
    page = Page("/load")
    assert page.client.get("/load/backoff/report/latest/jobs.csv").status_code == 404
    reported(page, tmp_path / "made-up-1")
    at = page.client.get("/load/backoff/live").json
    assert at is not None
    assert (at["state"], at["verdict"]["setting"]) == ("ended", "quick")
    assert at["headline"] == "no clear winner between quick and slow"
    assert at["report"] == "/load/backoff/report/made-up-1/report.html"
    assert page.client.get(at["report"]).text == "this is report.html"
    assert {name: page.client.get(link).text for name, link in at["files"].items()} == {
        name: f"this is {name}" for name in ("jobs.csv", "results.json")
    }
    latest = page.client.get("/load/backoff/report/latest/jobs.csv", follow_redirects=True)
    assert latest.text == "this is jobs.csv"


@pytest.mark.parametrize(
    "path",
    [
        "made-up-0/report.html",
        "made-up-1/../made-up-0/report.html",
        "made-up-1/..%2fmade-up-0%2freport.html",
        "../report.html",
        "made-up-1//etc/passwd",
        "made-up-1/%2fetc%2fpasswd",
        "made-up-1/",
        "./secret",
        "..%2fsecret",
    ],
)
def test_no_other_file_is_served(tmp_path: Path, path: str) -> None:
    """Neither runs of other processes nor anything beside a run's folder."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "made-up-0").mkdir()
    (tmp_path / "made-up-0" / "report.html").write_text("of another process")
    page = Page()
    reported(page, tmp_path / "made-up-1")
    assert page.client.get(f"/backoff/report/{path}").status_code in (404, 308)


@pytest.mark.parametrize("path", ["", "live", "live.js", "report/latest/report.html", "metrics"])
def test_everything_is_behind_locusts_login(tmp_path: Path, path: str) -> None:
    """Where there is one."""
    page = Page(logged_in=False)
    reported(page, tmp_path / "made-up-1")
    assert page.client.get(f"/backoff/{path}").status_code == 401


def test_locusts_page_gets_a_strip_and_a_tab() -> None:
    """What a user wrote is escaped; the tab's table has a column for each figure, a row for each setting."""
    page = Page("/load")
    text = page.client.get("/load/").text
    assert text.startswith("<html><body><style>")
    assert text.endswith("<div id=root></div></body></html>")
    assert "is &lt;b&gt;it&lt;/b&gt;?" in text
    (tab,), (table,) = page.template_args["extended_tabs"], page.template_args["extended_tables"]
    assert (page.template_args["kept"], tab["key"], table["key"]) == (1, "backoff", "backoff")
    told = page.client.get("/load/stats/requests").json
    assert told is not None
    (stats,) = told["extended_stats"]
    assert (told["state"], stats["key"]) == ("running", "backoff")
    columns = [column["key"] for column in table["structure"]]
    assert columns == ["setting", *LIVE_FIGURES]
    assert [list(row) for row in stats["data"]] == [columns, columns]


def test_the_class_picker_cannot_take_the_visits_away() -> None:
    """Its field "Shape Class" is Default unless somebody knows better: no shape, and so no load for ever."""
    page = Page()
    page._update_shape_class(None)
    assert page.shapes == []


def test_the_own_page_names_the_scenario() -> None:
    """Before the first start and without scripts, too; its parts come from this machine."""
    page = Page()
    text = page.client.get("/backoff/").text
    assert "<title>made-up · Backoff</title>" in text
    assert "is &lt;b&gt;it&lt;/b&gt;?" in text
    assert "http" not in text
    for part in ("live.js", "live.css"):
        assert page.client.get(f"/backoff/{part}").status_code == 200


def test_prometheus_can_read_the_figures() -> None:
    """Counters and gauges in base units, of each setting; what is not known is left out."""
    page = Page()
    plans = scenario({"quick": every(1), "slow": every(5)}).visits()
    page.sweep.begin(0.0, plans)
    page.sweep.start(0.0, 1, plans[0])
    page.sweep.rows(rows(1, job_row(1), job_row(2), submitted=3))
    reply = page.client.get("/backoff/metrics")
    families = {each.name: each for each in text_string_to_metric_families(reply.text)}
    samples = {
        name: {sample.labels["setting"]: sample.value for sample in family.samples}
        for name, family in families.items()
        if name not in ("backoff_progress", "backoff_time_left_seconds")
    }
    assert samples["backoff_jobs_submitted"] == {"quick": 3.0, "slow": 0.0}
    assert samples["backoff_detection_lag_mean_seconds"] == {"quick": 0.25}
    assert (families["backoff_jobs_ended"].type, families["backoff_polls_per_job"].type) == (
        "counter",
        "gauge",
    )
    assert {sample.labels["scenario"] for sample in families["backoff_polls"].samples} == {"made-up"}
    assert families["backoff_progress"].samples[0].value == 0.0
    assert len(families) == len(LIVE_FIGURES) + 2
    assert reply.content_type == "text/plain; version=0.0.4; charset=utf-8"


def test_opentelemetry_is_given_the_same_figures() -> None:
    """Whenever its meters are read: here by the SDK's reader in memory."""
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    reader = export.InMemoryMetricReader()
    provider = sdk.MeterProvider(metric_readers=[reader])
    sweep = Page().sweep
    send_by_opentelemetry(lambda: sweep.look(2.0), provider.get_meter("backoff"))
    sweep.begin(0.0, scenario({"quick": every(1), "slow": every(5)}).visits())
    sweep.start(0.0, 1, scenario({"quick": every(1)}).visits()[0])
    sweep.rows(rows(1, job_row(1), submitted=3))
    (resource,) = reader.get_metrics_data().resource_metrics
    (scope,) = resource.scope_metrics
    found = {metric.name: metric for metric in scope.metrics}
    values = {
        point.attributes["setting"]: point.value for point in found["backoff.jobs.submitted"].data.data_points
    }
    assert values == {"quick": 3.0, "slow": 0.0}
    lag = found["backoff.detection_lag.mean"]
    assert (lag.unit, [point.value for point in lag.data.data_points]) == ("s", [0.25])
    provider.shutdown()
