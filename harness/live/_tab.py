"""What the harness adds to Locust's page: a strip and a tab that show the sweep, and what they are made of.

================================  ==========================================================================
``GET /backoff/``                 a page of its own: what will run, how far it is, load against lag, verdict
``GET /backoff/live``             the same as JSON, see ``docs/live-page.md``
``GET /backoff/metrics``          the figures for Prometheus
``GET /backoff/report/RUN/FILE``  a file of a run that this process has made; ``latest`` is the last run
================================  ==========================================================================

All under Locust's ``--web-base-path``, and behind its login where it has one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from flask import Blueprint, Response, abort, redirect, render_template, request, send_from_directory, url_for

from harness.live._so_far import LIVE_FIGURES
from harness.live._sweep import SettingNow, Sweep, SweepNow
from harness.live._telemetry import MEDIA_TYPE, as_prometheus
from harness.measure import quantity

if TYPE_CHECKING:  # importing Locust patches the process
    from locust.web import WebUI

_KEY: Final = "backoff"
_FOLDER: Final = Path(__file__).parent / "pages"
_PAGE: Final = "locust.index"  # Locust's own names of its page and of the figures that it asks for
_FIGURES: Final = "locust.request_stats"
_SHOWN: Final = [{"key": key, "title": each.title, "unit": each.unit} for key, each in LIVE_FIGURES.items()]
_LATEST: Final = "latest"
_FILES: Final = ("jobs.csv", "polls.csv", "results.json")  # of a run, beside its report


class Tab:
    """The harness in Locust's page.

    about: what ``check`` says of the scenario, line by line. lanes: how many it has. target: what is polled.
    """

    def __init__(
        self,
        web_ui: WebUI,
        sweep: Sweep,
        *,
        about: Sequence[str],
        lanes: int,
        target: str,
        base_path: str | None,
    ) -> None:
        self._sweep = sweep
        self._told = {"about": list(about), "lanes": lanes, "target": target, "figures": _SHOWN}
        self._add_to(web_ui, base_path)
        _keep_shape(web_ui)

    def _add_to(self, web_ui: WebUI, base_path: str | None) -> None:
        prefix = f"{(base_path or '').rstrip('/')}/{_KEY}"
        blueprint = Blueprint(_KEY, __name__, template_folder=_FOLDER, url_prefix=prefix)
        for rule, view in {
            "/": self._page,
            "/live": self._live,
            "/metrics": self._metrics,
            "/<any('live.js', 'live.css'):file>": self._part,
            "/report/<run>/<path:file>": self._file,
        }.items():
            blueprint.add_url_rule(rule, view.__name__, web_ui.auth_required_if_enabled(view))
        app = web_ui.app
        app.register_blueprint(blueprint)
        app.after_request(self._extend)
        columns = [{"key": key, "title": figure.title} for key, figure in LIVE_FIGURES.items()]
        web_ui.template_args = {
            **web_ui.template_args,
            "extended_tabs": [{"title": "Backoff", "key": _KEY}],
            "extended_tables": [
                {"key": _KEY, "structure": [{"key": "setting", "title": "Setting"}, *columns]}
            ],
            "extended_csv_files": [
                {"href": f"./{_KEY}/report/{_LATEST}/{file}", "title": f"Download {file} of the last run"}
                for file in _FILES
            ],
        }

    # -- views ---------------------------------------------------------------------------------------

    def _page(self) -> str:
        return render_template("live.html", about=self._told["about"], scenario=self._look().scenario)

    def _part(self, file: str) -> Response:
        return send_from_directory(_FOLDER, file)

    def _live(self) -> dict[str, Any]:
        at = self._look()
        run = Path(at.report) if at.report and at.report in self._sweep.reports else None
        files = [] if run is None else [each for each in _FILES if (run / each).is_file()]
        return {
            **asdict(at),
            **self._told,
            "trust": [check.model_dump() for check in at.trust],
            "verdict": at.verdict and at.verdict.model_dump(),
            "folder": at.report,
            "report": self._address(run.name, "report.html") if run else None,
            "files": {each: self._address(run.name, each) for each in files if run},
        }

    def _metrics(self) -> Response:
        return Response(as_prometheus(self._look()), content_type=MEDIA_TYPE)

    def _file(self, run: str, file: str) -> Any:
        runs = {Path(report).name: Path(report).resolve() for report in self._sweep.reports}
        if run == _LATEST and runs:
            return redirect(self._address(list(runs)[-1], file))
        if run not in runs:
            abort(404, "no run of this process goes by that name")
        return send_from_directory(runs[run], file)  # refuses what lies outside

    def _address(self, run: str, file: str) -> str:
        return url_for(f"{_KEY}._file", run=run, file=file)

    def _look(self) -> SweepNow:
        return self._sweep.look(time.monotonic())

    def _extend(self, response: Response) -> Response:
        """Add the strip to Locust's page, and the tab's rows to the figures that it asks for."""
        if request.endpoint == _PAGE and response.mimetype == "text/html":
            strip = render_template("strip.html", about=self._told["about"])
            response.set_data(response.get_data(as_text=True).replace("<body>", f"<body>{strip}", 1))
        elif request.endpoint == _FIGURES and response.is_json:
            rows = [_row(each) for each in self._look().settings]
            told = {**(response.json or {}), "extended_stats": [{"key": _KEY, "data": rows}]}
            response.set_data(json.dumps(told))
        return response


def _row(setting: SettingNow) -> dict[str, str]:
    """Return a row of the tab's table; Locust shows it as text."""
    figures = {key: quantity(getattr(setting, key), figure.unit) for key, figure in LIVE_FIGURES.items()}
    return {"setting": setting.setting, **figures}


def _keep_shape(web_ui: WebUI) -> None:
    """Have Locust's class picker start the visits whatever its field "Shape Class" says.

    That is "Default" unless the user knows better: no shape at all, and so no visits.
    """
    web_ui._update_shape_class = lambda _name: None
