"""Reading requests: whatever a client sends, it becomes a value or an error that says what would be right."""

from __future__ import annotations

import json
import re
from typing import Any, Final, Protocol

from flask import Request
from werkzeug.exceptions import BadRequest, UnprocessableEntity, UnsupportedMediaType

from scenarios import Simulation
from scenarios.documents import Document, parse_document, validate
from server._scenario import simulation_in
from server._speaking import KEY_HEADER, Dialect

_BODY: Final = "request body"
LARGEST_KEY: Final = 2**63 - 1
"""Of a job."""
LARGEST_BODY: Final = 1 << 16
"""The bytes that a body may have, usually."""
LARGEST_SCENARIO: Final = 1 << 20
"""Those of a scenario to be served."""
LARGEST_UPLOAD: Final = 1 << 24
"""Those of a submission under a foreign dialect, which may carry anything."""

_ATTEMPT: Final = re.compile("[0-9]{1,18}")
_YAML_TYPES: Final = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")


class Texts(Protocol):
    """Headers or parameters, by their names; those of headers are given in lower case."""

    def get(self, name: str, /) -> str | None:
        """Return the first value under this name."""


def submitted_key(header: str | None, text: bytes, dialect: Dialect) -> int | None:
    """Return the key that a submission asks for; None where it names none.

    header: the value of ``KEY_HEADER``. text: the body. Under a foreign dialect that is the API's own (a
    form, an upload), and what it says is of no interest.
    """
    if dialect.strict:
        body = _json_object(text)
        for name in body:
            if name != dialect.key:
                raise UnprocessableEntity(f"unknown member {name[:60]!r}; the only one is {dialect.key!r}")
        return _key(body.get(dialect.key or ""), repr(dialect.key))
    if header is not None:
        number = int(header) if re.fullmatch("[0-9]{1,19}", header) else header
        return _key(number, KEY_HEADER)
    try:
        foreign = json.loads(text) if dialect.key else None
    except (ValueError, RecursionError):
        return None
    return _key(foreign.get(dialect.key or ""), repr(dialect.key)) if isinstance(foreign, dict) else None


def _key(value: object, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_KEY:
        raise UnprocessableEntity(f"{name} must be a whole number from 0 to 2**63 - 1")
    return value


def poll_attempt(text: str | None) -> int | None:
    """Return the client's number of this poll from the Poll-Attempt header; None where there is none."""
    if text is None:
        return None
    if not _ATTEMPT.fullmatch(text) or int(text) == 0:
        raise BadRequest("Poll-Attempt must be the number of this poll of the job: 1, 2, 3...")
    return int(text)


def client_name(headers: Texts, peer: str) -> str:
    """Return what tells this client from others: what it says it is, whom it acts for, or its address."""
    return headers.get("backoff-client") or headers.get("authorization") or peer


def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object in the body, which may be empty.

    Whatever its Content-Type: nothing else is understood here, and ``curl -d`` declares every body a form.
    """
    return _json_object(whole_body(request))


def simulation(request: Request) -> Simulation:
    """Return the simulation in the body: its JSON, or the YAML of a whole scenario."""
    text = whole_body(request)
    if request.is_json:
        return validate(Document(_BODY, "", _parse_object(text)), Simulation)
    if request.mimetype not in _YAML_TYPES:
        raise UnsupportedMediaType("send the scenario as application/json or application/yaml")
    try:
        return simulation_in(parse_document(text.decode(), _BODY))
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8 text") from None


def whole_body(request: Request) -> bytes:
    """Return the body; raises werkzeug's RequestEntityTooLarge for one that is larger than it may be."""
    text = request.get_data(cache=False)
    # Werkzeug cuts a chunked body off at the limit; only the next read says so, by a 413.
    request.stream.read(1)
    return text


def _json_object(text: bytes) -> dict[str, Any]:
    return _parse_object(text) if text.strip() else {}


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        # Besides syntax: not UTF-8, numbers of thousands of digits, thousands of brackets.
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise UnprocessableEntity('the body must be a JSON object, such as {"key": 17}')
    return value
