"""Other people's clients against our simulator in this process, under a clock that only sleeping moves."""

from __future__ import annotations

import time
from io import BytesIO
from typing import Any

import pytest
import requests
from flask import Flask
from requests.adapters import BaseAdapter
from werkzeug.test import Client

from scenarios import Simulation
from server.app import create_app


class Clock:
    """Seconds that pass only while somebody sleeps. One thread sleeps at a time, the others wait for it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Service:
    """A simulator that speaks a dialect, its clock and what it counted."""

    def __init__(
        self, dialect: object, *, job: Any = None, clock: Clock | None = None, **service: Any
    ) -> None:
        data = {
            "seed": 3,
            "job": {"duration": 4.0, **(job or {})},
            "service": {"dialect": dialect, **service},
        }
        times = {"clock": clock, "sleep": clock.sleep} if clock else {}
        self.app: Flask = create_app(Simulation.model_validate(data), admin_token="token", **times)

    @property
    def polls(self) -> int:
        """Status requests that the server counted."""
        return int(self._counters()["polls"])

    @property
    def replies(self) -> dict[str, int]:
        """How it answered status requests, as it counted them itself."""
        headers = {"Authorization": "Bearer token"}
        counters: Any = self.app.test_client().get("/admin/counters", headers=headers).get_json()
        return dict(counters["replies"])


class InProcess(BaseAdapter):
    """A transport of requests that calls a WSGI application instead of opening a connection."""

    def __init__(self, app: Flask) -> None:
        super().__init__()
        self._client = Client(app)

    def send(self, request: requests.PreparedRequest, *_rest: Any, **_more: Any) -> requests.Response:
        body = request.body.encode() if isinstance(request.body, str) else request.body
        try:
            reply = self._client.open(
                str(request.url).partition("127.0.0.1")[2],
                base_url="http://127.0.0.1",
                method=request.method or "GET",
                headers=list(request.headers.items()),
                data=body,
            )
        except ConnectionResetError as error:
            raise requests.ConnectionError(error) from error
        response = requests.Response()
        response.status_code = reply.status_code
        response.headers.update(dict(reply.headers))
        response.raw = BytesIO(reply.data)
        response.url = str(request.url)
        response.request = request
        response.reason = reply.status.partition(" ")[2]
        return response

    def close(self) -> None:
        pass


def in_process(app: Flask) -> requests.Session:
    """A session of requests whose every request goes to the application."""
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", InProcess(app))
    return session


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock by which the simulator and every client in this process sleep."""
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    return clock
