"""A job service that knows nothing of this project: numeric ids, a nested state, a Location, own words."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request
from werkzeug.serving import WSGIRequestHandler, make_server

DIALECT = """\
    submit: {path: /v2/tasks, accepted: [201], id: task.number, json: {input: {url: "{url}"}}}
    status:
      path: "/v2/tasks/{id}"
      state: task.phase
      pending: [queued, running]
      completed: [finished]
      error: [broken]
"""

Answer = Callable[[], Response | None]


@dataclass
class Foreign:
    """What the service does, and what it has seen; ``answer_*`` stand in for its own replies."""

    duration_s: float = 0.3
    answer_submission: Answer = lambda: None
    answer_poll: Answer = lambda: None
    arrivals: list[float] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    polls: list[str] = field(default_factory=list)
    most_open: int = 0
    url: str = ""
    _ends: dict[int, float] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def busiest_second(self) -> int:
        """The most requests that arrived in any second."""
        times = sorted(self.arrivals)
        return max((sum(t <= u < t + 1.0 for u in times) for t in times), default=0)

    def app(self) -> Flask:
        app = Flask("foreign")

        @app.before_request
        def count() -> None:
            with self._lock:
                self.arrivals.append(time.monotonic())
                self.headers.append(dict(request.headers))

        @app.post("/v2/tasks")
        def submit() -> Response:
            with self._lock:
                self.bodies.append(request.get_json(silent=True))
                number = len(self.bodies)
            if (answer := self.answer_submission()) is not None:
                return answer
            with self._lock:
                self._ends[number] = time.monotonic() + self.duration_s
                # A job is open until its client has been told of its end.
                self.most_open = max(self.most_open, len(self._ends) - len(self._told))
            reply = jsonify(task={"number": number, "phase": "Queued"})
            reply.status_code = 201
            reply.headers["Location"] = f"/v2/tasks/{number}"
            return reply

        @app.get("/v2/tasks/<int:number>")
        def status(number: int) -> Response:
            with self._lock:
                self.polls.append(request.path)
            if (answer := self.answer_poll()) is not None:
                return answer
            ended = time.monotonic() >= self._ends[number]
            if ended:
                with self._lock:
                    self._told.add(number)
            return jsonify(task={"number": number, "phase": "Finished" if ended else "Running"})

        return app


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@contextmanager
def foreign_service(**behaviour: Any) -> Iterator[Foreign]:
    """A foreign service on a free port of this machine."""
    service = Foreign(**behaviour)
    with served(service.app()) as url:
        service.url = url
        yield service


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """An application on a free port of this machine, in a thread of this process; its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
