"""Every error is a problem document (RFC 9457): JSON that says what is wrong, for people and programs."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

MEDIA_TYPE: Final = "application/problem+json"


def problem(status: int, detail: str, **extensions: Any) -> Response:
    """Return the response for an error; ``extensions`` become further members of the document."""
    return Response(_document(status, detail, **extensions), status, content_type=MEDIA_TYPE)


def install(app: Flask) -> None:
    """Turn every error that Flask or a view raises into a problem document."""
    app.register_error_handler(HTTPException, _from_exception)


def _from_exception(error: HTTPException) -> AnyResponse:
    response = error.get_response()  # kept for its headers: Allow, WWW-Authenticate...
    response.data = _document(response.status_code, error.description or "")
    response.content_type = MEDIA_TYPE
    return response


def _document(status: int, detail: str, **extensions: Any) -> str:
    document = {"type": "about:blank", "title": _title(status), "status": status, "detail": detail}
    return json.dumps({**document, "instance": request.path, **extensions}, separators=(",", ":"))


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # scenarios may choose codes that nobody has registered
        return "Client Error" if status < 500 else "Server Error"
