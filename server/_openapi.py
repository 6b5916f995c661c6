"""The OpenAPI document of what is served: paths and methods are the application's, a row here says the rest.

Read off the routes, so that it cannot name one that is not there, nor leave one out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from flask import Flask

from server._metrics import MEDIA_TYPE
from server._parsing import LARGEST_KEY
from server._speaking import PROBLEM

_JSON: Final = "application/json"
_OBJECT: Final = {"type": "object"}
_TEXT: Final = {"type": "string"}
_FIELD: Final = re.compile(r"<(?:\w+:)?(\w+)>")
_NOT_TOLD: Final = ("HEAD", "OPTIONS")  # Flask's own
_OF_JOBS: Final = ("simulator.submit", "simulator.status")


class _Call(NamedTuple):
    """What a route does not say: a line of English, replies by code with their media type, the body."""

    summary: str
    replies: Mapping[int, str]
    body: Mapping[str, Mapping[str, Any]] | None = None
    query: tuple[str, ...] = ()


_JOB: Final = {"key": {"type": ["integer", "null"], "minimum": 0, "maximum": LARGEST_KEY}}
_RESET: Final = {"starts_in": {"type": "number", "minimum": 0, "maximum": 3600}}
_SIMULATION: Final = {"type": "object", "description": "seed, job and service, as scenarios have them"}

_CALLS: Final[Mapping[str, _Call]] = {
    "simulator.submit": _Call(
        "Submit a job.", {202: _JSON}, {_JSON: {**_OBJECT, "properties": _JOB, "additionalProperties": False}}
    ),
    "simulator.status": _Call(
        "Read a job's status; without an id that of the job that started with the server.",
        {200: _JSON},
        query=("id",),
    ),
    "simulator.health": _Call("Say that the service is up, and what it serves.", {200: _JSON}),
    "simulator.metrics": _Call("Give the counters for Prometheus.", {200: MEDIA_TYPE.partition(";")[0]}),
    "admin.reset": _Call(
        "Start over.", {204: ""}, {_JSON: {**_OBJECT, "properties": _RESET, "additionalProperties": False}}
    ),
    "admin.swap_scenario": _Call(
        "Serve another simulation from now on.",
        {200: _JSON},
        {_JSON: _SIMULATION, "application/yaml": {"type": "string"}},
    ),
    "admin.counters": _Call("Tell what has been done since the last reset.", {200: _JSON}),
    "admin.truth": _Call("Tell what has been decided about a job.", {200: _JSON}),
}
"""By the endpoint; a test says that every route has its row."""


def openapi(app: Flask) -> dict[str, Any]:
    """Return the document (OpenAPI 3.1) of the application, in the dialect that it speaks now.

    Under a foreign dialect, bodies and replies of jobs are that API's own, and not described.
    """
    paths: dict[str, dict[str, Any]] = {}
    native = app.extensions["simulator"].dialect.strict
    for rule in app.url_map.iter_rules():
        path = _FIELD.sub(r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - set(_NOT_TOLD)):
            fields = _FIELD.findall(rule.rule)
            paths.setdefault(path, {})[method.lower()] = _operation(rule.endpoint, fields, native)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Simulated job service", "version": "1"},
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(endpoint: str, fields: list[str], native: bool) -> dict[str, Any]:
    call = _CALLS[endpoint]
    ours = native or endpoint not in _OF_JOBS
    told: dict[str, Any] = {
        "operationId": endpoint.partition(".")[2],
        "summary": call.summary,
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": _TEXT} for name in fields),
            *({"name": name, "in": "query", "schema": _TEXT} for name in call.query if ours and not fields),
        ],
        "responses": {str(code): _reply(kind) for code, kind in call.replies.items()}
        | {"default": _reply(PROBLEM)}
        if ours
        else {"default": {"description": "as that API has it"}},
    }
    if call.body and ours:
        told["requestBody"] = {"content": {kind: {"schema": schema} for kind, schema in call.body.items()}}
    if endpoint.startswith("admin."):
        told["security"] = [{"token": []}]
    return told


def _reply(kind: str) -> dict[str, Any]:
    content = {"content": {kind: {"schema": _TEXT if kind.startswith("text/") else _OBJECT}}} if kind else {}
    return {"description": "an error (RFC 9457)" if kind == PROBLEM else "done", **content}
