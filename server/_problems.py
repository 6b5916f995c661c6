"""Every error is told in the form of the API that is spoken; beside it, as a problem document (RFC 9457)."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from server._routes import is_ours
from server._simulator import Simulator
from server._speaking import PROBLEM, encoded, problem


def refusal(status: int, detail: str, **extensions: Any) -> Response:
    """Return the problem document for an error; ``extensions`` become further members of it."""
    document = {**problem(status, detail, request.path), **extensions}
    return Response(encoded(document), status, content_type=PROBLEM)


def install(app: Flask) -> None:
    """Turn every error that Flask or a view raises into one that the client understands."""
    app.register_error_handler(HTTPException, _from_exception)


def _from_exception(error: HTTPException) -> AnyResponse:
    response = error.get_response()  # kept for its headers: Allow, WWW-Authenticate...
    detail = error.description or ""
    told = refusal(response.status_code, detail)
    simulator = current_app.extensions["simulator"]
    if isinstance(simulator, Simulator) and not is_ours(request.path):
        answer = simulator.dialect.refuse(response.status_code, detail, request.path)
        told = Response(answer.body, answer.status_code, answer.headers)
    response.data = told.data
    response.content_type = told.content_type
    return response
