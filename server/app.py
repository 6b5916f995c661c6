"""The Flask application of the simulated job service."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from flask.json.provider import DefaultJSONProvider

from scenarios import Job, Simulation
from server import _metrics, _pages, _problems
from server._admin import admin
from server._answering import Asked, Pending, answer_status, answer_submission
from server._no_reply import Dropped, Ending
from server._parsing import LARGEST_BODY, LARGEST_UPLOAD, whole_body
from server._routes import follow_dialect
from server._simulator import Simulator
from server._speaking import Place
from server._spoiling import dribble_s

DEMO: Final = Simulation(job=Job.model_validate({"duration": "10s"}))
"""What is served when nothing else is asked for: jobs of ten seconds that always succeed."""

_DISTRIBUTION: Final = "backoff-harness"

views: Final = Blueprint("simulator", __name__)


def create_app(
    simulation: Simulation | Mapping[str, Any] | None = None,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
    sleep: Callable[[float], object] = time.sleep,
    secret: bytes | str | None = None,
    admin_token: str | None = None,
) -> Flask:
    """Return the application that serves ``simulation`` (default: a job takes ten seconds).

    It may be given as a mapping: ``{"job": {"duration": "4s"}}``. Raises ``pydantic.ValidationError`` for one
    that is wrong, and TypeError for anything else.

    A reply that is due later holds its worker in ``sleep``: give a WSGI host's own (``gevent.sleep``) to have
    thousands at once. ``clock`` counts the same seconds, and must be the system's for job ids to survive a
    restart. ``wall_clock`` gives seconds since 1970, for the dialects that tell dates.

    ``secret`` signs job ids; default: the environment's ``BACKOFF_SECRET``, else one derived from the
    simulation. ``admin_token`` opens ``/admin/``; default: ``BACKOFF_ADMIN_TOKEN``, else a random one, to be
    found in ``app.config["ADMIN_TOKEN"]``.
    """
    secret = secret or os.environ.get("BACKOFF_SECRET")
    app = Flask("server", static_folder=None)
    app.json = _CompactJson(app)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.config["ADMIN_TOKEN"] = (
        admin_token or os.environ.get("BACKOFF_ADMIN_TOKEN") or secrets.token_urlsafe(24)
    )
    app.extensions["simulator"] = simulator = Simulator(
        _as_simulation(simulation),
        clock=clock,
        wall_clock=wall_clock,
        sleep=sleep,
        secret=secret.encode() if isinstance(secret, str) else secret,
    )
    _pages.install(app)
    app.register_blueprint(views)
    app.register_blueprint(admin)
    app.view_functions["simulator.submit"] = submit
    app.view_functions["simulator.status"] = status
    follow_dialect(app, simulator)
    app.after_request(_forbid_caching)
    _problems.install(app)
    return app


def _as_simulation(given: Simulation | Mapping[str, Any] | None) -> Simulation:
    if given is None:
        return DEMO
    if isinstance(given, Mapping):
        return Simulation.model_validate(given)
    if not isinstance(given, Simulation):
        kind = type(given).__name__
        raise TypeError(
            f"create_app takes a scenarios.Simulation (a scenario's .simulation) or a mapping, not {kind}"
        )
    return given


def submit(**_named: str) -> Response:
    """Accept a job."""
    simulator = _simulator()
    if not simulator.dialect.strict:
        request.max_content_length = LARGEST_UPLOAD
    return _answered(answer_submission(simulator, _asked(whole_body(request))))


def status(job_id: str | None = None) -> Response:
    """Answer the status of a job: of the implicit one that started with the server, if none is named."""
    return _answered(answer_status(_simulator(), _asked(), job_id))


@views.get("/healthz")
def health() -> Response:
    """Answer that the service is up, and what it serves."""
    simulator = _simulator()
    return jsonify(
        status="ok",
        name=_DISTRIBUTION,
        version=_version(),
        simulation=simulator.fingerprint,
        uptime=round(simulator.uptime(), 3),
    )


@views.get("/metrics")
def metrics() -> Response:
    """Answer the counters for Prometheus."""
    return Response(_metrics.render(_simulator()), content_type=_metrics.MEDIA_TYPE)


class _CompactJson(DefaultJSONProvider):
    compact = True
    sort_keys = False


def _simulator() -> Simulator:
    simulator: Simulator = current_app.extensions["simulator"]
    return simulator


def _asked(body: bytes = b"") -> Asked:
    place = Place(request.host_url.rstrip("/"), request.root_path, request.path)
    return Asked(place, request.headers, request.args, request.remote_addr or "", body)


def _answered(pending: Pending) -> Response:
    """Wait until the reply is due, and return it."""
    simulator = _simulator()
    reply = simulator.wait(pending.reply)
    told = pending.told(reply)
    if isinstance(told, Ending):
        return Dropped(told)
    headers = {**told.headers, "Content-Length": str(len(told.body))}
    seconds = dribble_s(reply)
    response = Response(
        simulator.drip(told.body, seconds) if seconds else told.body, told.status_code, headers
    )
    if "Content-Type" not in told.headers:  # Flask's own guess, at what has no body
        del response.headers["Content-Type"]
    return response


def _forbid_caching(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response


def _version() -> str:
    try:
        return version(_DISTRIBUTION)
    except PackageNotFoundError:  # run from a copy of the sources that was never installed
        return "unknown"
